// What can be said of an archive before it is sent: the server's codes, found in the browser.
import { matchNames } from "./names.js";
import { ArchiveProblem, makeSafeProblem } from "./problem.js";
import { readRaster } from "./tiff.js";
import { readLayout } from "./tiff_layout.js";
import { countValues, describeValues, findInvalidValues, lookLikeMasks } from "./values.js";
import { checkHeaders } from "./zip_headers.js";
import { readDirectory, readMember } from "./zip.js";

const SAMPLE = 24;
const DRAWN = 12;
const LISTED = 20;
const MAX_ENTRIES_WITHOUT_IDS = 100_000;
// up to here a raster that is too large is looked into for its type
const OVERSIZED_BYTES = 32 * 2 ** 20;
const EXPLAINS_SIZE = ["raster-type", "raster-bands", "raster-size", "raster-transposed"];

/**
 * Some of many, spread evenly.
 * @template Each
 * @param {Each[]} all
 * @param {number} count at most so many
 */
export function spread(all, count) {
  const every = Math.max(1, Math.floor(all.length / count));
  return all.filter((_, at) => at % every === 0).slice(0, count);
}

/**
 * The members of an archive: as many as a phase expects, and some that systems add.
 * @param {ByteSource} file
 * @param {CheckData} data
 */
export function readMembers(file, data) {
  const expected = data.ids.length;
  const maxEntries = expected ? 4 * expected + 100 : MAX_ENTRIES_WITHOUT_IDS;
  return readDirectory(file, { maxEntries, data });
}

/**
 * One prediction; its pixels are null where the browser cannot decode them.
 * @param {ByteSource} file
 * @param {ZipMember} member
 * @param {CheckData} data
 * @throws {ArchiveProblem} with a code of the catalogue
 */
export async function readPrediction(file, member, data) {
  return readRaster(await readMember(file, member), data);
}

/**
 * The problem that a function throws; null where it throws none.
 * @param {() => Promise<unknown>} act
 * @returns {Promise<Problem | null>}
 */
async function findProblem(act) {
  try {
    await act();
  } catch (error) {
    if (error instanceof ArchiveProblem) return error.toProblem();
    throw error;
  }
  return null;
}

/**
 * A report of problems: the first are listed, the others counted.
 * @param {Problem[]} problems
 * @param {Partial<CheckReport> & {expected: number}} found
 * @returns {CheckReport}
 */
function makeReport(problems, found) {
  return {
    problems: problems.slice(0, LISTED).map(makeSafeProblem),
    more: Math.max(0, problems.length - LISTED),
    found: 0, samples: [], shares: null, looked: 0, notChecked: null,
    ...found,
    notes: (found.notes ?? []).map(makeSafeProblem),
  };
}

/**
 * What is wrong with an archive's size, or with what it inflates to; null where nothing is. A phase
 * limits the file; the task limits both.
 * @param {number} fileBytes
 * @param {number} inflatedBytes
 * @param {CheckData["limits"]} limits
 * @returns {Problem | null}
 */
function findSizeProblem(fileBytes, inflatedBytes, limits) {
  const fileLimit = Math.min(limits.archive_bytes, limits.inflated_bytes);
  if (fileBytes > fileLimit) {
    return { code: "archive-too-large", params: { size_bytes: fileBytes, limit_bytes: fileLimit } };
  }
  const params = { size_bytes: inflatedBytes, limit_bytes: limits.inflated_bytes };
  return inflatedBytes > limits.inflated_bytes ? { code: "archive-inflates-too-large", params } : null;
}

/**
 * Check an archive: its directory and names whole, its rasters by a sample.
 * @param {ByteSource} file
 * @param {CheckData} data
 * @param {(stage: "reading" | "sampling") => void} [onStage]
 * @returns {Promise<CheckReport>}
 */
export async function checkArchive(file, data, onStage = () => {}) {
  const expected = data.ids.length;
  onStage("reading");
  /** @type {ZipDirectory} */
  let directory = { members: [], problems: [], offset: 0 };
  const refusal = await findProblem(async () => {
    directory = await readMembers(file, data);
    await checkHeaders(file, directory);
  });
  if (refusal) return makeReport([findSizeProblem(file.size, 0, data.limits) ?? refusal], { expected });
  const { members } = directory;
  const inflated = members.reduce((sum, { size }) => sum + size, 0);
  const tooLarge = findSizeProblem(file.size, inflated, data.limits);
  const known = [...(tooLarge ? [tooLarge] : []), ...directory.problems];
  const { problems, notes, matched } = matchNames(members, data, known);
  const explanation = await explainSize(file, [...matched.values()], data, tooLarge !== null);
  if (explanation) problems.unshift(explanation);
  onStage("sampling");
  const readable = tooLarge ? [] : [...matched].filter(
    ([, { sound, size }]) => sound && size <= data.limits.member_bytes);
  const sample = await readSample(file, spread(readable, SAMPLE), data);
  problems.push(...sample.problems);
  notes.push(...findNotes(sample, problems, data));
  const { samples, shares, looked, notChecked } = sample;
  return makeReport(problems, {
    expected, notes, found: matched.size, samples, shares, looked, notChecked,
  });
}

