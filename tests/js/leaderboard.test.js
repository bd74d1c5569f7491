import assert from "node:assert/strict";
import { test } from "node:test";

import { compareValues } from "../../challenge/static/js/leaderboard/table.js";
import {
  isByClass, rankTeams, weighClasses, weighDomains,
} from "../../challenge/static/js/leaderboard/weights.js";

test("classes are weighed by their share, its inverse root, or the worst counts alone", () => {
  const shares = [0.64, 0.36];
  assert.equal(weighClasses([50, 100], "frequency", shares), 68);
  assert.equal(weighClasses([60, 95], "rare", shares), (60 / 0.8 + 95 / 0.6) / (1 / 0.8 + 1 / 0.6));
  assert.equal(weighClasses([50, 100], "worst", shares), 50);
});

test("a row with an unknown class, or classes without shares, has no value", () => {
  assert.equal(weighClasses([50, null], "worst", [0.5, 0.5]), null);
  assert.equal(weighClasses([50, 60], "rare", [0, 0]), null);
});

test("domains are weighed alike, unknown ones left out", () => {
  assert.equal(weighDomains([10, null, 30], "domains", 0), 20);
  assert.equal(weighDomains([10, null, 30], "worst-domain", 0), 10);
  assert.equal(weighDomains([10, null, 30], "one-domain", 2), 30);
  assert.equal(weighDomains([10, null, 30], "one-domain", 1), null);
  assert.equal(weighDomains([null], "domains", 0), null);
});

test("only weightings of classes do without values by domain", () => {
  const kinds = ["frequency", "rare", "worst", "domains", "worst-domain", "one-domain"];
  assert.deepEqual(kinds.filter(isByClass), ["frequency", "rare", "worst"]);
});

test("equal teams share a rank; other rows and those without a value have none", () => {
  const row = (value, isTeam = true) => ({ value, isTeam });
  const rows = [row(50), row(70), row(50), row(60, false), row(null), row(40)];
  const ranks = rankTeams(rows);
  assert.deepEqual(rows.map((each) => ranks.get(each)), [2, 1, 2, undefined, undefined, 4]);
});

test("rows without a value are last in either direction", () => {
  const sorted = (ascending) => [2, null, 3, 1].sort((a, b) => compareValues(a, b, ascending));
  assert.deepEqual(sorted(true), [1, 2, 3, null]);
  assert.deepEqual(sorted(false), [3, 2, 1, null]);
});
