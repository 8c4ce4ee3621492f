// Sources with their coverage, and the line of health at the foot.

import { $, el, setText } from "./dom.js";
import { duration, integer, nameOf, sentence, word } from "./text.js";

const UNSEEING_SHOWN = 30;

function coverageRow(kind, summary, open) {
  const bar = el("div", { class: "bar", "aria-hidden": "true" });
  const asked = summary.states.filter(({ state }) => state.code !== "off" && state.code !== "unreported");
  for (const { state, count } of asked) {
    const part = el("span", { class: `part state-${state.code}` });
    part.style.flexGrow = count;
    bar.append(part);
  }
  // What was asked for and is not heard of yet stays grey: a bar is full only when everything expected speaks.
  const rest = summary.expected - asked.reduce((n, { count }) => n + count, 0);
  if (rest > 0) {
    const part = el("span", { class: "part state-unreported" });
    part.style.flexGrow = rest;
    bar.append(part);
  }
  const percent = summary.coverage === null ? "—" : `${Math.floor(summary.coverage * 1000) / 10} %`;
  const states = el("p", { class: "state-counts" }, ...summary.states.map(({ state, count }) =>
    el("button", { class: `state-count state-${state.code}`, type: "button", "data-state": state.code, onclick: () => open(kind, state) },
      el("i", { "aria-hidden": "true" }), `${nameOf(state)} ${integer(count)}`)));
  return el("div", { class: "coverage-row" },
    el("div", { class: "line" }, el("strong", { text: word(`${kind}s`) }),
      el("span", { text: word("coverage", { live: integer(summary.live), expected: integer(summary.expected) }) }),
      summary.unheard ? el("span", { class: "unheard", text: word("unheard", { n: integer(summary.unheard) }) }) : null,
      el("span", { class: "percent", text: percent }),
      el("span", { class: "quiet", text: word("in_catalogue", { total: integer(summary.total) }) })),
    bar, states);
}

// `open(kind, state)` shows the sources behind a count.
export function drawCoverage(summary, open) {
  $("coverage").replaceChildren(coverageRow("camera", summary.cameras, open), coverageRow("sensor", summary.sensors, open));
}

// `look(source)` opens a camera; sensors have nothing to look at.
function sourceRow(source, look) {
  return el("li", {},
    el("span", { class: `badge state-badge state-${source.state.code}`, text: nameOf(source.state) }),
    el("span", { class: "source-name", text: source.name, title: source.id }),
    el("span", { class: "quiet", text: sentence(source.detail) || nameOf(source.reason) }),
    source.kind === "camera" && source.expected
      ? el("button", { class: "act act-quiet look-act", type: "button", text: word("look"), "aria-label": `${word("look")} ${source.name}`, onclick: () => look(source) }) : null);
}

// Suspect cameras are seen, so they stand behind those that are not, in what room those leave.
// `late`: expected sources that are not live and not told of as failing: they connect, or were not heard of yet.
export function drawUnseeing(page, total, suspect, { unheard, late }, look) {
  const rows = page.items.slice(0, UNSEEING_SHOWN).map((source) => sourceRow(source, look));
  const rest = total - rows.length;
  rows.push(...suspect.items.slice(0, UNSEEING_SHOWN - rows.length).map((source) => sourceRow(source, look)));
  if (rest > 0) rows.push(el("li", { class: "quiet", text: word("unseeing_more", { n: integer(rest) }) }));
  if (!rows.length) rows.push(el("li", { class: "quiet", text: unheard ? word("unheard", { n: integer(unheard) }) : late > 0 ? word("unseeing_not_yet", { n: integer(late) }) : word("unseeing_none") }));
  $("unseeing").replaceChildren(...rows);
}

function serviceText({ service, instance, name }) {
  return instance === "0" || instance === service ? nameOf(name) : `${nameOf(name)} ${instance}`;
}

export function drawHealth(health) {
  const status = $("health-status");
  status.dataset.status = health ? health.status : "down";
  setText(status, health ? sentence(health.message) : word("api_away"));
  const services = health ? health.services : [];
  $("health-services").replaceChildren(...services.map((service) => el("span",
    { class: `service ${service.silent ? "is-silent" : ""}`, title: Object.entries(service.counters).map(([key, n]) => `${key} ${n}`).join("\n") },
    el("i", { "aria-hidden": "true" }),
    serviceText(service),
    service.silent ? ` ${word("silent", { t: duration(service.age_s) })}` : "")));
  setText($("refused"), word("refused", { n: integer(health ? health.refused_total : 0) }));
  $("refused").classList.toggle("has-some", Boolean(health && health.refused_total));
}
