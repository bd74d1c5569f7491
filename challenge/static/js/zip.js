// A zip's central directory read from a File by slices: seconds for four gigabytes, no upload.
// Source: PKWARE APPNOTE 6.3.10. The server's reader is stricter; this one is for early warning.

const END = 0x06054b50;
const END64_LOCATOR = 0x07064b50;
const END64 = 0x06064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_COMMENT = 65535;
const MAX_NAME = 1024;
const METHODS = { 1: "shrink", 6: "implode", 9: "deflate64", 10: "DCL implode", 12: "bzip2", 14: "LZMA", 20: "zstd", 93: "zstd", 94: "MP3", 95: "xz", 96: "JPEG", 97: "WavPack", 98: "PPMd" };

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

/** Where the end record stands in the file's last bytes. */
function endRecord(tail, head) {
  const magic = head.byteLength >= 4 ? head.getUint32(0, true) : 0;
  if ([0x08074b50, 0x30304b50].includes(magic)) throw new ZipProblem("archive-multi-disk");
  const complete = [];
  for (let at = tail.byteLength - 22; at >= 0; at -= 1) {
    if (tail.getUint32(at, true) === END) complete.unshift(at);
  }
  const closes = (at) => at + 22 + tail.getUint16(at + 20, true);
  const ends = complete.filter((at) => closes(at) === tail.byteLength);
  if (ends.length === 0) {
    if (![LOCAL, END, END64].includes(magic)) {
      throw new ZipProblem("archive-not-zip", { format: formatName(head) });
    }
    const count = complete.length ? tail.byteLength - closes(complete.at(-1)) : 0;
    throw count > 0 ? new ZipProblem("archive-suffix-bytes", { count })
      : new ZipProblem("archive-truncated");
  }
  if (ends.length > 1 || complete.at(-1) !== ends[0]) {
    throw new ZipProblem("archive-damaged", { what: "two end records are possible" });
  }
  return ends[0];
}

/** Entries of a zip in directory order: {name, size, packed, method, offset, folder, fault}, where
 *  fault is {code, params} or null. Throws ZipProblem with a code of the catalogue. */
export async function readDirectory(file, { maxEntries }) {
  if (file.size === 0) throw new ZipProblem("archive-empty-file");
  const head = await bytes(file, 0, 16);
  const tailFrom = Math.max(0, file.size - MAX_COMMENT - 22);
  const tail = await bytes(file, tailFrom, file.size);
  const at = endRecord(tail, head);
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
  const found = entries(await bytes(file, offset, offset + size), count);
  const first = found.reduce((least, entry) => Math.min(least, entry.offset), Infinity);
  if (first > 0) throw new ZipProblem("archive-prefix-bytes", { count: first });
  return found;
}

function unsafeName(name, length) {
  if (!length) return "is empty";
  if (length > MAX_NAME) return "is too long";
  if (/[\x00-\x1f\x7f]/.test(name) && name.split("/").pop() !== "Icon\r") return "holds a NUL or control character";
  if (name.includes("\\")) return "holds a backslash";
  if (name.startsWith("/")) return "is absolute";
  if (/^[A-Za-z]:/.test(name)) return "holds a drive letter";
  return name.split("/").includes("..") ? "leaves the archive with '..'" : null;
}

/** What is wrong with one entry: {code, params} or null, in the server's order. */
function faultOf(entry, { nameLength, flags, mode, dosFolder }) {
  const what = unsafeName(entry.name, nameLength);
  if (what) return { code: "member-name-unsafe", params: { what } };
  if (flags & 0x2041 || entry.method === 99) return { code: "member-encrypted", params: {} };
  if (entry.method !== 0 && entry.method !== 8) {
    return { code: "member-method", params: { method: METHODS[entry.method] ?? `method ${entry.method}` } };
  }
  const kind = mode & 0o170000;
  if (kind === 0o120000) return { code: "member-not-regular", params: { kind: "a symbolic link" } };
  if (![0, 0o100000, 0o040000].includes(kind)) {
    return { code: "member-not-regular", params: { kind: "a device, socket or pipe" } };
  }
  if (entry.size && (entry.folder || kind === 0o040000 || dosFolder)) {
    return { code: "member-not-regular", params: { kind: "a folder with content" } };
  }
  return null;
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
      folder: name.endsWith("/"),
    };
    const [system, attributes] = [view.getUint8(at + 5), view.getUint32(at + 38, true)];
    const mode = [3, 19].includes(system) || attributes >>> 28 === 0xa ? attributes >>> 16 : 0;
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
    entry.fault = faultOf(entry, { nameLength, flags, mode, dosFolder: (attributes & 0x10) !== 0 });
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
