// The submit page with scripts: check the chosen zip, show it, send it resumably.
// Without scripts the same form posts the file in one piece.
/* global tus */
import { checkArchive, draw, render } from "./check.js";

const form = document.querySelector("[data-submit]");
const words = document.getElementById("words").dataset;
const language = document.documentElement.lang;
const number = new Intl.NumberFormat(language);
const share = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const size = (bytes) => {
  const units = language === "fr" ? ["o", "ko", "Mo", "Go"] : ["B", "kB", "MB", "GB"];
  const power = Math.min(3, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const digits = power > 1 ? 1 : 0;
  return `${new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(bytes / 1000 ** power)}\u00a0${units[power]}`;
};
const SHOWN_OF_A_KIND = 3;
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

function element(name, props = {}, ...children) {
  const made = Object.assign(document.createElement(name), props);
  made.append(...children);
  return made;
}

const input = form.querySelector("input[type=file]");
const report = form.querySelector("[data-report]");
const body = form.querySelector("[data-report-body]");
const send = form.querySelector("[data-send]");
const drop = form.querySelector("[data-drop]");
let rules = null;
let turn = 0;

async function loadRules() {
  rules ??= await (await fetch(form.dataset.check)).json();
  return rules;
}

async function inspect(file) {
  turn += 1;
  const mine = turn;
  report.hidden = false;
  const stage = element("p", { className: "muted" });
  body.replaceChildren(stage, element("progress", { ariaLabel: words.reading }));
  try {
    const known = await loadRules();
    const found = await checkArchive(file, known, {
      onStage: (name) => { stage.textContent = words[name] + "…"; },
    });
    if (mine === turn) show(found, known);
  } catch (error) {
    console.error(error);
    if (mine === turn) body.replaceChildren(element("p", { textContent: words.broken }));
  }
}

function show(found, known) {
  const parts = [];
  const good = found.problems.length === 0;
  const counted = fill(words.found, { found: number.format(found.found), expected: number.format(found.expected) });
  parts.push(element("p", { className: "check-head" },
    element("span", { className: `tag ${good ? "good" : "bad"}`, textContent: good ? "✓" : "✗" }),
    element("strong", { textContent: counted })));
  if (good) parts.push(element("p", { className: "note good", textContent: words.valid }));
  else {
    const list = element("ul", { className: "problems" }, ...folded(found.problems, known));
    if (found.more) list.append(element("li", { className: "muted", textContent: fill(words.more, { count: number.format(found.more) }) }));
    parts.push(element("div", { className: "note bad" }, element("p", { className: "strong", textContent: words.invalid }), list));
  }
  const hints = [...found.notes.map((note) => render(known, note)), ...warnings(found, known)];
  if (hints.length) parts.push(element("ul", { className: "problems note warn" }, ...hints.map((text) => element("li", { textContent: text }))));
  if (found.looks.length) {
    parts.push(element("h3", { className: "title-3", textContent: fill(words.looked, { count: found.looks.length }) }));
    parts.push(element("ul", { className: "mosaic" }, ...found.looks.map(({ id, pixels }) => {
      const canvas = element("canvas", { role: "img", ariaLabel: id });
      draw(canvas, pixels, known);
      return element("li", {}, element("figure", {}, canvas, element("figcaption", { textContent: id })));
    })));
  }
  if (found.counts) parts.push(frequencies(found.counts, known));
  body.replaceChildren(...parts);
  send.textContent = good ? send.dataset.plain : words.anyway;
  send.classList.toggle("quiet", !good);
}

/** One line for each problem; from the fourth of a kind on behind a word that opens them. */
function folded(problems, known) {
  const kinds = new Map();
  for (const problem of problems) kinds.set(problem.code, [...(kinds.get(problem.code) ?? []), problem]);
  const line = (problem) => element("li", { textContent: render(known, problem) });
  return [...kinds.values()].flatMap((alike) => {
    if (alike.length <= SHOWN_OF_A_KIND + 1) return alike.map(line);
    const rest = alike.slice(SHOWN_OF_A_KIND);
    return [...alike.slice(0, SHOWN_OF_A_KIND).map(line), element("li", {},
      element("details", {},
        element("summary", { textContent: fill(words.alike, { count: number.format(rest.length) }) }),
        element("ul", { className: "problems" }, ...rest.map(line))))];
  });
}

function warnings(found, known) {
  if (!found.counts) return [];
  const texts = [];
  const [counts, last] = [found.counts, known.classes.length - 1];
  const other = known.classes.filter((one) => !one.scored).reduce((sum, one) => sum + counts[one.id], 0);
  if (counts[0] === 0 && !found.problems.some((one) => one.code === "values-one-based")) {
    texts.push(counts[last + 1] > 0 ? words.oneBased : render(known, { code: "note-class-zero-absent" }));
  }
  if (other > 0.1) texts.push(fill(words.manyOther, { share: share.format(other * 100) }));
  const never = known.classes.filter((one) => one.scored && one.id !== 0 && counts[one.id] === 0 && (one.published ?? 0) > 0.01);
  if (never.length) texts.push(fill(words.missingClass, { names: never.map((one) => one.name).join(", ") }));
  if (found.unreadable) texts.push(words.unreadable);
  return texts;
}

function swatch(color) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(ns, "rect");
  for (const [key, value] of [["width", 16], ["height", 16], ["fill", color]]) rect.setAttribute(key, value);
  svg.append(rect);
  return svg;
}

