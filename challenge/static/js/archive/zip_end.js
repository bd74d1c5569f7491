// The end of a zip archive: how many entries, where its directory is. Read before all else, as
// strictly as the server does. Source: PKWARE APPNOTE 6.3.10, sections 4.3.14 to 4.3.16.
import { nameFormat } from "./formats.js";
import { ArchiveProblem } from "./problem.js";

const END = 0x06054b50;
const END64_LOCATOR = 0x07064b50;
const END64 = 0x06064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const SPLIT_MARKS = [0x08074b50, 0x30304b50];
const END_BYTES = 22;
const END64_BYTES = 56;
const END64_LOCATOR_BYTES = 20;
const HEAD_BYTES = 512;
const MAX_COMMENT_BYTES = 65535;
const MAX_PADDING_BYTES = 64 * 2 ** 20;
const BLOCK_BYTES = 2 ** 20;
const IN_ZIP64_RECORD = { short: 0xffff, long: 0xffffffff };

/**
 * @param {ByteSource} file
 * @param {number} from
 * @param {number} to
 */
export async function readView(file, from, to) {
  return new DataView(await file.slice(from, to).arrayBuffer());
}

/**
 * @param {DataView} view
 * @param {number} at
 */
export const readUint64 = (view, at) => Number(view.getBigUint64(at, true));

/** @param {string} what */
export const damaged = (what) => new ArchiveProblem("archive-damaged", { what });

/**
 * The four bytes at a place as a number; 0 where the view is too short.
 * @param {DataView} view
 * @param {number} at
 */
const markAt = (view, at) => (at >= 0 && at + 4 <= view.byteLength ? view.getUint32(at, true) : 0);

/**
 * Where the comment of an end record ends, by its own length field.
 * @param {DataView} tail
 * @param {number} at
 */
const endOf = (tail, at) => at + END_BYTES + tail.getUint16(at + 20, true);

/**
 * Places of an end record's mark.
 * @param {DataView} view
 */
function findEndMarks(view) {
  const found = [];
  for (let at = 0; at + 4 <= view.byteLength; at += 1) {
    if (view.getUint8(at) === 0x50 && view.getUint32(at, true) === END) found.push(at);
  }
  return found;
}

/**
 * Where the archive ends that zeros alone follow, up to the file's end; null if there is none.
 * @param {ByteSource} file
 */
async function findEndBeforeZeros(file) {
  let contentEnd = file.size;
  while (contentEnd > Math.max(0, file.size - MAX_PADDING_BYTES)) {
    const from = Math.max(0, contentEnd - BLOCK_BYTES);
    const block = new Uint8Array(await file.slice(from, contentEnd).arrayBuffer());
    const last = block.findLastIndex((byte) => byte !== 0);
    contentEnd = from + last + 1;
    if (last >= 0) break;
  }
  // the end record's own last bytes may be zeros, too
  const from = Math.max(0, contentEnd - END_BYTES - MAX_COMMENT_BYTES);
  const tail = await readView(file, from, Math.min(file.size, contentEnd + END_BYTES));
  const at = findEndMarks(tail).at(-1);
  if (at === undefined || at + END_BYTES > tail.byteLength) return null;
  const end = from + endOf(tail, at);
  return contentEnd <= end && end < file.size ? end : null;
}

/**
 * What is wrong with a file that ends in no end record.
 * @param {ByteSource} file
 * @param {DataView<ArrayBuffer>} head
 * @param {DataView} tail
 * @param {number[]} complete the end records before its end
 * @param {CheckData["reader"]} reader
 */
async function findWhyWithoutEnd(file, head, tail, complete, reader) {
  if (![LOCAL, END, END64].includes(markAt(head, 0))) {
    const format = nameFormat(new Uint8Array(head.buffer), reader.formats);
    return new ArchiveProblem("archive-not-zip", { format });
  }
  const paddedEnd = await findEndBeforeZeros(file);
  if (paddedEnd !== null) {
    const params = { count: file.size - paddedEnd, size_bytes: paddedEnd };
    return new ArchiveProblem("archive-zero-padding", params);
  }
  const last = complete.at(-1);
  if (last !== undefined && endOf(tail, last) < tail.byteLength) {
    const count = tail.byteLength - endOf(tail, last);
    return new ArchiveProblem("archive-suffix-bytes", { count });
  }
  return new ArchiveProblem("archive-truncated");
}

/**
 * The fields of an end record, in the order of both its forms.
 * @typedef {{disk: number, directoryDisk: number, here: number, count: number, sizeBytes: number,
 *   offset: number}} EndRecord
 */

