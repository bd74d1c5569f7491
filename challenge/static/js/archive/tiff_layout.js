// What a TIFF says about itself, checked in the server's order before its pixels are read.
// Source: TIFF 6.0 and its supplement.
import { ArchiveProblem } from "./problem.js";
import { bad, cut, readTags, singleValue, TAG } from "./tiff_directory.js";
import { CODECS } from "./tiff_codecs.js";

const MAX_BLOCK_SIDE_PX = 1024;
const TILE_STEP_PX = 16;
const UNCOMPRESSED = 1;
const PREDICTED_CODECS = ["lzw", "deflate", "zstd"];
const TILE_TAGS = [TAG.tileWidth, TAG.tileHeight, TAG.tileOffsets, TAG.tileBytes];
const STRIP_TAGS = [TAG.stripOffsets, TAG.stripBytes];
// 0 (inverted grey), 1 (grey), 3 (palette)
const PHOTOMETRICS = [0, 1, 3];

/** @typedef {import("./tiff_directory.js").Tags} Tags */

/**
 * Where the pixels of the one full-resolution image are and how they are coded.
 * @param {Uint8Array} bytes the whole file
 * @param {CheckData} data
 * @returns {TiffLayout}
 * @throws {ArchiveProblem} with a code of the catalogue
 */
export function readLayout(bytes, data) {
  const { height_px: wantedHeight, width_px: wantedWidth, reader } = data;
  const tiles = Math.ceil(wantedHeight / TILE_STEP_PX) * Math.ceil(wantedWidth / TILE_STEP_PX);
  const tags = readTags(bytes, Math.max(wantedHeight, tiles), reader);
  const [width, height] = [singleValue(tags, TAG.width), singleValue(tags, TAG.height)];
  checkPixelType(tags, reader);
  checkSize(height, width, wantedHeight, wantedWidth);
  const { codec, predicted } = readCoding(tags, reader);
  const hasDisplayHint = checkInterpretation(tags, reader);
  const { tiled, blockHeight, blockWidth } = readBlockSize(tags, height, width);
  const offsets = tags.get(tiled ? TAG.tileOffsets : TAG.stripOffsets);
  const sizes = tags.get(tiled ? TAG.tileBytes : TAG.stripBytes);
  if (!offsets || !sizes) throw bad("a required tag is missing");
  const blocks = Math.ceil(height / blockHeight) * Math.ceil(width / blockWidth);
  if (offsets.length !== blocks || sizes.length !== blocks) {
    throw bad("the number of strips or tiles is wrong");
  }
  checkPositions(offsets, sizes, bytes.length);
  if (codec === "none") {
    const lastRows = tiled ? blockHeight : height - (blocks - 1) * blockHeight;
    const isShort = sizes.some((size, number) => (
      size < (number === blocks - 1 ? lastRows : blockHeight) * blockWidth));
    if (isShort) throw bad("image data are missing");
  }
  return { codec, predicted, tiled, blockHeight, blockWidth, offsets, sizes, hasDisplayHint };
}

/**
 * One band of uint8.
 * @param {Tags} tags
 * @param {CheckData["reader"]} reader
 */
function checkPixelType(tags, reader) {
  const samples = singleValue(tags, TAG.samples, 1);
  if (samples !== 1) throw new ArchiveProblem("raster-bands", { count: samples });
  if ((tags.get(TAG.extraSamples)?.length ?? 0) > samples) throw bad("a tag has a wrong type or count");
  const [bits, format] = [singleValue(tags, TAG.bits, 1), singleValue(tags, TAG.sampleFormat, 1)];
  if (bits !== 8 || format !== 1) {
    const name = reader.sample_formats[format] ?? `format ${format}, `;
    throw new ArchiveProblem("raster-type", { found: `${name}${bits}` });
  }
}

/**
 * @param {number} height
 * @param {number} width
 * @param {number} wantedHeight
 * @param {number} wantedWidth
 */
