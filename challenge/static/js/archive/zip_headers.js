// The members' own headers against the directory: they must say the same, and lie side by side from
// the file's first byte to the directory. Of many members some are looked at, the server looks at all.
import { ArchiveProblem } from "./problem.js";
import { readUint64, readView } from "./zip_end.js";
import { readExtraFields, UNICODE_NAME, ZIP64 } from "./zip_extra.js";

const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const DESCRIPTOR = 0x08074b50;
const DESCRIPTOR_FLAG = 0x0008;
const DESCRIPTOR_BYTES = [12, 16, 20, 24];
const IN_ZIP64_FIELD = 0xffffffff;
const CHECKED = 256;
const AT_ONCE = 32;

/**
 * Check the headers of members in the order of their data; what is wrong with one is added to the
 * directory's problems, and it is no longer sound.
 * @param {ByteSource} file
 * @param {ZipDirectory} directory
 * @throws {ArchiveProblem} where members overlap, or bytes before or behind them belong to none
 */
export async function checkHeaders(file, { members, problems, offset }) {
  const every = Math.max(1, Math.ceil(members.length / CHECKED));
  const heads = await readHeads(file, members.filter((_, number) => number % every === 0));
  let [at, isExact] = [0, true];
  for (const [number, member] of members.entries()) {
    const after = members[number + 1]?.offset ?? offset;
    if (member.offset < at || after > offset) throw overlap(member);
    if (isExact && member.offset > at) {
      const count = member.offset - at;
      if (number === 0) throw new ArchiveProblem("archive-prefix-bytes", { count });
      problems.push({ code: "archive-hidden-bytes", file: member.name, params: { count } });
    }
    const head = heads.get(member);
    isExact = head !== undefined;
    if (!head) {
      at = member.offset + LOCAL_BYTES + member.raw.length + member.packed;
      continue;
    }
    at = await checkHeader(file, member, head, after, problems);
  }
  const last = members.at(-1);
  if (isExact && last && at < offset) {
    throw new ArchiveProblem("archive-hidden-bytes", { count: offset - at }, last.name);
  }
}

/** @param {ZipMember} member */
const overlap = (member) => new ArchiveProblem("archive-overlap", {}, member.name);

/**
 * @param {ByteSource} file
 * @param {ZipMember[]} members
 */
async function readHeads(file, members) {
  /** @type {Map<ZipMember, DataView<ArrayBuffer>>} */
  const heads = new Map();
  for (let from = 0; from < members.length; from += AT_ONCE) {
    await Promise.all(members.slice(from, from + AT_ONCE).map(async (member) => {
      heads.set(member, await readHead(file, member));
    }));
  }
  return heads;
}

/**
 * A member's header with its extra field.
 * @param {ByteSource} file
 * @param {ZipMember} member
 */
async function readHead(file, member) {
  const short = LOCAL_BYTES + member.raw.length + 64;
  const head = await readView(file, member.offset, member.offset + short);
  if (head.byteLength < LOCAL_BYTES || head.getUint32(0, true) !== LOCAL) return head;
  const bytes = LOCAL_BYTES + head.getUint16(26, true) + head.getUint16(28, true);
  return bytes > short ? readView(file, member.offset, member.offset + bytes) : head;
}

/**
 * Check one member; returns where its data end.
 * @param {ByteSource} file
 * @param {ZipMember} member
 * @param {DataView<ArrayBuffer>} head
 * @param {number} after where the next member begins
 * @param {Problem[]} problems
 */
async function checkHeader(file, member, head, after, problems) {
  const { dataAt, difference } = compareHeader(member, head);
  let [end, what] = [dataAt + member.packed, difference];
  if (!what && end > after) throw overlap(member);
  if (!what && member.flags & DESCRIPTOR_FLAG) {
    const isSound = await checkDescriptor(file, member, end, after);
    if (isSound) end = after;
    else what = "data descriptor";
  }
  member.dataAt = dataAt;
  if (!what) return end;
  problems.push({ code: "member-header-mismatch", file: member.name, params: { what } });
  member.sound = false;
  return after;
}

