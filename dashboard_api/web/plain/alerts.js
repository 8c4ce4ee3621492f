// One alert as a card. Its buttons are bound to the id they were built for and are never used for another alert.

import { el, levelShape, setHidden, setText } from "./dom.js";
import { decimal, duration, integer, nameOf, personName, sentence, untilTime, word } from "./text.js";

export const gridText = (place) =>
  place.grid_code ? (place.grid_path.length ? place.grid_path.join(" / ") : place.grid_code) : word("unlocated");

export function placeText(place) {
  const grid = gridText(place);
  return place.name && !grid.includes(place.name) ? `${grid} · ${place.name}` : grid;
}

/** What an incident is known as now; a ticket's type is that already. */
export const subjectOf = (record) => nameOf(record.name || record.type);

const UNITS = { Cel: "°C", s: "" };

function valueText(value, unit) {
  if (unit === "s") return duration(value);
  if (!unit && value === 1) return word("alarm"); // a contact that closed, not a quantity
  return `${decimal(value, 2)} ${UNITS[unit] || unit}`.trim();
}

/** "峰值 80 人 · 3.1 人/m²" once a crowd is less than it was, else "". */
function peakText({ count, density, peak_count: most, peak_density: densest }) {
  const parts = [];
  if (most !== null && count !== null && most > count) parts.push(word("people", { n: integer(most) }));
  if (densest !== null && density !== null && decimal(densest, 2) !== decimal(density, 2)) parts.push(word("density", { d: decimal(densest, 2) }));
  return parts.length ? word("peak", { v: parts.join(" · ") }) : "";
}

/** "63 ± 4 人 · 2.1 人/m² (峰值 70 人)", "密度未标定" where the ground is not calibrated, "128 s" for plain values. */
export function measuredText(incident) {
  const { count, count_error: error, density, value, unit } = incident.measured;
  const parts = [];
  if (count !== null) {
    parts.push(error ? word("people_error", { n: integer(count), e: decimal(error, 0) }) : word("people", { n: integer(count) }));
    parts.push(density !== null ? word("density", { d: decimal(density, 2) }) : word("uncalibrated"));
  } else if (density !== null) parts.push(word("density", { d: decimal(density, 2) }));
  if (value !== null) parts.push(valueText(value, unit));
  const peak = peakText(incident.measured);
  return parts.join(" · ") + (peak ? ` (${peak})` : "");
}

export function demandedText(incident) {
  const rule = incident.demanded;
  if (!rule) return incident.belief === "arrival" ? word("acts_on_arrival") : "";
  let value = decimal(rule.raise_at, 2);
  if (rule.measure === "density") value = word("density", { d: value });
  else if (rule.measure === "count_share") value = word("capacity_share", { v: `${Math.round(rule.raise_at * 100)} %` });
  else value = incident.measured.unit === "s" ? duration(rule.raise_at) : `${value} ${UNITS[incident.measured.unit] || incident.measured.unit}`.trim();
  const held = rule.hold_s > 0 ? ` · ${word("held_for", { s: duration(rule.hold_s) })}` : "";
  return word("at_least", { v: value }) + held;
}

export function sourcesText(incident) {
  const names = incident.sources.map((source) => source.name);
  const head = names.length > 1 ? word("sources_agree", { n: names.length }) : word("one_source");
  return { head, names: names.slice(0, 4).join(" · ") + (names.length > 4 ? " …" : "") };
}

const badge = (className) => el("span", { class: `badge ${className}` });

/** The words 内部告警等级 with the level's shape and name; returns {node, update(level)}. */
export function levelBadge() {
  const label = el("span");
  const node = el("span", { class: "level" });
  let drawn = null;
  return {
    node,
    update(level) {
      if (drawn !== level.value) {
        drawn = level.value;
        node.className = `level level-${level.value}`;
        node.replaceChildren(levelShape(level.value), label);
      }
      setText(label, nameOf(level.label));
    },
  };
}

