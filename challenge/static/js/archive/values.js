// The values of rasters against the classes of the task, as the server judges them.

const LISTED_VALUES = 8;

/**
 * How often each of 256 values occurs.
 * @param {Uint8Array} pixels
 */
export function countValues(pixels) {
  const counts = new Uint32Array(256);
  for (const value of pixels) counts[value] += 1;
  return counts;
}

/**
 * Values that are no class, each with its pixels; the most frequent first.
 * @param {ArrayLike<number>} counts by value
 * @param {number} classes
 * @returns {[value: number, pixels: number][]}
 */
export function findInvalidValues(counts, classes) {
  return Array.from(counts)
    .map((pixels, value) => /** @type {[number, number]} */ ([value, pixels]))
    .filter(([value, pixels]) => value >= classes && pixels > 0)
    .sort(([a, pixelsOfA], [b, pixelsOfB]) => pixelsOfB - pixelsOfA || a - b);
}

/**
 * Whether masks count from 1 here, and so do all of these predictions.
 * @param {ArrayLike<number>} counts of all predictions, by value
 * @param {CheckData} data
 */
export function lookLikeMasks(counts, { classes, label_values: labels }) {
  return labels.length > 0 && counts[0] === 0
    && findInvalidValues(counts, classes.length).every(([value]) => labels.includes(value));
}

/**
 * What is wrong with one raster's values.
 * @param {[value: number, pixels: number][]} invalid at least one
 * @param {number} highest the last class
 * @param {boolean} oneBased whether all predictions look like masks
 * @returns {Problem}
 */
export function describeValues(invalid, highest, oneBased) {
  const pixels = invalid.reduce((sum, [, count]) => sum + count, 0);
  const more = invalid.length > LISTED_VALUES ? ", …" : "";
  const shown = invalid.slice(0, LISTED_VALUES);
  if (oneBased) {
    const value = shown.map(([each]) => each).join(", ") + more;
    return { code: "values-one-based", params: { pixels, value, highest } };
  }
  const values = shown.map(([value, count]) => `${value}: ${count} px`).join(", ") + more;
  return { code: "values-out-of-range", params: { pixels, values, highest } };
}
