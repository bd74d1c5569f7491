// The desk's page of labels: seals the chosen zip here, sends it in pieces, then posts the form.
import { required } from "../dom.js";
import { formatBytes, say } from "../submit/words.js";
import { fingerprint, fromBase64, isSealed, isZip, sealFile } from "./seal.js";

const CHUNK_BYTES = 8 * 2 ** 20;
const RETRY_DELAYS_MS = [0, 1000, 3000, 5000, ...Array(60).fill(10_000)];
const PROGRESS_STEPS = 1000;
const FINGERPRINT = /^[0-9a-f]{64}$/;

const form = required(document, "[data-seal]", HTMLFormElement);
const chosen = required(form, "[name=masks]", HTMLInputElement);
const button = required(form, "[data-send]", HTMLButtonElement);
const status = required(form, "[data-status]", HTMLElement);
const bar = required(form, "[data-progress-bar]", HTMLProgressElement);
const text = required(form, "[data-progress-text]", HTMLElement);
const phase = required(form, "[name=phase]", HTMLSelectElement);
const recovery = required(form, "[name=recovery]", HTMLInputElement);

/** What to tell the owner: a sentence of the page's, by its name. */
class Told extends Error {}

/** @param {string} message */
function tell(message) {
  status.textContent = message;
  status.hidden = !message;
}

/** The key that the owner typed, or none. */
async function recoveryKey() {
  const typed = recovery.value.trim();
  if (!typed) return [];
  try {
    const key = fromBase64(typed);
    await crypto.subtle.importKey("raw", key, { name: "ECDH", namedCurve: "P-256" }, false, []);
    return [key];
  } catch {
    throw new Told("badRecovery");
  }
}

/**
 * What is to be sent: the chosen file where it is sealed, else sealed as it is read.
 * @param {File} file
 */
async function prepare(file) {
  if (await isSealed(file)) {
    return { size: file.size, read: async (from = 0, to = 0) =>
      new Uint8Array(await file.slice(from, to).arrayBuffer()) };
  }
  if (!(await isZip(file))) throw new Told("notZip");
  const worker = fromBase64(form.dataset.key ?? "");
  const wanted = form.dataset.fingerprint ?? "";
  if (!FINGERPRINT.test(wanted) || (await fingerprint(worker)) !== wanted) throw new Told("badKey");
  const recipients = [worker, ...(await recoveryKey())];
  const { challenge = "", uploader = "" } = form.dataset;
  return sealFile(file, { challenge, phase: phase.value, uploader, recipients });
}

/**
 * Send bytes that are made as they are asked for; the upload's id.
 * @param {{size: number, read: (from: number, to: number) => Promise<Uint8Array<ArrayBuffer>>}} source
 * @param {string} name
 * @returns {Promise<string>}
 */
function send(source, name) {
  const token = required(form, "[name=csrfmiddlewaretoken]", HTMLInputElement).value;
  return new Promise((resolve, reject) => {
    const transfer = new tus.Upload(new Blob([]), {
      endpoint: form.dataset.uploads,
      chunkSize: CHUNK_BYTES,
      uploadSize: source.size,
      retryDelays: RETRY_DELAYS_MS,
      storeFingerprintForResuming: false, // the key is gone with the page
      metadata: {
        filename: name,
        purpose: "labels",
        phase: `${form.dataset.challenge}/${phase.value}`,
      },
      headers: { "X-CSRFToken": token },
      fileReader: {
        openFile: async () => ({
          size: source.size,
          slice: async (from, to) => {
            const value = new Blob([await source.read(from, to)]);
            return { value, size: value.size, done: to >= source.size };
          },
          close: () => {},
        }),
      },
      onProgress: (sent) => {
        bar.value = Math.round((sent / source.size) * PROGRESS_STEPS);
        text.textContent = `${formatBytes(sent)} / ${formatBytes(source.size)}`;
      },
      onError: reject,
      onSuccess: () => resolve((transfer.url ?? "").replace(/\/$/, "").split("/").pop() ?? ""),
    });
    transfer.start();
  });
}

/** @param {unknown} error */
function explain(error) {
  if (error instanceof Told) return say(error.message);
  console.warn(error);
  if (error instanceof Error && "originalResponse" in error) {
    const answer = /** @type {UploadError} */ (error).originalResponse?.getBody();
    try {
      const { page, detail } = JSON.parse(answer ?? "");
      return page ?? detail ?? say("lost");
    } catch {
      return say("lost");
    }
  }
  return say(error instanceof DOMException ? "unreadable" : "lost");
}

/** @param {Event} event */
const askBeforeLeaving = (event) => event.preventDefault();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = chosen.files?.[0];
  if (!file) return tell(say("none"));
  button.disabled = true;
  tell("");
  required(form, "[data-progress]", HTMLElement).hidden = false;
  window.addEventListener("beforeunload", askBeforeLeaving);
  try {
    const id = await send(await prepare(file), file.name);
    window.removeEventListener("beforeunload", askBeforeLeaving);
    required(form, "[name=upload]", HTMLInputElement).value = id;
    // Never with the form, which the server would get as it is.
    chosen.disabled = true;
    recovery.disabled = true;
    form.submit();
  } catch (error) {
    window.removeEventListener("beforeunload", askBeforeLeaving);
    tell(explain(error));
    button.disabled = false;
  }
});

// Without this script the form has no button: nobody sends masks that are not sealed.
button.hidden = false;
button.disabled = !form.dataset.key;
if (!globalThis.crypto?.subtle) {
  button.disabled = true;
  tell(say("noCrypto"));
}
