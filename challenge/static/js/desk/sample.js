// What a sample archive of predictions tells of a task: size of patches, names, ids. As the server
// reads it (challenge/services/challenges/samples.py), without sending the archive there.
import { ArchiveProblem } from "../archive/problem.js";
import { readTags, singleValue, TAG } from "../archive/tiff_directory.js";
import { readDirectory, readMember } from "../archive/zip.js";

const MAX_FILES = 100_000;
const MAX_RASTER_BYTES = 64_000_000;
const MAX_BLOCKS = 2 ** 20;
const TIFF = /\.tiff?$/i;
const ANY_ID = "[A-Za-z0-9][A-Za-z0-9_.-]{0,127}";

/**
 * @typedef {{heightPx: number, widthPx: number, pattern: string, predictionName: string,
 *   ids: string[]}} Sample
 */

/**
 * What all texts begin with.
 * @param {string[]} texts
 */
function commonStart(texts) {
  const [first, last] = [texts.reduce((a, b) => (b < a ? b : a)), texts.reduce((a, b) => (b > a ? b : a))];
  let length = 0;
  while (length < Math.min(first.length, last.length) && first[length] === last[length]) length += 1;
  return first.slice(0, length);
}

/** @param {string} text */
const reverse = (text) => [...text].reverse().join("");

/**
 * What stands before the ids in file names, what stands after, and a pattern (of Python). Ids begin
 * after an underscore, so that one is not cut into.
 * @param {string[]} stems names without their suffixes, at least one
 */
export function inferPattern(stems) {
  let [head] = /^(?:[A-Za-z]+_)*/.exec(commonStart(stems)) ?? [""];
  const backwards = reverse(commonStart(stems.map((stem) => reverse(stem.slice(head.length)))));
  let [tail] = /(?:_[A-Za-z]+)*$/.exec(backwards) ?? [""];
  let ids = stems.map((stem) => stem.slice(head.length, stem.length - tail.length));
  if (ids.some((id) => !id)) [head, tail, ids] = ["", "", stems];
  const sameLength = ids.every(({ length }) => length === ids[0].length);
  const digits = sameLength && ids.every((id) => /^[0-9]+$/.test(id));
  const found = digits ? `[0-9]{${ids[0].length}}` : ANY_ID;
  return { head, tail, ids, pattern: `${head}(?P<id>${found})${tail}` };
}

/**
 * Read a sample archive: its directory, and the tags of its first TIFF. No pixel is decoded.
 * @param {ByteSource} file
 * @param {CheckData} data of which the names of formats are used
 * @returns {Promise<Sample>}
 * @throws {ArchiveProblem} with the code that a submission would have
 */
export async function readSample(file, data) {
  const { members, problems } = await readDirectory(file, { maxEntries: MAX_FILES, data });
  if (problems.length) {
    const [{ code, params, file: name }] = problems;
    throw new ArchiveProblem(code, params, name);
  }
  const rasters = members.filter(({ name, folder }) => !folder && TIFF.test(name));
  if (!rasters.length) throw new ArchiveProblem("archive-no-entries");
  const tags = await readFirst(file, rasters[0], data);
  const names = rasters.map(({ name }) => name.slice(name.lastIndexOf("/") + 1));
  const suffix = names[0].slice(names[0].lastIndexOf("."));
  const { head, tail, ids, pattern } = inferPattern(names.map((name) => name.replace(TIFF, "")));
  return {
    heightPx: singleValue(tags, TAG.height),
    widthPx: singleValue(tags, TAG.width),
    pattern,
    predictionName: `${head}{id}${tail}${suffix}`,
    ids: [...new Set(ids)].sort(),
  };
}

/**
 * @param {ByteSource} file
 * @param {ZipMember} member
 * @param {CheckData} data
 */
async function readFirst(file, member, data) {
  if (Math.max(member.size, member.packed) > MAX_RASTER_BYTES) {
    const params = { size_bytes: member.size, limit_bytes: MAX_RASTER_BYTES };
    throw new ArchiveProblem("member-too-large", params, member.name);
  }
  try {
    return readTags(await readMember(file, member), MAX_BLOCKS, data.reader);
  } catch (error) {
    if (error instanceof ArchiveProblem) throw new ArchiveProblem(error.code, error.params, member.name);
    throw error;
  }
}

/**
 * The list of patches as a challenge's folder has it, without domains and zones.
 * @param {string[]} ids
 */
export const idsCsv = (ids) => `domain,zone,patch\n${ids.map((id) => `,,${id}\n`).join("")}`;
