// The leaderboard: sort, search and re-weight without asking the server again.
// Without this script the same links and form do it on the server.
"use strict";

(() => {
  const table = document.querySelector("[data-board]");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const status = document.querySelector("[data-board-status]");
  const whole = table.hasAttribute("data-board-whole");
  const rows = [...body.rows];
  const miouAt = heads.findIndex((head) => head.dataset.key === "miou");

  const number = (cell) => {
    const text = cell.textContent.replace(/[\s\u202f\u00a0]/g, "").replace(",", ".");
    const value = parseFloat(text);
    return Number.isNaN(value) ? null : value;
  };
  // made when first asked for: reading thousands of cells would hold up the page's first seconds
  const once = (make) => {
    let made;
    return (row) => (made ??= new Map(rows.map((one, at) => [one, make(one, at)]))).get(row);
  };
  const text = once((row) => row.cells[1].textContent.toLowerCase());
  const order = once((row, at) => at);
  const plain = once((row) => row.cells[miouAt].textContent);
  const rankOf = once((row) => row.cells[0].innerHTML);

  function sortBy(at, ascending) {
    const head = heads[at];
    const key = head.dataset.key;
    const value = (row) => {
      if (key === "team") return text(row);
      if (key === "date") return row.dataset.at ? Number(row.dataset.at) : null;
      if (key === "rank") return number(row.cells[0]);
      return number(row.cells[at]);
    };
    const sorted = [...rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null) || order(a) - order(b);
      if (x === y) return order(a) - order(b);
      return (x < y ? -1 : 1) * (ascending ? 1 : -1);
    });
    body.append(...sorted);
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    table.classList.toggle("by-rank", key === "miou" || key === "rank");
    status.textContent = `${status.dataset.sorted} ${head.textContent.trim()}`;
  }

  if (whole) {
    heads.forEach((head, at) => {
      const link = head.querySelector("a");
      if (!link || !head.dataset.key) return;
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        const now = head.getAttribute("aria-sort");
        const first = head.dataset.key === "team" || head.dataset.key === "rank";
        sortBy(at, now ? now === "descending" : first);
      });
    });
    const search = document.querySelector("[data-board-search]");
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !text(row).includes(wanted);
    });
    search.form.addEventListener("submit", (event) => event.preventDefault());
  }

  // other weightings, from the published columns alone
  const weights = document.querySelector("[data-board-weights]");
  const classes = heads
    .map((head, at) => ({ at, frequency: parseFloat(head.dataset.frequency) || 0, is: head.classList.contains("class") }))
    .filter((column) => column.is);

  function weighted(row, kind) {
    const values = classes.map((column) => [number(row.cells[column.at]), column.frequency]);
    if (values.some(([value]) => value === null)) return null;
    if (kind === "worst") return Math.min(...values.map(([value]) => value));
    let [sum, total] = [0, 0];
    for (const [value, frequency] of values) {
      const weight = kind === "frequency" ? frequency : frequency > 0 ? 1 / Math.sqrt(frequency) : 0;
      sum += weight * value;
      total += weight;
    }
    return total > 0 ? sum / total : null;
  }

  if (weights) {
    const format = new Intl.NumberFormat(document.documentElement.lang, {
      minimumFractionDigits: 2, maximumFractionDigits: 2,
    });
    weights.addEventListener("change", () => {
      const kind = weights.value;
      plain(rows[0]);
      rankOf(rows[0]);
      table.classList.toggle("weighted", kind !== "equal");
      const ranked = [];
      for (const row of rows) {
        const cell = row.cells[miouAt];
        if (kind === "equal") {
          cell.textContent = plain(row);
          row.cells[0].innerHTML = rankOf(row);
          continue;
        }
        const value = weighted(row, kind);
        cell.textContent = value === null ? "–" : format.format(value);
        if (row.classList.contains("team") && value !== null) ranked.push([row, value]);
      }
      ranked.sort((a, b) => b[1] - a[1]);
      ranked.forEach(([row], at) => {
        const [rank, before] = [at + 1, parseInt(row.querySelector("[data-rank]").dataset.rank, 10)];
        const cell = row.cells[0];
        const moved = before - rank;
        cell.replaceChildren(mark(rank, before));
        if (moved !== 0) {
          const arrow = document.createElement("span");
          arrow.className = moved > 0 ? "moved up" : "moved down";
          arrow.textContent = `${moved > 0 ? "▲" : "▼"}${Math.abs(moved)}`;
          cell.append(arrow);
        }
      });
      sortBy(miouAt, false);
    });
  }

  // how the best score moved: fetched when the reader comes near it, as it reads all scores
  const slot = document.querySelector("[data-board-progress]");
  if (slot) {
    const near = new IntersectionObserver(
      async (seen) => {
        if (!seen.some((one) => one.isIntersecting)) return;
        near.disconnect();
        const answer = await fetch(slot.dataset.boardProgress, { headers: { "HX-Request": "true" } });
        if (answer.ok) slot.innerHTML = await answer.text();
      },
      { rootMargin: "300px" },
    );
    near.observe(slot);
  }

  function mark(rank, before) {
    const span = document.createElement("span");
    span.dataset.rank = String(before);
    span.textContent = String(rank);
    return span;
  }
})();
