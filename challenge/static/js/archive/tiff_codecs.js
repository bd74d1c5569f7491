// The compressions of TIFF that a browser can undo. Source: TIFF 6.0 and its supplement.
import { inflateZlib, NotDeflate } from "./inflate.js";

/** @type {Record<number, Codec>} */
export const CODECS = {
  1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits", 50000: "zstd",
};
const CLEAR = 256;
const END = 257;
const FIRST_CODE = 258;
const MAX_CODES = 4096;

/**
 * What the browser cannot decode in these strips or tiles, by its name; null where it can.
 * @param {Codec} codec
 * @param {Uint8Array[]} blocks
 */
export function findUnreadable(codec, blocks) {
  if (codec === "zstd") return "zstd";
  // before TIFF 6.0 the bits of codes stood the other way round; the first code is a clear
  const isOld = codec === "lzw" && blocks.some(([first, second]) => first !== 0x80 || second > 0x7f);
  return isOld ? "old LZW" : null;
}

/**
 * Unpack one strip or tile to `length` bytes; null where it is damaged or holds fewer.
 * @param {Uint8Array} packed
 * @param {Codec} codec
 * @param {number} length
 * @param {number} most bytes of a whole block: a last strip may be padded to it
 * @returns {Uint8Array | null}
 */
export function unpack(packed, codec, length, most) {
  if (codec === "none") return packed.slice(0, length);
  if (codec === "packbits") return unpackPackbits(packed, length);
  if (codec === "lzw") return unpackLzw(packed, length);
  try {
    const bytes = inflateZlib(packed, most);
    return bytes.length < length ? null : bytes.subarray(0, length);
  } catch (error) {
    if (error instanceof NotDeflate) return null;
    throw error;
  }
}

/**
 * @param {Uint8Array} packed
 * @param {number} length
 * @returns {Uint8Array | null} null where the data end before
 */
export function unpackPackbits(packed, length) {
  const out = new Uint8Array(length);
  let [at, to] = [0, 0];
  while (at < packed.length && to < length) {
    const header = (packed[at] << 24) >> 24; // as a signed byte
    at += 1;
    if (header >= 0) {
      const bytes = packed.subarray(at, Math.min(at + header + 1, at + length - to));
      out.set(bytes, to);
      at += header + 1;
      to += bytes.length;
    } else if (header !== -128 && at < packed.length) {
      out.fill(packed[at], to, to + 1 - header);
      at += 1;
      to += 1 - header;
    }
  }
  return to < length ? null : out;
}

/** How many bits a code has when the table holds `codes` of them: one early, as TIFF wants it.
 * @param {number} codes
 */
function codeWidth(codes) {
  if (codes >= 2047) return 12;
  if (codes >= 1023) return 11;
  return codes >= 511 ? 10 : 9;
}

/**
 * A code of the table stands for bytes that were written before: where they start, how many.
 * @param {Uint8Array} packed
 * @param {number} length
 * @returns {Uint8Array | null} null where the data end before or hold an impossible code
 */
export function unpackLzw(packed, length) {
  const out = new Uint8Array(length);
  const [starts, lengths] = [new Int32Array(MAX_CODES), new Int32Array(MAX_CODES)];
  let [bits, held, at, to, width, next, previous] = [0, 0, 0, 0, 9, FIRST_CODE, -1];
  while (to < length) {
    while (bits < width && at < packed.length) {
      held = ((held << 8) | packed[at]) >>> 0;
      at += 1;
      bits += 8;
    }
    if (bits < width) break;
    const code = (held >>> (bits - width)) & ((1 << width) - 1);
    bits -= width;
    held &= (1 << bits) - 1;
    if (code === END) break;
    if (code === CLEAR) {
      [width, next, previous] = [9, FIRST_CODE, -1];
      continue;
    }
    const from = to;
    if (code < CLEAR) {
      out[to] = code;
      to += 1;
    } else if (previous >= 0 && code <= next) {
      // a code that is just being made repeats the one before and its own first byte
      const [start, size] = code < next
        ? [starts[code], lengths[code]]
        : [previous, from - previous + 1];
      for (let offset = 0; offset < size && to < length; offset += 1) {
        out[to] = out[start + offset];
        to += 1;
      }
    } else break;
    if (previous >= 0 && next < MAX_CODES) {
      starts[next] = previous;
      lengths[next] = from - previous + 1;
      next += 1;
    }
    previous = from;
    width = codeWidth(next);
  }
  return to < length ? null : out;
}
