// Pictures of a patch: one zoom for all of a row, and a slider that lays one over the image.
import { required } from "../dom.js";

const STEP = 5; // per cent of the picture that an arrow key moves by

/** @param {HTMLElement} patch */
function start(patch) {
  const row = required(patch, "[data-row]", HTMLElement);
  const zoom = required(patch, "[data-zoom]", HTMLInputElement);
  const cover = required(patch, "[data-cover]", HTMLInputElement);
  const layer = required(patch, "[data-layer]", HTMLSelectElement);
  const frame = required(patch, '[data-kind="image"]', HTMLElement);
  const over = document.createElement("img");
  over.alt = ""; // the same picture stands beside it, with its words
  over.className = "patch-over";
  const center = { x: 50, y: 50 };

  row.tabIndex = 0;
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", row.dataset.hint ?? "");

  function showZoom() {
    row.toggleAttribute("data-zoomed", Number(zoom.value) > 1);
    for (const picture of row.querySelectorAll("img")) {
      picture.style.transformOrigin = `${center.x}% ${center.y}%`;
      picture.style.transform = `scale(${zoom.value})`;
    }
    showCover();
  }

  // The edge stands still on the screen: what it cuts of the picture depends on the zoom.
  function showCover() {
    const scale = Number(zoom.value);
    const edge = center.x + (Number(cover.value) - center.x) / scale;
    over.style.clipPath = `inset(0 ${100 - edge}% 0 0)`;
    over.hidden = Number(cover.value) === 0;
  }

  function showLayer() {
    const chosen = required(row, `[data-kind="${layer.value}"] img`, HTMLImageElement);
    over.src = chosen.src;
    if (!over.isConnected) frame.append(over);
    showZoom();
  }

  /** @param {number} x @param {number} y */
  function move(x, y) {
    center.x = Math.min(100, Math.max(0, x));
    center.y = Math.min(100, Math.max(0, y));
    showZoom();
  }

  zoom.addEventListener("input", showZoom);
  cover.addEventListener("input", showLayer);
  layer.addEventListener("change", showLayer);
  row.addEventListener("pointermove", (event) => {
    const under = event.target instanceof Element ? event.target.closest(".patch-frame") : null;
    if (!under || Number(zoom.value) === 1) return;
    const box = under.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 100;
    move(x, ((event.clientY - box.top) / box.height) * 100);
  });
  row.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const step = Object.entries(steps).find(([key]) => key === event.key)?.[1];
    if (!step || Number(zoom.value) === 1) return;
    event.preventDefault();
    move(center.x + (step[0] ?? 0), center.y + (step[1] ?? 0));
  });
}

for (const patch of document.querySelectorAll("[data-patch]")) {
  if (patch instanceof HTMLElement) start(patch);
}
