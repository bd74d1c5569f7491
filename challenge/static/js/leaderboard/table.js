// The leaderboard's table: its columns, its rows as the server printed them, and their order.
import { required } from "../dom.js";

/**
 * The number that a cell shows, with either decimal mark; null where it shows none.
 * @param {Element} cell
 */
function readNumber(cell) {
  const text = (cell.textContent ?? "").replace(/\s/g, "").replace(",", ".");
  const value = parseFloat(text);
  return Number.isNaN(value) ? null : value;
}

/**
 * What a row's cell says of team and method, without the list that it unfolds to on phones.
 * @param {Element} cell
 */
function nameText(cell) {
  const said = [...cell.childNodes].filter((node) => node.nodeName !== "DETAILS");
  return said.map((node) => node.textContent ?? "").join("");
}

/**
 * Order two values, unknown ones last in either direction; 0 for equal ones.
 * @param {string | number | null} a
 * @param {string | number | null} b
 * @param {boolean} ascending
 */
export function compareValues(a, b, ascending) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (a === b) return 0;
  return (a < b ? -1 : 1) * (ascending ? 1 : -1);
}

/**
 * Put choices into the page's address, so that it can be passed on; empty ones leave it.
 * @param {Record<string, string>} choices
 */
export function setInAddress(choices) {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(choices)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(history.state, "", address);
}

export class LeaderboardTable {
  /** @param {HTMLTableElement} table */
  constructor(table) {
    this.element = table;
    this.body = table.tBodies[0];
    this.rows = [...this.body.rows];
    this.heads = [...required(table, "thead tr", HTMLTableRowElement).cells];
    this.miouColumn = this.heads.findIndex((head) => head.dataset.key === "miou");
    /** Whether all rows are on this page, none on a further one. */
    this.isWhole = table.hasAttribute("data-board-whole");
    this.status = required(document, "[data-board-status]", HTMLElement);
    // read when first asked for: thousands of cells would hold up the page's first seconds
    /** @type {Map<HTMLTableRowElement, string> | null} */
    this.names = null;
    /** @type {Map<HTMLTableRowElement, {rank: string, miou: string}> | null} */
    this.printed = null;
  }

  /** The columns of classes, in their order. */
  get classColumns() {
    return this.heads
      .map((head, column) => ({ head, column }))
      .filter(({ head }) => head.classList.contains("class"))
      .map(({ head, column }) => ({
        column, key: head.dataset.key ?? "", frequency: parseFloat(head.dataset.frequency ?? "") || 0,
      }));
  }

  /**
   * Team and method in small letters.
   * @param {HTMLTableRowElement} row
   */
  nameOf(row) {
    this.names ??= new Map(this.rows.map(
      (each) => [each, nameText(each.cells[1]).toLowerCase()],
    ));
    return this.names.get(row) ?? "";
  }

  /**
   * @param {HTMLTableRowElement} row
   * @param {number} column
   */
  numberAt(row, column) {
    return readNumber(row.cells[column]);
  }

  /** Keep rank and mIoU as the server printed them, before anything else is shown there. */
  keepPrinted() {
    this.printed ??= new Map(this.rows.map((row) => [
      row, { rank: row.cells[0].innerHTML, miou: row.cells[this.miouColumn].innerHTML },
    ]));
  }

  /** Show ranks and mIoU as the server printed them. */
  showPrinted() {
    for (const [row, { rank, miou }] of this.printed ?? []) {
      row.cells[0].innerHTML = rank;
      row.cells[this.miouColumn].innerHTML = miou;
    }
  }

  /**
   * @param {HTMLTableRowElement} row
   * @param {number} column
   */
  sortValue(row, column) {
    const { key } = this.heads[column].dataset;
    if (key === "team") return this.nameOf(row);
    if (key === "date") return Date.parse(row.querySelector("time")?.dateTime ?? "") || null;
    return readNumber(row.cells[column]);
  }

  /**
   * Sort the rows; equal ones keep the server's order (the sort is stable).
   * @param {number} column
   * @param {boolean} ascending
   */
  sort(column, ascending) {
    const head = this.heads[column];
    const keyed = this.rows.map((row) => ({ row, value: this.sortValue(row, column) }));
    keyed.sort((a, b) => compareValues(a.value, b.value, ascending));
    this.body.append(...keyed.map(({ row }) => row));
    for (const other of this.heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    // lines drawn under groups that cannot be told apart make sense in the official order alone
    const { key } = head.dataset;
    const official = (key === "miou" && !ascending) || (key === "rank" && ascending);
    this.element.classList.toggle("reordered", !official);
    this.status.textContent = `${this.status.dataset.sorted} ${(head.textContent ?? "").trim()}`;
  }

  /** Let the links of the heads sort in the page. */
  sortByHeads() {
    this.heads.forEach((head, column) => {
      const { key } = head.dataset;
      if (!key) return;
      head.querySelector("a")?.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab or window
        event.preventDefault();
        const current = head.getAttribute("aria-sort");
        this.sort(column, current ? current === "descending" : key === "team" || key === "rank");
      });
    });
  }

  /** Let the search field hide rows in the page. */
  searchInPage() {
    const search = required(document, "[data-board-search]", HTMLInputElement);
    const none = required(document, "[data-board-none]", HTMLElement);
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase();
      setInAddress({ q: search.value.trim() });
      for (const row of this.rows) row.hidden = !this.nameOf(row).includes(wanted);
      const isEmpty = this.rows.every((row) => row.hidden);
      none.hidden = !isEmpty;
      if (this.element.parentElement) this.element.parentElement.hidden = isEmpty;
    });
    search.form?.addEventListener("submit", (event) => event.preventDefault());
  }
}
