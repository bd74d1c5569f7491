// The tags of a TIFF's image directories, read as strictly as the server does it.
// Source: TIFF 6.0, section 2; BigTIFF (libtiff's design, 2007).
import { nameFormat } from "./formats.js";
import { ArchiveProblem } from "./problem.js";

const MAX_DIRECTORIES = 32;
const MAX_TAGS = 256;
const MAX_VALUES = 4096; // of a tag that is not a list of blocks
const CLASSIC = 42;
const BIG = 43;

export const TAG = {
  newSubfileType: 254, subfileType: 255, width: 256, height: 257, bits: 258, compression: 259,
  photometric: 262, fillOrder: 266, stripOffsets: 273, orientation: 274, samples: 277,
  rowsPerStrip: 278, stripBytes: 279, planar: 284, predictor: 317, tileWidth: 322, tileHeight: 323,
  tileOffsets: 324, tileBytes: 325, extraSamples: 338, sampleFormat: 339,
};
const USED_TAGS = new Set(Object.values(TAG));
const KIND_TAGS = new Set([TAG.newSubfileType, TAG.subfileType]);
const BLOCK_LISTS = new Set([TAG.stripOffsets, TAG.stripBytes, TAG.tileOffsets, TAG.tileBytes]);
/** Bytes of a value by the number of its type: unsigned integers only.
 * @type {Record<number, 1 | 2 | 4 | 8>}
 */
const TYPE_BYTES = { 1: 1, 3: 2, 4: 4, 16: 8 };

/** @typedef {Map<number, number[]>} Tags */

/** @param {string} what the way in which the TIFF breaks the standard */
export const bad = (what) => new ArchiveProblem("raster-structure", { what });

/** @param {string} what the way in which the TIFF ends before what it announces */
export const cut = (what) => new ArchiveProblem("raster-truncated", { what });

/** How numbers are stored: the byte order, and the sizes of classic TIFF or BigTIFF. */
class TiffReader {
  /**
   * @param {Uint8Array} bytes
   * @param {boolean} little
   * @param {boolean} big
   */
  constructor(bytes, little, big) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.little = little;
    this.big = big;
    this.countBytes = big ? 8 : 2;
    this.entryBytes = big ? 20 : 12;
    this.offsetBytes = big ? 8 : 4;
  }

  /**
   * @param {number} at
   * @param {number} bytes
   */
  read(at, bytes) {
    const { view, little } = this;
    if (bytes === 1) return view.getUint8(at);
    if (bytes === 2) return view.getUint16(at, little);
    return bytes === 4 ? view.getUint32(at, little) : Number(view.getBigUint64(at, little));
  }

  readFirstOffset() {
    if (this.view.byteLength < (this.big ? 16 : 8)) throw cut("the header is incomplete");
    if (!this.big) return this.read(4, 4);
    if (this.read(4, 2) !== 8 || this.read(6, 2) !== 0) throw bad("the BigTIFF header is wrong");
    return this.read(8, 8);
  }

  /**
   * The used tags of a directory and the offset of the next one. Without `maxBlocks`, only tags of
   * the kind.
   * @param {number} offset
   * @param {number} maxBlocks
   * @returns {{tags: Tags, next: number}}
   */
  readDirectory(offset, maxBlocks) {
    const beyond = () => cut("a directory lies beyond the end");
    const entriesAt = offset + this.countBytes;
    if (entriesAt > this.view.byteLength) throw beyond();
    const count = this.read(offset, this.countBytes);
    if (count > MAX_TAGS) throw bad("too many tags");
    const end = entriesAt + count * this.entryBytes;
    if (end + this.offsetBytes > this.view.byteLength) throw beyond();
    const wanted = maxBlocks ? USED_TAGS : KIND_TAGS;
    /** @type {Tags} */
    const tags = new Map();
    for (let at = entriesAt; at < end; at += this.entryBytes) {
      const tag = this.read(at, 2);
      if (!wanted.has(tag)) continue;
      if (tags.has(tag)) throw bad("a tag is given twice");
      tags.set(tag, this.readTag(tag, at, maxBlocks));
    }
    return { tags, next: this.read(end, this.offsetBytes) };
  }

  /**
   * The values of one tag: in the directory where they fit, else where it says.
   * @param {number} tag
   * @param {number} at
   * @param {number} maxBlocks
   */
  readTag(tag, at, maxBlocks) {
    const valueBytes = TYPE_BYTES[this.read(at + 2, 2)];
    const count = this.read(at + 4, this.offsetBytes);
    if (!valueBytes || count === 0) throw bad("a tag has a wrong type or count");
    // too many to be right, whatever they say; the size is checked first
    if (BLOCK_LISTS.has(tag) && count > maxBlocks) return [];
    if (count > MAX_VALUES && !BLOCK_LISTS.has(tag)) throw bad("a tag has a wrong type or count");
    const inlineAt = at + 4 + this.offsetBytes;
    const isInline = valueBytes * count <= this.offsetBytes;
    const from = isInline ? inlineAt : this.read(inlineAt, this.offsetBytes);
    if (from + valueBytes * count > this.view.byteLength) throw cut("a tag's values lie beyond the end");
    return Array.from({ length: count }, (_, index) => this.read(from + index * valueBytes, valueBytes));
  }
}

