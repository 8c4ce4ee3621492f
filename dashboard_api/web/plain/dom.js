// Building the page: elements and text nodes only; data never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const el = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);
export const svg = (tag, properties = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), properties, children);

/** Set text only when it changed, so that an unchanged card costs no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

export const $ = (id) => document.getElementById(id);

// One shape per level, so that no level is told by colour alone: 4 diamond, 3 triangle, 2 circle, 1 square.
const SHAPES = {
  4: "M8 0 16 8 8 16 0 8Z",
  3: "M8 1 16 15 0 15Z",
  2: "M8 1a7 7 0 1 0 .01 0Z",
  1: "M2 2H14V14H2Z",
  0: "M2 7H14V9H2Z",
};

export const shapePath = (level) => SHAPES[level] || SHAPES[0];

export function levelShape(level) {
  return svg("svg", { class: `shape level-${level}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { d: shapePath(level) }));
}
