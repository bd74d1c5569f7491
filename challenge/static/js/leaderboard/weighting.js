// Re-weighting the leaderboard in the page, from published values alone: classes from the table's own
// columns; domains, and the rows of other pages, from the leaderboard's JSON, fetched once.
import { element, required } from "../dom.js";
import { setInAddress } from "./table.js";
import { isByClass, rankTeams, weighClasses, weighDomains } from "./weights.js";

const OFFICIAL = "equal";

/** @param {number | null | undefined} value a fraction */
const inPerCent = (value) => (value === null || value === undefined ? null : value * 100);

/**
 * A rank, and how far it is from the official one.
 * @param {number} rank
 * @param {number} official NaN for a row without one
 */
function makeRank(rank, official) {
  const number = element("span", { textContent: String(rank) });
  number.dataset.rank = String(official);
  const moved = official - rank;
  if (!moved) return [number];
  const text = `${moved > 0 ? "▲" : "▼"}${Math.abs(moved)}`;
  return [number, element("span", { className: `moved ${moved > 0 ? "up" : "down"}`, textContent: text })];
}

export class Weighting {
  /**
   * @param {LeaderboardTable} table
   * @param {HTMLSelectElement} choice
   */
  constructor(table, choice) {
    this.table = table;
    this.choice = choice;
    this.note = required(document, "[data-board-note]", HTMLElement);
    this.failure = required(document, "[data-board-broken]", HTMLElement);
    this.domainField = required(document, "[data-board-domain]", HTMLElement);
    this.domainChoice = required(this.domainField, "select", HTMLSelectElement);
    this.mark = element("span", {
      className: "weighted-word", textContent: ` ${table.element.dataset.weightedWord}`,
    });
    this.format = new Intl.NumberFormat(document.documentElement.lang, {
      minimumFractionDigits: 2, maximumFractionDigits: 2,
    });
    /** @type {Promise<LeaderboardData> | null} */
    this.request = null;
    /** The domain that the address names.
     * @type {string | null}
     */
    this.askedDomain = null;
  }

  start() {
    const apply = () => {
      this.putInAddress();
      return this.apply();
    };
    this.choice.addEventListener("change", apply);
    this.domainChoice.addEventListener("change", apply);
    const asked = new URL(location.href).searchParams;
    const kind = asked.get("weights") ?? "";
    const offered = [...this.choice.options].some(({ value, disabled }) => value === kind && !disabled);
    if (offered) this.choice.value = kind;
    this.askedDomain = asked.get("domain");
    // a browser may restore a choice when one comes back
    if (this.choice.value !== OFFICIAL) this.apply();
  }

  putInAddress() {
    const kind = this.choice.value;
    setInAddress({
      weights: kind === OFFICIAL ? "" : kind,
      domain: kind === "one-domain" ? this.domainChoice.selectedOptions[0]?.dataset.domain ?? "" : "",
    });
  }

  /** The leaderboard's JSON, fetched once. */
  loadData() {
    this.request ??= (async () => {
      const answer = await fetch(this.choice.dataset.boardWeights ?? "");
      if (!answer.ok) throw new Error(`the values answer ${answer.status}`);
      return answer.json();
    })();
    return this.request;
  }

  /** Show the chosen weighting; the official one where the values cannot be fetched. */
  async apply() {
    const kind = this.choice.value;
    this.table.keepPrinted();
    let data = null;
    if (kind !== OFFICIAL && !(this.table.isWhole && isByClass(kind))) {
      try {
        data = await this.loadData();
      } catch (error) {
        console.warn(error);
        this.request = null;
        this.choice.value = OFFICIAL;
        this.failure.hidden = false;
        this.show(OFFICIAL, null);
        return;
      }
      if (this.choice.value !== kind) return; // chosen anew meanwhile
      this.failure.hidden = true;
      this.offerDomains(data);
    }
    this.show(kind, data);
  }

  /** @param {LeaderboardData} data */
  offerDomains(data) {
    if (this.domainChoice.dataset.filled) return;
    this.domainChoice.dataset.filled = "1";
    this.domainChoice.replaceChildren(...data.domains.map(({ id, name }, at) => {
      const option = new Option(name, String(at));
      option.dataset.domain = id;
      option.selected = id === this.askedDomain;
      return option;
    }));
    this.putInAddress();
  }

  /**
   * @param {string} kind
   * @param {LeaderboardData | null} data
   */
  show(kind, data) {
    const official = kind === OFFICIAL;
    this.domainField.hidden = kind !== "one-domain";
    this.note.hidden = official;
    this.table.element.classList.toggle("weighted", !official);
    this.table.showPrinted();
    this.mark.remove();
    if (!official) this.showRows(this.weighRows(kind, data));
    this.table.sort(this.table.miouColumn, false);
  }

  /**
   * Every row with its value, in per cent: those of the page, and of further pages where the
   * leaderboard's JSON is given. Rows without a key are published results, on the page alone.
   * @param {string} kind
   * @param {LeaderboardData | null} data
   * @returns {WeightedRow[]}
   */
  weighRows(kind, data) {
    const columns = this.table.classColumns;
    const frequencies = columns.map(({ frequency }) => frequency);
    /** @type {(row: HTMLTableRowElement) => WeightedRow} */
    const fromRow = (row) => {
      const values = columns.map(({ column }) => this.table.numberAt(row, column));
      const value = isByClass(kind) ? weighClasses(values, kind, frequencies) : null;
      return { row, isTeam: row.classList.contains("team"), value };
    };
    const { rows } = this.table;
    if (!data) return rows.map(fromRow);
    const rowOf = new Map(rows.map((row) => [row.dataset.line, row]));
    const chosen = Number(this.domainChoice.value);
    const weighted = data.lines.filter(({ line }) => line).map((line) => ({
      row: rowOf.get(line.line ?? ""),
      isTeam: line.kind === "team",
      value: isByClass(kind)
        ? weighClasses(columns.map(({ key }) => inPerCent(line.class_ious[key])), kind, frequencies)
        : weighDomains(line.domain_mious.map(inPerCent), kind, chosen),
    }));
    return [...weighted, ...rows.filter((row) => !row.dataset.line).map(fromRow)];
  }

  /** @param {WeightedRow[]} weighted */
  showRows(weighted) {
    const ranks = rankTeams(weighted);
    for (const result of weighted) {
      const { row, value } = result;
      if (!row) continue;
      const printed = row.querySelector("[data-rank]");
      const official = printed instanceof HTMLElement ? parseInt(printed.dataset.rank ?? "", 10) : NaN;
      const rank = ranks.get(result);
      row.cells[this.table.miouColumn].textContent = value === null ? "–" : this.format.format(value);
      row.cells[0].replaceChildren(...(rank ? makeRank(rank, official) : []));
    }
    this.table.heads[this.table.miouColumn].querySelector("a")?.append(this.mark);
  }
}
