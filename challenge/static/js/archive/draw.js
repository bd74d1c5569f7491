// Predictions as pictures, in the colours of the classes.
import { element } from "../dom.js";

const OPAQUE = 255;
const BEYOND_THE_CLASSES = [255, 255, 255, OPAQUE];

/**
 * Draw pixels in the class palette; values beyond the classes show in white.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array} pixels
 * @param {CheckData} data
 */
function draw(canvas, pixels, data) {
  canvas.width = data.width_px;
  canvas.height = data.height_px;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw");
  const palette = data.classes.map(
    ({ color }) => [...[1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)), OPAQUE],
  );
  const image = context.createImageData(data.width_px, data.height_px);
  pixels.forEach((value, at) => {
    image.data.set(palette[value] ?? BEYOND_THE_CLASSES, at * 4);
  });
  context.putImageData(image, 0, 0);
}

/**
 * One prediction with its id below it, as an item of a list.
 * @param {string} id
 * @param {Uint8Array} pixels
 * @param {CheckData} data
 */
export function drawFigure(id, pixels, data) {
  const canvas = element("canvas", { role: "img", ariaLabel: id });
  draw(canvas, pixels, data);
  return element("li", {},
    element("figure", {}, canvas, element("figcaption", { textContent: id })));
}
