// The page's sentences, from its template, and numbers as its language writes them.
import { fillIn } from "../archive/messages.js";
import { required } from "../dom.js";

const language = document.documentElement.lang;
const sentences = required(document, "#words", HTMLTemplateElement).dataset;
const BYTE_UNITS = language === "fr" ? ["o", "ko", "Mo", "Go"] : ["B", "kB", "MB", "GB"];

/** @param {Intl.NumberFormatOptions} [options] */
const formatter = (options) => new Intl.NumberFormat(language, options);
const whole = formatter({ maximumFractionDigits: 0 });
const oneDecimal = formatter({ maximumFractionDigits: 1 });
const twoDecimals = formatter({ minimumFractionDigits: 2, maximumFractionDigits: 2 });

/**
 * A sentence of the template `words`, with values in place of the names in braces.
 * @param {string} name
 * @param {Record<string, string>} [values]
 */
export function say(name, values = {}) {
  return fillIn(sentences[name] ?? name, (key) => values[key]);
}

/** @param {number} count */
export const formatCount = (count) => whole.format(count);

/** @param {number} share a fraction; without the sign */
export const formatPercent = (share) => twoDecimals.format(share * 100);

/** @param {number} bytes */
export function formatBytes(bytes) {
  const power = Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const number = (power > 1 ? oneDecimal : whole).format(bytes / 1000 ** power);
  return `${number}\u00a0${BYTE_UNITS[power]}`;
}

/** @param {number} seconds */
export function formatDuration(seconds) {
  if (!Number.isFinite(seconds)) return "…";
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400
    ? `${Math.round(seconds / 60)} min`
    : `${oneDecimal.format(seconds / 3600)} h`;
}
