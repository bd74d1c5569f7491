// Small comforts for every page; nothing here is needed to use one.
// A plain script in the head, so that the class "js" is there before anything is drawn.
"use strict";

document.documentElement.classList.add("js");

document.addEventListener("DOMContentLoaded", () => {
  const language = document.documentElement.lang;
  const COPIED_MS = 2000;
  // A section counts as read from here below the index on.
  const READ_BELOW_PX = 40;

  /** The slider of a before/after picture moves the cut. */
  function moveCuts() {
    for (const figure of document.querySelectorAll("[data-reveal]")) {
      /** @type {HTMLInputElement | null} */
      const slider = figure.querySelector("input[type=range]");
      /** @type {HTMLElement | null} */
      const labels = figure.querySelector(".labels");
      /** @type {HTMLElement | null} */
      const handle = figure.querySelector(".handle");
      if (!slider || !labels || !handle) continue;
      slider.hidden = false;
      slider.addEventListener("input", () => {
        labels.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
        handle.style.left = `${slider.value}%`;
      });
    }
  }

  /** The current tab is in sight, without moving the page. */
  function scrollTabs() {
    /** @type {NodeListOf<HTMLElement>} */
    const tabs = document.querySelectorAll(".tabs [aria-current]");
    for (const tab of tabs) {
      const strip = tab.parentElement;
      if (strip) strip.scrollLeft = tab.offsetLeft - (strip.clientWidth - tab.clientWidth) / 2;
    }
  }

  /**
   * @param {HTMLElement} button
   * @param {Element} source
   * @param {string} copied what the button says afterwards for a while
   */
  function copyOnClick(button, source, copied) {
    const text = button.textContent;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText((source.textContent ?? "").trim());
      button.textContent = copied;
      setTimeout(() => { button.textContent = text; }, COPIED_MS);
    });
  }

  function startCopyButtons() {
    /** @type {NodeListOf<HTMLElement>} */
    const buttons = document.querySelectorAll("[data-copy]");
    for (const button of buttons) {
      const source = document.getElementById(button.dataset.copy ?? "");
      if (source) copyOnClick(button, source, button.dataset.copied ?? "");
    }
  }

  /** Code blocks of organisers' pages get a copy button of their own. */
  function addCopyButtons() {
    /** @type {HTMLElement | null} */
    const words = document.querySelector("[data-copy-word]");
    if (!words) return;
    /** @type {NodeListOf<HTMLElement>} */
    const blocks = document.querySelectorAll(".prose pre");
    for (const block of blocks) {
      const box = document.createElement("div");
      box.className = "copy-box";
      block.replaceWith(box);
      block.tabIndex = 0;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button quiet small";
      button.textContent = words.dataset.copyWord ?? "";
      copyOnClick(button, block, words.dataset.copiedWord ?? "");
      box.append(block, button);
    }
  }

  /**
   * @param {number} seconds
   * @returns {[number, Intl.RelativeTimeFormatUnit]} seconds of a unit that suits, and its name
   */
  function chooseUnit(seconds) {
    if (seconds < 90) return [1, "second"];
    if (seconds < 5400) return [60, "minute"];
    return seconds < 129600 ? [3600, "hour"] : [86400, "day"];
  }

  /** <time data-countdown datetime=…> counts in the reader's language. */
  function startCountdowns() {
    /** @type {NodeListOf<HTMLTimeElement>} */
    const clocks = document.querySelectorAll("time[data-countdown]");
    if (!clocks.length) return;
    const format = new Intl.RelativeTimeFormat(language, { numeric: "always" });
    const tick = () => {
      for (const clock of clocks) {
        const left = (Date.parse(clock.dateTime) - Date.now()) / 1000;
        const [size, unit] = chooseUnit(Math.abs(left));
        const text = format.format(Math.trunc(left / size), unit);
        // to the second where it may be a matter of seconds
        const close = left > 90 && left < 900;
        clock.textContent = close ? `${text} ${Math.trunc(left % 60)}\u00a0s` : text;
      }
    };
    tick();
    setInterval(tick, 1000);
  }

  /** The viewer's own time zone, so that the server can write it next time. */
  function rememberTimeZone() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone && !document.cookie.includes("timezone=")) {
      document.cookie = `timezone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`;
    }
  }

  /** A menu closes with Escape or a click elsewhere. */
  function closeMenus() {
    /** @returns {NodeListOf<HTMLDetailsElement>} */
    const openMenus = () => document.querySelectorAll("details.menu[open]");
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      for (const menu of openMenus()) {
        menu.open = false;
        menu.querySelector("summary")?.focus();
      }
    });
    document.addEventListener("click", ({ target }) => {
      for (const menu of openMenus()) {
        if (!(target instanceof Node && menu.contains(target))) menu.open = false;
      }
    });
  }

  /** The index of a long page marks the section that is read, and keeps its link in sight. */
  function followSections() {
    const index = document.querySelector(".page-index");
    if (!index) return;
    /** @type {Map<Element, HTMLAnchorElement>} in the order of the page */
    const links = new Map();
    /** @type {NodeListOf<HTMLAnchorElement>} */
    const found = index.querySelectorAll("a[href^='#']");
    for (const link of found) {
      const section = document.querySelector(link.hash)?.closest("section");
      if (section) links.set(section, link);
    }
    const mark = () => {
      const top = index.getBoundingClientRect().bottom + READ_BELOW_PX;
      let current = [...links.values()][0];
      for (const [section, link] of links) {
        if (section.getBoundingClientRect().top <= top) current = link;
      }
      // At the end of the page the last sections are too short to reach the top.
      if (window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2) {
        const chosen = [...links.values()].find((link) => link.hash === location.hash);
        current = chosen ?? [...links.values()].at(-1) ?? current;
      }
      if (!current || current.hasAttribute("aria-current")) return;
      for (const link of links.values()) link.removeAttribute("aria-current");
      current.setAttribute("aria-current", "true");
      index.scrollLeft = current.offsetLeft - (index.clientWidth - current.clientWidth) / 2;
    };
    document.addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
    window.addEventListener("hashchange", mark);
    mark();
  }

  moveCuts();
  followSections();
  scrollTabs();
  startCopyButtons();
  addCopyButtons();
  startCountdowns();
  rememberTimeZone();
  closeMenus();
});
