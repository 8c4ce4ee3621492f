// One dialog at a time: false alarm, mutes, details of an alert or a ticket, refused input, the token.

import { $, el } from "./dom.js";
import { demandedText, gridText, levelBadge, measuredText, placeText, subjectOf } from "./alerts.js";
import { filmstrips } from "./filmstrip.js";
import { clockTime, fullTime, integer, nameOf, personName, sentence, untilTime, word } from "./text.js";

const dialog = () => $("dialog");

export const isOpen = () => dialog().open;

/** Open the dialog, or fill it anew: a title, nodes, buttons beside the one that closes it. */
export function show(title, content, actions, closing = "cancel") {
  const close = el("button", { class: "act act-quiet", type: "button", text: word(closing), onclick: () => dialog().close() });
  dialog().replaceChildren(
    el("h2", { id: "dialog-title", text: title }),
    el("div", { class: "dialog-body" }, ...content),
    el("div", { class: "dialog-acts" }, ...actions, close));
  if (!dialog().open) dialog().showModal();
}

export const closeDialog = () => dialog().close();

/** Radio buttons; `first` marks the first one, where a wrong choice does no harm. */
function choices(name, options, first = true) {
  return el("div", { class: "choices", role: "radiogroup" }, ...options.map(([value, text], index) =>
    el("label", { class: "choice" },
      el("input", { type: "radio", name, value, checked: first && index === 0 }), el("span", { text }))));
}

const chosen = (name) => dialog().querySelector(`input[name="${name}"]:checked`)?.value;

const headline = (incident) => {
  const badge = levelBadge();
  badge.update(incident.level);
  return el("p", { class: "dialog-subject" }, badge.node, el("strong", { text: subjectOf(incident) }), ` ${placeText(incident.place)}`);
};

