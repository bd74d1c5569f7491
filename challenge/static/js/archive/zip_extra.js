// The extra fields of a zip's headers. Source: PKWARE APPNOTE 6.3.10, section 4.5.

export const ZIP64 = 0x0001;
export const UNICODE_NAME = 0x7075;
const MAX_FIELDS = 64;

/**
 * Extra fields by id; null where they do not parse. Padding of fewer than four zeros is legal.
 * @param {Uint8Array} extra
 * @returns {Map<number, Uint8Array> | null}
 */
export function readExtraFields(extra) {
  const view = new DataView(extra.buffer, extra.byteOffset, extra.byteLength);
  /** @type {Map<number, Uint8Array>} */
  const fields = new Map();
  let [at, count] = [0, 0];
  while (at + 4 <= extra.length) {
    const [key, size] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    at += 4;
    const isTwice = (key === ZIP64 || key === UNICODE_NAME) && fields.has(key);
    count += 1;
    if (at + size > extra.length || isTwice || count > MAX_FIELDS) return null;
    fields.set(key, extra.subarray(at, at + size));
    at += size;
  }
  return extra.subarray(at).some((byte) => byte !== 0) ? null : fields;
}