function bar(value, full, color) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 1000 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "bar");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(ns, "rect");
  for (const [key, to] of [["width", Math.round((value / full) * 1000)], ["height", 10], ["fill", color]]) rect.setAttribute(key, to);
  svg.append(rect);
  return svg;
}

function frequencies(counts, known) {
  const full = Math.max(...known.classes.flatMap((one) => [counts[one.id], one.published ?? 0]), 0.01);
  const head = element("tr", {},
    element("th", { scope: "col", textContent: words.class }),
    element("th", { scope: "col", colSpan: 2, textContent: words.predicted }),
    element("th", { scope: "col", colSpan: 2, textContent: words.published }));
  const rows = known.classes.map((one) => element("tr", {},
    element("th", { scope: "row", className: "nowrap" }, swatch(one.color), ` ${one.name}`),
    element("td", { className: "num", textContent: share.format(counts[one.id] * 100) }),
    element("td", { className: "bar" }, bar(counts[one.id], full, one.color)),
    element("td", { className: "num", textContent: one.published == null ? "–" : share.format(one.published * 100) }),
    element("td", { className: "bar" }, bar(one.published ?? 0, full, one.color))));
  const table = element("table", { className: "shares" }, element("thead", {}, head), element("tbody", {}, ...rows));
  const box = element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: words.frequencies }, table);
  return element("details", {}, element("summary", { textContent: words.frequencies }), box);
}

// ---- sending -------------------------------------------------------------------------------

const panel = form.querySelector("[data-progress]");
const progress = form.querySelector("[data-progress-bar]");
const text = form.querySelector("[data-progress-text]");
const pause = form.querySelector("[data-pause]");
const late = form.querySelector("[data-late]");
const stopped = form.querySelector("[data-stopped]");
// a lost connection is tried again for about an hour, then the participant is asked
const RETRY_DELAYS_MS = [0, 1000, 3000, 5000, ...Array(360).fill(10000)];