/**
 * Not an overview or a transparency mask, by the new and the old tag for it.
 * @param {Tags} tags
 */
function isFullImage(tags) {
  const [kind, oldKind] = [tags.get(TAG.newSubfileType)?.[0] ?? 0, tags.get(TAG.subfileType)?.[0] ?? 1];
  return !(kind & 0b101) && oldKind !== 2;
}

/**
 * The used tags of the only full-resolution image; overviews and masks are ignored. A list of more
 * than `maxBlocks` strips or tiles is given as empty.
 * @param {Uint8Array} bytes the whole file
 * @param {number} maxBlocks
 * @param {CheckData["reader"]} reader
 * @returns {Tags}
 * @throws {ArchiveProblem}
 */
export function readTags(bytes, maxBlocks, reader) {
  const [first, second] = [bytes[0], bytes[1]];
  const little = first === 0x49;
  const version = bytes.length < 4 ? 0 : bytes[little ? 2 : 3] + 256 * bytes[little ? 3 : 2];
  const isTiff = first === second && (little || first === 0x4d) && [CLASSIC, BIG].includes(version);
  if (!isTiff) {
    const format = bytes.length ? nameFormat(bytes.subarray(0, 512), reader.formats) : "empty";
    throw new ArchiveProblem("raster-not-tiff", { format });
  }
  const tiff = new TiffReader(bytes, little, version === BIG);
  const mainOffset = tiff.readFirstOffset();
  if (mainOffset === 0) throw bad("no image directory");
  const main = tiff.readDirectory(mainOffset, maxBlocks);
  if (!isFullImage(main.tags)) throw bad("no image directory");
  const seen = new Set([mainOffset]);
  let [images, offset] = [1, main.next];
  while (offset) {
    if (seen.has(offset)) throw bad("directories form a cycle");
    if (seen.size >= MAX_DIRECTORIES) throw bad("too many directories");
    seen.add(offset);
    const { tags, next } = tiff.readDirectory(offset, 0);
    images += Number(isFullImage(tags));
    offset = next;
  }
  if (images !== 1) throw new ArchiveProblem("raster-pages", { count: images });
  return main.tags;
}

/**
 * The one value of a tag.
 * @param {Tags} tags
 * @param {number} tag
 * @param {number} [otherwise] where the tag is not there
 * @throws {ArchiveProblem} where it is missing without another, or a list
 */
export function singleValue(tags, tag, otherwise) {
  const values = tags.get(tag);
  if (!values) {
    if (otherwise === undefined) throw bad("a required tag is missing");
    return otherwise;
  }
  if (values.length !== 1) {
    // more bits or formats than one is what several bands look like
    if (tag === TAG.bits || tag === TAG.sampleFormat) {
      throw new ArchiveProblem("raster-bands", { count: values.length });
    }
    throw bad("a tag has a wrong type or count");
  }
  return values[0];
}
