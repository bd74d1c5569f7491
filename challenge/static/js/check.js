// What can be said of an archive before it is sent: the server's codes, the server's words.
import { readDirectory, readEntry, ZipProblem } from "./zip.js";
import { readRaster, TiffProblem } from "./tiff.js";

export const SAMPLE = 24;
const SHOWN = 12;
const LISTED = 20;
const FIRST_IDS = 10;
const NESTED = [".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"];
const IGNORED = new Set([".ds_store", "thumbs.db", "desktop.ini", "icon\r"]);

/** The catalogue's text for a problem, in the page's language. */
export function render(rules, problem) {
  const alone = problem.params?.count === 1 || problem.params?.pixels === 1;
  const template = (alone && rules.texts_of_one[problem.code]) || rules.texts[problem.code];
  const text = (template ?? problem.code).replace(/\{(\w+)\}/g, (whole, name) => {
    const value = String(problem.params?.[name] ?? whole);
    return ["what", "kind"].includes(name) ? rules.phrases?.[value] ?? value : value;
  });
  return problem.file ? `${problem.file}${rules.colon} ${text}` : text;
}

function isIgnored(name, base) {
  const lower = base.toLowerCase();
  return IGNORED.has(lower) || base.startsWith("._") || lower.endsWith(".aux.xml")
    || name.split("/").slice(0, -1).includes("__MACOSX");
}

/** Names against ids: {problems, notes, members} as the server finds them. */
export function matchNames(entries, rules) {
  const pattern = new RegExp(`^(?:${rules.pattern.replaceAll("(?P<", "(?<")})$`, "i");
  const wanted = new Set(rules.ids);
  const spelt = new Map(rules.ids.map((id) => [id.toLowerCase(), id]));
  const [problems, notes, members, foreign] = [[], [], new Map(), new Map()];
  let [ignored, example] = [0, ""];
  const inflated = entries.reduce((sum, entry) => sum + entry.size, 0);
  if (inflated > rules.limits.archive_bytes) {
    problems.push({ code: "archive-inflates-too-large", params: { size_bytes: inflated, limit_bytes: rules.limits.archive_bytes } });
  }
  for (const { name, fault } of entries.filter((one) => one.fault)) {
    problems.push({ code: fault.code, file: name, params: { example: rules.example, ...fault.params } });
  }
  for (const entry of entries) {
    if (entry.folder) continue;
    const { name } = entry;
    const base = name.split("/").pop();
    if (isIgnored(name, base)) { ignored += 1; example ||= name; continue; }
    const [, stem, suffix] = /^(.*)(\.[^.]*)$/.exec(base) ?? [null, base, ""];
    const raster = [".tif", ".tiff"].includes(suffix.toLowerCase());
    const match = raster ? pattern.exec(stem) : null;
    if (!match) {
      if (entry.fault) continue; // has been told already
      const nested = NESTED.find((end) => base.toLowerCase().endsWith(end));
      problems.push(nested
        ? { code: "member-nested-archive", file: name, params: { format: nested.slice(1) } }
        : { code: "member-unexpected", file: name, params: { example: rules.example } });
      continue;
    }
    const id = spelt.get(match.groups.id.toLowerCase()) ?? match.groups.id;
    if (members.has(id)) {
      problems.push({ code: "duplicate-patch", file: name, params: { id, other: members.get(id).name } });
      continue;
    }
    if (wanted.size && !wanted.has(id)) {
      const home = rules.elsewhere.find((one) => one.id_ranges.some(([a, b]) => id >= a && id <= b && id.length === a.length));
      if (home) foreign.set(home.name, [...(foreign.get(home.name) ?? []), [id, name]]);
      else problems.push({ code: "unknown-patch", file: name, params: { id } });
      continue;
    }
    if (entry.size > rules.limits.member_bytes) {
      problems.push({ code: "member-too-large", file: name, params: { size_bytes: entry.size, limit_bytes: rules.limits.member_bytes } });
    }
    members.set(id, entry);
  }
  if (ignored) notes.push({ code: "note-ignored-files", params: { count: ignored, example } });
  if (!members.size && !problems.length && !foreign.size) {
    problems.push({ code: "archive-no-predictions", params: { example: rules.example } });
  }
  const missing = rules.ids.filter((id) => !members.has(id)).sort();
  if (missing.length && (members.size || foreign.size)) {
    problems.unshift({ code: "missing-patches", params: { count: missing.length, expected: rules.ids.length, ids: missing.slice(0, FIRST_IDS).join(", ") } });
  }
  for (const [challenge, files] of foreign) {
    problems.unshift({ code: "foreign-patches", file: files[0][1], params: { count: files.length, challenge, ids: files.map(([id]) => id).sort().slice(0, FIRST_IDS).join(", ") } });
  }
  return { problems, notes, members };
}

