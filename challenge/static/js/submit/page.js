// The submit page with scripts: check the chosen zip, show what was found, send it resumably.
// Without scripts the same form posts the file in one piece.
import { checkArchive } from "../archive/check.js";
import { element, required } from "../dom.js";
import { renewCsrfToken, submitUpload } from "./hand_in.js";
import { makeReport } from "./report.js";
import { findUnfinishedUpload } from "./unfinished.js";
import { ArchiveUpload } from "./upload.js";
import { formatBytes, say } from "./words.js";

const form = required(document, "[data-submit]", HTMLFormElement);
const fileInput = required(form, "input[type=file]", HTMLInputElement);
const reportSection = required(form, "[data-report]", HTMLElement);
const reportBody = required(form, "[data-report-body]", HTMLElement);
const sendButton = required(form, "[data-send]", HTMLButtonElement);
const dropZone = required(form, "[data-drop]", HTMLElement);
const unfinishedNote = required(form, "[data-stopped]", HTMLElement);
const progressPanel = required(form, "[data-progress]", HTMLElement);
const progressTitle = required(progressPanel, "h2", HTMLElement);
const progressBar = required(progressPanel, "[data-progress-bar]", HTMLProgressElement);
const statusText = required(form, "[data-progress-text]", HTMLElement);
const sendText = sendButton.textContent;
const progressTitleText = progressTitle.textContent;

/** @type {CheckData | null} */
let checkData = null;
/** The file that was chosen last: only its report is shown.
 * @type {File | null}
 */
let chosen = null;
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

function checkFirstFile() {
  const file = fileInput.files?.[0];
  if (file) checkChosen(file);
}

function acceptDroppedFiles() {
  for (const name of /** @type {const} */ (["dragover", "dragleave", "drop"])) {
    dropZone.addEventListener(name, (event) => {
      event.preventDefault();
      dropZone.classList.toggle("over", name === "dragover");
      const files = event.dataTransfer?.files;
      if (name === "drop" && files?.length) {
        fileInput.files = files;
        checkFirstFile();
      }
    });
  }
}

fileInput.required = true;
fileInput.addEventListener("change", checkFirstFile);
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
checkFirstFile(); // a browser may restore the choice when one comes back
