// The desk's page of the task: fills the form from a sample archive, which stays in the browser.
import { describe, fillIn } from "../archive/messages.js";
import { ArchiveProblem, makeSafeProblem } from "../archive/problem.js";
import { required } from "../dom.js";
import { idsCsv, readSample } from "./sample.js";

const form = required(document, "form[data-task]", HTMLFormElement);
const box = required(form, "[data-sample]", HTMLElement);
const chosen = required(box, "[name=sample]", HTMLInputElement);
const button = required(box, "[data-read]", HTMLElement);
const told = required(box, "[data-told]", HTMLElement);
const words = required(box, "template", HTMLTemplateElement).dataset;
/** @type {CheckData} */
const data = JSON.parse(words.check ?? "{}");

/**
 * @param {string} text
 * @param {boolean} isProblem
 */
function tell(text, isProblem) {
  told.textContent = text;
  told.className = isProblem ? "note bad" : "note good";
  told.hidden = false;
}

/**
 * @param {string} name
 * @param {string | number} value
 */
function fill(name, value) {
  const field = form.elements.namedItem(name);
  if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) {
    field.value = String(value);
  }
}

/** @param {File} file */
async function read(file) {
  try {
    const found = await readSample(file, data);
    fill("patch_height_px", found.heightPx);
    fill("patch_width_px", found.widthPx);
    fill("prediction_name", found.predictionName);
    fill("prediction_pattern", found.pattern);
    fill("ids", idsCsv(found.ids));
    /** @type {Record<string, number>} */
    const values = { count: found.ids.length, height: found.heightPx, width: found.widthPx };
    tell(fillIn(words.found ?? "", (name) => values[name]), false);
  } catch (error) {
    if (error instanceof ArchiveProblem) {
      tell(describe(data, makeSafeProblem(error.toProblem())), true);
    } else {
      tell(words.unreadable ?? "", true);
    }
  }
}

// What is read here is not sent: the field has no name, and the button that sends it goes.
chosen.removeAttribute("name");
button.hidden = true;
chosen.addEventListener("change", () => {
  const [file] = chosen.files ?? [];
  if (file) void read(file);
  else told.hidden = true;
});
