// Sealing a zip of masks for the labels worker, in segments: docs/sealed-labels.md has the bytes,
// scoring/engine/truth/sealed.py writes the same ones.
const MAGIC = "FLAIRSL1";
export const SEGMENT_BYTES = 2 ** 20;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const PREFIX_BYTES = 7;
const HEAD_BYTES = 92;
const RECIPIENT_BYTES = 80;
const KIND_MASKS = 1;
const CURVE = { name: "ECDH", namedCurve: "P-256" };
const ENCODER = new TextEncoder();

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** The random values of one sealed file; given only by tests, never used twice.
 * @typedef {{ephemeral: CryptoKeyPair, contentKey: Bytes, prefix: Bytes}} Secrets
 */

/** @param {string} text base64 @returns {Bytes} */
export const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** @param {...Bytes} parts @returns {Bytes} */
function concatenate(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @param {Bytes} data */
const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));

/** @returns {Promise<Secrets>} */
async function freshSecrets() {
  return {
    ephemeral: await crypto.subtle.generateKey(CURVE, false, ["deriveBits"]),
    contentKey: crypto.getRandomValues(new Uint8Array(KEY_BYTES)),
    prefix: crypto.getRandomValues(new Uint8Array(PREFIX_BYTES)),
  };
}

/**
 * SHA-256 of a public key's 65 bytes, in hexadecimal: what people compare.
 * @param {Bytes} publicKey
 */
export async function fingerprint(publicKey) {
  return Array.from(await sha256(publicKey), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The content key wrapped for one recipient.
 * @param {Bytes} recipient its public key
 * @param {Bytes} ephemeral the public half of the file's own key
 * @param {Bytes} fixed the head before the recipients
 * @param {Secrets} secrets
 */
async function wrap(recipient, ephemeral, fixed, secrets) {
  const publicKey = await crypto.subtle.importKey("raw", recipient, CURVE, false, []);
  const shared = await crypto.subtle.deriveBits(
    { name: "ECDH", public: publicKey }, secrets.ephemeral.privateKey, 256);
  const material = await crypto.subtle.importKey("raw", shared, "HKDF", false, ["deriveKey"]);
  const info = concatenate(ENCODER.encode("FLAIRSL1 content key\0"), ephemeral, recipient);
  const wrapping = await crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info },
    material, { name: "AES-GCM", length: 256 }, false, ["encrypt"]);
  // Each wrapping key is used once, so that its nonce may be constant.
  const wrapped = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv: new Uint8Array(12), additionalData: fixed },
    wrapping, secrets.contentKey);
  return concatenate(await sha256(recipient), new Uint8Array(wrapped));
}

/**
 * A file as it will be sealed: any range of its bytes can be asked for, again and again, and only
 * the segments that the range touches are read and encrypted. A file that changes meanwhile cannot
 * be read any more, by the browser's own rule, so that no nonce meets two contents.
 */
export class SealedFile {
  /**
   * @param {Blob} file
   * @param {Bytes} header
   * @param {CryptoKey} key
   * @param {Bytes} prefix
   * @param {Bytes} digest of the header
   */
  constructor(file, header, key, prefix, digest) {
    this.file = file;
    this.header = header;
    this.key = key;
    this.prefix = prefix;
    this.digest = digest;
    this.segments = Math.ceil(file.size / SEGMENT_BYTES);
    this.size = header.length + file.size + this.segments * TAG_BYTES;
  }

  /**
   * @param {number} number from 0
   * @returns {Promise<Bytes>}
   */
  async segment(number) {
    const from = number * SEGMENT_BYTES;
    const plain = await this.file.slice(from, from + SEGMENT_BYTES).arrayBuffer();
    const iv = new Uint8Array(12);
    iv.set(this.prefix);
    const view = new DataView(iv.buffer);
    view.setUint32(PREFIX_BYTES, number);
    view.setUint8(11, number === this.segments - 1 ? 1 : 0);
    const options = { name: "AES-GCM", iv, additionalData: this.digest };
    return new Uint8Array(await crypto.subtle.encrypt(options, this.key, plain));
  }

  /**
   * The sealed bytes of a range.
   * @param {number} from
   * @param {number} to
   */
  async read(from, to) {
    const end = Math.min(to, this.size);
    /** @type {Bytes[]} */
    const parts = from < this.header.length ? [this.header.subarray(from, end)] : [];
    const whole = SEGMENT_BYTES + TAG_BYTES;
    const first = Math.max(0, Math.floor((from - this.header.length) / whole));
    for (let number = first; number < this.segments; number += 1) {
      const start = this.header.length + number * whole;
      if (start >= end) break;
      const bytes = await this.segment(number);
      parts.push(bytes.subarray(Math.max(0, from - start), Math.max(0, end - start)));
    }
    return concatenate(...parts);
  }
}

/**
 * Prepare a file to be sealed.
 * @param {Blob} file
 * @param {{challenge: string, phase: string, uploader: string, recipients: Bytes[]}} purpose the
 *   public keys of the labels worker and, if there is one, of the owner's own recovery key
 * @param {Secrets} [given] by tests alone
 */
export async function sealFile(file, { challenge, phase, uploader, recipients }, given) {
  const secrets = given ?? (await freshSecrets());
  const context = ENCODER.encode([challenge, phase, uploader].join("\n"));
  const ephemeral = new Uint8Array(
    await crypto.subtle.exportKey("raw", secrets.ephemeral.publicKey));
  const fixed = new Uint8Array(HEAD_BYTES + context.length);
  const view = new DataView(fixed.buffer);
  fixed.set(ENCODER.encode(MAGIC));
  view.setUint8(8, KIND_MASKS);
  view.setUint8(9, recipients.length);
  view.setUint16(10, context.length);
  view.setBigUint64(12, BigInt(file.size));
  fixed.set(secrets.prefix, 20);
  fixed.set(ephemeral, 27);
  fixed.set(context, HEAD_BYTES);
  const wrapped = await Promise.all(
    recipients.map((recipient) => wrap(recipient, ephemeral, fixed, secrets)));
  const header = concatenate(fixed, ...wrapped);
  if (header.length !== fixed.length + RECIPIENT_BYTES * recipients.length) {
    throw new Error("a wrapped key has another length than expected");
  }
  const key = await crypto.subtle.importKey("raw", secrets.contentKey, "AES-GCM", false,
    ["encrypt"]);
  return new SealedFile(file, header, key, secrets.prefix, await sha256(header));
}

/**
 * Whether a file is sealed already, offline; it is then sent as it is.
 * @param {Blob} file
 */
export async function isSealed(file) {
  const start = new Uint8Array(await file.slice(0, MAGIC.length).arrayBuffer());
  return new TextDecoder().decode(start) === MAGIC;
}

/**
 * Whether a file begins as a zip does.
 * @param {Blob} file
 */
export async function isZip(file) {
  const [p, k] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return p === 0x50 && k === 0x4b;
}
