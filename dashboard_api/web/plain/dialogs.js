// One dialog at a time: false alarm, mute, details of an alert or a ticket, refused input, the token.

import { $, el } from "./dom.js";
import { demandedText, gridText, levelBadge, measuredText, placeText } from "./alerts.js";
import { fullTime, integer, nameOf, sentence, word } from "./text.js";

const dialog = () => $("dialog");

export const isOpen = () => dialog().open;

function show(title, content, actions, closing = "cancel") {
  const close = el("button", { class: "act act-quiet", type: "button", text: word(closing), onclick: () => dialog().close() });
  dialog().replaceChildren(
    el("h2", { id: "dialog-title", text: title }),
    el("div", { class: "dialog-body" }, ...content),
    el("div", { class: "dialog-acts" }, ...actions, close));
  if (!dialog().open) dialog().showModal();
}

export const closeDialog = () => dialog().close();

function choices(name, options) {
  return el("div", { class: "choices", role: "radiogroup" }, ...options.map(([value, text], index) =>
    el("label", { class: "choice" },
      el("input", { type: "radio", name, value, checked: index === 0 }), el("span", { text }))));
}

const chosen = (name) => dialog().querySelector(`input[name="${name}"]:checked`)?.value;

const headline = (incident) => {
  const badge = levelBadge();
  badge.update(incident.level);
  return el("p", { class: "dialog-subject" }, badge.node, el("strong", { text: nameOf(incident.type) }), ` ${placeText(incident.place)}`);
};

/** Ask for the reason of a false alarm; `done({reason, note})`. */
export function askFalseAlarm(incident, reasons, done) {
  const note = el("textarea", { rows: 2, maxlength: 500, id: "note" });
  const act = el("button", { class: "act act-confirm", type: "button", text: word("false_alarm"), onclick: () => {
    dialog().close();
    done({ reason: chosen("reason"), note: note.value.trim() });
  } });
  show(word("false_alarm"), [headline(incident), el("h3", { text: word("choose_reason") }),
    choices("reason", reasons.map((reason) => [reason.code, nameOf(reason)])),
    el("label", { for: "note", text: word("note") }), note], [act]);
}

/** Ask what to mute, for how long and why; `done({matcher, seconds, reason})`. */
export function askMute(incident, done) {
  const reason = el("input", { type: "text", maxlength: 200, id: "mute-reason", required: true });
  const problem = el("p", { class: "problem", role: "alert" });
  const scopes = [];
  if (incident.sources.length) scopes.push(["source", `${word("mute_source")}: ${incident.sources[0].name}`]);
  if (incident.place.grid_code) scopes.push(["grid", `${word("mute_grid")}: ${gridText(incident.place)}`]);
  const act = el("button", { class: "act act-confirm", type: "button", text: word("mute"), onclick: () => {
    if (!reason.value.trim()) {
      problem.textContent = word("reason_missing");
      reason.focus();
      return;
    }
    const scope = chosen("scope") === "source" ? { source_id: incident.sources[0].id } : { grid_prefix: incident.place.grid_code };
    dialog().close();
    done({ matcher: { type: incident.type.code, ...scope }, seconds: Number(chosen("for")), reason: reason.value.trim() });
  } });
  show(word("mute"), [headline(incident), el("h3", { text: word("mute_scope") }), choices("scope", scopes),
    el("h3", { text: word("mute_for") }),
    choices("for", [[1800, word("minutes_30")], [7200, word("hours_2")], [28800, word("hours_8")]]),
    el("label", { for: "mute-reason", text: word("mute_reason") }), reason, problem], [act]);
  reason.focus();
}

const facts = (rows) => el("dl", { class: "facts facts-wide" }, ...rows.filter(([, value]) => value)
  .map(([label, value]) => el("div", { class: "fact" }, el("dt", { text: label }), el("dd", { text: value }))));

const step = (at, head, text) => el("li", {},
  el("time", { text: fullTime(Date.parse(at)) }), el("strong", { text: head }), el("span", { text: sentence(text) }));

export function showIncident(incident, openTicket) {
  const pictures = incident.evidence.map((evidence) => el("img", { class: "big-picture", src: evidence.url,
    width: evidence.width, height: evidence.height, alt: word("picture_alt", { place: placeText(incident.place) }) }));
  const actions = incident.ticket_id
    ? [el("button", { class: "act", type: "button", text: word("ticket"), onclick: () => openTicket(incident.ticket_id) })] : [];
  show(word("details"), [headline(incident), ...pictures, facts([
    [word("measured"), measuredText(incident)], [word("demanded"), demandedText(incident)],
    [word("grid"), gridText(incident.place)], [word("place"), incident.place.name],
    [word("source"), incident.sources.map((source) => `${source.name} (${source.id})`).join("; ")],
    [word("first_seen"), fullTime(Date.parse(incident.first_event_time))],
    [word("last_seen"), fullTime(Date.parse(incident.last_event_time))],
    [word("observations"), integer(incident.observation_total)], [word("owner"), incident.owner], ["ID", incident.id]]),
  el("h3", { text: word("decisions") }),
  el("ol", { class: "steps" }, ...incident.decisions.map((d) => step(d.at, nameOf(d.reason), d.text)))], actions, "close");
}

export function showTicket(ticket) {
  show(`${word("ticket")} ${ticket.case_number}`, [headline(ticket), facts([
    [word("grid"), gridText(ticket.place)], [word("lead"), ticket.lead], [word("co"), ticket.co.join(" · ")],
    [word("sla"), ticket.sla], [word("reason"), sentence(ticket.description)], ["ID", ticket.id]]),
  el("h3", { text: word("moves") }),
  el("ol", { class: "steps" }, ...ticket.events.map((event) => step(event.at,
    `${event.transition} ${nameOf(event.from_state)} → ${nameOf(event.to_state)}`, `${event.actor} ${event.reason}`)))], [], "close");
}

export function showRefused(refusals) {
  const cell = (tag, text) => el(tag, { text });
  const table = el("table", { class: "table" },
    el("thead", {}, el("tr", {}, ...["reason", "source", "times", "last"].map((key) => cell("th", word(key))))),
    el("tbody", {}, ...refusals.map((refusal) => el("tr", {},
      el("td", {}, el("strong", { text: nameOf(refusal.reason) }), el("br"), el("span", { class: "quiet", text: sentence(refusal.last_text) })),
      cell("td", refusal.source_id || "—"), cell("td", integer(refusal.total)), cell("td", fullTime(Date.parse(refusal.last_at)))))));
  show(word("refused_title"), [refusals.length ? table : el("p", { text: word("refused_none") })], [], "close");
}

/** Ask for the token until `enter(token)` accepts it. */
export function askToken(enter) {
  const input = el("input", { type: "password", id: "token", autocomplete: "current-password" });
  const problem = el("p", { class: "problem", role: "alert" });
  const submit = async () => {
    try {
      await enter(input.value.trim());
    } catch {
      problem.textContent = word("token_wrong");
    }
  };
  input.addEventListener("keydown", (event) => event.key === "Enter" && submit());
  show(word("token_title"), [el("label", { for: "token", text: word("token_sentence") }), input, problem],
    [el("button", { class: "act act-confirm", type: "button", text: word("enter"), onclick: submit })]);
}
