// The names in an archive against the ids that a phase expects, as the server matches them.

const FIRST_IDS = 10;
const RASTER_SUFFIXES = [".tif", ".tiff"];
const ARCHIVE_SUFFIXES = ["zip", "7z", "rar", "tar", "gz", "tgz", "bz2", "xz", "zst"];
const IGNORED_NAMES = new Set([".ds_store", "thumbs.db", "desktop.ini", "icon\r"]);

/** @param {string} name */
const baseName = (name) => name.slice(name.lastIndexOf("/") + 1);

/** Files that operating systems add by themselves: left out without a word of blame.
 * @param {string} name
 */
export function isIgnored(name) {
  const base = baseName(name);
  const lower = base.toLowerCase();
  return IGNORED_NAMES.has(lower) || base.startsWith("._") || lower.endsWith(".aux.xml")
    || name.split("/").slice(0, -1).includes("__MACOSX");
}

/**
 * A function from a file's name without its folders to the id of its patch, or null.
 * @param {CheckData} data
 * @returns {(base: string) => string | null}
 */
function makeIdReader(data) {
  // Python and JavaScript write named groups differently
  const pattern = new RegExp(`^(?:${data.pattern.replaceAll("(?P<", "(?<")})$`, "i");
  const spellings = new Map(data.ids.map((id) => [id.toLowerCase(), id]));
  return (base) => {
    const dot = base.lastIndexOf(".");
    const [stem, suffix] = [base.slice(0, Math.max(dot, 0)), base.slice(dot)];
    if (dot < 0 || !RASTER_SUFFIXES.includes(suffix.toLowerCase())) return null;
    // eslint-disable-next-line no-control-regex -- ASCII, as the server wants it
    const id = /^[\x00-\x7f]*$/.test(stem) ? pattern.exec(stem)?.groups?.id : undefined;
    if (id === undefined) return null;
    // without a list of ids the first spelling met stands for all of its cases
    if (!spellings.has(id.toLowerCase())) spellings.set(id.toLowerCase(), id);
    return spellings.get(id.toLowerCase()) ?? id;
  };
}

/**
 * @param {string} name
 * @param {CheckData} data
 * @returns {Problem}
 */
function describeUnexpected(name, data) {
  const suffix = baseName(name).toLowerCase().split(".").pop() ?? "";
  return ARCHIVE_SUFFIXES.includes(suffix)
    ? { code: "member-nested-archive", file: name, params: { format: suffix } }
    : { code: "member-unexpected", file: name, params: { example: data.example } };
}

/**
 * The name of another challenge or phase that an id belongs to.
 * @param {string} id
 * @param {CheckData} data
 */
function findOwner(id, data) {
  return data.elsewhere.find(({ id_ranges: ranges }) => ranges.some(
    ([first, last]) => id >= first && id <= last && id.length === first.length,
  ))?.name;
}

/** @param {string[]} ids */
const listFirst = (ids) => ids.sort().slice(0, FIRST_IDS).join(", ");

/**
 * Match names to patches: what is wrong, what is worth a remark, and {id: member} of what is there.
 * @param {ZipMember[]} members
 * @param {CheckData} data
 * @param {Problem[]} known problems of the archive, which come before those of names
 * @returns {{problems: Problem[], notes: Problem[], matched: Map<string, ZipMember>}}
 */
export function matchNames(members, data, known = []) {
  const readId = makeIdReader(data);
  const wanted = new Set(data.ids);
  const problems = [...known];
  const files = members.filter(({ folder }) => !folder);
  const ignored = files.filter(({ name }) => isIgnored(name));
  /** @type {Map<string, ZipMember>} */
  const matched = new Map();
  /** @type {Map<string, {id: string, file: string}[]>} */
  const foreign = new Map();
  for (const member of files) {
    const { name } = member;
    if (isIgnored(name)) continue;
    const id = readId(baseName(name));
    if (id === null) {
      if (member.sound) problems.push(describeUnexpected(name, data)); // else it is listed already
      continue;
    }
    const other = matched.get(id);
    if (other) {
      problems.push({ code: "duplicate-patch", file: name, params: { id, other: other.name } });
      continue;
    }
    if (wanted.size && !wanted.has(id)) {
      const owner = findOwner(id, data);
      if (!owner) problems.push({ code: "unknown-patch", file: name, params: { id } });
      else if (foreign.has(owner)) foreign.get(owner)?.push({ id, file: name });
      else foreign.set(owner, [{ id, file: name }]);
      continue;
    }
    if (member.size > data.limits.member_bytes) {
      const params = { size_bytes: member.size, limit_bytes: data.limits.member_bytes };
      problems.push({ code: "member-too-large", file: name, params });
    }
    matched.set(id, member);
  }
  addProblemsOfWhole(problems, matched, foreign, data);
  const notes = ignored.length
    ? [{ code: "note-ignored-files", params: { count: ignored.length, example: ignored[0].name } }]
    : [];
  return { problems, notes, matched };
}

/**
 * Add what only all files together show: none, missing or foreign predictions.
 * @param {Problem[]} problems
 * @param {Map<string, ZipMember>} matched
 * @param {Map<string, {id: string, file: string}[]>} foreign
 * @param {CheckData} data
 */
function addProblemsOfWhole(problems, matched, foreign, data) {
  if (!matched.size && !problems.length && !foreign.size) {
    problems.push({ code: "archive-no-predictions", params: { example: data.example } });
  }
  const missing = matched.size || foreign.size ? data.ids.filter((id) => !matched.has(id)) : [];
  if (missing.length) {
    const params = { count: missing.length, expected: data.ids.length, ids: listFirst(missing) };
    problems.unshift({ code: "missing-patches", params });
  }
  for (const [challenge, found] of foreign) {
    const params = { count: found.length, challenge, ids: listFirst(found.map(({ id }) => id)) };
    problems.unshift({ code: "foreign-patches", file: found[0].file, params });
  }
}
