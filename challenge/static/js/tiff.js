// Just enough TIFF to look at a prediction: one band of 8 bits, strips or tiles, no codec, LZW,
// deflate or packbits, predictors 1 and 2. Source: TIFF 6.0 and its supplement.

export class TiffProblem extends Error {
  constructor(code, params = {}) {
    super(code);
    this.code = code;
    this.params = params;
  }
}

const SIZES = { 1: 1, 3: 2, 4: 4, 16: 8 };
const CODECS = { 1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits", 50000: "zstd" };
const NAMES = { 6: "old JPEG", 7: "JPEG", 33003: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50001: "WebP" };
const KINDS = { 1: "uint", 2: "int", 3: "float" };

function tagsOf(view) {
  const mark = view.byteLength >= 4 ? String.fromCharCode(view.getUint8(0), view.getUint8(1)) : "";
  const little = mark === "II";
  if (!little && mark !== "MM") throw new TiffProblem("raster-not-tiff", { format: "unknown" });
  const magic = view.getUint16(2, little);
  if (magic !== 42 && magic !== 43) throw new TiffProblem("raster-not-tiff", { format: "unknown" });
  const big = magic === 43;
  const long = (at) => (big ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little));
  const start = big ? long(8) : view.getUint32(4, little);
  const count = big ? Number(view.getBigUint64(start, little)) : view.getUint16(start, little);
  const [entry, inline] = big ? [20, 8] : [12, 4];
  const tags = new Map();
  for (let i = 0; i < Math.min(count, 256); i += 1) {
    const at = start + (big ? 8 : 2) + i * entry;
    const kind = view.getUint16(at + 2, little);
    const size = SIZES[kind];
    if (!size) continue;
    const n = big ? Number(view.getBigUint64(at + 4, little)) : view.getUint32(at + 4, little);
    const from = at + (big ? 12 : 8);
    const where = n * size <= inline ? from : long(from);
    const values = [];
    for (let k = 0; k < n; k += 1) {
      const place = where + k * size;
      values.push(size === 1 ? view.getUint8(place) : size === 2 ? view.getUint16(place, little)
        : size === 4 ? view.getUint32(place, little) : Number(view.getBigUint64(place, little)));
    }
    tags.set(view.getUint16(at, little), values);
  }
  return tags;
}

/** Pixels uint8[height × width] of a prediction; null where its codec is beyond the browser.
 *  Throws TiffProblem with a code of the catalogue. */
export async function readRaster(data, { height, width }) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let tags;
  try {
    tags = tagsOf(view);
  } catch (error) {
    if (error instanceof RangeError) throw new TiffProblem("raster-not-tiff", { format: "unknown" });
    throw error;
  }
  const one = (tag, otherwise) => tags.get(tag)?.[0] ?? otherwise;
  const bands = Math.max(one(277, 1), tags.get(258)?.length ?? 1);
  if (bands !== 1) throw new TiffProblem("raster-bands", { count: bands });
  const [bits, kind] = [one(258, 1), one(339, 1)];
  if (bits !== 8 || kind !== 1) {
    throw new TiffProblem("raster-type", { found: `${KINDS[kind] ?? "format "}${bits}` });
  }
  const [w, h] = [one(256, 0), one(257, 0)];
  if (w !== width || h !== height) {
    const turned = h === width && w === height;
    throw new TiffProblem(turned ? "raster-transposed" : "raster-size", {
      height_px: h, width_px: w, expected_height_px: height, expected_width_px: width,
    });
  }
  const compression = one(259, 1);
  const codec = CODECS[compression];
  if (!codec) throw new TiffProblem("raster-codec", { codec: NAMES[compression] ?? `codec ${compression}` });
  if (codec === "zstd") return null;
  const tiled = tags.has(324);
  const blockWidth = tiled ? one(322, width) : width;
  const blockHeight = tiled ? one(323, height) : Math.min(one(278, height), height);
  const offsets = tags.get(tiled ? 324 : 273) ?? [];
  const sizes = tags.get(tiled ? 325 : 279) ?? [];
  const across = Math.ceil(width / blockWidth);
  const pixels = new Uint8Array(height * width);
  for (let i = 0; i < offsets.length; i += 1) {
    const packed = data.subarray(offsets[i], offsets[i] + sizes[i]);
    const rows = tiled ? blockHeight : Math.min(blockHeight, height - i * blockHeight);
    const block = await unpack(packed, codec, rows * blockWidth);
    if (one(317, 1) === 2 && codec !== "none" && codec !== "packbits") {
      for (let y = 0; y < rows; y += 1) {
        for (let x = 1; x < blockWidth; x += 1) block[y * blockWidth + x] += block[y * blockWidth + x - 1];
      }
    }
    const [top, left] = [Math.floor(i / across) * blockHeight, (i % across) * blockWidth];
    for (let y = 0; y < rows && top + y < height; y += 1) {
      const line = block.subarray(y * blockWidth, y * blockWidth + Math.min(blockWidth, width - left));
      pixels.set(line, (top + y) * width + left);
    }
  }
  return pixels;
}

async function unpack(packed, codec, length) {
  if (codec === "none") return packed.slice(0, length);
  if (codec === "packbits") return packbits(packed, length);
  if (codec === "lzw") return lzw(packed, length);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer()).subarray(0, length);
}

function packbits(packed, length) {
  const out = new Uint8Array(length);
  let [at, to] = [0, 0];
  while (at < packed.length && to < length) {
    const n = (packed[at] << 24) >> 24;
    at += 1;
    if (n >= 0) {
      out.set(packed.subarray(at, Math.min(at + n + 1, at + length - to)), to);
      at += n + 1;
      to += n + 1;
    } else if (n !== -128) {
      out.fill(packed[at], to, to + 1 - n);
      at += 1;
      to += 1 - n;
    }
  }
  return out;
}

function lzw(packed, length) {
  const out = new Uint8Array(length);
  const [starts, lengths] = [new Int32Array(4096), new Int32Array(4096)];
  let [bits, held, at, to, width, next, previous] = [0, 0, 0, 0, 9, 258, -1];
  while (to < length) {
    while (bits < width && at < packed.length) {
      held = ((held << 8) | packed[at]) >>> 0;
      at += 1;
      bits += 8;
    }
    if (bits < width) break;
    const code = (held >>> (bits - width)) & ((1 << width) - 1);
    bits -= width;
    held &= (1 << bits) - 1;
    if (code === 257) break;
    if (code === 256) {
      [width, next, previous] = [9, 258, -1];
      continue;
    }
    const from = to;
    if (code < 256) {
      out[to] = code;
      to += 1;
    } else if (previous >= 0 && code <= next) {
      // a code that is just being made repeats the one before and its own first byte
      const [start, size] = code < next ? [starts[code], lengths[code]]
        : [previous, from - previous + 1];
      for (let k = 0; k < size && to < length; k += 1) {
        out[to] = out[start + k];
        to += 1;
      }
    } else break;
    if (previous >= 0 && next < 4096) {
      starts[next] = previous;
      lengths[next] = from - previous + 1;
      next += 1;
    }
    previous = from;
    if (next >= 4095) width = 12;
    else if (next >= 2047) width = 12;
    else if (next >= 1023) width = 11;
    else if (next >= 511) width = 10;
    else width = 9;
  }
  return out;
}
