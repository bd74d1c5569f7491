import assert from "node:assert/strict";
import { test } from "node:test";

import { idsCsv, inferPattern, readSample } from "../../challenge/static/js/desk/sample.js";
import { makeTiff, makeZip, READER } from "./make_files.js";

const DATA = { example: "PRED_000001.tif", reader: READER };
const raster = makeTiff(new Uint8Array(6), { height: 2, width: 3 });

test("ids are found in names, and a pattern for them", () => {
  assert.deepEqual(inferPattern(["PRED_061714", "PRED_061720"]), {
    head: "PRED_", tail: "", ids: ["061714", "061720"], pattern: "PRED_(?P<id>[0-9]{6})",
  });
  const site = inferPattern(["SITE-A_r00_c00", "SITE-A_r00_c01"]);
  assert.deepEqual([site.head, site.tail], ["", ""]);
  assert.equal(inferPattern(["a_1_mask", "a_22_mask"]).pattern,
    "a_(?P<id>[A-Za-z0-9][A-Za-z0-9_.-]{0,127})_mask");
  assert.deepEqual(inferPattern(["PRED_"]).ids, ["PRED_"]);
});

test("size, name, pattern and ids are read from a sample", async () => {
  const file = makeZip([
    { name: "out/" }, { name: "out/PRED_002.tif", data: raster },
    { name: "out/PRED_001.tif", data: raster }, { name: "out/readme.txt" },
  ]);
  const found = await readSample(file, DATA);
  assert.deepEqual(found, {
    heightPx: 2, widthPx: 3, pattern: "PRED_(?P<id>[0-9]{3})", predictionName: "PRED_{id}.tif",
    ids: ["001", "002"],
  });
  assert.equal(idsCsv(found.ids), "domain,zone,patch\n,,001\n,,002\n");
});

test("what is no sample is refused with the codes of submissions", async () => {
  const code = async (/** @type {Blob} */ file) => {
    try {
      await readSample(file, DATA);
    } catch (error) {
      return [error.code, error.file];
    }
    return null;
  };
  assert.deepEqual(await code(new Blob(["x".repeat(60)])), ["archive-not-zip", undefined]);
  assert.deepEqual(await code(makeZip([{ name: "a.txt" }])), ["archive-no-entries", undefined]);
  const text = makeZip([{ name: "PRED_1.tif", data: new TextEncoder().encode("no raster") }]);
  assert.equal((await code(text))?.[1], "PRED_1.tif");
});
