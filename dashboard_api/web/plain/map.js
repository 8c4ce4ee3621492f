// The grid map: areas from GeoJSON as SVG paths, alerts as symbols of constant size, near ones drawn as one.

import { setText, shapePath, svg } from "./dom.js";
import { nameOf, word } from "./text.js";

const WIDTH = 1000; // the county's longer side in map units
const SYMBOL_PX = 20;
const CLUSTER_PX = 26;
const ZOOM_MAX = 400;

export class GridMap {
  /** `onPick(code or null)` when a grid is clicked. */
  constructor(root, caption, onPick) {
    this.root = root;
    this.caption = caption;
    this.onPick = onPick;
    this.areas = new Map();
    this.names = new Map();
    this.picked = null;
    this.incidents = [];
    this.hot = new Set();
    this.areaLayer = svg("g");
    this.borderLayer = svg("g", { class: "borders" });
    this.symbolLayer = svg("g");
    root.append(this.areaLayer, this.borderLayer, this.symbolLayer);
    root.setAttribute("preserveAspectRatio", "xMidYMid meet");
    this.listen();
    new ResizeObserver(() => this.drawSymbols()).observe(root);
  }

  load(collection) {
    this.names = new Map(collection.features.map(({ properties }) => [properties.code, properties]));
    const shaped = collection.features.filter((feature) => feature.geometry);
    this.fitProjection(shaped);
    this.areas.clear();
    const leaves = [];
    const borders = [];
    const parents = new Set(collection.features.map(({ properties }) => properties.parent));
    for (const { geometry, properties } of shaped) {
      const d = this.path(geometry);
      if (parents.has(properties.code)) {
        borders.push(svg("path", { d }));
        continue;
      }
      const area = svg("path", { d, class: "area", "data-code": properties.code });
      this.areas.set(properties.code, { node: area, box: this.box(geometry) });
      leaves.push(area);
    }
    this.areaLayer.replaceChildren(...leaves);
    this.borderLayer.replaceChildren(...borders);
    this.showAll();
    this.describe(null);
  }

  fitProjection(features) {
    let west = Infinity, south = Infinity, east = -Infinity, north = -Infinity;
    for (const [lon, lat] of features.flatMap(({ geometry }) => geometry.coordinates.flat(2))) {
      west = Math.min(west, lon); east = Math.max(east, lon);
      south = Math.min(south, lat); north = Math.max(north, lat);
    }
    this.west = west;
    this.north = north;
    this.stretch = Math.cos(((south + north) / 2) * Math.PI / 180); // equirectangular, true in the county's middle
    this.unit = WIDTH / Math.max((east - west) * this.stretch, north - south, 1e-9);
    this.size = [(east - west) * this.stretch * this.unit, (north - south) * this.unit];
  }

  project(lon, lat) {
    return [(lon - this.west) * this.stretch * this.unit, (this.north - lat) * this.unit];
  }

  path(geometry) {
    const ring = (points) => "M" + points.map(([lon, lat]) => this.project(lon, lat).map((v) => v.toFixed(3)).join(" ")).join("L") + "Z";
    return geometry.coordinates.flatMap((polygon) => polygon.map(ring)).join("");
  }

  box(geometry) {
    const points = geometry.coordinates.flat(2).map(([lon, lat]) => this.project(lon, lat));
    const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  }

  /** Show these alerts: symbols at their places, their grids tinted by the highest level. */
  show(incidents) {
    this.incidents = incidents;
    const levels = new Map();
    for (const { place, level } of incidents) {
      if (place.grid_code) levels.set(place.grid_code, Math.max(levels.get(place.grid_code) || 0, level.value));
    }
    for (const code of this.hot) if (!levels.has(code)) this.areas.get(code)?.node.removeAttribute("data-level");
    for (const [code, level] of levels) {
      const area = this.areas.get(code);
      if (area && area.node.dataset.level !== String(level)) area.node.dataset.level = level;
    }
    this.hot = new Set(levels.keys());
    this.drawSymbols();
  }

  /** Map units per pixel at the current zoom. */
  get scale() {
    const { clientWidth: w, clientHeight: h } = this.root;
    return this.view && w && h ? Math.max(this.view[2] / w, this.view[3] / h) : 1;
  }

  drawSymbols() {
    if (!this.view || !this.areas.size) return;
    const unit = this.scale, cell = CLUSTER_PX * unit, cells = new Map();
    for (const incident of this.incidents) {
      const [x, y] = this.project(incident.place.lon, incident.place.lat);
      const key = `${Math.round(x / cell)}:${Math.round(y / cell)}`;
      const found = cells.get(key);
      if (!found) cells.set(key, { x, y, n: 1, top: incident });
      else {
        found.n += 1;
        if (incident.level.value > found.top.level.value) Object.assign(found, { x, y, top: incident });
      }
    }
    const symbols = [...cells.values()].sort((a, b) => a.top.level.value - b.top.level.value)
      .map((found) => this.symbol(found, unit));
    this.symbolLayer.replaceChildren(...symbols);
  }

