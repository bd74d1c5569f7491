// What a person chose or dropped: one zip as it is, or TIFFs (in folders) to be zipped here.

const ZIP = /\.zip$/i;
const TIFF = /\.tiff?$/i;
/** What systems write beside a person's own files: left out without a word. */
const SYSTEM_FILE = /(^|\/)(\.|__MACOSX\/|Thumbs\.db$|desktop\.ini$)/i;

/**
 * A zip to send or TIFFs to zip, and the paths of what is left out; or why neither, as the name of
 * one of the page's sentences and the names that it tells.
 * @typedef {{zip: File, leftOut: string[]} | {tiffs: ChosenFile[], leftOut: string[]}
 *   | {refusal: "twoZips" | "zipAndTiffs" | "noTiffs", names: string[]}} Choice
 */

/**
 * Decide what chosen files are. One file that is no TIFF is taken for a zip: the check says what
 * it is.
 * @param {ChosenFile[]} files at least one
 * @returns {Choice}
 */
export function sortChoice(files) {
  const own = files.filter(({ path }) => !SYSTEM_FILE.test(path));
  const zips = own.filter(({ path }) => ZIP.test(path));
  const tiffs = own.filter(({ path }) => TIFF.test(path));
  const others = own.filter(({ path }) => !ZIP.test(path) && !TIFF.test(path));
  const [only] = files;
  if (files.length === 1 && !tiffs.length && !only.path.includes("/")) {
    return { zip: only.file, leftOut: [] };
  }
  if (zips.length === 1 && !tiffs.length) return { zip: zips[0].file, leftOut: pathsOf(others) };
  if (zips.length && tiffs.length) return { refusal: "zipAndTiffs", names: pathsOf(zips) };
  if (zips.length) return { refusal: "twoZips", names: pathsOf(zips) };
  if (!tiffs.length) return { refusal: "noTiffs", names: pathsOf(others) };
  return { tiffs, leftOut: pathsOf(others) };
}

/** @param {ChosenFile[]} files */
const pathsOf = (files) => files.map(({ path }) => path);

/**
 * The files of a file field, of a folder's as well.
 * @param {Iterable<File>} files
 * @returns {ChosenFile[]}
 */
export function listFiles(files) {
  return Array.from(files, (file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/**
 * The files that were dropped, those in dropped folders too. To be called while the event is handled:
 * its entries are gone afterwards.
 * @param {DataTransfer} transfer
 * @returns {Promise<ChosenFile[]>}
 * @throws {DOMException} where a folder cannot be read
 */
export async function listDroppedFiles(transfer) {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.() ?? null);
  if (entries.some((entry) => entry === null)) return listFiles(transfer.files);
  /** @type {ChosenFile[]} */
  const found = [];
  const waiting = /** @type {FileSystemEntry[]} */ (entries);
  for (let entry = waiting.pop(); entry; entry = waiting.pop()) {
    if (isFolder(entry)) waiting.push(...await listFolder(entry));
    else found.push({ path: entry.fullPath.replace(/^\//, ""), file: await openEntry(entry) });
  }
  return found;
}

/**
 * @param {FileSystemEntry} entry
 * @returns {entry is FileSystemDirectoryEntry}
 */
function isFolder(entry) {
  return entry.isDirectory;
}

/**
 * @param {FileSystemEntry} entry
 * @returns {Promise<File>}
 */
function openEntry(entry) {
  const file = /** @type {FileSystemFileEntry} */ (entry);
  return new Promise((resolve, reject) => { file.file(resolve, reject); });
}

/**
 * @param {FileSystemDirectoryEntry} folder
 * @returns {Promise<FileSystemEntry[]>}
 */
async function listFolder(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return entries;
    entries.push(...some);
  }
}

/**
 * A name for the zip of TIFFs: their folder's.
 * @param {ChosenFile[]} tiffs
 */
export function nameZip(tiffs) {
  const [first] = tiffs[0].path.split("/");
  const isFolderOfAll = tiffs.every(({ path }) => path.startsWith(`${first}/`));
  return isFolderOfAll ? `${first}.zip` : "predictions.zip";
}
