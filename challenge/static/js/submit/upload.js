// Sending the archive in chunks (tus): progress, pause, and going on where it stopped.
import { required } from "../dom.js";
import { formatBytes, formatDuration, say } from "./words.js";

const CHUNK_BYTES = 32 * 1024 * 1024;
// a lost connection is tried again for about an hour, then the participant is asked
const RETRY_DELAYS_MS = [0, 1000, 3000, 5000, ...Array(360).fill(10_000)];
const PROGRESS_STEPS = 1000;
const CONFLICT = 409;
const LOCKED = 423;
/** Refusals that signing in again mends. */
const SIGNED_OUT_CODES = ["not-authenticated", "csrf-failed"];

/**
 * Whether an error may pass by itself.
 * @param {UploadError} error
 */
function mayPass(error) {
  const status = error.originalResponse?.getStatus() ?? 0;
  const unreachable = status === 0 || status >= 500;
  // what refuses an upload to be begun (a quota, a closed phase) does not pass
  if (error.originalRequest?.getMethod() === "POST") return unreachable;
  return unreachable || status === CONFLICT || status === LOCKED;
}

/**
 * The server's refusal behind an error; none where there is no answer, or none of the site's own.
 * @param {Error | UploadError} error
 * @returns {{code?: string, detail?: string, page?: string}} `page`: words for people, where
 *   those of `detail` are for programs
 */
function readRefusal(error) {
  const body = "originalResponse" in error ? error.originalResponse?.getBody() : undefined;
  try {
    return JSON.parse(body ?? "");
  } catch {
    return {};
  }
}

/** One archive on its way, and the part of the form that shows it. */
export class ArchiveUpload {
  /**
   * @param {HTMLFormElement} form
   * @param {File} file
   * @param {{onFailed: (reason: {message: string, signedOut: boolean}) => void,
   *   onSent: (upload: string) => void}} callbacks
   */
  constructor(form, file, { onFailed, onSent }) {
    this.form = form;
    this.panel = required(form, "[data-progress]", HTMLElement);
    this.bar = required(form, "[data-progress-bar]", HTMLProgressElement);
    this.text = required(form, "[data-progress-text]", HTMLElement);
    this.pauseButton = required(form, "[data-pause]", HTMLButtonElement);
    this.lateWarning = required(form, "[data-late]", HTMLElement);
    this.onFailed = onFailed;
    this.onSent = onSent;
    this.paused = false;
    this.ended = false;
    this.measuredSince = performance.now();
    /** Bytes that had been sent when the measuring began.
     * @type {number | null}
     */
    this.sentBefore = null;
    const token = required(form, "[name=csrfmiddlewaretoken]", HTMLInputElement).value;
    this.transfer = new tus.Upload(file, {
      endpoint: form.dataset.uploads,
      chunkSize: CHUNK_BYTES,
      retryDelays: RETRY_DELAYS_MS,
      metadata: { filename: file.name, filetype: "application/zip", phase: form.dataset.phase ?? "" },
      headers: { "X-CSRFToken": token },
      removeFingerprintOnSuccess: true,
      onProgress: (sent, total) => this.showProgress(sent, total),
      onShouldRetry: (error) => {
        this.text.textContent = say("failed");
        return mayPass(error);
      },
      onError: (error) => this.fail(error),
      onSuccess: () => this.finish(),
    });
  }

  /** Begin, or go on with what was begun for this file and phase. */
  start() {
    this.panel.hidden = false;
    this.panel.scrollIntoView({ block: "nearest" });
    this.text.className = "";
    this.pauseButton.hidden = false;
    this.pauseButton.textContent = say("pause");
    this.pauseButton.addEventListener("click", this.pauseOrResume);
    window.addEventListener("beforeunload", this.askBeforeLeaving);
    window.addEventListener("online", this.tryAgainAtOnce);
    this.resumePrevious().catch((error) => this.fail(error));
  }

  async resumePrevious() {
    const uploads = await this.transfer.findPreviousUploads();
    const previous = uploads.find(({ metadata }) => metadata?.phase === this.form.dataset.phase);
    if (previous) {
      this.transfer.resumeFromPreviousUpload(previous);
      this.text.textContent = say("resumed");
    }
    this.transfer.start();
  }

  /** @param {Event} event */
  askBeforeLeaving = (event) => event.preventDefault();

  tryAgainAtOnce = async () => {
    if (this.paused) return;
    await this.transfer.abort();
    if (!this.paused && !this.ended) this.transfer.start();
  };

  pauseOrResume = async () => {
    this.paused = !this.paused;
    this.pauseButton.textContent = say(this.paused ? "resume" : "pause");
    if (this.paused) {
      this.text.textContent = say("paused");
      await this.transfer.abort();
    } else {
      this.measuredSince = performance.now();
      this.sentBefore = null;
      this.transfer.start();
    }
  };

  /**
   * @param {number} sent
   * @param {number} total
   */
  showProgress(sent, total) {
    this.sentBefore ??= sent;
    const elapsed = (performance.now() - this.measuredSince) / 1000;
    const speed = (sent - this.sentBefore) / elapsed;
    const left = (total - sent) / speed;
    this.bar.value = Math.round((sent / total) * PROGRESS_STEPS);
    this.text.textContent = say("speed", {
      done: formatBytes(sent),
      total: formatBytes(total),
      speed: formatBytes(speed || 0),
      left: formatDuration(left),
    });
    const closesAt = Date.parse(this.form.dataset.closes ?? ""); // NaN where it stays open
    this.lateWarning.hidden = !(Number.isFinite(left) && Date.now() + 1000 * left > closesAt);
  }

  /** Stop listening to what concerns an upload that is under way. */
  end() {
    this.ended = true;
    this.lateWarning.hidden = true;
    this.pauseButton.removeEventListener("click", this.pauseOrResume);
    window.removeEventListener("beforeunload", this.askBeforeLeaving);
    window.removeEventListener("online", this.tryAgainAtOnce);
  }

  /** @param {Error | UploadError} error */
  fail(error) {
    console.warn(error);
    this.end();
    this.pauseButton.hidden = true;
    const { code, detail, page } = readRefusal(error);
    const signedOut = SIGNED_OUT_CODES.includes(code ?? "");
    this.onFailed({ message: page ?? detail ?? say("lost"), signedOut });
  }

  finish() {
    this.end();
    this.text.textContent = say("sending");
    this.pauseButton.hidden = true;
    const url = this.transfer.url ?? "";
    this.onSent(url.replace(/\/$/, "").split("/").pop() ?? "");
  }
}
