"""The brain: `Engine.step` is the only place that orders the stages of belief."""

from __future__ import annotations

from alerts.core.batch import Batch
from alerts.core.effects import Effect
from alerts.core.state import EngineState
from contracts.instant import Instant
from contracts.policy import Policy


class Engine:
    """One shard's brain. `step` is the only way in: it never waits, never reads a clock, never raises on bad
    input, and gives the same effects for the same calls."""

    def __init__(self, site: str, county: str, policy: Policy, state: EngineState | None = None) -> None:
        self.site = site
        self.county = county
        self.policy = policy
        self.state = state if state is not None else EngineState()

    def step(self, batch: Batch, now: Instant) -> list[Effect]:
        """Take one batch in at `now` and say what is to be done. `now` should not go back between calls."""
        raise NotImplementedError

    def next_due(self) -> Instant | None:
        """When the engine wants to be called with an empty batch at the latest; None while nothing waits."""
        raise NotImplementedError

    def counters(self) -> dict[str, int]:
        """Running totals since the state began: `refused:<reason>`, `candidates`, `incidents`, ..."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """The whole state as versioned bytes: dedup memory, timers, counters and answers included."""
        raise NotImplementedError

    @classmethod
    def restore(cls, site: str, county: str, policy: Policy, data: bytes) -> Engine:
        """An engine that goes on as the one that wrote `data`. Raises StoreCorrupt."""
        raise NotImplementedError
