// Twelve of a submission's own predictions, drawn from its archive by ranges, when asked.
import { draw, matchNames } from "./check.js";
import { readDirectory, readEntry } from "./zip.js";
import { readRaster } from "./tiff.js";

const SHOWN = 12;

/** A stored archive that reads like a File: `slice` asks the server for that range alone. */
class RemoteFile {
  constructor(url, size) {
    this.url = url;
    this.size = size;
  }

  slice(from, to) {
    const end = Math.min(to, this.size) - 1;
    const load = async () => {
      const answer = await fetch(this.url, { headers: { Range: `bytes=${from}-${end}` } });
      if (answer.status !== 206) throw new Error(`the archive answers ${answer.status}`);
      return answer.arrayBuffer();
    };
    return {
      arrayBuffer: load,
      stream: () => new ReadableStream({
        async start(controller) {
          controller.enqueue(new Uint8Array(await load()));
          controller.close();
        },
      }),
    };
  }
}

const box = document.querySelector("[data-looks]");
const button = box.querySelector("button");
const list = box.querySelector("ul");

async function show() {
  button.disabled = true;
  const rules = await (await fetch(box.dataset.check)).json();
  const file = new RemoteFile(box.dataset.looks, Number(box.dataset.size));
  const entries = await readDirectory(file, { maxEntries: 4 * rules.ids.length + 100 });
  const members = [...matchNames(entries, rules).members];
  const every = Math.max(1, Math.floor(members.length / SHOWN));
  for (const [id, entry] of members.filter((_, at) => at % every === 0).slice(0, SHOWN)) {
    const data = await readEntry(file, entry);
    const pixels = data && await readRaster(data, { height: rules.height_px, width: rules.width_px });
    if (!pixels) continue;
    const canvas = Object.assign(document.createElement("canvas"), { role: "img", ariaLabel: id });
    draw(canvas, pixels, rules);
    const caption = Object.assign(document.createElement("figcaption"), { textContent: id });
    const figure = document.createElement("figure");
    figure.append(canvas, caption);
    const item = document.createElement("li");
    item.append(figure);
    list.append(item);
  }
  button.hidden = true;
}

button.addEventListener("click", () => {
  show().catch((error) => {
    console.warn(error);
    button.disabled = false;
    box.querySelector("[data-looks-broken]").hidden = false;
  });
});
