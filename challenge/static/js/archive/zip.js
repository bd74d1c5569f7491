// A zip's central directory, read by ranges: seconds for four gigabytes, without an upload. As strict
// as the server's reader. Source: PKWARE APPNOTE 6.3.10.
import { crc32 } from "./checksums.js";
import { inflate, NotDeflate } from "./inflate.js";
import { ArchiveProblem } from "./problem.js";
import { damaged, locateDirectory, readUint64, readView } from "./zip_end.js";
import { findDataStart } from "./zip_headers.js";
import { readExtraFields, UNICODE_NAME, ZIP64 } from "./zip_extra.js";
import { readName } from "./zip_names.js";

const CENTRAL = 0x02014b50;
const CENTRAL_BYTES = 46;
const DIRECTORY_BYTES_PER_ENTRY = 512;
const DIRECTORY_BYTES_MORE = 65536;
const STORED = 0;
const DEFLATED = 8;
const AES_ENCRYPTED = 99;
const MAX_DEFLATE_RATIO = 1032;
// general purpose bits 0 (encrypted), 6 (strong encryption), 13 (masked directory)
const ENCRYPTED_FLAGS = 0x2041;
// those, 1 and 2 (how deflate was told to work), 3 (data descriptor), 11 (UTF-8)
const KNOWN_FLAGS = ENCRYPTED_FLAGS | 0x080e;
// systems of origin whose upper attribute bits are a Unix mode
const UNIX_SYSTEMS = [3, 19];
const UNIX_TYPE_MASK = 0o170000;
const UNIX_LINK = 0o120000;
const UNIX_FILE = 0o100000;
const UNIX_FOLDER = 0o040000;
const DOS_FOLDER = 0x10;

/**
 * The members of a zip in the order in which their data lie, and what is wrong with single ones.
 * @param {ByteSource} file
 * @param {{maxEntries: number, data: CheckData}} limits
 * @returns {Promise<ZipDirectory>}
 * @throws {ArchiveProblem} where the archive as a whole cannot be read
 */
export async function readDirectory(file, { maxEntries, data }) {
  if (file.size === 0) throw new ArchiveProblem("archive-empty-file");
  const { count, sizeBytes, offset } = await locateDirectory(file, data.reader);
  if (count > maxEntries) {
    throw new ArchiveProblem("archive-too-many-entries", { count, limit: maxEntries });
  }
  const limit = count * DIRECTORY_BYTES_PER_ENTRY + DIRECTORY_BYTES_MORE;
  if (sizeBytes > limit) {
    const params = { size_bytes: sizeBytes, count, limit_bytes: limit };
    throw new ArchiveProblem("archive-directory-too-large", params);
  }
  if (count === 0) {
    if (offset || sizeBytes) throw damaged("the directory is not where the end record says");
    throw new ArchiveProblem("archive-no-entries");
  }
  const view = await readView(file, offset, offset + sizeBytes);
  if (view.byteLength !== sizeBytes) throw new ArchiveProblem("archive-truncated");
  /** @type {Problem[]} */
  const problems = [];
  const members = parseDirectory(view, count, data, problems);
  // without all of their places, none can be checked
  if (members.length < count) return { members: [], problems, offset };
  return { members: members.sort((a, b) => a.offset - b.offset), problems, offset };
}

/**
 * @param {DataView<ArrayBuffer>} view
 * @param {number} count
 * @param {CheckData} data
 * @param {Problem[]} problems gets those of single entries
 * @returns {ZipMember[]}
 */
function parseDirectory(view, count, data, problems) {
  const members = [];
  let at = 0;
  for (let number = 0; number < count; number += 1) {
    if (at + CENTRAL_BYTES > view.byteLength || view.getUint32(at, true) !== CENTRAL) {
      throw damaged("the directory is cut off");
    }
    const end = at + CENTRAL_BYTES + view.getUint16(at + 28, true) + view.getUint16(at + 30, true)
      + view.getUint16(at + 32, true);
    if (end > view.byteLength) throw damaged("the directory is cut off");
    const member = parseMember(view, at, data, problems);
    if (member) members.push(member);
    at = end;
  }
  if (at !== view.byteLength) throw damaged("the directory has bytes left over");
  return members;
}

/**
 * One record of the central directory; null where its extra field cannot be read.
 * @param {DataView<ArrayBuffer>} view
 * @param {number} at
 * @param {CheckData} data
 * @param {Problem[]} problems
 * @returns {ZipMember | null}
 */
