// A list whose order stands still while somebody points at it, so that nothing jumps under the cursor.

import { el, setHidden, setText } from "./dom.js";
import { word } from "./text.js";

const PAGE = 50;
const MOST = 300;
const TOUCH_HOLD_MS = 3_000;

export class SteadyList {
  /**
   * `make(id)` builds a card {node, update(record), tick(nowMs), end()}; `root` is the scrolling element.
   * While held, cards are updated in place, ended ones stay (marked), new ones wait.
   */
  constructor(root, make, { emptyWord }) {
    this.root = root;
    this.make = make;
    this.emptyWord = emptyWord;
    this.cards = new Map();
    this.limit = PAGE;
    this.waiting = 0;
    this.known = new Set(); // what could be seen, or scrolled to, when the order was last drawn
    this.pointed = false;
    this.touchedUntil = 0;
    this.blocked = () => false;
    this.onRelease = () => {};
    this.empty = el("p", { class: "empty" });
    this.more = el("button", { class: "more", type: "button", onclick: () => this.showMore() });
    root.append(this.empty, this.more);
    root.addEventListener("pointerenter", (event) => (this.pointed = event.pointerType === "mouse"));
    root.addEventListener("pointerleave", () => this.release());
    root.addEventListener("pointerdown", () => (this.touchedUntil = performance.now() + TOUCH_HOLD_MS));
    root.addEventListener("focusout", () => queueMicrotask(() => this.held || this.onRelease()));
  }

  get held() {
    const focused = this.root.contains(document.activeElement) && document.activeElement !== this.root
      && document.activeElement.matches(":focus-visible");
    return this.pointed || focused || performance.now() < this.touchedUntil || this.blocked();
  }

  release() {
    this.pointed = false;
    this.onRelease();
  }

  showMore() {
    this.limit = Math.min(this.limit + PAGE, MOST);
    this.forced = true;
    this.onRelease();
  }

  /** Let the next drawing reorder although the list is held: the person asked for it. */
  force() {
    this.forced = true;
  }

  /** Draw `records` (in order). `dirty` holds the ids whose card must be filled again; null = all. */
  draw(records, dirty) {
    this.total = records.length;
    const wanted = records.slice(0, this.limit);
    if (this.held && !this.forced && this.cards.size) this.drawInPlace(records, dirty);
    else {
      this.known = new Set(records.map((record) => record.id));
      this.drawInOrder(wanted, dirty);
    }
    this.forced = false;
    setHidden(this.empty, this.cards.size > 0);
    setText(this.empty, word(this.emptyWord()));
    const left = Math.min(this.total, MOST) - this.limit;
    setHidden(this.more, left <= 0);
    setText(this.more, word("more", { n: Math.min(PAGE, Math.max(left, 0)) }));
  }

  drawInPlace(records, dirty) {
    const byId = new Map(records.map((record) => [record.id, record]));
    for (const [id, card] of this.cards) {
      const record = byId.get(id);
      if (!record) card.end();
      else if (!dirty || dirty.has(id)) card.update(record);
    }
    this.waiting = records.reduce((n, record) => n + (this.known.has(record.id) ? 0 : 1), 0);
  }

  drawInOrder(wanted, dirty) {
    this.waiting = 0;
    const keep = new Set(wanted.map((record) => record.id));
    for (const [id, card] of this.cards) {
      if (keep.has(id)) continue;
      card.node.remove();
      this.cards.delete(id);
    }
    let place = this.empty.nextSibling;
    for (const record of wanted) {
      let card = this.cards.get(record.id);
      const fresh = !card;
      if (fresh) {
        card = this.make(record.id);
        this.cards.set(record.id, card);
      }
      if (fresh || !dirty || dirty.has(record.id)) card.update(record);
      if (card.node === place) place = place.nextSibling;
      else this.root.insertBefore(card.node, place);
    }
  }

  tick(nowMs) {
    for (const card of this.cards.values()) card.tick(nowMs);
  }

  get shown() {
    return this.cards.size;
  }

  get most() {
    return MOST;
  }
}
