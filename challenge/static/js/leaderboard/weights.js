// Other weightings of published values, without page or table.

/** The weight of a class in each weighting that is a weighted mean.
 * @type {Record<string, (frequency: number) => number>}
 */
const CLASS_WEIGHTS = {
  frequency: (frequency) => frequency,
  rare: (frequency) => (frequency > 0 ? 1 / Math.sqrt(frequency) : 0),
};
const WORST_CLASS = "worst";

/** Whether a weighting needs no values by domain.
 * @param {string} kind
 */
export const isByClass = (kind) => kind === WORST_CLASS || kind in CLASS_WEIGHTS;

/** @param {(number | null)[]} values */
const knownOf = (values) => values.filter((value) => value !== null);

/**
 * One value from those of the classes; null where one of them is unknown.
 * @param {(number | null)[]} values in the order of `frequencies`
 * @param {string} kind
 * @param {number[]} frequencies the classes' shares of the test pixels; 0 for unknown
 */
export function weighClasses(values, kind, frequencies) {
  const known = knownOf(values);
  if (known.length < values.length) return null;
  if (kind === WORST_CLASS) return Math.min(...known);
  const weights = frequencies.map(CLASS_WEIGHTS[kind]);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return null;
  return known.reduce((sum, value, at) => sum + value * weights[at], 0) / total;
}

/**
 * One value from those of the domains; unknown ones are left out.
 * @param {(number | null)[]} values
 * @param {string} kind
 * @param {number} chosen the domain that counts alone where one does
 */
export function weighDomains(values, kind, chosen) {
  if (kind === "one-domain") return values[chosen] ?? null;
  const known = knownOf(values);
  if (!known.length) return null;
  if (kind === "worst-domain") return Math.min(...known);
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

/**
 * The ranks of teams by their values, best first; equal values share a rank.
 * @template {{isTeam: boolean, value: number | null}} Row
 * @param {Row[]} rows
 * @returns {Map<Row, number>}
 */
export function rankTeams(rows) {
  /** @param {Row} row */
  const valueOf = (row) => row.value ?? -Infinity;
  const teams = rows.filter(({ isTeam, value }) => isTeam && value !== null);
  teams.sort((a, b) => valueOf(b) - valueOf(a));
  const ranks = new Map();
  let rank = 0;
  teams.forEach((row, at) => {
    if (at === 0 || valueOf(row) < valueOf(teams[at - 1])) rank = at + 1;
    ranks.set(row, rank);
  });
  return ranks;
}
