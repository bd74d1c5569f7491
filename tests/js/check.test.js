import assert from "node:assert/strict";
import { test } from "node:test";

import { checkArchive, spread } from "../../challenge/static/js/archive/check.js";
import { findHints } from "../../challenge/static/js/archive/hints.js";
import { describe } from "../../challenge/static/js/archive/messages.js";
import { matchNames } from "../../challenge/static/js/archive/names.js";
import { describeValues, findInvalidValues, lookLikeMasks } from "../../challenge/static/js/archive/values.js";
import { makeTiff, makeZip, READER } from "./make_files.js";

const FORM = { height: 2, width: 4 };
const DATA = {
  ids: ["000001", "000002"],
  pattern: "(?:PRED_)?(?P<id>\\d{6})",
  example: "PRED_000001.tif",
  height_px: 2,
  width_px: 4,
  limits: { archive_bytes: 10_000, inflated_bytes: 20_000, member_bytes: 500 },
  label_values: [1, 2, 3],
  reader: READER,
  elsewhere: [{ name: "the other", id_ranges: [["000100", "000199"]] }],
  classes: [0, 1, 2].map((id) => (
    { id, name: `class ${id}`, color: "#000000", scored: id < 2, published: 0.3 })),
  texts: { count: "{count} files with {what}", unknown: "an {odd} one" },
  texts_of_one: { count: "one file with {what}" },
  phrases: { link: "un lien" },
  colon: " :",
};

const member = (name, more = {}) => (
  { name, method: 0, packed: 0, size: 0, offset: 0, folder: false, sound: true, ...more });
const codes = (...members) => matchNames(members, DATA).problems.map(({ code }) => code);
const raster = (...pixels) => makeTiff(new Uint8Array(pixels), FORM);

test("names are matched in any folder and in any case", () => {
  const { problems, matched } = matchNames(
    [member("a/"), member("a/PRED_000001.TIF"), member("000002.tiff")].map(
      (each, at) => ({ ...each, folder: at === 0 }),
    ), DATA);
  assert.deepEqual(problems, []);
  assert.deepEqual([...matched.keys()], ["000001", "000002"]);
});

test("what systems add is a note", () => {
  const { problems, notes } = matchNames(["000001.tif", "000002.tif", "__MACOSX/x.tif", ".DS_Store"]
    .map((name) => member(name)), DATA);
  assert.deepEqual(problems, []);
  assert.deepEqual(notes, [
    { code: "note-ignored-files", params: { count: 2, example: "__MACOSX/x.tif" } },
  ]);
});

test("each name that does not fit has its problem", () => {
  const both = [member("000001.tif"), member("000002.tif")];
  assert.deepEqual(codes(...both, member("a/000001.tif")), ["duplicate-patch"]);
  assert.deepEqual(codes(...both, member("000009.tif")), ["unknown-patch"]);
  assert.deepEqual(codes(...both, member("000150.tif")), ["foreign-patches"]);
  assert.deepEqual(codes(...both, member("more.zip")), ["member-nested-archive"]);
  assert.deepEqual(codes(...both, member("readme.txt")), ["member-unexpected"]);
  assert.deepEqual(codes(both[0]), ["missing-patches"]);
  assert.deepEqual(codes(both[0], member("000002.tif", { size: 501 })), ["member-too-large"]);
  assert.deepEqual(codes(member("a/", { folder: true })), ["archive-no-predictions"]);
});

test("patches of another challenge come first, and are counted", () => {
  const { problems } = matchNames([member("000150.tif"), member("000120.tif")], DATA);
  assert.deepEqual(problems.map(({ code }) => code), ["foreign-patches", "missing-patches"]);
  assert.deepEqual(problems[0], {
    code: "foreign-patches", file: "000150.tif",
    params: { count: 2, challenge: "the other", ids: "000120, 000150" },
  });
});

test("values beyond the classes are told from values that count from one", () => {
  const count = (...pixels) => {
    const counts = Array(256).fill(0);
    for (const value of pixels) counts[value] += 1;
    return counts;
  };
  assert.deepEqual(findInvalidValues(count(0, 1, 2), 3), []);
  const masks = count(1, 2, 3, 3);
  assert.equal(lookLikeMasks(masks, DATA), true);
  assert.deepEqual(describeValues(findInvalidValues(masks, 3), 2, true), {
    code: "values-one-based", params: { pixels: 2, value: "3", highest: 2 },
  });
  const others = count(0, 3, 9, 9);
  assert.equal(lookLikeMasks(others, DATA), false);
  assert.deepEqual(describeValues(findInvalidValues(others, 3), 2, false), {
    code: "values-out-of-range", params: { pixels: 3, values: "9: 2 px, 3: 1 px", highest: 2 },
  });
});

test("a sound archive has a report with shares and samples", async () => {
  const stages = [];
  const file = makeZip([
    { name: "000001.tif", data: raster(0, 0, 0, 0, 1, 1, 2, 2) },
    { name: "000002.tif", data: raster(0, 0, 0, 0, 0, 0, 0, 0) },
  ]);
  const report = await checkArchive(file, DATA, (stage) => stages.push(stage));
  assert.deepEqual(stages, ["reading", "sampling"]);
  assert.deepEqual(report.problems, []);
  assert.deepEqual([report.found, report.expected, report.notChecked], [2, 2, null]);
  assert.deepEqual(report.shares.slice(0, 3), [0.75, 0.125, 0.125]);
  assert.deepEqual(report.samples.map(({ id }) => id), ["000001", "000002"]);
});

