// A zip's central directory read from a File by slices: seconds for four gigabytes, no upload.
// Source: PKWARE APPNOTE 6.3.10. The server's reader is stricter; this one is for early warning.

const END = 0x06054b50;
const END64_LOCATOR = 0x07064b50;
const END64 = 0x06064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_COMMENT = 65535;

export class ZipProblem extends Error {
  constructor(code, params = {}) {
    super(code);
    this.code = code;
    this.params = params;
  }
}

async function bytes(file, from, to) {
  return new DataView(await file.slice(from, to).arrayBuffer());
}

const wide = (view, at) => Number(view.getBigUint64(at, true));

function formatName(view) {
  if (view.byteLength < 4) return "unknown";
  const head = [...new Uint8Array(view.buffer, 0, Math.min(6, view.byteLength))];
  const starts = (...wanted) => wanted.every((byte, at) => head[at] === byte);
  if (starts(0x37, 0x7a, 0xbc, 0xaf)) return "7z";
  if (starts(0x52, 0x61, 0x72, 0x21)) return "RAR";
  if (starts(0x1f, 0x8b)) return "gzip (tar.gz)";
  if (starts(0x42, 0x5a, 0x68)) return "bzip2";
  if (starts(0xfd, 0x37, 0x7a, 0x58)) return "xz";
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return "zstd";
  if (starts(0x89, 0x50, 0x4e, 0x47)) return "PNG";
  if (starts(0x93, 0x4e, 0x55, 0x4d)) return "NumPy";
  if (starts(0x25, 0x50, 0x44, 0x46)) return "PDF";
  if (starts(0x49, 0x49, 0x2a, 0) || starts(0x4d, 0x4d, 0, 0x2a)) return "TIFF";
  return "unknown";
}

/** Entries of a zip in directory order: {name, size, packed, method, offset, encrypted, folder}.
 *  Throws ZipProblem with a code of the catalogue. */
export async function readDirectory(file, { maxEntries }) {
  if (file.size === 0) throw new ZipProblem("archive-empty-file");
  const head = await bytes(file, 0, 16);
  const tailFrom = Math.max(0, file.size - MAX_COMMENT - 22);
  const tail = await bytes(file, tailFrom, file.size);
  let at = tail.byteLength - 22;
  while (at >= 0 && !(tail.getUint32(at, true) === END
    && at + 22 + tail.getUint16(at + 20, true) === tail.byteLength)) at -= 1;
  if (at < 0) {
    const zip = head.byteLength >= 4 && head.getUint32(0, true) === LOCAL;
    throw zip ? new ZipProblem("archive-truncated")
      : new ZipProblem("archive-not-zip", { format: formatName(head) });
  }
  let count = tail.getUint16(at + 10, true);
  let size = tail.getUint32(at + 12, true);
  let offset = tail.getUint32(at + 16, true);
  const locatorAt = tailFrom + at - 20;
  if (locatorAt >= 0) {
    const locator = await bytes(file, locatorAt, locatorAt + 20);
    if (locator.getUint32(0, true) === END64_LOCATOR) {
      const end = await bytes(file, wide(locator, 8), wide(locator, 8) + 56);
      if (end.byteLength < 56 || end.getUint32(0, true) !== END64) throw new ZipProblem("archive-truncated");
      count = wide(end, 32);
      size = wide(end, 40);
      offset = wide(end, 48);
    }
  }
  if (count > maxEntries) {
    throw new ZipProblem("archive-too-many-entries", { count, limit: maxEntries });
  }
  if (count === 0) throw new ZipProblem("archive-no-entries");
  if (offset + size > file.size) throw new ZipProblem("archive-truncated");
  return entries(await bytes(file, offset, offset + size), count);
}

function entries(view, count) {
  const utf8 = new TextDecoder();
  const found = [];
  let at = 0;
  for (let i = 0; i < count; i += 1) {
    if (at + 46 > view.byteLength || view.getUint32(at, true) !== CENTRAL) {
      throw new ZipProblem("archive-truncated");
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const name = utf8.decode(new Uint8Array(view.buffer, at + 46, nameLength));
    const flags = view.getUint16(at + 8, true);
    const entry = {
      name,
      method: view.getUint16(at + 10, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
      encrypted: (flags & 0x2041) !== 0,
      folder: name.endsWith("/"),
    };
    let extra = at + 46 + nameLength;
    const extraEnd = extra + extraLength;
    while (extra + 4 <= extraEnd) {
      const [key, length] = [view.getUint16(extra, true), view.getUint16(extra + 2, true)];
      if (key === 1) {
        let value = extra + 4;
        for (const part of ["size", "packed", "offset"]) {
          if (entry[part] === 0xffffffff && value + 8 <= extra + 4 + length) {
            entry[part] = wide(view, value);
            value += 8;
          }
        }
      }
      extra += 4 + length;
    }
    found.push(entry);
    at = extraEnd + view.getUint16(at + 32, true);
  }
  return found;
}

/** The bytes of one entry, inflated; null where the browser cannot. */
export async function readEntry(file, entry) {
  const head = await bytes(file, entry.offset, entry.offset + 30);
  if (head.byteLength < 30 || head.getUint32(0, true) !== LOCAL) return null;
  const from = entry.offset + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const packed = file.slice(from, from + entry.packed);
  if (entry.method === 0) return new Uint8Array(await packed.arrayBuffer());
  if (entry.method !== 8) return null;
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