/**
 * The end record with zip64 values where there are any, and where the directory must end.
 * @param {ByteSource} file
 * @param {number} endAt
 * @param {EndRecord} record
 * @returns {Promise<{record: EndRecord, directoryEnd: number}>}
 */
async function readZip64(file, endAt, record) {
  const locatorAt = endAt - END64_LOCATOR_BYTES;
  const locator = locatorAt >= 0 ? await readView(file, locatorAt, endAt) : new DataView(new ArrayBuffer(0));
  const { short, long } = IN_ZIP64_RECORD;
  const misplaced = () => damaged("the zip64 end record is missing or misplaced");
  if (markAt(locator, 0) !== END64_LOCATOR) {
    const { disk, directoryDisk, here, count, sizeBytes, offset } = record;
    const isElsewhere = [disk, directoryDisk, here, count].includes(short)
      || [sizeBytes, offset].includes(long);
    if (isElsewhere) throw misplaced();
    return { record, directoryEnd: endAt };
  }
  if (locator.getUint32(4, true) || locator.getUint32(16, true) > 1) {
    throw new ArchiveProblem("archive-multi-disk");
  }
  const at = readUint64(locator, 8);
  const recordBytes = locatorAt - at;
  if (recordBytes < END64_BYTES) throw misplaced();
  const view = await readView(file, at, at + END64_BYTES);
  if (view.byteLength < END64_BYTES || markAt(view, 0) !== END64) throw misplaced();
  if (readUint64(view, 4) + 12 !== recordBytes) throw misplaced();
  const wide = {
    disk: view.getUint32(16, true),
    directoryDisk: view.getUint32(20, true),
    here: readUint64(view, 24),
    count: readUint64(view, 32),
    sizeBytes: readUint64(view, 40),
    offset: readUint64(view, 48),
  };
  for (const name of /** @type {(keyof EndRecord)[]} */ (Object.keys(wide))) {
    const sentinel = name === "sizeBytes" || name === "offset" ? long : short;
    if (record[name] !== wide[name] && record[name] !== sentinel) {
      throw damaged("the end record and its zip64 form differ");
    }
  }
  return { record: wide, directoryEnd: at };
}

/**
 * The directory must end where the end records begin.
 * @param {ByteSource} file
 * @param {DataView} head
 * @param {EndRecord} record
 * @param {number} directoryEnd
 */
async function checkDirectoryEnd(file, head, { offset, sizeBytes }, directoryEnd) {
  const gap = directoryEnd - (offset + sizeBytes);
  const startsAsZip = head.byteLength >= 2 && head.getUint16(0, true) === 0x4b50;
  const shifted = directoryEnd - sizeBytes;
  if (gap > 0 && !startsAsZip && sizeBytes >= 4 && shifted >= 0) {
    if (markAt(await readView(file, shifted, shifted + 4), 0) === CENTRAL) {
      throw new ArchiveProblem("archive-prefix-bytes", { count: gap });
    }
  }
  if (gap) throw damaged("the directory is not where the end record says");
}

/**
 * How many entries an archive has and where its directory lies.
 * @param {ByteSource} file
 * @param {CheckData["reader"]} reader
 * @returns {Promise<{count: number, sizeBytes: number, offset: number}>}
 * @throws {ArchiveProblem} where it is no zip or its end is missing, ambiguous or split
 */
export async function locateDirectory(file, reader) {
  const head = await readView(file, 0, HEAD_BYTES);
  if (SPLIT_MARKS.includes(markAt(head, 0))) throw new ArchiveProblem("archive-multi-disk");
  const tailFrom = Math.max(0, file.size - MAX_COMMENT_BYTES - END_BYTES);
  const tail = await readView(file, tailFrom, file.size);
  const marks = findEndMarks(tail);
  const complete = marks.filter((at) => at + END_BYTES <= tail.byteLength);
  const ends = complete.filter((at) => endOf(tail, at) === tail.byteLength);
  if (!ends.length) throw await findWhyWithoutEnd(file, head, tail, complete, reader);
  const [end] = ends;
  if (ends.length > 1 || marks.at(-1) !== end) throw damaged("two end records are possible");
  const { record, directoryEnd } = await readZip64(file, tailFrom + end, {
    disk: tail.getUint16(end + 4, true),
    directoryDisk: tail.getUint16(end + 6, true),
    here: tail.getUint16(end + 8, true),
    count: tail.getUint16(end + 10, true),
    sizeBytes: tail.getUint32(end + 12, true),
    offset: tail.getUint32(end + 16, true),
  });
  if (record.disk || record.directoryDisk || record.here !== record.count) {
    throw new ArchiveProblem("archive-multi-disk");
  }
  await checkDirectoryEnd(file, head, record, directoryEnd);
  return record;
}
