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
  const plain = once((row) => row.cells[miouAt].innerHTML);
  const rankOf = once((row) => row.cells[0].innerHTML);
  const rowsAsPrinted = () => { plain(rows[0]); rankOf(rows[0]); };

  function sortBy(at, ascending) {
    const head = heads[at];
    const key = head.dataset.key;
    const value = (row) => {
      if (key === "team") return text(row);
      if (key === "date") return Date.parse(row.querySelector("time")?.dateTime) || null;
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
    // lines under groups that cannot be told apart make sense in the official order alone
    const inOrder = (key === "miou" && !ascending) || (key === "rank" && ascending);
    table.classList.toggle("reordered", !inOrder);
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
      const none = rows.every((row) => row.hidden);
      document.querySelector("[data-board-none]").hidden = !none;
      table.parentElement.hidden = none;
    });
    search.form.addEventListener("submit", (event) => event.preventDefault());
  }

  // other weightings, from the published figures alone: classes from the table's own columns,
  // domains and the lines of other pages from the board's JSON, fetched when first wanted
  const weights = document.querySelector("[data-board-weights]");
  const classes = heads
    .map((head, at) => ({ at, key: head.dataset.key, frequency: parseFloat(head.dataset.frequency) || 0, is: head.classList.contains("class") }))
    .filter((column) => column.is);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  const CLASS_WEIGHTS = {
    worst: null,
    frequency: ({ frequency }) => frequency,
    rare: ({ frequency }) => (frequency > 0 ? 1 / Math.sqrt(frequency) : 0),
  };
  // from figures in per cent, in the order of `classes`
  function byClass(values, kind) {
    if (values.some((value) => value === null)) return null;
    if (kind === "worst") return Math.min(...values);
    const shares = classes.map(CLASS_WEIGHTS[kind]);
    const total = shares.reduce((sum, share) => sum + share, 0);
    return total > 0 ? values.reduce((sum, value, at) => sum + value * shares[at], 0) / total : null;
  }
  // from figures in per cent, in the order of the JSON's domains
  function byDomain(values, kind, chosen) {
    if (kind === "one-domain") return values[chosen] ?? null;
    const known = values.filter((value) => value !== null);
    if (!known.length) return null;
    return kind === "worst-domain" ? Math.min(...known) : mean(known);
  }

  let asked = null;
  const figures = () => (asked ??= fetch(weights.dataset.boardWeights).then((answer) => {
    if (!answer.ok) throw new Error(`the figures answer ${answer.status}`);
    return answer.json();
  }));
  const inPerCent = (value) => (value === null || value === undefined ? null : value * 100);

  if (weights) {
    const format = new Intl.NumberFormat(document.documentElement.lang, {
      minimumFractionDigits: 2, maximumFractionDigits: 2,
    });
    const note = document.querySelector("[data-board-note]");
    const broken = document.querySelector("[data-board-broken]");
    const domainBox = document.querySelector("[data-board-domain]");
    const domains = domainBox.querySelector("select");
    const word = document.createElement("span");
    word.className = "weighted-word";
    word.textContent = ` ${table.dataset.weightedWord}`;

    /** {line's key: figure} of every team, and of all else that has figures. */
    function figuresBy(kind, all) {
      const found = new Map();
      const wide = kind in CLASS_WEIGHTS;
      for (const row of rows) {
        const cells = classes.map((column) => number(row.cells[column.at]));
        found.set(row, { key: row.dataset.line, team: row.classList.contains("team"), value: wide ? byClass(cells, kind) : null });
      }
      if (!all) return [...found.entries()].map(([row, one]) => ({ ...one, row }));
      const rowOf = new Map(rows.filter((row) => row.dataset.line).map((row) => [row.dataset.line, row]));
      const lines = all.lines.filter((line) => line.line).map((line) => ({
        key: line.line,
        team: line.kind === "team",
        row: rowOf.get(line.line),
        value: wide
          ? byClass(classes.map((column) => inPerCent(line.class_ious[column.key])), kind)
          : byDomain(line.domain_mious.map(inPerCent), kind, Number(domains.value)),
      }));
      const published = rows.filter((row) => !row.dataset.line).map((row) => ({ ...found.get(row), row }));
      return [...lines, ...published];
    }

    function showOfficial() {
      for (const row of rows) {
        row.cells[miouAt].innerHTML = plain(row);
        row.cells[0].innerHTML = rankOf(row);
      }
      word.remove();
    }

    function show(lines) {
      const ranked = lines.filter((line) => line.team && line.value !== null);
      ranked.sort((a, b) => b.value - a.value);
      let rank = 0;
      ranked.forEach((line, at) => {
        if (at === 0 || line.value < ranked[at - 1].value) rank = at + 1;
        line.rank = rank;
      });
      for (const { row, rank: now, value } of lines) {
        if (!row) continue;
        row.cells[miouAt].textContent = value === null ? "–" : format.format(value);
        const before = parseInt(row.querySelector("[data-rank]")?.dataset.rank, 10);
        row.cells[0].replaceChildren(...(now ? mark(now, before) : []));
      }
      heads[miouAt].querySelector("a").append(word);
    }

    async function weigh() {
      const kind = weights.value;
      const official = kind === "equal";
      rowsAsPrinted();
      let all = null;
      if (!official && (!whole || !(kind in CLASS_WEIGHTS))) {
        try {
          all = await figures();
        } catch (error) {
          console.warn(error);
          asked = null;
          weights.value = "equal";
          broken.hidden = false;
          return weigh();
        }
        if (weights.value !== kind) return undefined; // chosen anew meanwhile
        broken.hidden = true;
        if (!domains.dataset.filled) {
          domains.dataset.filled = "1";
          domains.replaceChildren(...all.domains.map((one, at) => new Option(one.name, String(at))));
        }
      }
      domainBox.hidden = kind !== "one-domain";
      note.hidden = official;
      table.classList.toggle("weighted", !official);
      showOfficial();
      if (!official) show(figuresBy(kind, all));
      sortBy(miouAt, false);
      return undefined;
    }
    weights.addEventListener("change", weigh);
    domains.addEventListener("change", weigh);
    // a browser may restore a choice when one comes back
    if (weights.value !== "equal") weigh();
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
    const moved = before - rank;
    if (!moved) return [span];
    const arrow = document.createElement("span");
    arrow.className = moved > 0 ? "moved up" : "moved down";
    arrow.textContent = `${moved > 0 ? "▲" : "▼"}${Math.abs(moved)}`;
    return [span, arrow];
  }
})();
