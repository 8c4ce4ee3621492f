// A look (看一眼): asked for at a camera, an alert or a ticket; what the cameras answer stands where it was asked.

import { look } from "./api.js";
import { el } from "./dom.js";
import { clockTime, decimal, duration, integer, nameOf, sentence, word } from "./text.js";

const SURE = new Set(["fire", "smoke"]);

/** "人 12 · 明火 1 (83 %)": of fire and smoke, how sure the model is; it may be a lamp. */
const counted = ({ name, count, confidence }) => {
  const sure = SURE.has(name.code) && confidence !== null ? ` (${decimal(confidence * 100, 0)} %)` : "";
  return `${nameOf(name)} ${integer(count)}${sure}`;
};

/** One line that says it all: numbers, or why there are none. */
function said(camera) {
  const rest = camera.reason ? nameOf(camera.reason) : camera.counts.map(counted).join(" · ");
  return [nameOf(camera.outcome), rest].filter(Boolean).join(": ");
}

function picture(camera) {
  return camera.evidence.map((evidence) => {
    const alt = word("look_alt", { name: camera.source.name });
    const image = el("img", { class: "big-picture", src: evidence.url, width: evidence.width, height: evidence.height, alt });
    image.addEventListener("error", () => image.replaceWith(el("p", { class: "quiet", text: word("picture_missing") })));
    return image;
  });
}

function answer(camera) {
  const age = camera.event_time === null ? word("look_no_picture") : word("look_age", {
    t: duration(Math.max(0, camera.age_s)), at: clockTime(Date.parse(camera.event_time)) });
  return el("section", { class: "look", "data-outcome": camera.outcome.code },
    el("p", { class: "look-said" }, el("strong", { text: camera.source.name }), el("span", { text: said(camera) })),
    el("p", { class: "quiet", text: age }), ...picture(camera));
}

/** A button that asks `wish` and puts the answers into `place`; it waits for its own answer only. */
function lookButton(text, wish, place) {
  const button = el("button", { class: "act look-act", type: "button", text, onclick: async () => {
    button.disabled = true;
    place.replaceChildren(el("p", { class: "quiet", text: word("look_waits") }));
    try {
      const { cameras, left_out: more } = await look(wish);
      place.replaceChildren(...cameras.map(answer),
        ...(more ? [el("p", { class: "quiet", text: word("look_more", { n: integer(more) }) })] : []));
    } catch (problem) {
      place.replaceChildren(el("p", { class: "problem", role: "alert", text: sentence(problem.message) }));
    }
    button.disabled = false;
  } });
  return button;
}

const section = (buttons, place) => [el("h3", { text: word("look") }), el("div", { class: "looks-asked" }, ...buttons), place];
const answers = () => el("div", { class: "looks", "aria-live": "polite" });

/** Buttons for the cameras of an alert; for the cameras near it when it has none. */
export function looksAt({ sources = [], place }, reason) {
  const told = answers();
  const cameras = sources.filter((source) => source.kind === "camera");
  const near = { near: { lon: place.lon, lat: place.lat }, reason };
  return section(cameras.length
    ? cameras.map((camera) => lookButton(`${word("look_act")} ${camera.name}`, { source_id: camera.id, reason }, told))
    : [lookButton(word("look_near"), near, told)], told);
}

/** The button of one camera. */
export function looksThrough(camera, reason) {
  const told = answers();
  return section([lookButton(`${word("look_act")} ${camera.name}`, { source_id: camera.id, reason }, told)], told);
}