test("a raster that cannot be read is no success, and named where the reason is known", async () => {
  const zstd = makeTiff(new Uint8Array(8), { ...FORM, compression: 50000 });
  const mixed = await checkArchive(makeZip([
    { name: "000001.tif", data: zstd },
    { name: "000002.tif", data: new TextEncoder().encode("not a raster at all") },
  ]), DATA);
  assert.deepEqual(mixed.problems.map(({ code, file: name }) => [code, name]), [
    ["raster-not-tiff", "000002.tif"],
  ]);
  assert.deepEqual(mixed.notChecked, {
    code: "note-not-checked-here", params: { count: 1, looked: 2, codec: "zstd" },
  });
  const both = await checkArchive(makeZip([
    { name: "000001.tif", data: zstd }, { name: "000002.tif", data: zstd },
  ]), DATA);
  assert.deepEqual([both.problems, both.shares, both.notChecked?.params], [
    [], null, { count: 2, looked: 2, codec: "zstd" },
  ]);
});

test("the phase limits the file, the task what it inflates to", async () => {
  const sound = makeZip([
    { name: "000001.tif", data: raster(0, 0, 0, 0, 1, 1, 2, 2) },
    { name: "000002.tif", data: raster(0, 0, 0, 0, 0, 0, 0, 0) },
  ]);
  const check = async (limits) => (await checkArchive(
    sound, { ...DATA, limits: { ...DATA.limits, ...limits } })).problems;
  const limit = sound.size;
  assert.deepEqual(await check({ archive_bytes: limit }), []);
  assert.deepEqual(await check({ archive_bytes: limit - 1 }), [
    { code: "archive-too-large", params: { size_bytes: limit, limit_bytes: limit - 1 } },
  ]);
  const rasters = 2 * raster(0, 0, 0, 0, 0, 0, 0, 0).length;
  const packed = makeZip([{ name: "000001.tif", size: 30_000 }, { name: "000002.tif" }]);
  assert.deepEqual((await checkArchive(packed, DATA)).problems.map(({ code }) => code), [
    "archive-inflates-too-large", "member-size-impossible", "member-too-large",
  ]);
  assert.ok(rasters < limit);
});

test("a raster that is too large says its type first", async () => {
  const wide = makeTiff(new Uint8Array(600), { ...FORM, tags: [[258, 64], [339, 2]] });
  const report = await checkArchive(makeZip([
    { name: "000001.tif", data: wide }, { name: "000002.tif", data: wide },
  ]), DATA);
  assert.deepEqual(report.problems.map(({ code, file: name, params }) => [code, name, params?.found]), [
    ["raster-type", "000001.tif", "int64"],
    ["member-too-large", "000001.tif", undefined],
    ["member-too-large", "000002.tif", undefined],
  ]);
});

test("an archive that is too large says the type of its rasters first", async () => {
  const floats = makeTiff(new Uint8Array(300), { ...FORM, tags: [[258, 32], [339, 3]] });
  const file = makeZip([{ name: "000001.tif", data: floats }, { name: "000002.tif", data: floats }]);
  const limits = { ...DATA.limits, archive_bytes: 1000, inflated_bytes: 500 };
  const report = await checkArchive(file, { ...DATA, limits });
  assert.deepEqual(report.problems.map(({ code }) => code), ["raster-type", "archive-too-large"]);
});

test("names are shown escaped and cut", async () => {
  const strange = makeZip([{ name: "\u202etxt.exe" }, { name: `${"x".repeat(300)}.txt` }]);
  const { problems } = await checkArchive(strange, DATA);
  assert.deepEqual(problems.map(({ file: name }) => name), [
    "\\u202etxt.exe", `${"x".repeat(59)}…${"x".repeat(55)}.txt`,
  ]);
});

test("twenty problems are listed, the others counted", async () => {
  const strangers = Array.from({ length: 25 }, (_, at) => ({ name: `${at}.txt` }));
  const report = await checkArchive(makeZip(strangers), DATA);
  assert.deepEqual([report.problems.length, report.more], [20, 5]);
});

test("a sample is spread over all members", () => {
  assert.deepEqual(spread([0, 1, 2, 3, 4, 5, 6, 7], 4), [0, 2, 4, 6]);
  assert.deepEqual(spread([0, 1], 4), [0, 1]);
});

test("hints tell what is allowed and odd", () => {
  const hints = (shares) => findHints({ shares }, DATA.classes).map(({ kind }) => kind);
  assert.deepEqual(hints([0.5, 0.45, 0.05, 0]), []);
  assert.deepEqual(hints(null), []);
  assert.deepEqual(hints([0.5, 0, 0.5, 0]), ["many-other", "never-predicted"]);
});

test("problems are told in the server's words", () => {
  const told = (problem) => describe(DATA, problem);
  assert.equal(told({ code: "count", params: { count: 2, what: "link" } }), "2 files with un lien");
  assert.equal(told({ code: "count", params: { count: 1, what: "a hole" } }), "one file with a hole");
  assert.equal(told({ code: "unknown", file: "a.tif" }), "a.tif : an {odd} one");
  assert.equal(told({ code: "new-code" }), "new-code");
});