function checkSize(height, width, wantedHeight, wantedWidth) {
  if (height === wantedHeight && width === wantedWidth) return;
  const transposed = width === wantedHeight && height === wantedWidth;
  throw new ArchiveProblem(transposed ? "raster-transposed" : "raster-size", {
    height_px: height, width_px: width,
    expected_height_px: wantedHeight, expected_width_px: wantedWidth,
  });
}

/**
 * @param {Tags} tags
 * @param {CheckData["reader"]} reader
 */
function readCoding(tags, reader) {
  const compression = singleValue(tags, TAG.compression, UNCOMPRESSED);
  const codec = CODECS[compression];
  if (!codec) {
    const name = reader.codecs[compression] ?? `codec ${compression}`;
    throw new ArchiveProblem("raster-codec", { codec: name });
  }
  const predictor = singleValue(tags, TAG.predictor, 1);
  if (predictor !== 1 && predictor !== 2) {
    throw new ArchiveProblem("raster-predictor", { value: predictor });
  }
  return { codec, predicted: predictor === 2 && PREDICTED_CODECS.includes(codec) };
}

/**
 * Whether the tags ask for another display than of the stored values, which is ignored.
 * @param {Tags} tags
 * @param {CheckData["reader"]} reader
 */
function checkInterpretation(tags, reader) {
  const photometric = singleValue(tags, TAG.photometric, 1);
  if (!PHOTOMETRICS.includes(photometric)) {
    const found = reader.photometrics[photometric] ?? `model ${photometric}`;
    throw new ArchiveProblem("raster-photometric", { found });
  }
  if (singleValue(tags, TAG.fillOrder, 1) !== 1) throw bad("bits are stored in reverse order");
  if (![1, 2].includes(singleValue(tags, TAG.planar, 1))) throw bad("a tag has a wrong type or count");
  return photometric === 0 || singleValue(tags, TAG.orientation, 1) !== 1;
}

/**
 * Whether blocks are tiles, and their height and width in pixels, within the limits.
 * @param {Tags} tags
 * @param {number} height
 * @param {number} width
 */
function readBlockSize(tags, height, width) {
  const tiled = TILE_TAGS.some((tag) => tags.has(tag));
  if (tiled && STRIP_TAGS.some((tag) => tags.has(tag))) throw bad("strips and tiles are mixed");
  const blockWidth = tiled ? singleValue(tags, TAG.tileWidth) : width;
  const blockHeight = tiled
    ? singleValue(tags, TAG.tileHeight)
    : Math.min(singleValue(tags, TAG.rowsPerStrip, height), height);
  if (Math.min(blockWidth, blockHeight) < 1) throw bad("a tag has a wrong type or count");
  if (tiled && (blockWidth % TILE_STEP_PX || blockHeight % TILE_STEP_PX)) {
    throw bad("a tile's sides are not multiples of 16 pixels");
  }
  const isLong = tiled && Math.max(blockWidth, blockHeight) > MAX_BLOCK_SIDE_PX;
  if (isLong || blockWidth * blockHeight > MAX_BLOCK_SIDE_PX ** 2) {
    throw new ArchiveProblem("raster-block", { height_px: blockHeight, width_px: blockWidth });
  }
  return { tiled, blockHeight, blockWidth };
}

/**
 * Every block has bytes of its own within the file.
 * @param {number[]} offsets
 * @param {number[]} sizes
 * @param {number} fileBytes
 */
function checkPositions(offsets, sizes, fileBytes) {
  if (sizes.includes(0) || Math.min(...offsets) < 8) throw bad("image data are missing");
  const blocks = offsets.map((offset, number) => [offset, sizes[number]])
    .sort(([a, sizeOfA], [b, sizeOfB]) => a - b || sizeOfA - sizeOfB);
  let end = 0;
  for (const [offset, size] of blocks) {
    if (offset < end) throw bad("image data overlap");
    end = offset + size;
  }
  if (end > fileBytes) throw cut("image data lie beyond the end");
}
