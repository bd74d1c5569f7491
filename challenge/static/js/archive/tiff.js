// The pixels of a prediction: one band of 8 bits, strips or tiles, no codec, LZW, deflate or
// packbits, predictors 1 and 2. Source: TIFF 6.0 and its supplement.
import { ArchiveProblem } from "./problem.js";
import { readLayout } from "./tiff_layout.js";
import { findUnreadable, unpack } from "./tiff_codecs.js";

/**
 * Undo the predictor in place: each value was written as its difference to the one at its left.
 * @param {Uint8Array} block
 * @param {number} rows
 * @param {number} rowWidth
 */
function addDifferences(block, rows, rowWidth) {
  for (let y = 0; y < rows; y += 1) {
    for (let x = 1; x < rowWidth; x += 1) block[y * rowWidth + x] += block[y * rowWidth + x - 1];
  }
}

/**
 * Read a prediction. Its pixels are null where the browser cannot decode them; `codec` names why.
 * @param {Uint8Array} bytes the file's
 * @param {CheckData} data
 * @returns {Raster}
 * @throws {ArchiveProblem} with a code of the catalogue
 */
export function readRaster(bytes, data) {
  const { height_px: height, width_px: width } = data;
  const { codec, predicted, tiled, blockHeight, blockWidth, offsets, sizes, hasDisplayHint } = (
    readLayout(bytes, data));
  const blocks = offsets.map((offset, number) => bytes.subarray(offset, offset + sizes[number]));
  const unreadable = findUnreadable(codec, blocks);
  if (unreadable) return { pixels: null, codec: unreadable, hasDisplayHint };
  const across = Math.ceil(width / blockWidth);
  const pixels = new Uint8Array(height * width);
  for (const [number, packed] of blocks.entries()) {
    const top = Math.floor(number / across) * blockHeight;
    const left = (number % across) * blockWidth;
    const rows = tiled ? blockHeight : Math.min(blockHeight, height - top);
    const block = unpack(packed, codec, rows * blockWidth, blockHeight * blockWidth);
    if (!block) throw new ArchiveProblem("raster-undecodable", { what: "compressed data are damaged" });
    if (predicted) addDifferences(block, rows, blockWidth);
    for (let y = 0; y < rows && top + y < height; y += 1) {
      const from = y * blockWidth;
      const row = block.subarray(from, from + Math.min(blockWidth, width - left));
      pixels.set(row, (top + y) * width + left);
    }
  }
  return { pixels, codec, hasDisplayHint };
}
