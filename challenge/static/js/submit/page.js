// The submit page with scripts: check the chosen zip, show what was found, send it resumably.
// Without scripts the same form posts the file in one piece.
import { checkArchive } from "../archive/check.js";
import { ZipWriteError, zipFiles } from "../archive/zip_writer.js";
import { element, required } from "../dom.js";
import { listDroppedFiles, listFiles, nameZip, sortChoice } from "./choice.js";
import { renewCsrfToken, submitUpload } from "./hand_in.js";
import { makeReport } from "./report.js";
import { findUnfinishedUpload } from "./unfinished.js";
import { ArchiveUpload } from "./upload.js";
import { formatBytes, formatCount, say } from "./words.js";

const form = required(document, "[data-submit]", HTMLFormElement);
const fileInput = required(form, "input[name=archive]", HTMLInputElement);
const folderInput = required(form, "[data-folder]", HTMLInputElement);
const reportSection = required(form, "[data-report]", HTMLElement);
const reportBody = required(form, "[data-report-body]", HTMLElement);
const sendButton = required(form, "[data-send]", HTMLButtonElement);
const dropZone = required(form, "[data-drop]", HTMLElement);
const repeatField = required(form, "[data-again]", HTMLElement);
const unfinishedNote = required(form, "[data-stopped]", HTMLElement);
const progressPanel = required(form, "[data-progress]", HTMLElement);
const progressTitle = required(progressPanel, "h2", HTMLElement);
const progressBar = required(progressPanel, "[data-progress-bar]", HTMLProgressElement);
const statusText = required(form, "[data-progress-text]", HTMLElement);
const sendText = sendButton.textContent;
const progressTitleText = progressTitle.textContent;
const LEFT_OUT_SHOWN = 3;

/** @type {CheckData | null} */
let checkData = null;
/** The file that was chosen last: only its report is shown.
 * @type {File | null}
 */
let chosen = null;
/** Ends the zipping of what was chosen before.
 * @type {AbortController}
 */
let zipping = new AbortController();
/** What is told beside the report: the files that were left out of a zip made here. */
let leftOutText = "";
/** The file whose last byte arrived, and its upload's id.
 * @type {{file: File, id: string} | null}
 */
let arrived = null;
let signedOut = false;

/** @returns {Promise<CheckData>} */
async function loadCheckData() {
  checkData ??= await (await fetch(form.dataset.check ?? "")).json();
  return /** @type {CheckData} */ (checkData);
}

/** @param {File} file */
async function checkChosen(file) {
  chosen = file;
  const stage = element("p", { className: "muted" });
  reportBody.replaceChildren(stage, element("progress", { ariaLabel: say("reading") }));
  reportSection.hidden = false;
  try {
    const data = await loadCheckData();
    const report = await checkArchive(file, data, (name) => { stage.textContent = `${say(name)}…`; });
    if (chosen !== file) return;
    const good = report.problems.length === 0;
    reportBody.replaceChildren(...makeReport(report, data));
    if (leftOutText) reportBody.append(element("p", { className: "note", textContent: leftOutText }));
    sendButton.textContent = good ? sendText : say("anyway");
    sendButton.classList.toggle("quiet", !good);
  } catch (error) {
    console.error(error);
    if (chosen !== file) return;
    reportBody.replaceChildren(element("p", { textContent: say("broken") }));
  }
}

/**
 * Show where the upload or its submission stands; beside a final failure nothing moves any more.
 * @param {string} text
 * @param {{failed?: boolean, signIn?: boolean}} [how]
 */
function showStatus(text, { failed = false, signIn = false } = {}) {
  progressTitle.textContent = failed ? say("notSubmitted") : progressTitleText;
  progressBar.hidden = failed;
  statusText.className = failed ? "down" : "";
  statusText.textContent = text;
  if (signIn) {
    const href = form.dataset.login ?? "";
    statusText.append(" ", element("a", { href, target: "_blank", textContent: say("signIn") }));
  }
}

function allowAnotherTry() {
  sendButton.disabled = false;
  sendButton.hidden = false;
}

/** @param {File} file */
async function send(file) {
  sendButton.hidden = true;
  unfinishedNote.hidden = true;
  showStatus("");
  if (signedOut) await renewCsrfToken(form).catch((error) => console.warn(error));
  signedOut = false;
  const upload = new ArchiveUpload(form, file, {
    onFailed: (reason) => {
      signedOut = reason.signedOut;
      const message = signedOut ? say("signedOut") : reason.message;
      showStatus(message, { failed: true, signIn: signedOut });
      allowAnotherTry();
    },
    onSent: (id) => {
      arrived = { file, id };
      handIn(id);
    },
  });
  upload.start();
}

/**
 * Submit an upload that has arrived.
 * @param {string} id
 */
async function handIn(id) {
  sendButton.hidden = true;
  progressPanel.hidden = false;
  showStatus(say("sending"));
  try {
    const outcome = await submitUpload(form, id, () => showStatus(say("arrivedOffline")));
    if ("location" in outcome) {
      location.assign(outcome.location);
    } else if ("messages" in outcome) {
      showStatus([say("arrivedRefused"), ...outcome.messages].join(" "), { failed: true });
      repeatField.hidden = !outcome.repeated;
      allowAnotherTry();
    } else {
      showStatus(say("arrivedSignedOut"), { failed: true, signIn: true });
      allowAnotherTry();
    }
  } catch (error) {
    console.error(error);
    showStatus(say("arrivedRefused"), { failed: true });
    allowAnotherTry();
  }
}

