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
    makeHead(report, hints),
    ...makeVerdict(report, data, hints),
    ...(report.samples.length ? makeSamples(report.samples, data) : []),
    ...(report.shares ? [makeShareTable(report.shares, data.classes)] : []),
  ];
}

/**
 * What is wrong; or what could not be checked or looks odd, neither of which is praise; or that
 * nothing was found.
 * @param {CheckReport} report
 * @param {CheckData} data
 * @param {string[]} hints what is odd although it is allowed
 */
function makeVerdict(report, data, hints) {
  const odd = hints.length ? [makeList("problems", hints)] : [];
  if (report.problems.length) {
    return [
      makeProblems(report, data),
      ...(odd.length ? [element("div", { className: "note warn" }, ...odd)] : []),
    ];
  }
  if (report.notChecked) {
    const text = describe(data, report.notChecked);
    return [element("div", { className: "note warn" }, element("p", { textContent: text }), ...odd)];
  }
  const text = say(odd.length ? "odd" : "valid");
  return [
    element("div", { className: odd.length ? "note warn" : "note good" },
      element("p", { textContent: text }), ...odd),
  ];
}

/**
 * @param {CheckReport} report
 * @param {string[]} hints
 */
function makeHead({ problems, notChecked, found, expected }, hints) {
  const calm = hints.length ? { kind: "warn", sign: "!" } : { kind: "good", sign: "✓" };
  const uncertain = notChecked ? { kind: "warn", sign: "?" } : calm;
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
  const kinds = [...textsByCode.values()];
  // of one kind alone, those that are not listed are counted with the folded ones, not twice
  const counted = kinds.length === 1 && kinds[0].length > SHOWN_OF_A_CODE + 1 ? more : 0;
  for (const texts of kinds) list.append(...foldItems(texts, counted));
  if (more && !counted) list.append(makeUnlisted(more));
  return element("div", { className: "note bad" },
    element("p", { className: "strong", textContent: say("invalid") }), list);
}

/** @param {number} count of problems that were found and are not listed */
function makeUnlisted(count) {
  const text = say("more", { count: formatCount(count) });
  return element("li", { className: "muted", textContent: text });
}

/**
 * One item for each problem of a code; from the fourth on behind a summary that opens them.
 * @param {string[]} texts
 * @param {number} unlisted how many more of the code were found
 */
function foldItems(texts, unlisted) {
  if (texts.length <= SHOWN_OF_A_CODE + 1) return texts.map(makeItem);
  const rest = texts.slice(SHOWN_OF_A_CODE);
  const summary = say("alike", { count: formatCount(rest.length + unlisted) });
  const list = makeList("problems", rest);
  if (unlisted) list.append(makeUnlisted(unlisted));
  return [
    ...texts.slice(0, SHOWN_OF_A_CODE).map(makeItem),
    element("li", {}, element("details", {}, element("summary", { textContent: summary }), list)),
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
