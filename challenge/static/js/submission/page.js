// Twelve of a submission's own predictions, drawn from its stored archive when asked.
import { readMembers, readPrediction, spread } from "../archive/check.js";
import { drawFigure } from "../archive/draw.js";
import { matchNames } from "../archive/names.js";
import { required } from "../dom.js";
import { RemoteFile } from "./remote_file.js";

const DRAWN = 12;

const section = required(document, "[data-looks]", HTMLElement);
const button = required(section, "button", HTMLButtonElement);
const list = required(section, "ul", HTMLUListElement);
const broken = required(section, "[data-looks-broken]", HTMLElement);
const { looks: archiveUrl = "", size = "", check: checkUrl = "" } = section.dataset;

async function drawPredictions() {
  button.disabled = true;
  /** @type {CheckData} */
  const data = await (await fetch(checkUrl)).json();
  const file = new RemoteFile(archiveUrl, Number(size));
  const { members } = await readMembers(file, data);
  const { matched } = matchNames(members, data);
  for (const [id, member] of spread([...matched], DRAWN)) {
    const { pixels } = await readPrediction(file, member, data);
    if (pixels) list.append(drawFigure(id, pixels, data));
  }
  button.hidden = true;
}

button.addEventListener("click", () => {
  drawPredictions().catch((error) => {
    console.warn(error);
    button.disabled = false;
    broken.hidden = false;
  });
});
