import assert from "node:assert/strict";
import { test } from "node:test";

import { readRaster } from "../../challenge/static/js/archive/tiff.js";
import { makeTiff, READER } from "./make_files.js";

const FORM = { height: 2, width: 4 };
const DATA = { height_px: 2, width_px: 4, reader: READER };
const PIXELS = new Uint8Array([1, 1, 1, 1, 2, 2, 3, 3]);

/** @param {Uint8Array} data */
const refusal = (data) => {
  try {
    readRaster(data, DATA);
  } catch (error) {
    return [error.code, error.params];
  }
  return null;
};

test("pixels without compression", async () => {
  assert.deepEqual(readRaster(makeTiff(PIXELS, FORM), DATA).pixels, PIXELS);
});

test("packbits", async () => {
  const packed = new Uint8Array([0x100 - 3, 1, 3, 2, 2, 3, 3]); // a run of four, four as they are
  assert.deepEqual(readRaster(makeTiff(packed, { ...FORM, compression: 32773 }), DATA).pixels, PIXELS);
});

test("LZW", async () => {
  // codes of nine bits: clear, 1, 258 (1 1), 1, 2, 2, 3, 3, end
  const codes = [256, 1, 258, 1, 2, 2, 3, 3, 257];
  const bits = codes.map((code) => code.toString(2).padStart(9, "0")).join("").padEnd(88, "0");
  const packed = Uint8Array.from(bits.match(/.{8}/g), (byte) => parseInt(byte, 2));
  assert.deepEqual(readRaster(makeTiff(packed, { ...FORM, compression: 5 }), DATA).pixels, PIXELS);
});

test("deflate with horizontal differences", async () => {
  const { deflateSync } = await import("node:zlib");
  const packed = new Uint8Array(deflateSync(new Uint8Array([1, 0, 0, 0, 2, 0, 1, 0])));
  const data = makeTiff(packed, { ...FORM, compression: 8, tags: [[317, 2]] });
  assert.deepEqual(readRaster(data, DATA).pixels, PIXELS);
});

test("zstd is left to the server", async () => {
  const { pixels, codec } = readRaster(makeTiff(PIXELS, { ...FORM, compression: 50000 }), DATA);
  assert.deepEqual([pixels, codec], [null, "zstd"]);
});

test("another form is refused with what was found", () => {
  const size = (height, width) => ({
    height_px: height, width_px: width, expected_height_px: 2, expected_width_px: 4,
  });
  for (const [data, code, params] of [
    [makeTiff(PIXELS, { height: 4, width: 2 }), "raster-transposed", size(4, 2)],
    [makeTiff(PIXELS, { height: 1, width: 8 }), "raster-size", size(1, 8)],
    [makeTiff(PIXELS, { ...FORM, tags: [[277, 3]] }), "raster-bands", { count: 3 }],
    [makeTiff(PIXELS, { ...FORM, tags: [[258, 16]] }), "raster-type", { found: "uint16" }],
    [makeTiff(PIXELS, { ...FORM, tags: [[339, 3]] }), "raster-type", { found: "float8" }],
    [makeTiff(PIXELS, { ...FORM, compression: 7 }), "raster-codec", { codec: "JPEG" }],
    [new TextEncoder().encode("GIF89a"), "raster-not-tiff", { format: "GIF" }],
    [makeTiff(PIXELS, FORM).subarray(0, 30), "raster-truncated", { what: "a directory lies beyond the end" }],
    [makeTiff(PIXELS.subarray(1), FORM), "raster-structure", { what: "image data are missing" }],
    [makeTiff(PIXELS, { ...FORM, tags: [[266, 2]] }), "raster-structure", { what: "bits are stored in reverse order" }],
    [makeTiff(PIXELS, { ...FORM, compression: 8 }), "raster-undecodable", { what: "compressed data are damaged" }],
  ]) assert.deepEqual(refusal(data), [code, params]);
});
