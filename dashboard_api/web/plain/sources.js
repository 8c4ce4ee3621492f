// The sources behind a count of the panel: which ones are in this state, since when and why.

import { show } from "./dialogs.js";
import { el } from "./dom.js";
import { pagedTable } from "./paged.js";
import { fullTime, nameOf, sentence, word } from "./text.js";

function sourceLine(source) {
  const why = sentence(source.detail) || (source.reason ? nameOf(source.reason) : "");
  const place = [source.id, source.grid_path.at(-1), source.place_name, source.owner].filter(Boolean).join(" · ");
  return el("tr", { "data-id": source.id },
    el("td", {}, el("strong", { text: source.name }), el("br"), el("span", { class: "quiet", text: place })),
    el("td", {}, el("span", { class: `badge state-${source.state.code}`, text: nameOf(source.state) }), el("br"),
      el("span", { class: "quiet", text: why })),
    el("td", { class: "quiet", text: source.at ? fullTime(Date.parse(source.at)) : "—" }));
}

/** Open the list of one kind (`camera`, `sensor`) in one state. */
export function openSources(kind, state, failed) {
  const list = pagedTable(["source", "source_state", "source_since"], sourceLine, failed);
  show(`${word(`${kind}s`)} · ${nameOf(state)}`, list.nodes, [], "close");
  list.load(`sources?kind=${kind}&state=${state.code}`, word("sources_none"));
}
