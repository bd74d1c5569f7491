// Deflate, undone as strictly as the server does it: where the stream ends, and what follows it,
// is told, which DecompressionStream does not. Source: RFC 1950, RFC 1951.
import { adler32 } from "./checksums.js";

const MAX_BITS = 15;
const END_OF_BLOCK = 256;
const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99,
  115, 131, 163, 195, 227, 258];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5,
  5, 0];
const DISTANCES = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025,
  1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577];
const DISTANCE_BITS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11,
  12, 12, 13, 13];
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** The data are no deflate data. */
export class NotDeflate extends Error {}

/** The data end before the stream does. */
class EndOfInput extends Error {}

/** The output has as many bytes as are wanted. */
class EndOfOutput extends Error {}

/**
 * A Huffman code: how many codes each length has, and the symbols in the order of their codes.
 * @typedef {{counts: Uint16Array, symbols: Uint16Array}} Code
 */

/**
 * @param {ArrayLike<number>} lengths of each symbol's code in bits, 0 for none
 * @returns {Code}
 */
function makeCode(lengths) {
  const counts = new Uint16Array(MAX_BITS + 1);
  for (let symbol = 0; symbol < lengths.length; symbol += 1) counts[lengths[symbol]] += 1;
  const used = lengths.length - counts[0];
  counts[0] = 0;
  let left = 1;
  for (let bits = 1; bits <= MAX_BITS; bits += 1) {
    left = left * 2 - counts[bits];
    if (left < 0) throw new NotDeflate();
  }
  // a single code may be incomplete, no other
  if (left > 0 && !(used <= 1 && counts[1] === used)) throw new NotDeflate();
  const next = new Uint16Array(MAX_BITS + 2);
  for (let bits = 1; bits <= MAX_BITS; bits += 1) next[bits + 1] = next[bits] + counts[bits];
  const symbols = new Uint16Array(used);
  for (let symbol = 0; symbol < lengths.length; symbol += 1) {
    if (lengths[symbol]) {
      symbols[next[lengths[symbol]]] = symbol;
      next[lengths[symbol]] += 1;
    }
  }
  return { counts, symbols };
}

const FIXED_LITERALS = makeCode(Uint8Array.from({ length: 288 }, (_, symbol) => {
  if (symbol < 144) return 8;
  if (symbol < 256) return 9;
  return symbol < 280 ? 7 : 8;
}));
const FIXED_DISTANCES = makeCode(new Uint8Array(32).fill(5));

class Inflater {
  /**
   * @param {Uint8Array} packed
   * @param {number} limit bytes to write at most
   */
  constructor(packed, limit) {
    this.packed = packed;
    this.out = new Uint8Array(limit);
    this.at = 0;
    this.to = 0;
    this.held = 0;
    this.heldBits = 0;
  }

  /** @param {number} count at most 16 */
  readBits(count) {
    while (this.heldBits < count) {
      if (this.at >= this.packed.length) throw new EndOfInput();
      this.held |= this.packed[this.at] << this.heldBits;
      this.at += 1;
      this.heldBits += 8;
    }
    const value = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.heldBits -= count;
    return value;
  }

  /** @param {Code} code */
  readSymbol({ counts, symbols }) {
    let [value, first, index] = [0, 0, 0];
    for (let bits = 1; bits <= MAX_BITS; bits += 1) {
      value |= this.readBits(1);
      const count = counts[bits];
      if (value - count < first) return symbols[index + (value - first)];
      index += count;
      first = (first + count) << 1;
      value <<= 1;
    }
    throw new NotDeflate();
  }

  run() {
    let isLast = false;
    while (!isLast) {
      isLast = this.readBits(1) === 1;
      const kind = this.readBits(2);
      if (kind === 0) this.copyStored();
      else if (kind === 1) this.copyCoded(FIXED_LITERALS, FIXED_DISTANCES);
      else if (kind === 2) this.copyCoded(...this.readCodes());
      else throw new NotDeflate();
    }
  }

  copyStored() {
    this.held = 0;
    this.heldBits = 0;
    const [length, complement] = [this.readBits(16), this.readBits(16)];
    if (length !== (~complement & 0xffff)) throw new NotDeflate();
    const data = this.packed.subarray(this.at, this.at + length);
    const fitting = data.subarray(0, this.out.length - this.to);
    this.out.set(fitting, this.to);
    this.to += fitting.length;
    this.at += data.length;
    if (fitting.length < data.length) throw new EndOfOutput();
    if (data.length < length) throw new EndOfInput();
  }

