// What the wall knows: open incidents and tickets by id. Changes are applied at once, drawing follows later.

const bySeverity = (a, b) =>
  b.level.value - a.level.value || (a.opened_at < b.opened_at ? 1 : a.opened_at > b.opened_at ? -1 : a.id < b.id ? -1 : 1);

const none = () => ({ 1: 0, 2: 0, 3: 0, 4: 0 });
const ENDED_MAX = 500;

function covers(mute, incident) {
  const narrow = mute.type && (mute.source_id || mute.zone_id);
  if (incident.belief === "arrival" && !narrow) return false;
  if (mute.type && mute.type !== incident.type.code) return false;
  if (mute.source_id && incident.sources.some((source) => source.id !== mute.source_id)) return false;
  if (mute.zone_id && incident.place.zone_id !== mute.zone_id) return false;
  return !mute.grid_prefix || (incident.place.grid_code || "").startsWith(mute.grid_prefix);
}

export class Store {
  constructor() {
    this.incidents = new Map();
    this.tickets = new Map();
    this.mutes = new Map();
    this.muteSeq = 0;
    this.ended = new Map(); // the last state of incidents that ended lately, for cards that still stand
    this.unseen = { real: none(), drill: none() }; // open alerts by level that the snapshot left out
    this.clockOffsetMs = 0;
  }

  /** Milliseconds since 1970 by the server's clock. */
  now() {
    return Date.now() + this.clockOffsetMs;
  }

  heard(at) {
    this.clockOffsetMs = Date.parse(at) - Date.now();
  }

  reset(snapshot) {
    this.muteSeq = 0;
    this.incidents = new Map(snapshot.incidents.map((incident) => [incident.id, incident]));
    this.tickets = new Map(snapshot.tickets.map((ticket) => [ticket.id, ticket]));
    this.unseen = { real: none(), drill: none() };
    for (const [part, totals] of [["real", snapshot.totals.incidents], ["drill", snapshot.totals.exercise_incidents]]) {
      const counts = this.countLevels(part === "drill");
      for (const level of Object.keys(counts)) this.unseen[part][level] = Math.max(0, (totals[level] || 0) - counts[level]);
    }
  }

  /** Apply changes in order; returns the ids that changed: {incidents, tickets, opened, filmstrips, sources, mutes, others}. */
  apply(changes) {
    const seen = { incidents: new Set(), tickets: new Set(), opened: [], filmstrips: new Set(), sources: false, mutes: false, others: false };
    for (const { kind, record } of changes) {
      if (!record) continue;
      if (kind === "incident") {
        if (!this.incidents.has(record.id) && record.open && record.state.code !== "A1") seen.opened.push(record);
        this.keep(this.incidents, record);
        if (!record.open) this.remember(record);
        seen.incidents.add(record.id);
      } else if (kind === "ticket") {
        this.keep(this.tickets, record);
        seen.tickets.add(record.id);
      } else if (kind === "mute") {
        this.setMute(record);
        this.muteSeq = record.seq;
        seen.mutes = true;
      } else if (kind === "filmstrip") seen.filmstrips.add(record.incident_id);
      else if (kind === "source") seen.sources = true;
      else seen.others = true;
    }
    return seen;
  }

  keep(map, record) {
    const known = map.get(record.id);
    if (known && known.seq > record.seq) return;
    if (record.open) map.set(record.id, record);
    else map.delete(record.id);
  }

  remember(record) {
    this.ended.delete(record.id);
    this.ended.set(record.id, record);
    if (this.ended.size > ENDED_MAX) this.ended.delete(this.ended.keys().next().value);
  }

  /** Take over the list of mutes; false when a change came in that is newer than the list. */
  setMutes({ items, seq }) {
    if (seq < this.muteSeq) return false;
    this.mutes = new Map();
    for (const mute of items) this.setMute(mute);
    return true;
  }

  setMute(mute) {
    if (mute.active && Date.parse(mute.expires_at) > this.now()) this.mutes.set(mute.id, mute);
    else this.mutes.delete(mute.id);
  }

  /** Forget mutes whose time is over; true when there were any. */
  endMutes() {
    const before = this.mutes.size;
    for (const mute of [...this.mutes.values()]) this.setMute(mute);
    return this.mutes.size < before;
  }

  /** Active mutes, the one that ends first before the others. */
  listMutes() {
    return [...this.mutes.values()].sort((a, b) => Date.parse(a.expires_at) - Date.parse(b.expires_at));
  }

  /** The mute that covers an incident, as the engine matches it: what a person confirmed speaks, and an alarm is
   * muted only by one that names its type and one source or zone. */
  muteOf(incident) {
    const named = this.mutes.get(incident.muted_by);
    if (named) return named;
    if (incident.state.code === "A3" && !incident.unreviewed) return null;
    return this.listMutes().find((mute) => covers(mute, incident)) || null;
  }

  /** Open incidents that stand on the wall (A1 candidates do not), most severe first. */
  listIncidents({ operations, level, grid }) {
    const found = [];
    for (const incident of this.incidents.values()) {
      if (incident.state.code === "A1" || incident.operations !== operations) continue;
      if (level && incident.level.value !== level) continue;
      if (grid && !(incident.place.grid_code || "").startsWith(grid)) continue;
      found.push(incident);
    }
    return found.sort(bySeverity);
  }

  listTickets({ grid }) {
    const found = [];
    for (const ticket of this.tickets.values()) {
      if (grid && !(ticket.place.grid_code || "").startsWith(grid)) continue;
      found.push(ticket);
    }
    return found.sort(bySeverity);
  }

  /** Alerts on the wall by level: those of drills, or the real ones. */
  countLevels(drill) {
    const counts = { ...this.unseen[drill ? "drill" : "real"] };
    for (const incident of this.incidents.values()) {
      if (!incident.operations && incident.state.code !== "A1" && incident.exercise === drill) counts[incident.level.value] += 1;
    }
    return counts;
  }

  hasDrill() {
    for (const incident of this.incidents.values()) if (incident.exercise) return true;
    return Object.values(this.unseen.drill).some((count) => count > 0);
  }
}
