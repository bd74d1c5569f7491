// What the browser found in the chosen archive, as elements.
import { drawFigure } from "../archive/draw.js";
import { findHints } from "../archive/hints.js";
import { describe } from "../archive/messages.js";
import { element } from "../dom.js";
import { makeShareTable } from "./share_table.js";
import { formatCount, formatPercent, say } from "./words.js";

const SHOWN_OF_A_CODE = 3;

/**
 * @param {CheckReport} report
 * @param {CheckData} data
 * @returns {HTMLElement[]}
 */
export function makeReport(report, data) {
  const { problems, notChecked } = report;
  const remarks = problems.length && notChecked ? [...report.notes, notChecked] : report.notes;
  const hints = [
    ...remarks.map((note) => describe(data, note)),
    ...findHints(report, data.classes).map((hint) => describeHint(hint)),
  ];
  return [
    makeHead(report),
    makeVerdict(report, data),
    ...(hints.length ? [makeList("problems note warn", hints)] : []),
    ...(report.samples.length ? makeSamples(report.samples, data) : []),
    ...(report.shares ? [makeShareTable(report.shares, data.classes)] : []),
  ];
}

/**
 * What is wrong; or what could not be checked, which is no praise; or that nothing was found.
 * @param {CheckReport} report
 * @param {CheckData} data
 */
function makeVerdict(report, data) {
  if (report.problems.length) return makeProblems(report, data);
  return report.notChecked
    ? element("p", { className: "note warn", textContent: describe(data, report.notChecked) })
    : element("p", { className: "note good", textContent: say("valid") });
}

/** @param {CheckReport} report */
function makeHead({ problems, notChecked, found, expected }) {
  const uncertain = notChecked ? { kind: "warn", sign: "?" } : { kind: "good", sign: "✓" };
  const { kind, sign } = problems.length ? { kind: "bad", sign: "✗" } : uncertain;
  const counted = say("found", { found: formatCount(found), expected: formatCount(expected) });
  return element("p", { className: "check-head" },
    element("span", { className: `tag ${kind}`, textContent: sign }),
    element("strong", { textContent: counted }));
}

/** @param {string} text */
const makeItem = (text) => element("li", { textContent: text });

/**
 * @param {string} className
 * @param {string[]} texts
 */
function makeList(className, texts) {
  return element("ul", { className }, ...texts.map(makeItem));
}

/**
 * @param {CheckReport} report
 * @param {CheckData} data
 */
function makeProblems({ problems, more }, data) {
  /** @type {Map<string, string[]>} */
  const textsByCode = new Map();
  for (const problem of problems) {
    const texts = textsByCode.get(problem.code) ?? [];
    textsByCode.set(problem.code, [...texts, describe(data, problem)]);
  }
  const list = element("ul", { className: "problems" });
  for (const texts of textsByCode.values()) list.append(...foldItems(texts));
  if (more) {
    const text = say("more", { count: formatCount(more) });
    list.append(element("li", { className: "muted", textContent: text }));
  }
  return element("div", { className: "note bad" },
    element("p", { className: "strong", textContent: say("invalid") }), list);
}

/**
 * One item for each problem of a code; from the fourth on behind a summary that opens them.
 * @param {string[]} texts
 */
function foldItems(texts) {
  if (texts.length <= SHOWN_OF_A_CODE + 1) return texts.map(makeItem);
  const rest = texts.slice(SHOWN_OF_A_CODE);
  const summary = say("alike", { count: formatCount(rest.length) });
  return [
    ...texts.slice(0, SHOWN_OF_A_CODE).map(makeItem),
    element("li", {}, element("details", {},
      element("summary", { textContent: summary }), makeList("problems", rest))),
  ];
}

/** @param {Hint} hint */
function describeHint(hint) {
  switch (hint.kind) {
    case "many-other": return say("manyOther", { share: formatPercent(hint.share) });
    case "never-predicted": return say("missingClass", { names: hint.names.join(", ") });
  }
}

/**
 * @param {CheckReport["samples"]} samples
 * @param {CheckData} data
 */
function makeSamples(samples, data) {
  const title = say("looked", { count: String(samples.length) });
  return [
    element("h3", { className: "title-3", textContent: title }),
    element("ul", { className: "mosaic" },
      ...samples.map(({ id, pixels }) => drawFigure(id, pixels, data))),
  ];
}
