"""The brain: `Engine.step` is the only place that orders the stages of belief."""

from __future__ import annotations

from typing import Final

import msgspec

from alerts.core import admit, casework, fault, lifecycle, obey, silence, weigh
from alerts.core.batch import Batch
from alerts.core.effects import Effect
from alerts.core.index import Index
from alerts.core.policy import Rules
from alerts.core.state import EngineState
from alerts.core.turn import Turn
from contracts.errors import StoreCorrupt
from contracts.instant import Instant
from contracts.policy import Policy

SNAPSHOT_VERSION: Final = 3
"""First byte of a snapshot; grows when EngineState changes its meaning."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(EngineState)


class Engine:
    """One shard's brain. `step` is the only way in: it never waits, never reads a clock, never raises on bad
    input, and gives the same effects for the same calls."""

    def __init__(self, site: str, county: str, policy: Policy, state: EngineState | None = None) -> None:
        self.site = site
        self.county = county
        self.policy = policy
        self.state = state if state is not None else EngineState()
        self._rules = Rules(policy)
        self._index = Index(self._rules.reach_m)
        for live in self.state.incidents.values():
            self._index.add(live)
        self._buffered = {id_ for _, id_, _ in self.state.buffer}

    def step(self, batch: Batch, now: Instant) -> list[Effect]:
        """Take one batch in at `now` and say what is to be done; a `now` that goes back is taken as standing."""
        self.state.now = max(self.state.now, now)
        turn = Turn(self.site, self.county, self.state, self._rules, self._index, self._buffered)

        # 1. People first: a mute given now must hold for evidence in the same batch.
        for command in batch.commands:
            obey.obey(command, turn)

        # 2. What cannot see: no sample of this batch may be held across the moment in which its source went blind.
        for change in batch.source_changes:
            fault.notice(change, turn)

        # 3. Evidence in: refused with a reason, believed on arrival, or put in order of event time.
        for observation in batch.observations:
            admit.admit(observation, turn)

        # 4. Samples whose time has come, in that order, against thresholds and holds.
        for observation, rule in admit.released(turn):
            weigh.weigh(observation, rule, turn)

        # 5. Time passes: only what set a timer is looked at.
        for kind, id_ in turn.due():
            self._serve(kind, id_, turn)

        # 6. Tickets follow their incidents; each is published once.
        for live in turn.touched():
            casework.reflect(live, turn)
        return turn.publish()

    def next_due(self) -> Instant | None:
        """When the engine wants to be called with an empty batch at the latest; None while nothing waits."""
        waits = [self.state.timers[0][0]] if self.state.timers else []
        if self.state.buffer:
            waits.append(self.state.buffer[0][0] + self._rules.lateness_ns)
        return Instant(min(waits)) if waits else None

    def counters(self) -> dict[str, int]:
        """Running totals since the state began: `refused:<reason>`, `candidates`, `incidents_opened`, ..."""
        return dict(self.state.counters)

    def snapshot(self) -> bytes:
        """The whole state as versioned bytes: dedup memory, timers, counters and answers included."""
        return bytes([SNAPSHOT_VERSION]) + _encoder.encode(self.state)

    @classmethod
    def restore(cls, site: str, county: str, policy: Policy, data: bytes) -> Engine:
        """An engine that goes on as the one that wrote `data`. Raises StoreCorrupt."""
        if not data or data[0] != SNAPSHOT_VERSION:
            found = data[0] if data else "none"
            raise StoreCorrupt(
                f"快照版本 {found} 无法读取 (this release reads snapshot version {SNAPSHOT_VERSION}); "
                "replay the journal from its beginning",
                reason="snapshot_version",
            )
        try:
            state = _decoder.decode(memoryview(data)[1:])
        except msgspec.MsgspecError as error:
            raise StoreCorrupt(
                f"快照已损坏 (the snapshot does not parse: {error}); use an older one and replay the journal"
            ) from None
        return cls(site, county, policy, state)

    def _serve(self, kind: str, id_: str, turn: Turn) -> None:
        """One timer; what it was set for may be gone, then nothing happens."""
        if kind == "mute":
            silence.end(id_, turn)
        elif kind in ("fault", "fault_end"):
            fault.serve(kind, id_, turn)
        elif kind == "ended":
            weigh.serve_ended(id_, turn)
        elif (live := turn.state.incidents.get(id_)) is not None:
            if kind == "retire":
                lifecycle.retire(live, turn)
            elif kind == "watch":
                weigh.watch(live, turn)
            else:
                lifecycle.review_is_due(live, turn)
