/** Why an archive or a raster is refused: a code of the server's catalogue and its parameters. */
export class ArchiveProblem extends Error {
  /**
   * @param {string} code
   * @param {ProblemParameters} [params]
   * @param {string} [file] the member at fault
   */
  constructor(code, params = {}, file = undefined) {
    super(code);
    this.code = code;
    this.params = params;
    this.file = file;
  }

  /** @returns {Problem} */
  toProblem() {
    return { code: this.code, params: this.params, ...(this.file === undefined ? {} : { file: this.file }) };
  }
}

const NAME_CHARACTERS = 120;
const PARAMETER_CHARACTERS = 500;
const UNPRINTABLE = /(?! )[\p{C}\p{Z}]/gu;

/** @param {string} text */
const escape = (text) => text.replace(UNPRINTABLE, (character) => (
  `\\u${character.codePointAt(0)?.toString(16).padStart(4, "0")}`));

/**
 * A name with everything unprintable escaped and the middle cut out beyond the limit.
 * @param {string} name
 * @param {number} [limit] in characters
 */
export function makeSafeName(name, limit = NAME_CHARACTERS) {
  const characters = [...name];
  if (characters.length <= limit) {
    const escaped = escape(name);
    if ([...escaped].length <= limit) return escaped;
  }
  const half = Math.floor(limit / 2) - 1;
  const [head, tail] = [characters.slice(0, half), characters.slice(-half)]
    .map((part) => [...escape(part.join(""))]);
  return `${head.slice(0, half).join("")}…${tail.slice(-half).join("")}`;
}

/**
 * A problem whose names can be shown, as the server writes them.
 * @param {Problem} problem
 * @returns {Problem}
 */
export function makeSafeProblem({ code, file, params = {} }) {
  const safe = Object.fromEntries(Object.entries(params).map(([name, value]) => (
    [name, typeof value === "string" ? makeSafeName(value, PARAMETER_CHARACTERS) : value])));
  return { code, params: safe, ...(file === undefined ? {} : { file: makeSafeName(file) }) };
}