/** Whoever comes back is told what was not sent to its end, and how to go on. */
async function tellOfUnfinishedUpload() {
  const upload = await findUnfinishedUpload(form.dataset.phase);
  if (!upload) return;
  const { name, sent, total } = upload;
  unfinishedNote.textContent = say("stopped", {
    name, done: formatBytes(sent), total: formatBytes(total),
  });
  unfinishedNote.hidden = false;
}

/**
 * Names for a sentence: the first, and how many more.
 * @param {string[]} names
 */
function listNames(names) {
  const shown = names.slice(0, LEFT_OUT_SHOWN).join(", ");
  const more = names.length - LEFT_OUT_SHOWN;
  return more > 0 ? `${shown} ${say("alike", { count: formatCount(more) })}` : shown;
}

/** Put a file into the form's field, where sending takes it from; none empties it.
 * @param {File} [file]
 */
function setFile(file) {
  const transfer = new DataTransfer();
  if (file) transfer.items.add(file);
  fileInput.files = transfer.files;
}

/** Say in place of a report why nothing can be sent.
 * @param {string} text
 */
function refuseChoice(text) {
  chosen = null;
  setFile();
  reportBody.replaceChildren(element("div", { className: "note bad" }, element("p", { textContent: text })));
  reportSection.hidden = false;
  sendButton.disabled = false;
}

/** Take what was chosen or dropped: a zip as it is, TIFFs as a zip made here.
 * @param {ChosenFile[]} files
 */
async function takeFiles(files) {
  zipping.abort();
  zipping = new AbortController();
  leftOutText = "";
  if (!files.length) return;
  const choice = sortChoice(files);
  if ("refusal" in choice) {
    refuseChoice(say(choice.refusal, { names: listNames(choice.names) }));
    return;
  }
  const { leftOut } = choice;
  leftOutText = leftOut.length
    ? say("leftOut", { count: formatCount(leftOut.length), names: listNames(leftOut) }) : "";
  if ("zip" in choice) {
    if (fileInput.files?.[0] !== choice.zip || fileInput.files.length > 1) setFile(choice.zip);
    await checkChosen(choice.zip);
  } else {
    await zipChosen(choice.tiffs, zipping.signal);
  }
}

/**
 * @param {ChosenFile[]} tiffs
 * @param {AbortSignal} signal
 */
async function zipChosen(tiffs, signal) {
  chosen = null;
  setFile();
  sendButton.disabled = true;
  const total = formatCount(tiffs.length);
  const stage = element("p", { className: "muted" });
  const bar = element("progress", { max: tiffs.length, value: 0, ariaLabel: say("zippingBar") });
  reportBody.replaceChildren(stage, bar);
  reportSection.hidden = false;
  /** @param {number} done */
  const onFile = (done) => {
    bar.value = done;
    stage.textContent = say("zipping", { done: formatCount(done), total });
  };
  onFile(0);
  try {
    const zip = await zipFiles(tiffs, { onFile, signal });
    // the newest file's date: the same files make the same archive, whose upload can go on
    const lastModified = Math.max(...tiffs.map(({ file }) => file.lastModified));
    const file = new File([zip], nameZip(tiffs), { type: "application/zip", lastModified });
    setFile(file);
    sendButton.disabled = false;
    await checkChosen(fileInput.files?.[0] ?? file);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof ZipWriteError)) throw error;
    refuseChoice(say(error.code, { name: error.file }));
  }
}

/** Dropped files are taken in the drop zone; beside it nothing leaves the page for them. */
function acceptDroppedFiles() {
  for (const name of /** @type {const} */ (["dragover", "dragleave", "drop"])) {
    window.addEventListener(name, (event) => {
      const { dataTransfer, target } = event;
      if (!dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      const isInside = target instanceof Node && dropZone.contains(target);
      if (!isInside) dataTransfer.dropEffect = "none";
      dropZone.classList.toggle("over", name === "dragover" && isInside);
      if (name !== "drop" || !isInside) return;
      listDroppedFiles(dataTransfer).then(takeFiles).catch((error) => {
        console.warn(error);
        refuseChoice(say("broken"));
      });
    });
  }
}

fileInput.required = true;
fileInput.multiple = true;
fileInput.accept += ",.tif,.tiff";
fileInput.addEventListener("change", () => takeFiles(listFiles(fileInput.files ?? [])));
folderInput.addEventListener("change", () => takeFiles(listFiles(folderInput.files ?? [])));
form.addEventListener("submit", (event) => {
  const pressed = event.submitter;
  if (pressed instanceof HTMLButtonElement && pressed.name === "upload") {
    event.preventDefault();
    handIn(pressed.value);
    return;
  }
  const file = fileInput.files?.[0];
  if (!file) return;
  event.preventDefault();
  // what was refused or cut off after its last byte is not sent twice
  if (arrived?.file === file) handIn(arrived.id);
  else send(file);
});
// A page restored from the browser's memory shows the quota and the form of before.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
acceptDroppedFiles();
// a help: sending does not depend on it
tellOfUnfinishedUpload().catch((error) => console.warn(error));
takeFiles(listFiles(fileInput.files ?? [])); // a browser may restore the choice when one comes back