/**
 * Where a member's data begin, and what its header says otherwise than the directory (or null).
 * @param {ZipMember} member
 * @param {DataView<ArrayBuffer>} head
 * @returns {{dataAt: number, difference: string | null}}
 */
function compareHeader(member, head) {
  if (head.byteLength < LOCAL_BYTES || head.getUint32(0, true) !== LOCAL) {
    return { dataAt: member.offset, difference: "no local header" };
  }
  const [nameBytes, extraBytes] = [head.getUint16(26, true), head.getUint16(28, true)];
  const extraAt = LOCAL_BYTES + nameBytes;
  const dataAt = member.offset + extraAt + extraBytes;
  const bytes = new Uint8Array(head.buffer);
  const isSameName = nameBytes === member.raw.length
    && member.raw.every((byte, at) => bytes[LOCAL_BYTES + at] === byte);
  if (!isSameName) return { dataAt, difference: "name" };
  if (head.getUint16(6, true) !== member.flags || head.getUint16(8, true) !== member.method) {
    return { dataAt, difference: "flags or method" };
  }
  let [packed, size] = [head.getUint32(18, true), head.getUint32(22, true)];
  if (extraBytes) {
    const fields = readExtraFields(bytes.subarray(extraAt, extraAt + extraBytes));
    if (!fields) return { dataAt, difference: "extra field" };
    if (!isSameUnicodeName(fields.get(UNICODE_NAME), member.name)) return { dataAt, difference: "name" };
    if ([packed, size].includes(IN_ZIP64_FIELD)) {
      // a local zip64 field has both sizes always (APPNOTE 4.5.3)
      const field = fields.get(ZIP64);
      if (!field || field.length < 16) return { dataAt, difference: "extra field" };
      const view = new DataView(field.buffer, field.byteOffset, field.byteLength);
      [size, packed] = [readUint64(view, 0), readUint64(view, 8)];
    }
  }
  const found = [head.getUint32(14, true), packed, size];
  const wanted = [member.crc, member.packed, member.size];
  const mayBeZero = (member.flags & DESCRIPTOR_FLAG) !== 0;
  const isSame = found.every((value, at) => value === wanted[at] || (mayBeZero && value === 0));
  return { dataAt, difference: isSame ? null : "size or checksum" };
}

/**
 * Some readers take the name from the header's Unicode field: it may only be the directory's.
 * @param {Uint8Array | undefined} field
 * @param {string} name
 */
function isSameUnicodeName(field, name) {
  const shown = field?.subarray(5);
  if (!shown?.length) return true;
  const wanted = new TextEncoder().encode(name);
  return shown.length === wanted.length && shown.every((byte, at) => byte === wanted[at]);
}

/**
 * Whether a data descriptor in one of its four forms lies between a member's data and the next one.
 * @param {ByteSource} file
 * @param {ZipMember} member
 * @param {number} at
 * @param {number} after
 */
async function checkDescriptor(file, member, at, after) {
  if (!DESCRIPTOR_BYTES.includes(after - at)) return false;
  const view = await readView(file, at, after);
  if (view.byteLength !== after - at) return false;
  const [isSigned, isWide] = [(after - at) % 8 === 0, after - at >= 20];
  if (isSigned && view.getUint32(0, true) !== DESCRIPTOR) return false;
  const from = isSigned ? 4 : 0;
  const [packed, size] = isWide
    ? [readUint64(view, from + 4), readUint64(view, from + 12)]
    : [view.getUint32(from + 4, true), view.getUint32(from + 8, true)];
  return view.getUint32(from, true) === member.crc && packed === member.packed && size === member.size;
}

/**
 * Where a member's data begin.
 * @param {ByteSource} file
 * @param {ZipMember} member
 * @throws {ArchiveProblem} where its header says otherwise than the directory
 */
export async function findDataStart(file, member) {
  const { dataAt, difference } = compareHeader(member, await readHead(file, member));
  if (difference) throw new ArchiveProblem("member-header-mismatch", { what: difference });
  member.dataAt = dataAt;
  return dataAt;
}
