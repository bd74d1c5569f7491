// What seems odd about sampled predictions although it is allowed.

const MANY_OTHER = 0.1;
const COMMON = 0.01;

/**
 * The shares of values in a sample against the classes and their published shares.
 * @param {Pick<CheckReport, "shares">} report
 * @param {CheckData["classes"]} classes
 * @returns {Hint[]}
 */
export function findHints({ shares }, classes) {
  if (!shares) return [];
  /** @type {Hint[]} */
  const hints = [];
  const notScored = classes.filter(({ scored }) => !scored);
  const other = notScored.reduce((sum, { id }) => sum + shares[id], 0);
  if (other > MANY_OTHER) hints.push({ kind: "many-other", share: other });
  const absent = classes.filter(
    ({ id, scored, published }) => scored && id !== 0 && shares[id] === 0
      && (published ?? 0) > COMMON,
  );
  if (absent.length) hints.push({ kind: "never-predicted", names: absent.map(({ name }) => name) });
  return hints;
}
