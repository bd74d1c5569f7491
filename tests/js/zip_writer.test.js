import assert from "node:assert/strict";
import { File } from "node:buffer";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import { zipFiles, ZipWriteError } from "../../challenge/static/js/archive/zip_writer.js";
import { readDirectory, readMember } from "../../challenge/static/js/archive/zip.js";
import { checkHeaders } from "../../challenge/static/js/archive/zip_headers.js";
import { sortChoice, nameZip } from "../../challenge/static/js/submit/choice.js";
import { READER } from "./make_files.js";

const LIMITS = { maxEntries: 100_000, data: { example: "PRED_000001.tif", reader: READER } };
const noise = (bytes) => new Uint8Array(randomBytes(bytes));

/** @param {[string, Uint8Array | string][]} files */
const choose = (files) => files.map(([path, data]) => ({ path, file: new File([data], path) }));

test("a zip has each file whole, in the order of the paths, smaller where deflating helps", async () => {
  const [flat, random] = [new Uint8Array(5000), noise(5000)];
  const zip = await zipFiles(choose([["b/é.tif", random], ["b/a.tif", flat], ["c.tif", ""]]));
  const directory = await readDirectory(zip, LIMITS);
  await checkHeaders(zip, directory);
  assert.deepEqual(directory.problems, []);
  const { members } = directory;
  assert.deepEqual(members.map(({ name, method }) => [name, method]),
    [["b/a.tif", 8], ["b/é.tif", 0], ["c.tif", 0]]);
  assert.ok(members[0].packed < 100);
  const read = await Promise.all(members.map((member) => readMember(zip, member)));
  assert.deepEqual(read, [flat, random, new Uint8Array()]);
});

test("the same files make the same zip, so that an upload can go on", async () => {
  const files = choose([["b.tif", noise(100)], ["a.tif", noise(100)]]);
  const [first, second] = [await zipFiles(files), await zipFiles([...files].reverse())];
  assert.deepEqual(await first.arrayBuffer(), await second.arrayBuffer());
});

test("each file that is done is told, and a signal ends the work", async () => {
  const files = choose([["a.tif", "a"], ["b.tif", "b"], ["c.tif", "c"]]);
  /** @type {number[]} */
  const told = [];
  await zipFiles(files, { onFile: (done) => told.push(done) });
  assert.deepEqual(told, [1, 2, 3]);
  const controller = new AbortController();
  const work = zipFiles(files, { onFile: () => controller.abort(), signal: controller.signal });
  await assert.rejects(work, { name: "AbortError" });
});

test("a file that cannot be read, or too many, are refused by name", async (context) => {
  context.mock.method(console, "warn", () => {});
  const broken = { size: 1, stream: () => { throw new DOMException("gone", "NotFoundError"); } };
  const unreadable = zipFiles([{ path: "a/gone.tif", file: broken }]);
  await assert.rejects(unreadable, new ZipWriteError("zipUnreadable", "a/gone.tif"));
  const many = Array.from({ length: 65_535 }, (_, n) => ({ path: `${n}.tif`, file: broken }));
  await assert.rejects(zipFiles(many), new ZipWriteError("zipTooMany"));
});

/** @param {...string} paths */
const sorted = (...paths) => {
  const choice = sortChoice(choose(paths.map((path) => [path, "x"])));
  if ("tiffs" in choice) return [choice.tiffs.map(({ path }) => path), choice.leftOut];
  if ("refusal" in choice) return [choice.refusal, ...choice.names];
  return choice.leftOut.length ? [choice.zip.name, choice.leftOut] : choice.zip.name;
};

test("what was chosen is one zip, TIFFs, or told apart in words", () => {
  assert.equal(sorted("p.zip"), "p.zip");
  assert.equal(sorted("p.7z"), "p.7z"); // the check says what it is
  assert.equal(sorted("run/p.ZIP"), "run/p.ZIP");
  assert.equal(sorted("run/p.zip", "run/.DS_Store"), "run/p.zip");
  assert.deepEqual(sorted("a.tif"), [["a.tif"], []]);
  assert.deepEqual(sorted("r/a.tif", "r/s/b.TIFF", "r/.DS_Store", "r/log.txt", "r/Thumbs.db"),
    [["r/a.tif", "r/s/b.TIFF"], ["r/log.txt"]]);
  assert.deepEqual(sorted("a.zip", "b.zip"), ["twoZips", "a.zip", "b.zip"]);
  assert.deepEqual(sorted("a.zip", "b.tif"), ["zipAndTiffs", "a.zip"]);
  assert.deepEqual(sorted("r/a.png", "r/b.png"), ["noTiffs", "r/a.png", "r/b.png"]);
  assert.deepEqual(sorted("r/a.zip", "r/b.png"), ["r/a.zip", ["r/b.png"]]);
});

test("the zip is called after the folder", () => {
  assert.equal(nameZip(choose([["run7/a.tif", ""], ["run7/b.tif", ""]])), "run7.zip");
  assert.equal(nameZip(choose([["a.tif", ""], ["run7/b.tif", ""]])), "predictions.zip");
});
