// The wall: news come in over the live link, are kept in the store, and are drawn at most a few times a second.

import { command, get, openSession } from "./api.js";
import { alertCard, subjectOf } from "./alerts.js";
import { CoverageMinute } from "./coverage.js";
import * as dialogs from "./dialogs.js";
import { $, el, levelShape, setHidden, setText } from "./dom.js";
import { Link } from "./link.js";
import { SteadyList } from "./list.js";
import { GridMap } from "./map.js";
import { drawCoverage, drawHealth, drawUnseeing } from "./panels.js";
import { openSources } from "./sources.js";
import { Store } from "./store.js";
import { clockTime, currentLanguage, integer, nameOf, sentence, setLanguage, setPeople, translatePage, word } from "./text.js";
import { ticketRow } from "./tickets.js";

const DRAW_EVERY_MS = 150;
const HEALTH_EVERY_MS = 5_000;
const SUMMARY_EVERY_MS = 1_000;
const TOASTS_MAX = 4;

const store = new Store();
const filter = { operations: false, level: 0, grid: null };
const dirty = { incidents: new Set(), tickets: new Set(), all: true };
const link = new Link({ snapshot: onSnapshot, changes: onChanges, waiting: onWaiting, beat: ({ at }) => store.heard(at), state: onState });
let meta = null;
let health = null;
let summary = null;
let unseeing = { items: [] };
let suspect = { items: [] };
let connection = { state: "connecting", retryAt: 0, since: 0, waiting: "" };
let drawPlanned = false;
let drawnMs = 0;
let summaryPlanned = false;
let freshOpened = [];

const act = {
  open: async (id) => attempt(async () => {
    const path = `incidents/${encodeURIComponent(id)}`;
    dialogs.showIncident(await get(path), act.openTicket);
    await showFilmstrips(id);
  }),
  openTicket: async (id) => attempt(async () => dialogs.showTicket(await get(`tickets/${encodeURIComponent(id)}`))),
  confirm: (id) => ask(id, { kind: "confirm" }, "done_confirm"),
  acknowledge: (id) => ask(id, { kind: "acknowledge" }, "done_acknowledge"),
  falseAlarm: (id) => withIncident(id, (incident) => dialogs.askFalseAlarm(incident, meta.false_alarm_reasons,
    ({ reason, note }) => ask(id, { kind: "false_alarm", reason, note }, "done_false_alarm"))),
  mute: (id) => withIncident(id, (incident) => dialogs.askMute(incident, ({ matcher, seconds, reason }) =>
    ask(id, { kind: "mute", matcher, reason, until: new Date(store.now() + seconds * 1000).toISOString() }, "done_mute"))),
  unmute: (id) => attempt(async () => {
    await command({ kind: "unmute", target_id: id });
    toast(word("done_unmute"), "good");
    return true;
  }),
};

const alerts = new SteadyList($("alerts"), (id) => alertCard(id, act, store), {
  emptyWord: () => (filter.level || filter.grid ? "empty_filtered" : "empty_alerts"),
});
const tickets = new SteadyList($("tickets"), (id) => ticketRow(id, act, store), { emptyWord: () => "empty_tickets" });
const refusedToken = (problem) => problem.status === 401 && askToken();
const minute = new CoverageMinute(refusedToken);
const openList = (kind, state) => openSources(kind, state, refusedToken);
const map = new GridMap($("map"), $("map-caption"), setGrid);
for (const list of [alerts, tickets]) {
  list.blocked = dialogs.isOpen;
  list.onRelease = plan;
}

function withIncident(id, then) {
  const incident = store.incidents.get(id);
  if (incident) then(incident);
}

async function attempt(work) {
  try {
    return await work();
  } catch (problem) {
    if (problem.status === 401) return askToken();
    const allowed = problem.problem?.allowed?.length ? ` ${word("allowed")}: ${problem.problem.allowed.join(", ")}` : "";
    toast(`${word("failed")}: ${sentence(problem.message)}${allowed}`, "bad");
    return null;
  }
}

