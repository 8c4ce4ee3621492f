// The live link: a snapshot, then changes in order. After a break it asks for what it missed (`?after=`).

const QUIET_MS = 12_000; // heartbeats come every 5 s; a link that is silent for longer is dead
const AWAY_MAX_MS = 120_000; // after a longer break a new snapshot is cheaper than every change
const RETRY_MS = [500, 1_000, 2_000, 4_000, 8_000];

export class Link {
  /** `on` holds the handlers snapshot(message), changes(message), waiting(message) and state(name, retryAtMs). */
  constructor(on) {
    this.on = on;
    this.seq = null;
    this.heardMs = 0;
    this.failures = 0;
    this.socket = null;
    setInterval(() => this.checkQuiet(), 2_000);
  }

  open() {
    const resume = this.seq !== null && performance.now() - this.heardMs < AWAY_MAX_MS;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/api/v1/live${resume ? `?after=${this.seq}` : ""}`);
    this.socket = socket;
    this.openedMs = performance.now();
    this.on.state("connecting");
    socket.addEventListener("message", (event) => socket === this.socket && this.take(JSON.parse(event.data)));
    socket.addEventListener("close", () => socket === this.socket && this.lost());
  }

  take(message) {
    this.heardMs = performance.now();
    if (message.type === "waiting") {
      this.on.waiting(message);
      return;
    }
    this.failures = 0;
    if (message.type === "snapshot") {
      this.seq = message.seq;
      this.on.snapshot(message);
    } else if (message.type === "changes") {
      const news = message.changes.filter((change) => change.seq > this.seq);
      this.seq = message.seq;
      this.on.changes(news, message);
    } else {
      this.on.beat(message);
    }
    this.on.state("connected");
  }

  lost() {
    this.socket = null;
    const delay = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.on.state("disconnected", Date.now() + delay);
    setTimeout(() => this.open(), delay);
  }

  checkQuiet() {
    if (!this.socket) return;
    const since = Math.max(this.heardMs, this.openedMs);
    if (performance.now() - since < QUIET_MS) return;
    const socket = this.socket;
    this.lost();
    socket.close();
  }
}
