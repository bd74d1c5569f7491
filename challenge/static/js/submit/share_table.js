// How often each class is predicted in the sample, beside its published share.
import { element, svgRectangle } from "../dom.js";
import { formatPercent, say } from "./words.js";

const LEAST_FULL_BAR = 0.01;

/** @param {string} color */
function makeSwatch(color) {
  return svgRectangle({ viewBox: "0 0 16 16", class: "swatch" }, { width: 16, height: 16, fill: color });
}

/**
 * @param {number} share
 * @param {number} full the share of a bar that is full
 * @param {string} color
 */
function makeBar(share, full, color) {
  return svgRectangle(
    { viewBox: "0 0 1000 10", preserveAspectRatio: "none", class: "bar" },
    { width: Math.round((share / full) * 1000), height: 10, fill: color },
  );
}

/**
 * @param {number[]} shares of each value, as fractions
 * @param {CheckData["classes"]} classes
 */
export function makeShareTable(shares, classes) {
  const known = classes.flatMap(({ id, published }) => [shares[id], published ?? 0]);
  const full = Math.max(...known, LEAST_FULL_BAR);
  const head = element("tr", {},
    element("th", { scope: "col", textContent: say("class") }),
    element("th", { scope: "col", colSpan: 2, textContent: say("predicted") }),
    element("th", { scope: "col", colSpan: 2, textContent: say("published") }));
  /** @param {number | null} share */
  const number = (share) => element("td", {
    className: "num", textContent: share === null ? "–" : formatPercent(share),
  });
  /** @type {(share: number, color: string) => HTMLElement} */
  const bar = (share, color) => element("td", { className: "bar" }, makeBar(share, full, color));
  const rows = classes.map(({ id, name, color, published }) => element("tr", {},
    element("th", { scope: "row", className: "nowrap" }, makeSwatch(color), ` ${name}`),
    number(shares[id]), bar(shares[id], color),
    number(published), bar(published ?? 0, color)));
  const table = element("table", { className: "shares" },
    element("thead", {}, head), element("tbody", {}, ...rows));
  const region = element("div",
    { className: "scroll", tabIndex: 0, role: "region", ariaLabel: say("frequencies") }, table);
  return element("details", {},
    element("summary", { textContent: say("frequencies") }), region);
}