function duration(seconds) {
  if (!Number.isFinite(seconds)) return "…";
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const hours = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${hours.format(seconds / 3600)} h`;
}

function upload(file) {
  panel.hidden = false;
  panel.scrollIntoView({ block: "nearest" });
  stopped.hidden = true;
  text.className = "";
  let [began, first, running] = [performance.now(), null, true];
  const stay = (event) => event.preventDefault(); // the browser asks before it leaves
  const back = () => { if (running) sending.abort().then(() => sending.start()); };
  window.addEventListener("beforeunload", stay);
  window.addEventListener("online", back);
  const ended = () => {
    running = false;
    late.hidden = true;
    window.removeEventListener("beforeunload", stay);
    window.removeEventListener("online", back);
  };
  const sending = new tus.Upload(file, {
    endpoint: form.dataset.uploads,
    chunkSize: 32 * 1024 * 1024,
    retryDelays: RETRY_DELAYS_MS,
    metadata: { filename: file.name, filetype: "application/zip", phase: form.dataset.phase },
    headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
    removeFingerprintOnSuccess: true,
    onProgress: (done, total) => {
      first ??= done;
      const speed = (done - first) / ((performance.now() - began) / 1000);
      progress.value = Math.round((done / total) * 1000);
      text.textContent = fill(words.speed, {
        done: size(done), total: size(total), speed: size(speed || 0), left: duration((total - done) / speed),
      });
      const arrives = Date.now() + (1000 * (total - done)) / speed;
      late.hidden = !(Number.isFinite(arrives) && arrives > Date.parse(form.dataset.closes));
    },
    onShouldRetry: (error) => {
      const status = error.originalResponse?.getStatus() ?? 0;
      text.textContent = words.failed;
      // What refuses an upload to be begun (a quota, a closed phase) does not pass by itself.
      if (error.originalRequest?.getMethod() === "POST") return status === 0 || status >= 500;
      return status === 0 || status === 409 || status === 423 || status >= 500;
    },
    onError: (error) => {
      ended();
      let said = words.lost;
      try {
        said = JSON.parse(error.originalResponse.getBody()).detail ?? said;
      } catch {
        // no answer, or none of ours: the general sentence stands
      }
      text.textContent = said;
      text.className = "down";
      send.disabled = false;
      send.hidden = false;
    },
    onSuccess: () => {
      ended();
      text.textContent = words.sending;
      pause.hidden = true;
      form.elements.upload.value = sending.url.replace(/\/$/, "").split("/").pop();
      input.disabled = true;
      form.submit();
    },
  });
  pause.hidden = false;
  pause.textContent = words.pause;
  // not a listener: a second try after an error would add a second one
  pause.onclick = () => {
    running = pause.textContent !== words.pause;
    if (!running) {
      sending.abort();
      pause.textContent = words.resume;
      text.textContent = words.paused;
    } else {
      pause.textContent = words.pause;
      [began, first] = [performance.now(), null];
      sending.start();
    }
  };
  sending.findPreviousUploads().then((found) => {
    const before = found.filter((one) => one.metadata?.phase === form.dataset.phase);
    if (before.length) {
      sending.resumeFromPreviousUpload(before[0]);
      text.textContent = words.resumed;
    }
    sending.start();
  });
}

/** Whoever comes back is told what was not sent to its end, and how to go on. */
async function remind() {
  const storage = tus.defaultOptions.urlStorage;
  const kept = await storage.findAllUploads();
  const mine = kept.filter((one) => one.uploadUrl && one.metadata?.phase === form.dataset.phase);
  mine.sort((a, b) => new Date(b.creationTime) - new Date(a.creationTime));
  for (const one of mine.slice(0, 3)) {
    const answer = await fetch(one.uploadUrl, { method: "HEAD", headers: { "Tus-Resumable": "1.0.0" } });
    if (!answer.ok) {
      await storage.removeUpload(one.urlStorageKey);
      continue;
    }
    const done = Number(answer.headers.get("Upload-Offset"));
    stopped.textContent = fill(words.stopped, {
      name: one.metadata.filename, done: size(done), total: size(one.size),
    });
    stopped.hidden = false;
    return;
  }
}

send.dataset.plain = send.textContent;
remind().catch((error) => console.warn(error)); // it is a help, sending does not hang on it
input.required = true;
input.addEventListener("change", () => {
  if (input.files[0]) inspect(input.files[0]);
});
form.addEventListener("submit", (event) => {
  const file = input.files[0];
  if (!file || form.elements.upload.value) return;
  event.preventDefault();
  send.hidden = true;
  upload(file);
});
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", over);
    if (name === "drop" && event.dataTransfer.files.length) {
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change"));
    }
  });
}
if (input.files[0]) inspect(input.files[0]);