async function ask(id, wish, doneWord) {
  const incident = store.incidents.get(id);
  const card = alerts.cards.get(id);
  card?.setPending(true);
  await attempt(async () => {
    await command({ target_id: id, ...wish });
    toast(`${word(doneWord)}: ${incident ? [subjectOf(incident), incident.place.name].filter(Boolean).join(" · ") : id}`, "good");
  });
  card?.setPending(false);
}

/** The filmstrips of the incident whose details are open, now and with every piece of news. */
async function showFilmstrips(id) {
  const { items } = await get(`incidents/${encodeURIComponent(id)}/filmstrips`);
  dialogs.fillFilmstrips(id, items);
}

function toast(text, kind) {
  const node = el("p", { class: `toast ${kind}`, text });
  $("toasts").append(node);
  while ($("toasts").children.length > TOASTS_MAX) $("toasts").firstChild.remove();
  setTimeout(() => node.remove(), kind === "bad" ? 12_000 : 5_000);
}

function onSnapshot(snapshot) {
  store.heard(snapshot.at);
  store.reset(snapshot);
  summary = snapshot.sources;
  drawCoverage(summary, openList);
  refreshUnseeing();
  refreshMutes();
  if (!meta) start();
  dirty.all = true;
  connection.waiting = "";
  plan();
}

function onChanges(changes, message) {
  store.heard(message.at);
  connection.waiting = "";
  const seen = store.apply(changes);
  for (const id of seen.incidents) dirty.incidents.add(id);
  for (const id of seen.tickets) dirty.tickets.add(id);
  freshOpened.push(...seen.opened);
  for (const id of seen.filmstrips) if (dialogs.isShowing(id)) attempt(() => showFilmstrips(id));
  if (seen.sources) planSummary();
  if (seen.mutes) dirty.all = true;
  plan();
}

function onWaiting(message) {
  connection.waiting = message.message;
  drawConnection();
}

function onState(state, retryAt = 0) {
  if (state !== "connected" && connection.state === "connected") connection.since = store.now();
  connection.state = state;
  connection.retryAt = retryAt;
  drawConnection();
}

function drawConnection() {
  const node = $("connection");
  const state = connection.waiting ? "waiting" : connection.state;
  node.dataset.state = state;
  setText(node, word(state));
  const lost = connection.state === "disconnected" && connection.since;
  const notice = $("notice");
  if (lost) {
    const left = Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000));
    setText(notice, word("retry_in", { n: left, at: clockTime(connection.since) }));
  } else if (connection.waiting) setText(notice, sentence(connection.waiting));
  setHidden(notice, !(lost || connection.waiting));
  for (const node of [$("coverage"), $("unseeing")]) node.classList.toggle("is-old", Boolean(lost));
  minute.connected(!lost);
}

function plan() {
  if (drawPlanned) return;
  drawPlanned = true;
  setTimeout(() => requestAnimationFrame(draw), Math.max(0, DRAW_EVERY_MS - (performance.now() - drawnMs)));
}

function draw() {
  drawPlanned = false;
  drawnMs = performance.now();
  const shown = store.listIncidents(filter);
  const open = store.listTickets(filter);
  alerts.draw(shown, dirty.all ? null : dirty.incidents);
  tickets.draw(open, dirty.all ? null : dirty.tickets);
  map.show(store.listIncidents({ ...filter, grid: null }));
  drawTally();
  drawHead(shown.length, open.length);
  drawDrill();
  announce();
  Object.assign(dirty, { incidents: new Set(), tickets: new Set(), all: false });
}

function drawHead(alertsTotal, ticketsTotal) {
  const most = alerts.most;
  const count = alertsTotal > most && alerts.limit >= most
    ? word("shown_most", { shown: integer(most), n: integer(alertsTotal) })
    : alertsTotal > alerts.shown ? word("shown", { shown: integer(alerts.shown), n: integer(alertsTotal) }) : word("total", { n: integer(alertsTotal) });
  setText($("alerts-caption"), alerts.held && alerts.shown ? `${count} · ${word("held")}` : count);
  setText($("tickets-caption"), ticketsTotal > tickets.shown
    ? word("shown", { shown: integer(tickets.shown), n: integer(ticketsTotal) }) : word("total", { n: integer(ticketsTotal) }));
  const fresh = $("fresh");
  fresh.classList.toggle("has-some", alerts.waiting > 0);
  fresh.disabled = !alerts.waiting;
  setText(fresh, alerts.waiting ? word("fresh", { n: integer(alerts.waiting) }) : "");
  const gridButton = $("grid-filter");
  gridButton.classList.toggle("has-some", Boolean(filter.grid));
  setText(gridButton, filter.grid ? word("grid_filter", { name: map.gridName(filter.grid) }) : "");
  $("mutes").classList.toggle("has-some", store.mutes.size > 0);
  setText($("mutes"), word("mutes", { n: integer(store.mutes.size) }));
}

