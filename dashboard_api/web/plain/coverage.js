// The last minute: how many of the wanted cameras were received and analysed, the list behind it, and storms.

import { get } from "./api.js";
import { show } from "./dialogs.js";
import { $, el, setHidden } from "./dom.js";
import { pagedTable } from "./paged.js";
import { clockTime, decimal, duration, integer, nameOf, sentence, word } from "./text.js";

const STAGES = ["received", "analysed"];
const LISTS = {
  unreceived: { query: "wanted=true&received=no&received=unknown", count: (c) => c.received.unseen + c.received.unknown },
  unanalysed: { query: "wanted=true&analysed=no&analysed=unknown", count: (c) => c.analysed.unseen + c.analysed.unknown },
  patrol: { query: "wanted=true&on_patrol=true", count: (c) => c.on_patrol },
  wanted: { query: "wanted=true", count: (c) => c.wanted },
  idle: { query: "wanted=false", count: (c) => c.idle.reduce((n, { count }) => n + count, 0) },
};

const percent = (share) => (share === null ? "—" : `${Math.floor(share * 1000) / 10} %`);
const rate = (stage, perSecond) => word(`${stage}_rate`, { r: perSecond === null ? "—" : decimal(perSecond) });

function stageLine(coverage, stage) {
  const { seen, unseen, unknown, share, per_s: perSecond } = coverage[stage];
  const parts = [["yes", seen], ["no", unseen], ["unknown", unknown]].filter(([, count]) => count > 0).map(([name, count]) => {
    const part = el("i", { class: `minute-part is-${name}` });
    part.style.flexGrow = count;
    return part;
  });
  return el("span", { class: "minute-stage", "data-stage": stage },
    el("span", { class: "minute-name", text: word(`minute_${stage}`) }),
    el("span", { class: "minute-count" }, el("b", { text: integer(seen) }), ` / ${integer(coverage.wanted)}`),
    el("span", { class: "minute-share", text: percent(share) }),
    el("span", { class: "minute-rate quiet", text: rate(stage, perSecond) }),
    el("span", { class: "minute-bar", "aria-hidden": "true" }, ...parts),
    unknown ? el("span", { class: "minute-unknown", text: word("minute_unknown", { n: integer(unknown) }) }) : null);
}

const silentText = (one) =>
  `${nameOf(one.name)} ${one.instance} ${word("silent", { t: duration(one.age_s) })}${one.unknown ? `, ${word("minute_unknown", { n: integer(one.unknown) })}` : ""}`;

const placesText = (places) =>
  places.map(({ code, name, cameras }) => `${code === "*" ? word("storm_others") : name} ${integer(cameras)}`).join(", ");

function stormLine(storm) {
  return el("p", { class: "storm", "data-storm": storm.id },
    el("strong", { text: word("storm") }),
    el("span", { text: word("storm_lost", { n: integer(storm.cameras), t: clockTime(Date.parse(storm.began_at)) }) }),
    el("span", { class: "storm-places", text: placesText(storm.places) }),
    el("span", { class: "storm-back", text: word("storm_back", { back: integer(storm.back), away: integer(storm.away) }) }),
    storm.away && storm.away < storm.cameras
      ? el("span", { class: "storm-places", text: word("storm_away", { places: placesText(storm.places_away) }) }) : null);
}

function seenCell({ seen, pictures, last_at: lastAt }, wanted) {
  if (!wanted) return el("td", { class: "seen quiet", text: "—" });
  const count = pictures === null ? word("seen_unknown") : word("pictures_count", { n: integer(pictures) });
  const last = lastAt ? clockTime(Date.parse(lastAt)) : seen === "unknown" ? "" : word("never_seen");
  return el("td", { class: `seen is-${seen}` }, el("strong", { text: count }), el("br"), el("span", { class: "quiet", text: last }));
}