/** Ask for the reason of a false alarm; `done({reason, note})`. */
export function askFalseAlarm(incident, reasons, done) {
  const note = el("textarea", { rows: 2, maxlength: 500, id: "note" });
  const act = el("button", { class: "act act-confirm", type: "button", disabled: true, text: word("false_alarm"), onclick: () => {
    dialog().close();
    done({ reason: chosen("reason"), note: note.value.trim() });
  } });
  const list = choices("reason", reasons.map((reason) => [reason.code, nameOf(reason)]), false);
  list.addEventListener("change", () => (act.disabled = false));
  show(word("false_alarm"), [headline(incident), el("h3", { text: word("choose_reason") }), list,
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

function muteScope(mute) {
  const where = [mute.source_name, mute.grid_path.join(" / ") || mute.grid_prefix, mute.zone_id].filter(Boolean);
  return [mute.type ? nameOf(mute.type_name) : word("every_type"), ...where].join(" · ");
}

/** Active mutes, each with a button that ends it; `unmute(id)` resolves to true when it was done. */
export function showMutes(mutes, nowMs, unmute) {
  const none = el("p", { class: "quiet", text: word("mutes_none"), hidden: mutes.length > 0 });
  const rows = mutes.map((mute) => {
    const end = el("button", { class: "act", type: "button", text: word("unmute"), onclick: async () => {
      end.disabled = true;
      if (await unmute(mute.id)) row.remove();
      end.disabled = false;
      none.hidden = list.children.length > 0;
    } });
    const row = el("li", { class: "mute" }, el("div", {}, el("strong", { text: muteScope(mute) }),
      el("p", { class: "quiet", text: [word("mute_end", { t: untilTime(Date.parse(mute.expires_at), nowMs) }),
        mute.reason, personName(mute.owner)].join(" · ") })), end);
    return row;
  });
  const list = el("ul", { class: "mutes" }, ...rows);
  show(word("mutes_title"), [list, none], [], "close");
}

const facts = (rows) => el("dl", { class: "facts facts-wide" }, ...rows.filter(([, value]) => value)
  .map(([label, value]) => el("div", { class: "fact" }, el("dt", { text: label }), el("dd", { text: value }))));

const step = (at, head, text) => el("li", {},
  el("time", { text: fullTime(Date.parse(at)) }), el("strong", { text: head }), el("span", { text: sentence(text) }));

/** Pictures as thumbnails with their times; one that is asked for is shown large below them. */
function pictureStrip(incident) {
  if (!incident.evidence.length) return [];
  const alt = word("picture_alt", { place: placeText(incident.place) });
  const large = el("img", { class: "big-picture", alt, hidden: true });
  const thumbs = incident.evidence.map((evidence) => el("button", { class: "thumb", type: "button", onclick: () => {
    large.src = evidence.url;
    large.hidden = false;
    large.scrollIntoView({ block: "nearest" });
  } }, el("img", { src: evidence.url, loading: "lazy", width: 144, height: 81, alt }),
  el("time", { text: clockTime(Date.parse(evidence.event_time)) })));
  return [el("h3", { text: word("pictures") }), el("div", { class: "strip" }, ...thumbs), large];
}

/** "T03 受理 · 待受理 → 待立案"; a change of level has no states. */
function moveText(move) {
  if (move.transition === "LEVEL") return nameOf(move.name);
  const states = [move.from_state, move.to_state].filter((state) => state.code).map(nameOf);
  return `${move.transition} ${nameOf(move.name)} · ${states.join(" → ")}`;
}

export function showIncident(incident, openTicket) {
  const actions = incident.ticket_id
    ? [el("button", { class: "act", type: "button", text: word("ticket"), onclick: () => openTicket(incident.ticket_id) })] : [];
  show(word("details"), [headline(incident), facts([
    [word("measured"), measuredText(incident)], [word("demanded"), demandedText(incident)],
    [word("grid"), gridText(incident.place)], [word("place"), incident.place.name],
    [word("source"), incident.sources.map((source) => `${source.name} (${source.id})`).join("; ")],
    [word("first_seen"), fullTime(Date.parse(incident.first_event_time))],
    [word("last_seen"), fullTime(Date.parse(incident.last_event_time))],
    [word("observations"), integer(incident.observation_total)], [word("owner"), personName(incident.owner)], ["ID", incident.id]]),
  el("h3", { text: word("decisions") }),
  el("ol", { class: "steps" }, ...incident.decisions.map((d) => step(d.at, nameOf(d.reason), d.text))),
  el("div", { class: "films", "data-incident": incident.id, "data-aliases": incident.aliases.join(" ") }),
  ...pictureStrip(incident)], actions, "close");
}

const filmsOf = (id) => {
  const films = isOpen() ? dialog().querySelector(".films") : null;
  return films && [films.dataset.incident, ...films.dataset.aliases.split(" ")].includes(id) ? films : null;
};

/** Whether the details of this incident are open. */
export const isShowing = (id) => Boolean(filmsOf(id));

/** Put the filmstrips into the open details of their incident, the moment in the middle. */
export function fillFilmstrips(id, strips) {
  const films = filmsOf(id);
  if (!films) return;
  films.replaceChildren(...filmstrips(strips));
  for (const strip of films.querySelectorAll(".film-strip")) {
    const moment = strip.querySelector(".film-moment").getBoundingClientRect();
    strip.scrollLeft += moment.left - strip.getBoundingClientRect().left - strip.clientWidth / 2;
  }
}

export function showTicket(ticket) {
  show(`${word("ticket")} ${ticket.case_number}`, [headline(ticket), facts([
    [word("grid"), gridText(ticket.place)], [word("lead"), ticket.lead], [word("co"), ticket.co.join(" · ")],
    [word("sla"), ticket.sla], [word("reason"), sentence(ticket.description)], ["ID", ticket.id]]),
  el("h3", { text: word("moves") }),
  el("ol", { class: "steps" }, ...ticket.events.map((event) => step(event.at, moveText(event),
    [personName(event.actor), nameOf(event.words)].filter(Boolean).join(" · "))))], [], "close");
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
