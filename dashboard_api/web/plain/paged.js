// A table that is loaded page by page, with a button for more.

import { get } from "./api.js";
import { el, setHidden } from "./dom.js";
import { sentence, word } from "./text.js";

const ROWS = 100;

/** `row(item)` makes a line; `failed(problem)` hears of answers that are none. `load(path, empty)` shows the list behind
 *  `path`, a query included, or the words of `empty` when it has no lines. */
export function pagedTable(headings, row, failed) {
  const body = el("tbody");
  const more = el("button", { class: "more", type: "button", text: word("list_more"), hidden: true });
  const none = el("p", { class: "quiet", hidden: true });
  const problem = el("p", { class: "problem", role: "alert" });
  let shown = null;
  let following = null;
  let asked = 0;
  const load = async (path, empty, cursor) => {
    const number = (asked += 1);
    shown = { path, empty };
    problem.textContent = "";
    try {
      const page = await get(`${path}&limit=${ROWS}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      if (number !== asked) return; // another list was chosen meanwhile
      if (!cursor) body.replaceChildren();
      body.append(...page.items.map(row));
      following = page.next;
      none.textContent = empty;
      setHidden(more, !following);
      setHidden(none, body.children.length > 0);
    } catch (failure) {
      problem.textContent = sentence(failure.message);
      failed(failure);
    }
  };
  more.addEventListener("click", () => load(shown.path, shown.empty, following));
  const table = el("table", { class: "table paged-table" },
    el("thead", {}, el("tr", {}, ...headings.map((key) => el("th", { text: word(key) })))), body);
  return { nodes: [table, none, more, problem], load };
}