function cameraRow(camera) {
  const patrol = !camera.on_patrol ? ""
    : camera.round_s ? word("patrol_round", { t: duration(camera.round_s) }) : word("patrol_first");
  const why = camera.wanted ? sentence(camera.detail) || nameOf(camera.reason)
    : camera.idle.code === camera.state.code ? "" : nameOf(camera.idle);
  const platform = camera.platform ? word("on_platform", { p: camera.platform }) : "";
  return el("tr", { "data-id": camera.id },
    el("td", {}, el("strong", { text: camera.name, title: camera.id }), el("br"),
      el("span", { class: "quiet", text: [camera.id, camera.grid_path.at(-1), platform, patrol].filter(Boolean).join(" · ") })),
    seenCell(camera.received, camera.wanted), seenCell(camera.analysed, camera.wanted),
    el("td", {}, el("span", { class: `badge state-${camera.state.code}`, text: nameOf(camera.state) }), el("br"),
      el("span", { class: "quiet", text: why })));
}

/** The number on the wall, kept up to date by `refresh`; `failed(problem)` hears of answers that are none. */
export class CoverageMinute {
  constructor(failed) {
    this.failed = failed;
    this.coverage = null;
    this.chosen = "unreceived";
    $("minute").addEventListener("click", () => this.open());
  }

  /** Whether the wall hears of what happens: what it showed before is no news while it does not. */
  connected(yes) {
    $("minute").classList.toggle("is-old", !yes);
  }

  async refresh() {
    try {
      this.coverage = await get("coverage");
    } catch (problem) {
      this.coverage = null;
      this.failed(problem);
    }
    this.draw();
  }

  draw() {
    const coverage = this.coverage;
    const silent = coverage ? coverage.instances.filter((one) => one.silent) : [];
    const asOf = coverage?.as_of ? word("minute_as_of", { t: clockTime(Date.parse(coverage.as_of)) }) : word("minute_waiting");
    $("minute").replaceChildren(
      el("span", { class: "minute-head" }, el("strong", { text: word("last_minute") }), el("span", { class: "quiet", text: asOf })),
      ...(coverage ? STAGES.map((stage) => stageLine(coverage, stage)) : []),
      ...(coverage?.on_patrol ? [el("span", { class: "quiet minute-patrol", text: this.patrolText() })] : []),
      ...silent.map((one) => el("span", { class: "minute-silent", text: silentText(one) })));
    const storms = coverage ? coverage.storms : [];
    $("storms").replaceChildren(...storms.map(stormLine));
    setHidden($("storms"), !storms.length);
  }

  patrolText() {
    const { on_patrol: cameras, round_s: round } = this.coverage;
    return word("minute_patrol", { n: integer(cameras), t: round ? duration(round) : word("patrol_first") });
  }

  open() {
    if (!this.coverage) return;
    const list = pagedTable(["camera", "minute_received", "minute_analysed", "camera_state"], cameraRow, this.failed);
    const load = () => {
      const { query, count } = LISTS[this.chosen];
      return list.load(`coverage/cameras?${query}`, word(count(this.coverage) ? "list_none" : `none_${this.chosen}`));
    };
    const tabs = Object.entries(LISTS).map(([name, { count }]) => el("button", {
      type: "button", "data-list": name, "aria-pressed": String(name === this.chosen), text: `${word(`list_${name}`)} ${integer(count(this.coverage))}`,
      onclick: () => {
        this.chosen = name;
        for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.list === name));
        load();
      },
    }));
    const idle = this.coverage.idle.map(({ reason, count }) => `${nameOf(reason)} ${integer(count)}`).join(", ");
    show(word("last_minute"), [
      el("div", { class: "segments minute-lists", role: "group" }, ...tabs),
      idle ? el("p", { class: "quiet", text: `${word("idle_reasons")}: ${idle}` }) : null,
      ...list.nodes, el("p", { class: "quiet", text: word("list_explained") }),
    ].filter(Boolean), [], "close");
    load();
  }
}
