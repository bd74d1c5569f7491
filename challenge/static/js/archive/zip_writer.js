// Writing a zip of chosen files. The zip is a Blob of references to them, and of the deflated bytes
// of those that get smaller by it, so that memory holds one file at a time.
import { Crc32 } from "./checksums.js";

const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_ENTRY = 0x02014b50;
const END = 0x06054b50;
const VERSION = 20;
const MADE_BY_UNIX = 3 << 8;
const REGULAR_FILE = 0o100644 << 16;
const UTF8_FLAG = 1 << 11;
const STORED = 0;
const DEFLATED = 8;
// 1980-01-01, the earliest of the format: the same files always make the same zip
const DATE = (1 << 5) | 1;
/** Beyond these a zip needs the fields of zip64; a phase takes neither so much nor so many. */
const MAX_MEMBERS = 0xffff - 1;
const MAX_BYTES = 0xffffffff - 1;
/** Less is gained by what is compressed already: its bytes stay where they are. */
const WORTH_DEFLATING = 0.9;
const LATER_BYTES = 16 * 2 ** 20;

/** A zip that these files cannot become; `code` names one of the page's sentences. */
export class ZipWriteError extends Error {
  /**
   * @param {"zipTooMany" | "zipTooLarge" | "zipUnreadable"} code
   * @param {string} [file] the path of the file that is the reason
   */
  constructor(code, file = "") {
    super(`${code} ${file}`);
    this.code = code;
    this.file = file;
  }
}

/**
 * Zip files in the order of their paths.
 * @param {ChosenFile[]} files
 * @param {{onFile?: (done: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<Blob>}
 * @throws {ZipWriteError} where a file cannot be read, or they are more than a zip holds
 * @throws {DOMException} `AbortError`, where the signal asks to stop
 */
export async function zipFiles(files, { onFile = () => {}, signal } = {}) {
  if (files.length > MAX_MEMBERS) throw new ZipWriteError("zipTooMany");
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : Number(a.path > b.path)));
  const body = new Parts();
  const directory = new Parts();
  for (const [index, { path, file }] of sorted.entries()) {
    signal?.throwIfAborted();
    const member = await readMember(path, file);
    const name = new TextEncoder().encode(path);
    directory.add(makeDirectoryEntry(member, name, body.size), name);
    body.add(makeLocalHeader(member, name), name, member.data);
    if (body.size + directory.size > MAX_BYTES) throw new ZipWriteError("zipTooLarge", path);
    onFile(index + 1);
  }
  const end = makeEnd(sorted.length, directory.size, body.size);
  return new Blob([body.toBlob(), directory.toBlob(), end], { type: "application/zip" });
}

/** Parts of a Blob: those in memory are handed to the browser, which may put them on the disk. */
class Parts {
  size = 0;
  /** @type {BlobPart[]} */
  #parts = [];
  /** @type {Blob[]} */
  #blobs = [];
  #waiting = 0;

  /** @param {...(Blob | Uint8Array<ArrayBuffer>)} parts */
  add(...parts) {
    for (const part of parts) {
      const bytes = part instanceof Blob ? part.size : part.byteLength;
      this.#parts.push(part);
      this.size += bytes;
      this.#waiting += bytes;
    }
    if (this.#waiting > LATER_BYTES) this.#blobs.push(this.#takeParts());
  }

  toBlob() {
    return new Blob([...this.#blobs, this.#takeParts()]);
  }

  #takeParts() {
    const blob = new Blob(this.#parts);
    this.#parts = [];
    this.#waiting = 0;
    return blob;
  }
}

/**
 * @typedef {{method: number, crc: number, size: number, data: Blob | Uint8Array<ArrayBuffer>}} Member
 *   `size` in bytes before compression
 */

/**
 * @param {string} path
 * @param {Blob} file
 * @returns {Promise<Member>}
 */
async function readMember(path, file) {
  const crc = new Crc32();
  const counted = new TransformStream({
    transform(/** @type {Uint8Array} */ chunk, controller) {
      crc.add(chunk);
      controller.enqueue(chunk);
    },
  });
  let deflated;
  try {
    const compression = new CompressionStream("deflate-raw");
    const stream = file.stream().pipeThrough(counted).pipeThrough(compression);
    deflated = new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (error) {
    console.warn(error);
    throw new ZipWriteError("zipUnreadable", path);
  }
  const [method, data] = deflated.byteLength < WORTH_DEFLATING * file.size
    ? [DEFLATED, deflated] : [STORED, file];
  return { method, crc: crc.value, size: file.size, data };
}

/** @param {Member["data"]} data */
const bytesOf = (data) => (data instanceof Blob ? data.size : data.byteLength);

/**
 * What both headers of a member say of it: from the flags to the name's length.
 * @param {Member} member
 * @param {Uint8Array} name
 * @returns {[number, 2 | 4][]}
 */
function describeMember({ method, crc, size, data }, name) {
  return [
    [UTF8_FLAG, 2], [method, 2], [0, 2], [DATE, 2], [crc, 4], [bytesOf(data), 4], [size, 4],
    [name.length, 2],
  ];
}

/**
 * @param {Member} member
 * @param {Uint8Array} name
 */
function makeLocalHeader(member, name) {
  return packFields([[LOCAL_HEADER, 4], [VERSION, 2], ...describeMember(member, name), [0, 2]]);
}

/**
 * @param {Member} member
 * @param {Uint8Array} name
 * @param {number} offset of the local header, in bytes from the zip's beginning
 */
function makeDirectoryEntry(member, name, offset) {
  return packFields([
    [DIRECTORY_ENTRY, 4], [MADE_BY_UNIX | VERSION, 2], [VERSION, 2], ...describeMember(member, name),
    [0, 2], [0, 2], [0, 2], [0, 2], [REGULAR_FILE, 4], [offset, 4],
  ]);
}

/**
 * @param {number} members
 * @param {number} directoryBytes
 * @param {number} directoryOffset
 */
function makeEnd(members, directoryBytes, directoryOffset) {
  return packFields([
    [END, 4], [0, 2], [0, 2], [members, 2], [members, 2], [directoryBytes, 4], [directoryOffset, 4],
    [0, 2],
  ]);
}

/**
 * Little-endian numbers of two or four bytes.
 * @param {[number, 2 | 4][]} fields
 */
function packFields(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [, length]) => sum + length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, length] of fields) {
    if (length === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value >>> 0, true);
    at += length;
  }
  return bytes;
}
