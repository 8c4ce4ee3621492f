// What the wall knows: open incidents and tickets by id. Changes are applied at once, drawing follows later.

const bySeverity = (a, b) =>
  b.level.value - a.level.value || (a.opened_at < b.opened_at ? 1 : a.opened_at > b.opened_at ? -1 : a.id < b.id ? -1 : 1);

export class Store {
  constructor() {
    this.incidents = new Map();
    this.tickets = new Map();
    this.unseen = { 1: 0, 2: 0, 3: 0, 4: 0 }; // open alerts by level that the snapshot left out
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
    this.incidents = new Map(snapshot.incidents.map((incident) => [incident.id, incident]));
    this.tickets = new Map(snapshot.tickets.map((ticket) => [ticket.id, ticket]));
    this.unseen = { 1: 0, 2: 0, 3: 0, 4: 0 };
    const counts = this.countLevels();
    for (const level of Object.keys(this.unseen)) {
      this.unseen[level] = Math.max(0, (snapshot.totals.incidents[level] || 0) - counts[level]);
    }
  }

  /** Apply changes in order; returns the ids that changed: {incidents, tickets, ended, opened, sources, deliveries}. */
  apply(changes) {
    const seen = { incidents: new Set(), tickets: new Set(), opened: [], sources: false, others: false };
    for (const { kind, record } of changes) {
      if (!record) continue;
      if (kind === "incident") {
        if (!this.incidents.has(record.id) && record.open && record.state.code !== "A1") seen.opened.push(record);
        this.keep(this.incidents, record);
        seen.incidents.add(record.id);
      } else if (kind === "ticket") {
        this.keep(this.tickets, record);
        seen.tickets.add(record.id);
      } else if (kind === "source") seen.sources = true;
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

  countLevels() {
    const counts = { ...this.unseen };
    for (const incident of this.incidents.values()) {
      if (!incident.operations && incident.state.code !== "A1") counts[incident.level.value] += 1;
    }
    return counts;
  }

  hasDrill() {
    for (const incident of this.incidents.values()) if (incident.exercise) return true;
    return false;
  }
}
