// Filmstrips: one row per camera from before to after the moment of an incident. Every picture stands at its time,
// what is missing is hatched and says why; nothing is filled.

import { el } from "./dom.js";
import { clockTime, nameOf, word } from "./text.js";

/** "-12 s", "0 s", "+6 s". */
const offset = (seconds) => `${seconds > 0 ? "+" : ""}${Math.round(seconds)} s`;

function frame(picture, strip, enlarge) {
  const alt = word("filmstrip_alt", { name: strip.source.name, t: offset(picture.offset_s) });
  const { evidence } = picture;
  const image = el("img", { src: evidence.url, loading: "lazy", decoding: "async", width: 144, height: 81, alt });
  const node = el("button", { class: `thumb film-picture film-${picture.origin.code}`, type: "button", title: nameOf(picture.origin),
    onclick: () => enlarge(evidence.url, alt) }, image,
  el("time", { datetime: evidence.event_time, text: `${offset(picture.offset_s)} · ${clockTime(Date.parse(evidence.event_time))}` }));
  image.addEventListener("error", () => {
    image.replaceWith(el("span", { class: "film-gone", text: word("picture_missing") }));
  });
  return node;
}

const gap = (hole) => el("div", { class: "film-gap", role: "note" },
  el("strong", { text: word("filmstrip_missing") }), el("span", { text: nameOf(hole.reason) }),
  el("time", { text: `${offset(hole.begin_s)} … ${offset(hole.end_s)}` }));

const moment = () => el("div", { class: "film-moment" }, el("span", { text: word("filmstrip_moment") }));

/** Pictures, gaps and the moment, each in its place in time; a gap over the moment is cut in two by it. */
function inOrder(strip, enlarge) {
  const holes = strip.gaps.flatMap((hole) => hole.begin_s < 0 && hole.end_s > 0
    ? [{ ...hole, end_s: 0 }, { ...hole, begin_s: 0 }] : [hole]);
  const parts = [
    ...strip.pictures.map((picture) => ({ at: picture.offset_s, node: frame(picture, strip, enlarge) })),
    ...holes.map((hole) => ({ at: (hole.begin_s + hole.end_s) / 2, node: gap(hole) })),
    { at: 0, node: moment() },
  ];
  return parts.sort((a, b) => a.at - b.at).map((part) => part.node);
}

function row(strip) {
  const large = el("img", { class: "big-picture", alt: "", hidden: true });
  const enlarge = (url, alt) => {
    large.src = url;
    large.alt = alt;
    large.hidden = false;
    large.scrollIntoView({ block: "nearest" });
  };
  const state = strip.state.code === "complete" ? "" : ` · ${nameOf(strip.state)}`;
  return el("section", { class: "film", "data-state": strip.state.code },
    el("p", { class: "quiet", text: `${strip.source.name} · ${offset(strip.begin_s)} … ${offset(strip.end_s)}${state}` }),
    el("div", { class: "strip film-strip", tabindex: "0" }, ...inOrder(strip, enlarge)), large);
}

/** The filmstrips of an incident as nodes. */
export const filmstrips = (strips) => [el("h3", { text: word("filmstrip") }),
  ...(strips.length ? strips.map(row) : [el("p", { class: "quiet", text: word("filmstrip_none") })])];