  /** @returns {[Code, Code]} */
  readCodes() {
    const [literals, distances, read] = [this.readBits(5) + 257, this.readBits(5) + 1, this.readBits(4) + 4];
    if (literals > 286 || distances > 30) throw new NotDeflate();
    const codeLengths = new Uint8Array(CODE_LENGTH_ORDER.length);
    for (const symbol of CODE_LENGTH_ORDER.slice(0, read)) codeLengths[symbol] = this.readBits(3);
    const code = makeCode(codeLengths);
    const lengths = new Uint8Array(literals + distances);
    let at = 0;
    while (at < lengths.length) {
      const symbol = this.readSymbol(code);
      if (symbol < 16) {
        lengths[at] = symbol;
        at += 1;
        continue;
      }
      if (symbol === 16 && at === 0) throw new NotDeflate();
      const value = symbol === 16 ? lengths[at - 1] : 0;
      let repeated = 0;
      if (symbol === 16) repeated = 3 + this.readBits(2);
      else repeated = symbol === 17 ? 3 + this.readBits(3) : 11 + this.readBits(7);
      if (at + repeated > lengths.length) throw new NotDeflate();
      lengths.fill(value, at, at + repeated);
      at += repeated;
    }
    if (lengths[END_OF_BLOCK] === 0) throw new NotDeflate();
    return [makeCode(lengths.subarray(0, literals)), makeCode(lengths.subarray(literals))];
  }

  /**
   * @param {Code} literals
   * @param {Code} distances
   */
  copyCoded(literals, distances) {
    const { out } = this;
    for (;;) {
      const symbol = this.readSymbol(literals);
      if (symbol === END_OF_BLOCK) return;
      if (symbol < END_OF_BLOCK) {
        if (this.to >= out.length) throw new EndOfOutput();
        out[this.to] = symbol;
        this.to += 1;
        continue;
      }
      const kind = symbol - END_OF_BLOCK - 1;
      if (kind >= LENGTHS.length) throw new NotDeflate();
      const length = LENGTHS[kind] + this.readBits(LENGTH_BITS[kind]);
      const far = this.readSymbol(distances);
      if (far >= DISTANCES.length) throw new NotDeflate();
      const distance = DISTANCES[far] + this.readBits(DISTANCE_BITS[far]);
      if (distance > this.to) throw new NotDeflate();
      for (let copied = 0; copied < length; copied += 1) {
        if (this.to >= out.length) throw new EndOfOutput();
        out[this.to] = out[this.to - distance];
        this.to += 1;
      }
    }
  }
}

/**
 * Inflate raw deflate data until their stream ends or `limit` bytes are written.
 * @param {Uint8Array} packed
 * @param {number} limit
 * @returns {{bytes: Uint8Array<ArrayBuffer>, ended: boolean, usedBytes: number}}
 * @throws {NotDeflate}
 */
export function inflate(packed, limit) {
  const inflater = new Inflater(packed, limit);
  let ended = true;
  try {
    inflater.run();
  } catch (error) {
    if (!(error instanceof EndOfInput || error instanceof EndOfOutput)) throw error;
    ended = false;
  }
  const unread = Math.floor(inflater.heldBits / 8);
  return { bytes: inflater.out.subarray(0, inflater.to), ended, usedBytes: inflater.at - unread };
}

/**
 * Inflate a zlib stream of at most `limit` bytes; what follows it does not matter.
 * @param {Uint8Array} packed
 * @param {number} limit
 * @returns {Uint8Array}
 * @throws {NotDeflate} where it is none, is longer or cut off, or its checksum is wrong
 */
export function inflateZlib(packed, limit) {
  const [method, flags] = packed;
  const hasDictionary = (flags & 0x20) !== 0;
  if (packed.length < 2 || (method & 15) !== 8 || (method * 256 + flags) % 31 || hasDictionary) {
    throw new NotDeflate();
  }
  const { bytes, ended, usedBytes } = inflate(packed.subarray(2), limit);
  const checksumAt = 2 + usedBytes;
  if (!ended || checksumAt + 4 > packed.length) throw new NotDeflate();
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (view.getUint32(checksumAt) !== adler32(bytes)) throw new NotDeflate();
  return bytes;
}
