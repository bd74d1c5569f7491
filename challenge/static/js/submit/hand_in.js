// Submitting an upload that has arrived: asked again until the server answers, and never lost.
import { required } from "../dom.js";

const RETRY_DELAYS_MS = [1000, 3000, 5000, 10_000];
const CREATED = 201;
const FORBIDDEN = 403;
const INVALID = 422;
const TOO_MANY_REQUESTS = 429;
const SERVER_ERROR = 500;

/**
 * What became of it: the submission's address, or the messages of a refusal, or neither where the
 * person is signed out. `repeated`: the team submitted this archive before, and is asked.
 * @typedef {{location: string} | {messages: string[], repeated: boolean} | {signedOut: true}} Outcome
 */

/**
 * Post the form with an upload in place of the file, until there is an answer.
 * @param {HTMLFormElement} form
 * @param {string} uploadId
 * @param {() => void} onUnreachable called before each further attempt
 * @returns {Promise<Outcome>}
 */
export async function submitUpload(form, uploadId, onUnreachable) {
  let renewed = false;
  for (let attempt = 0; ; attempt += 1) {
    const answer = await postForm(form, uploadId);
    if (answer?.type === "opaqueredirect") return { signedOut: true };
    const status = answer?.status ?? SERVER_ERROR;
    if (answer && status === FORBIDDEN && !renewed) {
      renewed = true;
      if (!(await renewCsrfToken(form))) return { signedOut: true };
    } else if (answer && status < SERVER_ERROR && status !== TOO_MANY_REQUESTS) {
      return readOutcome(answer);
    } else {
      onUnreachable();
      await waitForConnection(RETRY_DELAYS_MS[Math.min(attempt, RETRY_DELAYS_MS.length - 1)]);
    }
  }
}

/**
 * Take the token of a page loaded now: who signed in again meanwhile has a new one.
 * @param {HTMLFormElement} form
 * @returns {Promise<boolean>} false where nobody is signed in
 */
export async function renewCsrfToken(form) {
  const answer = await fetch(location.href, { redirect: "manual" });
  if (!answer.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const token = required(page, "[data-submit] [name=csrfmiddlewaretoken]", HTMLInputElement);
  required(form, "[name=csrfmiddlewaretoken]", HTMLInputElement).value = token.value;
  return true;
}

/**
 * @param {HTMLFormElement} form
 * @param {string} uploadId
 * @returns {Promise<Response | null>} null where the server is out of reach
 */
async function postForm(form, uploadId) {
  const fields = new FormData(form);
  fields.delete("archive");
  fields.set("upload", uploadId);
  try {
    return await fetch(form.action, {
      method: "POST",
      body: fields,
      headers: { Accept: "application/json" },
      redirect: "manual",
    });
  } catch {
    return null;
  }
}

/**
 * @param {Response} answer
 * @returns {Promise<Outcome>}
 */
async function readOutcome(answer) {
  if (answer.status === CREATED) return { location: (await answer.json()).location };
  if (answer.status !== INVALID) return { messages: [], repeated: false };
  const { messages, repeated } = await answer.json();
  return { messages, repeated };
}

/** @param {number} delayMs at most; less where the browser is online again before */
function waitForConnection(delayMs) {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      window.removeEventListener("online", go);
      resolve(undefined);
    };
    const timer = setTimeout(go, delayMs);
    window.addEventListener("online", go);
  });
}