/**
 * What a raster that is too large says of its type or form; null where that does not explain it.
 * @param {ByteSource} file
 * @param {ZipMember[]} members
 * @param {CheckData} data
 * @param {boolean} isArchiveTooLarge one member has to speak for all then
 * @returns {Promise<Problem | null>}
 */
async function explainSize(file, members, data, isArchiveTooLarge) {
  const sound = members.filter((member) => member.sound);
  const member = sound.find(({ size }) => size > data.limits.member_bytes)
    ?? (isArchiveTooLarge ? sound[0] : undefined);
  if (!member || member.size > OVERSIZED_BYTES) return null;
  const problem = await findProblem(async () => readLayout(await readMember(file, member), data));
  return problem && EXPLAINS_SIZE.includes(problem.code) ? { ...problem, file: member.name } : null;
}

/**
 * What a sample of rasters holds.
 * @typedef {object} Sample
 * @property {Problem[]} problems
 * @property {CheckReport["samples"]} samples
 * @property {number[] | null} shares
 * @property {number} looked rasters
 * @property {Problem | null} notChecked
 * @property {number[]} counts of pixels by value
 * @property {string[]} constant ids of predictions that hold one class throughout
 * @property {string[]} hinted ids of predictions with an orientation or inverted grey
 */

/**
 * Read some rasters: what is wrong with them, how often each value occurs, a few to draw.
 * @param {ByteSource} file
 * @param {[string, ZipMember][]} members
 * @param {CheckData} data
 * @returns {Promise<Sample>}
 */
async function readSample(file, members, data) {
  const classes = data.classes.length;
  const counts = Array(256).fill(0);
  /** @type {(Problem | {file: string, invalid: [number, number][]})[]} */
  const findings = [];
  /** @type {Map<string, number>} */
  const unreadable = new Map();
  /** @type {Pick<Sample, "samples" | "constant" | "hinted">} */
  const { samples, constant, hinted } = { samples: [], constant: [], hinted: [] };
  for (const [id, member] of members) {
    const name = member.name;
    const problem = await findProblem(async () => {
      const { pixels, codec, hasDisplayHint } = await readPrediction(file, member, data);
      if (!pixels) {
        unreadable.set(codec, (unreadable.get(codec) ?? 0) + 1);
        return;
      }
      if (hasDisplayHint) hinted.push(id);
      const own = countValues(pixels);
      own.forEach((count, value) => { counts[value] += count; });
      const invalid = findInvalidValues(own, classes);
      if (invalid.length) findings.push({ file: name, invalid });
      else if (own.filter((count) => count > 0).length === 1) constant.push(id);
      if (samples.length < DRAWN) samples.push({ id, pixels });
    });
    if (problem) findings.push({ ...problem, file: name });
  }
  const oneBased = lookLikeMasks(counts, data);
  const problems = findings.map((found) => (
    "code" in found ? found : { ...describeValues(found.invalid, classes - 1, oneBased), file: found.file }));
  const total = counts.reduce((sum, count) => sum + count, 0);
  return {
    problems, samples, constant, hinted, counts,
    shares: total ? counts.map((count) => count / total) : null,
    looked: members.length,
    notChecked: describeUnreadable(unreadable, members.length),
  };
}

/**
 * @param {Map<string, number>} unreadable rasters by codec
 * @param {number} looked
 * @returns {Problem | null}
 */
function describeUnreadable(unreadable, looked) {
  const count = [...unreadable.values()].reduce((sum, each) => sum + each, 0);
  const codec = [...unreadable.keys()].join(", ");
  return count ? { code: "note-not-checked-here", params: { count, looked, codec } } : null;
}

/**
 * What is allowed in the sampled rasters and worth a remark, as the server remarks it.
 * @param {Sample} sample
 * @param {Problem[]} problems
 * @param {CheckData} data
 */
function findNotes({ constant, hinted, counts, shares }, problems, data) {
  /** @type {Problem[]} */
  const notes = [];
  for (const [code, ids] of /** @type {const} */ ([
    ["note-constant-predictions", constant], ["note-stored-values", hinted],
  ])) {
    const [id] = [...ids].sort();
    if (id !== undefined) notes.push({ code, params: { count: ids.length, id } });
  }
  if (shares && !problems.length && lookLikeMasks(counts, data)) {
    notes.push({ code: "note-class-zero-absent" });
  }
  return notes;
}
