// The leaderboard: sort, search and re-weight without asking the server again.
// Without this script the same links and form do it on the server.
import { LeaderboardTable } from "./table.js";
import { Weighting } from "./weighting.js";

/** How the best score moved: fetched when the reader comes near it, as it reads all scores.
 * @param {HTMLElement} slot
 */
function loadChartWhenNear(slot) {
  const observer = new IntersectionObserver(async (seen) => {
    if (!seen.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    const headers = { "HX-Request": "true" };
    const answer = await fetch(slot.dataset.boardProgress ?? "", { headers });
    if (answer.ok) slot.innerHTML = await answer.text();
  }, { rootMargin: "300px" });
  observer.observe(slot);
}

const element = document.querySelector("[data-board]");
if (element instanceof HTMLTableElement) {
  const table = new LeaderboardTable(element);
  if (table.isWhole) {
    table.sortByHeads();
    table.searchInPage();
  }
  const choice = document.querySelector("[data-board-weights]");
  if (choice instanceof HTMLSelectElement) new Weighting(table, choice).start();
}
const slot = document.querySelector("[data-board-progress]");
if (slot instanceof HTMLElement) loadChartWhenNear(slot);
