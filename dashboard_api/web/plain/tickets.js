// One ticket as a row of the list.

import { el, setHidden, setText } from "./dom.js";
import { gridText, levelBadge } from "./alerts.js";
import { duration, nameOf, word } from "./text.js";

export function ticketRow(id, act, store) {
  const level = levelBadge();
  const number = el("span", { class: "case-number" });
  const state = el("span", { class: "badge state" });
  const suspected = el("span", { class: "badge suspicion" });
  const drill = el("span", { class: "badge badge-drill" });
  const title = el("span", { class: "ticket-title" });
  const place = el("span", { class: "ticket-place" });
  const lead = el("span", { class: "ticket-lead" });
  const age = el("time", { class: "age" });
  const node = el("button", { class: "ticket", type: "button", "data-id": id, onclick: () => act.openTicket(id) },
    el("span", { class: "line" }, number, state, age),
    el("span", { class: "line" }, title, suspected, drill),
    el("span", { class: "line" }, place),
    el("span", { class: "line" }, level.node, lead));
  let record = null;
  const row = {
    node,
    update(ticket) {
      record = ticket;
      node.classList.remove("ended");
      node.dataset.level = ticket.level.value;
      level.update(ticket.level);
      setText(number, ticket.case_number);
      setText(state, nameOf(ticket.state));
      setText(title, nameOf(ticket.type));
      setText(suspected, word("suspected"));
      setHidden(suspected, !ticket.suspected);
      setText(drill, word("drill"));
      setHidden(drill, !ticket.exercise);
      setText(place, gridText(ticket.place));
      setText(lead, ticket.lead ? `${word("lead")} ${ticket.lead}` : "");
      row.tick(store.now());
    },
    tick(nowMs) {
      if (record) setText(age, word("ago", { t: duration((nowMs - Date.parse(record.opened_at)) / 1000) }));
    },
    end() {
      node.classList.add("ended");
      setText(state, word("ended"));
    },
  };
  return row;
}