/** The banner of drills has its own counts: the tally above counts what is real. */
function drawDrill() {
  setHidden($("drill"), !(meta?.site.exercise || store.hasDrill()));
  const counts = Object.entries(store.countLevels(true)).reverse().filter(([, count]) => count > 0);
  setText($("drill-tally"), counts.length
    ? word("drill_tally", { counts: counts.map(([level, count]) => `${word(`level_${level}`)} ${integer(count)}`).join(" · ") }) : "");
}

const chips = new Map();

function drawTally() {
  const counts = store.countLevels(false);
  for (const level of [4, 3, 2, 1]) {
    let chip = chips.get(level);
    if (!chip) {
      chip = { count: el("b"), name: el("span") };
      chip.node = el("button", { class: `tally-chip level-${level}`, type: "button", onclick: () => setLevel(level) }, levelShape(level), chip.name, chip.count);
      chips.set(level, chip);
      $("tally").append(chip.node);
    }
    setText(chip.name, word(`level_${level}`));
    setText(chip.count, integer(counts[level]));
    chip.node.setAttribute("aria-pressed", String(filter.level === level));
    chip.node.setAttribute("aria-label", `${word("level_term")} ${word(`level_${level}`)}: ${counts[level]}`);
  }
  const queues = [["queue_grid", false], ["queue_operations", true]];
  if ($("queues").children.length !== queues.length) {
    $("queues").replaceChildren(...queues.map(([, operations]) => el("button", { type: "button", onclick: () => setQueue(operations) })));
  }
  queues.forEach(([key, operations], index) => {
    setText($("queues").children[index], word(key));
    $("queues").children[index].setAttribute("aria-pressed", String(filter.operations === operations));
  });
}

function announce() {
  if (!freshOpened.length) return;
  const top = freshOpened.reduce((a, b) => (b.level.value > a.level.value ? b : a));
  setText($("announcer"), word("announce", { n: freshOpened.length, level: nameOf(top.level) }));
  freshOpened = [];
}

function refilter() {
  dirty.all = true;
  alerts.force();
  tickets.force();
  plan();
}

function setLevel(level) {
  filter.level = filter.level === level ? 0 : level;
  refilter();
}

function setQueue(operations) {
  filter.operations = operations;
  refilter();
}

function setGrid(code) {
  filter.grid = code;
  map.pick(code);
  refilter();
}

function planSummary() {
  if (summaryPlanned) return;
  summaryPlanned = true;
  setTimeout(async () => {
    summaryPlanned = false;
    await quietly(async () => {
      summary = await get("sources/summary");
      drawCoverage(summary, openList);
    });
    refreshUnseeing();
  }, SUMMARY_EVERY_MS);
}

const refreshMutes = () => quietly(async () => {
  if (!store.setMutes(await get("mutes?active=true&limit=500"))) refreshMutes();
  dirty.all = true;
  plan();
});

const refreshUnseeing = () => quietly(async () => {
  unseeing = await get("sources?state=unseeing&limit=30");
  suspect = await get("sources?state=suspect&kind=camera&limit=30");
  drawSources();
});

function drawSources() {
  if (!summary) return;
  drawCoverage(summary, openList);
  const total = summary.cameras.unseeing + summary.sensors.unseeing;
  const { cameras, sensors } = summary;
  const late = cameras.expected - cameras.live + sensors.expected - sensors.live;
  drawUnseeing(unseeing, total, suspect, { unheard: cameras.unheard + sensors.unheard, late }, dialogs.showCamera);
}

async function quietly(work) {
  try {
    await work();
  } catch (problem) {
    if (problem.status === 401) askToken();
  }
}

