// Small comforts for every page; nothing here is needed to use one.
"use strict";

document.documentElement.classList.add("js");

document.addEventListener("DOMContentLoaded", () => {
  // before/after picture: the slider moves the cut
  for (const figure of document.querySelectorAll("[data-reveal]")) {
    const slider = figure.querySelector("input[type=range]");
    const labels = figure.querySelector(".labels");
    const handle = figure.querySelector(".handle");
    slider.hidden = false;
    slider.addEventListener("input", () => {
      labels.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
      handle.style.left = `${slider.value}%`;
    });
  }

  // the current tab is in sight, without moving the page
  for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
    const strip = tab.parentElement;
    strip.scrollLeft = tab.offsetLeft - (strip.clientWidth - tab.clientWidth) / 2;
  }

  // copy buttons
  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    button.addEventListener("click", async () => {
      const label = button.textContent;
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = button.dataset.copied;
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }

  // code blocks of organisers' pages get a copy button of their own
  const words = document.querySelector("[data-copy-word]");
  if (words) {
    for (const block of document.querySelectorAll(".prose pre")) {
      const box = document.createElement("div");
      box.className = "copy-box";
      block.replaceWith(box);
      block.tabIndex = 0;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button quiet small";
      button.textContent = words.dataset.copyWord;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.textContent.trim());
        button.textContent = words.dataset.copiedWord;
        setTimeout(() => { button.textContent = words.dataset.copyWord; }, 2000);
      });
      box.append(block, button);
    }
  }

  // countdowns: <time data-countdown datetime=…> counts in the reader's language
  const clocks = [...document.querySelectorAll("[data-countdown]")];
  if (clocks.length) {
    const language = document.documentElement.lang;
    const words = new Intl.RelativeTimeFormat(language, { numeric: "always" });
    const tick = () => {
      for (const clock of clocks) {
        const left = (new Date(clock.getAttribute("datetime")) - Date.now()) / 1000;
        const past = Math.abs(left);
        const [size, unit] = past < 90 ? [1, "second"] : past < 5400 ? [60, "minute"]
          : past < 129600 ? [3600, "hour"] : [86400, "day"];
        const whole = words.format(Math.trunc(left / size), unit);
        // to the second where it may be a matter of seconds
        const close = left > 90 && left < 900;
        clock.textContent = close ? `${whole} ${Math.trunc(left % 60)}\u00a0s` : whole;
      }
    };
    tick();
    setInterval(tick, 1000);
  }

  // the viewer's own time zone, remembered so that the server can write it next time
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes("timezone=")) {
    document.cookie = `timezone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`;
  }
  for (const time of document.querySelectorAll("time[data-local]")) {
    const at = new Date(time.getAttribute("datetime"));
    time.textContent = at.toLocaleString(document.documentElement.lang, {
      dateStyle: "long", timeStyle: "short",
    });
    time.title = zone;
  }

  // a menu closes with Escape or a click elsewhere
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
});
