// Small zips, stored without compression, with a fault where a test wants one.
import { crc32 } from "../../challenge/static/js/archive/checksums.js";

/** A few of the names that the page gets from the server. */
export const READER = {
  formats: [[0, "7z\xbc\xaf", "7z"], [0, "GIF8", "GIF"]],
  methods: { 12: "bzip2" },
  codecs: { 7: "JPEG" },
  photometrics: { 2: "RGB" },
  sample_formats: { 1: "uint", 2: "int", 3: "float" },
};

/** @param {DataView} view
 * @param {number} from
 * @param {[number, 2 | 4][]} fields
 */
function writeFields(view, from, fields) {
  let at = from;
  for (const [value, bytes] of fields) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
}

/**
 * @param {{name: string, data?: Uint8Array, size?: number, method?: number, flags?: number,
 *   mode?: number}[]} members
 * @returns {Blob}
 */
export function makeZip(members) {
  const [locals, centrals] = [[], []];
  let offset = 0;
  for (const member of members) {
    const { name, data = new Uint8Array(), method = 0, flags = 0, mode = 0o100644 } = member;
    const nameBytes = new TextEncoder().encode(name);
    const common = [[flags, 2], [method, 2], [0, 4], [crc32(data), 4], [data.length, 4],
      [member.size ?? data.length, 4], [nameBytes.length, 2]];
    const local = new Uint8Array(30);
    writeFields(new DataView(local.buffer), 0, [[0x04034b50, 4], [20, 2], ...common, [0, 2]]);
    const central = new Uint8Array(46);
    writeFields(new DataView(central.buffer), 0, [
      [0x02014b50, 4], [3 << 8, 2], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 2],
      [(mode << 16) >>> 0, 4], [offset, 4],
    ]);
    locals.push(local, nameBytes, data);
    centrals.push(central, nameBytes);
    offset += local.length + nameBytes.length + data.length;
  }
  const directoryBytes = centrals.reduce((sum, { length }) => sum + length, 0);
  const end = new Uint8Array(22);
  writeFields(new DataView(end.buffer), 0, [
    [0x06054b50, 4], [0, 2], [0, 2], [members.length, 2], [members.length, 2],
    [directoryBytes, 4], [offset, 4], [0, 2],
  ]);
  return new Blob([...locals, ...centrals, end]);
}

/**
 * A TIFF of one strip: little endian, 8 bits, one band.
 * @param {Uint8Array} packed
 * @param {{height: number, width: number, compression?: number, tags?: [number, number][]}} form
 */
export function makeTiff(packed, { height, width, compression = 1, tags = [] }) {
  const all = new Map([
    [256, width], [257, height], [258, 8], [259, compression], [273, 0], [277, 1], [278, height],
    [279, packed.length], ...tags,
  ]);
  const directoryBytes = 2 + 12 * all.size + 4;
  all.set(273, 8 + directoryBytes);
  const file = new Uint8Array(8 + directoryBytes + packed.length);
  const view = new DataView(file.buffer);
  writeFields(view, 0, [[0x4949, 2], [42, 2], [8, 4], [all.size, 2]]);
  [...all].sort(([a], [b]) => a - b).forEach(([tag, value], at) => {
    writeFields(view, 10 + 12 * at, [[tag, 2], [4, 2], [1, 4], [value, 4]]);
  });
  file.set(packed, 8 + directoryBytes);
  return file;
}