async function refreshHealth() {
  try {
    health = await get("health");
  } catch {
    health = null;
  }
  drawHealth(health);
  if (health && health.status !== "waiting") await minute.refresh();
}

function askToken() {
  if (dialogs.isOpen()) return;
  dialogs.askToken(async (token) => {
    await openSession(token);
    dialogs.closeDialog();
    start();
  });
}

async function start() {
  await quietly(async () => {
    meta = await get("meta");
    setPeople(meta.people);
    if (!localStorage.getItem("language")) setLanguage(meta.language);
    retranslate();
  });
  await loadGrids();
  refreshHealth();
}

async function loadGrids() {
  if (map.areas.size) return;
  await quietly(async () => {
    map.load(await get("grids"));
    plan();
  });
  if (!map.areas.size) setTimeout(loadGrids, 2_000);
}

function retranslate() {
  translatePage();
  const site = meta ? meta.site.name : "";
  setText($("site-name"), site || "吹哨");
  document.title = `${site ? `${site} · ` : ""}${word("product")}`;
  setText($("language"), word("other_language"));
  $("language").setAttribute("aria-label", currentLanguage() === "zh" ? "Switch to English" : "切换到中文");
  setText($("theme"), word(`theme_${localStorage.getItem("theme") || "auto"}`));
  for (const list of [alerts, tickets]) list.force();
  dirty.all = true;
  drawConnection();
  drawSources();
  drawHealth(health);
  minute.draw();
  map.describe(null);
  plan();
}

function setTheme(theme) {
  localStorage.setItem("theme", theme);
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
}

function moveFocus(step) {
  const cards = [...$("alerts").querySelectorAll(".card")];
  const at = cards.indexOf(document.activeElement.closest?.(".card"));
  cards[Math.min(Math.max(at + step, 0), cards.length - 1)]?.focus();
}

function onKey(event) {
  if (dialogs.isOpen() || event.ctrlKey || event.metaKey || event.altKey) return;
  const card = document.activeElement.closest?.(".card");
  if (event.key === "Escape" && (filter.grid || filter.level)) {
    filter.level = 0;
    setGrid(null);
  } else if (card && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    moveFocus(event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
  } else if (event.key === "Enter" && document.activeElement === card) act.open(card.dataset.id);
}

function tick() {
  const now = store.now();
  setText($("clock"), clockTime(now));
  alerts.tick(now);
  tickets.tick(now);
  if (connection.state === "disconnected") drawConnection();
  const muteEnded = store.endMutes();
  if (muteEnded) dirty.all = true;
  if (muteEnded || (!alerts.held && alerts.waiting)) plan();
}

setLanguage(localStorage.getItem("language") || "zh");
setTheme(localStorage.getItem("theme") || "auto");
$("language").addEventListener("click", () => {
  setLanguage(currentLanguage() === "zh" ? "en" : "zh");
  localStorage.setItem("language", currentLanguage());
  retranslate();
});
$("theme").addEventListener("click", () => {
  const order = ["auto", "dark", "light"];
  setTheme(order[(order.indexOf(localStorage.getItem("theme") || "auto") + 1) % order.length]);
  retranslate();
});
$("fresh").addEventListener("click", () => {
  alerts.force();
  $("alerts").scrollTop = 0;
  const panel = $("alerts").closest(".panel");
  if (panel.getBoundingClientRect().top < 0) panel.scrollIntoView();
  plan();
});
$("grid-filter").addEventListener("click", () => setGrid(null));
$("mutes").addEventListener("click", () => dialogs.showMutes(store.listMutes(), store.now(), act.unmute));
$("refused").addEventListener("click", () => dialogs.showRefused(health ? health.refusals : []));
$("map-in").addEventListener("click", () => map.zoom(1 / 1.5));
$("map-out").addEventListener("click", () => map.zoom(1.5));
$("map-all").addEventListener("click", () => map.showAll());
$("map-alerts").addEventListener("click", () => map.showAlerts());
$("dialog").addEventListener("close", plan);
document.addEventListener("keydown", onKey);
retranslate();
tick();
setInterval(tick, 1_000);
setInterval(refreshHealth, HEALTH_EVERY_MS);
start();
link.open();