/** Values of one raster against the classes: counts, and a problem or null. */
export function checkValues(pixels, rules) {
  const counts = new Uint32Array(256);
  for (const value of pixels) counts[value] += 1;
  const highest = rules.classes.length - 1;
  let [beyond, values] = [0, []];
  for (let value = highest + 1; value < 256; value += 1) {
    if (counts[value]) { beyond += counts[value]; values.push(value); }
  }
  if (!beyond) return { counts, problem: null };
  const oneBased = counts[0] === 0 && values.length === 1 && values[0] === highest + 1;
  return {
    counts,
    problem: oneBased
      ? { code: "values-one-based", params: { pixels: beyond, value: highest + 1, highest } }
      : { code: "values-out-of-range", params: { pixels: beyond, values: values.slice(0, 5).join(", "), highest } },
  };
}

/** Look at an archive: {problems, more, notes, found, expected, looks, counts, unreadable}. */
export async function checkArchive(file, rules, { onStage = () => {} } = {}) {
  const report = { problems: [], more: 0, notes: [], found: 0, expected: rules.ids.length, looks: [], counts: null, unreadable: 0 };
  const add = (problem) => {
    if (report.problems.length < LISTED) report.problems.push(problem);
    else report.more += 1;
  };
  if (file.size > rules.limits.archive_bytes) {
    add({ code: "archive-too-large", params: { size_bytes: file.size, limit_bytes: rules.limits.archive_bytes } });
    return report;
  }
  onStage("reading");
  let entries;
  try {
    entries = await readDirectory(file, { maxEntries: rules.ids.length ? 4 * rules.ids.length + 100 : 100000 });
  } catch (error) {
    if (!(error instanceof ZipProblem)) throw error;
    add({ code: error.code, params: error.params });
    return report;
  }
  const { problems, notes, members } = matchNames(entries, rules);
  problems.forEach(add);
  report.notes = notes;
  report.found = members.size;
  onStage("sampling");
  await lookInside(file, [...members], rules, report, add);
  return report;
}

async function lookInside(file, members, rules, report, add) {
  const every = Math.max(1, Math.floor(members.length / SAMPLE));
  const sample = members.filter((_, at) => at % every === 0).slice(0, SAMPLE);
  const sums = new Float64Array(256);
  for (const [id, entry] of sample) {
    if (entry.fault || entry.size > rules.limits.member_bytes) continue;
    try {
      const data = await readEntry(file, entry);
      const pixels = data && await readRaster(data, { height: rules.height_px, width: rules.width_px });
      if (!pixels) { report.unreadable += 1; continue; }
      const { counts, problem } = checkValues(pixels, rules);
      counts.forEach((count, value) => { sums[value] += count; });
      if (problem) add({ ...problem, file: entry.name });
      if (report.looks.length < SHOWN) report.looks.push({ id, pixels });
    } catch (error) {
      if (error instanceof TiffProblem) add({ code: error.code, params: error.params, file: entry.name });
      else report.unreadable += 1;
    }
  }
  const total = sums.reduce((sum, count) => sum + count, 0);
  if (total) report.counts = [...sums].map((count) => count / total);
}

/** Draw pixels in the class palette; values beyond the classes show in white. */
export function draw(canvas, pixels, rules) {
  canvas.width = rules.width_px;
  canvas.height = rules.height_px;
  const palette = rules.classes.map(({ color }) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
  const context = canvas.getContext("2d");
  const image = context.createImageData(rules.width_px, rules.height_px);
  pixels.forEach((value, at) => {
    const [r, g, b] = palette[value] ?? [255, 255, 255];
    image.data.set([r, g, b, 255], at * 4);
  });
  context.putImageData(image, 0, 0);
}