function parseMember(view, at, data, problems) {
  const extraAt = at + CENTRAL_BYTES + view.getUint16(at + 28, true);
  const raw = new Uint8Array(view.buffer, at + CENTRAL_BYTES, extraAt - at - CENTRAL_BYTES);
  const flags = view.getUint16(at + 8, true);
  const extra = new Uint8Array(view.buffer, extraAt, view.getUint16(at + 30, true));
  const fields = readExtraFields(extra);
  const wide = fields && readZip64Sizes(fields.get(ZIP64), {
    size: view.getUint32(at + 24, true),
    packed: view.getUint32(at + 20, true),
    offset: view.getUint32(at + 42, true),
    disk: view.getUint16(at + 34, true),
  });
  if (!wide) {
    const file = readName(raw, flags, undefined).name;
    problems.push({ code: "member-header-mismatch", file, params: { what: "extra field" } });
    return null;
  }
  const { disk, ...sizes } = wide;
  if (disk) throw new ArchiveProblem("archive-multi-disk");
  const { name, what } = readName(raw, flags, fields.get(UNICODE_NAME));
  const [system, attributes] = [view.getUint8(at + 5), view.getUint32(at + 38, true)];
  // 0xa: the upper bits of a symbolic link, whatever system the archive says it comes from
  const hasUnixMode = UNIX_SYSTEMS.includes(system) || attributes >>> 28 === 0xa;
  const type = hasUnixMode ? (attributes >>> 16) & UNIX_TYPE_MASK : 0;
  const endsAsFolder = raw.at(-1) === 0x2f;
  const member = {
    name, raw, flags, ...sizes,
    method: view.getUint16(at + 10, true),
    crc: view.getUint32(at + 16, true),
    folder: endsAsFolder || type === UNIX_FOLDER,
    sound: true,
    dataAt: null,
  };
  const isFolder = member.folder || (attributes & DOS_FOLDER) !== 0;
  const fault = what
    ? { code: "member-name-unsafe", params: { what, example: data.example } }
    : findFault(member, type, isFolder, data.reader);
  if (fault) {
    problems.push({ ...fault, file: name });
    member.sound = false;
  }
  return member;
}

/**
 * The sizes with those that did not fit taken from the zip64 field; null where it is too short.
 * @param {Uint8Array | undefined} field
 * @param {{size: number, packed: number, offset: number, disk: number}} sizes
 */
function readZip64Sizes(field, sizes) {
  const values = { ...sizes };
  const view = field && new DataView(field.buffer, field.byteOffset, field.byteLength);
  let at = 0;
  for (const part of /** @type {const} */ (["size", "packed", "offset", "disk"])) {
    const isDisk = part === "disk";
    if (values[part] !== (isDisk ? 0xffff : 0xffffffff)) continue;
    const bytes = isDisk ? 4 : 8;
    if (!view || at + bytes > view.byteLength) return null;
    values[part] = isDisk ? view.getUint32(at, true) : readUint64(view, at);
    at += bytes;
  }
  return values;
}

/**
 * What forbids to read a member, judged by the directory alone, in the order in which the server
 * asks; null where nothing does.
 * @param {{flags: number, method: number, size: number, packed: number}} member
 * @param {number} type of its Unix mode
 * @param {boolean} isFolder
 * @param {CheckData["reader"]} reader
 * @returns {Problem | null}
 */
function findFault({ flags, method, size, packed }, type, isFolder, reader) {
  if (flags & ENCRYPTED_FLAGS || method === AES_ENCRYPTED) {
    return { code: "member-encrypted", params: {} };
  }
  if (method !== STORED && method !== DEFLATED) {
    return { code: "member-method", params: { method: reader.methods[method] ?? `method ${method}` } };
  }
  if (flags & ~KNOWN_FLAGS) {
    const shown = `flags 0x${flags.toString(16).padStart(4, "0")}`;
    return { code: "member-method", params: { method: shown } };
  }
  if (type === UNIX_LINK) return { code: "member-not-regular", params: { kind: "a symbolic link" } };
  if (![0, UNIX_FILE, UNIX_FOLDER].includes(type)) {
    return { code: "member-not-regular", params: { kind: "a device, socket or pipe" } };
  }
  if (size && isFolder) {
    return { code: "member-not-regular", params: { kind: "a folder with content" } };
  }
  const isPossible = packed * MAX_DEFLATE_RATIO >= size && packed <= size * 1.1 + 4096
    && (method === DEFLATED || size === packed);
  return isPossible
    ? null
    : { code: "member-size-impossible", params: { compressed_bytes: packed, size_bytes: size } };
}

/**
 * The bytes of one member, inflated.
 * @param {ByteSource} file
 * @param {ZipMember} member
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 * @throws {ArchiveProblem} where they are damaged
 */
export async function readMember(file, member) {
  const from = member.dataAt ?? await findDataStart(file, member);
  const packed = new Uint8Array(await file.slice(from, from + member.packed).arrayBuffer());
  const bytes = member.method === STORED ? packed : inflateMember(packed, member.size);
  if (crc32(bytes) !== member.crc) throw new ArchiveProblem("member-crc");
  return bytes;
}

/**
 * @param {Uint8Array} packed
 * @param {number} size in bytes, as announced
 */
function inflateMember(packed, size) {
  /** @param {string} what */
  const damage = (what) => new ArchiveProblem("member-damaged", { what });
  let inflated;
  try {
    inflated = inflate(packed, size + 1);
  } catch (error) {
    if (error instanceof NotDeflate) throw damage("not valid deflate data");
    throw error;
  }
  const { bytes, ended, usedBytes } = inflated;
  if (bytes.length > size) throw damage("more bytes than announced");
  if (bytes.length < size || !ended) throw damage("fewer bytes than announced");
  if (usedBytes < packed.length) throw damage("not valid deflate data");
  return bytes;
}