export function alertCard(id, act, store) {
  const level = levelBadge();
  const type = el("h3", { class: "type", id: `type-${id}` });
  const suspicion = badge("suspicion");
  const drill = badge("badge-drill");
  const unreviewed = badge("badge-warn");
  const blind = badge("badge-warn");
  const mutedBadge = badge("badge-quiet");
  const endedBadge = badge("badge-quiet");
  const age = el("time", { class: "age" });
  const place = el("p", { class: "place" });
  const reason = el("p", { class: "reason" });
  const measuredLabel = el("dt");
  const measured = el("dd");
  const demandedLabel = el("dt");
  const demanded = el("dd");
  const sourcesHead = el("dt");
  const sourcesNames = el("dd");
  const sourcesRow = el("div", { class: "fact" }, sourcesHead, sourcesNames);
  const measuredRow = el("div", { class: "fact" }, measuredLabel, measured);
  const demandedRow = el("div", { class: "fact" }, demandedLabel, demanded);
  const ownerLabel = el("dt");
  const owner = el("dd");
  const ownerRow = el("div", { class: "fact" }, ownerLabel, owner);
  const facts = el("dl", { class: "facts" }, measuredRow, demandedRow, sourcesRow, ownerRow);
  const picture = el("img", { class: "picture", loading: "lazy", decoding: "async", width: 176, height: 99, alt: "" });
  const noPicture = el("span", { class: "no-picture" });
  const frame = el("button", { class: "frame", type: "button", onclick: () => act.open(id) }, picture, noPicture);
  const review = el("span", { class: "review" });
  const button = (className, kind) => el("button", { class: className, type: "button", onclick: () => act[kind](id) });
  const buttons = {
    confirm: button("act act-confirm", "confirm"),
    false_alarm: button("act", "falseAlarm"),
    acknowledge: button("act", "acknowledge"),
    mute: button("act", "mute"),
    details: button("act act-quiet", "open"),
  };
  picture.addEventListener("error", () => {
    picture.hidden = true;
    setText(noPicture, word("picture_missing"));
    noPicture.hidden = false;
  });
  const node = el("article", { class: "card", tabindex: "0", "data-id": id, "aria-labelledby": `type-${id}` },
    frame,
    el("div", { class: "body" },
      el("div", { class: "head" },
        el("div", { class: "line" }, level.node, type, suspicion, drill, unreviewed, blind, mutedBadge, endedBadge),
        el("div", { class: "times" }, age, review)),
      place, reason, facts,
      el("div", { class: "acts" }, ...Object.values(buttons))));

  let record = null;
  let url = null;
  let pending = false;
  let over = false; // the alert ended or was judged while the list stood still

  function showPicture() {
    const evidence = record.evidence[0];
    if (evidence && evidence.url !== url) {
      url = evidence.url;
      picture.hidden = false;
      noPicture.hidden = true;
      picture.src = url;
    }
    if (!evidence) {
      picture.hidden = true;
      noPicture.hidden = false;
      const sensor = record.sources.some((source) => source.kind === "sensor");
      setText(noPicture, word(sensor ? "sensor_alarm" : "no_picture"));
    }
    picture.alt = word("picture_alt", { place: placeText(record.place) });
  }

  function showButtons() {
    const decided = record.state.code !== "A2" && !record.unreviewed;
    buttons.confirm.disabled = pending || decided;
    buttons.false_alarm.disabled = pending;
    buttons.acknowledge.disabled = pending || Boolean(record.owner);
    buttons.mute.disabled = pending || Boolean(record.muted_by || store.muteOf(record));
    for (const [kind, each] of Object.entries(buttons)) {
      setText(each, word(kind));
      if (each === buttons.details) continue;
      if (over && each === document.activeElement) node.focus();
      setHidden(each, over);
    }
    if (record.owner) setText(buttons.acknowledge, word("taken"));
  }

  function showBadges() {
    const mute = over ? null : store.muteOf(record);
    const until = mute ? word("muted_until", { t: untilTime(Date.parse(mute.expires_at), store.now()) }) : word("muted");
    const flags = [[suspicion, !over, word(record.suspected ? "suspected" : "confirmed")],
      [drill, record.exercise, word("drill")], [unreviewed, record.unreviewed && !over, word("unreviewed")],
      [blind, record.unknown && !over, word("unknown")], [mutedBadge, !over && (mute || record.muted_by), until],
      [endedBadge, over, word(record.state.code === "A4" ? "judged_false" : "ended")]];
    for (const [flag, on, text] of flags) {
      setHidden(flag, !on);
      setText(flag, text);
    }
    suspicion.classList.toggle("is-confirmed", !record.suspected);
  }

  function fill() {
    node.classList.toggle("ended", over);
    node.dataset.level = record.level.value;
    level.update(record.level);
    setText(type, subjectOf(record));
    showBadges();
    setText(place, placeText(record.place));
    const why = record.decision;
    setText(reason, why ? sentence(why.text) || nameOf(why.reason) : "");
    setText(measuredLabel, word("measured"));
    setText(measured, measuredText(record));
    setHidden(measuredRow, !measured.textContent);
    setText(demandedLabel, word("demanded"));
    setText(demanded, demandedText(record));
    setHidden(demandedRow, !demanded.textContent);
    const agree = sourcesText(record);
    setText(sourcesHead, agree.head);
    setText(sourcesNames, agree.names);
    sourcesRow.classList.toggle("agree", record.sources.length > 1);
    setText(ownerLabel, word("owner"));
    setText(owner, personName(record.owner));
    setHidden(ownerRow, !record.owner);
    showPicture();
    showButtons();
    card.tick(store.now());
  }

  const card = {
    node,
    update(incident) {
      record = incident;
      over = false;
      fill();
    },
    tick(nowMs) {
      if (!record) return;
      setText(age, word("ago", { t: duration((nowMs - Date.parse(record.opened_at)) / 1000) }));
      const due = record.review_due_at && !over ? (Date.parse(record.review_due_at) - nowMs) / 1000 : null;
      setText(review, due === null ? "" : word(due >= 0 ? "review_left" : "review_over", { t: duration(Math.abs(due)) }));
      review.classList.toggle("over", due !== null && due < 0);
    },
    /** The list stands still and this alert is no longer in it. */
    end() {
      over = !store.incidents.has(id);
      record = store.incidents.get(id) || store.ended.get(id) || record;
      fill();
    },
    setPending(on) {
      pending = on;
      node.classList.toggle("pending", on);
      showButtons();
    },
  };
  return card;
}