  symbol({ x, y, n, top }, unit) {
    const k = (SYMBOL_PX / 16) * unit;
    const group = svg("g", { class: `symbol level-${top.level.value}`, transform: `translate(${x} ${y}) scale(${k})`, "data-code": top.place.grid_code || "" },
      svg("title", { text: `${nameOf(top.name)} · ${nameOf(top.level.label)}${n > 1 ? ` · ${n}` : ""}` }),
      svg("path", { d: shapePath(top.level.value), transform: "translate(-8 -8)" }));
    if (n > 1) group.append(svg("text", { x: 9, y: -4, text: String(n) }));
    return group;
  }

  setView(x, y, w, h) {
    const least = WIDTH / ZOOM_MAX;
    this.view = [x, y, Math.max(w, least), Math.max(h, least)];
    this.root.setAttribute("viewBox", this.view.join(" "));
    this.drawSymbols();
  }

  fit([left, top, right, bottom], margin = 0.08) {
    const w = Math.max(right - left, 4), h = Math.max(bottom - top, 4);
    this.setView(left - w * margin, top - h * margin, w * (1 + 2 * margin), h * (1 + 2 * margin));
  }

  showAll() {
    this.fit([0, 0, ...this.size], 0.03);
  }

  showAlerts() {
    const boxes = [...this.hot].map((code) => this.areas.get(code)?.box).filter(Boolean);
    if (!boxes.length) return this.showAll();
    return this.fit([Math.min(...boxes.map((b) => b[0])), Math.min(...boxes.map((b) => b[1])),
      Math.max(...boxes.map((b) => b[2])), Math.max(...boxes.map((b) => b[3]))]);
  }

  zoom(factor, at = null) {
    if (!this.view) return;
    const [x, y, w, h] = this.view;
    const limited = Math.min(Math.max(factor, WIDTH / ZOOM_MAX / w), (WIDTH * 1.6) / w);
    const [cx, cy] = at || [x + w / 2, y + h / 2];
    this.setView(cx - (cx - x) * limited, cy - (cy - y) * limited, w * limited, h * limited);
  }

  pan(dx, dy) {
    if (this.view) this.setView(this.view[0] + dx * this.view[2], this.view[1] + dy * this.view[3], this.view[2], this.view[3]);
  }

  pick(code) {
    this.areas.get(this.picked)?.node.classList.remove("picked");
    this.picked = code;
    const area = this.areas.get(code);
    if (area) {
      area.node.classList.add("picked");
      this.areaLayer.append(area.node);
    }
    this.describe(code);
  }

  gridName(code) {
    const names = [];
    for (let at = this.names.get(code); at && at.parent; at = this.names.get(at.parent)) names.unshift(at.name);
    return names.join(" / ") || code;
  }

  describe(code) {
    const shown = code || this.picked;
    setText(this.caption, shown ? this.gridName(shown) : word(this.areas.size ? "map_hint" : "map_waiting"));
  }

  listen() {
    const at = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.root.getScreenCTM().inverse());
      return [point.x, point.y];
    };
    let drag = null;
    const codeOf = (event) => event.target.closest("[data-code]")?.dataset.code || null;
    this.root.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, at(event));
    }, { passive: false });
    this.root.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, moved: false, code: codeOf(event) };
    });
    this.root.addEventListener("pointermove", (event) => {
      if (!drag) return this.describe(codeOf(event));
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      if (!drag.moved && Math.hypot(dx, dy) < 5) return undefined;
      if (!drag.moved) this.root.setPointerCapture(event.pointerId);
      drag.moved = true;
      this.setView(this.view[0] - dx * this.scale, this.view[1] - dy * this.scale, this.view[2], this.view[3]);
      Object.assign(drag, { x: event.clientX, y: event.clientY });
      return undefined;
    });
    this.root.addEventListener("pointerup", () => {
      if (drag && !drag.moved && drag.code) this.onPick(drag.code === this.picked ? null : drag.code);
      drag = null;
    });
    this.root.addEventListener("pointerleave", () => this.describe(null));
    this.root.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
      if (step) this.pan(...step);
      else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.4);
      else if (event.key === "-") this.zoom(1.4);
      else if (event.key === "Escape") this.onPick(null);
      else return;
      event.preventDefault();
    });
  }
}
