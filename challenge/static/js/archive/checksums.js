// The checksums of zip (CRC-32) and zlib (Adler-32).

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, number) => {
  let value = number;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
const ADLER_MODULUS = 65521;

/** The CRC-32 of bytes that come in parts. */
export class Crc32 {
  #crc = 0xffffffff;

  /** @param {Uint8Array} bytes */
  add(bytes) {
    let crc = this.#crc;
    for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
    this.#crc = crc;
  }

  get value() {
    return (this.#crc ^ 0xffffffff) >>> 0;
  }
}

/** @param {Uint8Array} bytes */
export function crc32(bytes) {
  const crc = new Crc32();
  crc.add(bytes);
  return crc.value;
}

/** @param {Uint8Array} bytes */
export function adler32(bytes) {
  let [low, high] = [1, 0];
  for (const byte of bytes) {
    low = (low + byte) % ADLER_MODULUS;
    high = (high + low) % ADLER_MODULUS;
  }
  return ((high << 16) | low) >>> 0;
}
