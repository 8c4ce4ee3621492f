"""Doubts: what ingest itself holds against a camera that arrives, from counters that it keeps anyway.

Judged about every two seconds (`CameraReceiver.look`), never where packets are received. A doubt begins when its
evidence has lasted, and ends when there was none for longer: a state that changes with every picture tells nobody
anything. While nothing comes of the camera its doubts rest, since there is nothing to be seen of them.

    evidence      ..x.xxxxxxxxx.xx......x...............................
    doubt                  [begins after 10 s             ends after 30 s]

BURST is no doubt: it may be smoke, or a crowd.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from contracts.frame import Suspicion
from contracts.instant import SECOND
from ingest.flapping import Flapping, FlappingPolicy
from ingest.rtsp.timing import JUMP_NS

if TYPE_CHECKING:
    from ingest.config import IngestConfig
    from ingest.rtsp.totals import Reception

_GAP_NS: Final = 5 * SECOND
"""A doubt that has not begun is forgotten after so long without evidence: two looks, so that one chance look
without a lost packet does not hide a lossy line."""


class Doubt(enum.StrEnum):
    """Why a camera is suspect: the reason of its state. The first that holds is shown, the others stand beside it.

    FLAPPING comes first since it alone is told while the camera is away, too: the reason does not change with
    every session.
    """

    FLAPPING = "flapping"
    FROZEN = "frozen"
    SIZE_COLLAPSE = "size_collapse"
    PACKET_LOSS = "packet_loss"
    CLOCK_JUMP = "clock_jump"


_BY_SUSPICION: Final = {
    Suspicion.FROZEN_BYTES: Doubt.FROZEN,
    Suspicion.SIZE_COLLAPSE: Doubt.SIZE_COLLAPSE,
}
_SENTENCES: Final = {
    Doubt.FROZEN: "画面数据不变 (its pictures do not change)",
    Doubt.SIZE_COLLAPSE: "画面数据量骤减 (its pictures are far smaller than they were)",
    Doubt.CLOCK_JUMP: "设备时钟反复跳变 (its clock jumps again and again); 请检查校时源 (do two servers set it?)",
}


@dataclass(frozen=True, slots=True)
class DoubtPolicy:
    """When doubts begin (`after_ns`) and end (`quiet_ns`), and the share of packets, 0..1, whose loss is one."""

    after_ns: int = 10 * SECOND
    quiet_ns: int = 30 * SECOND
    loss_share: float = 0.01
    flapping: FlappingPolicy = field(default_factory=FlappingPolicy)

    @classmethod
    def of(cls, config: IngestConfig) -> DoubtPolicy:
        """As configured."""
        return cls(
            after_ns=round(config.suspect_after_s * SECOND),
            quiet_ns=round(config.suspect_quiet_s * SECOND),
            loss_share=config.suspect_loss_share,
            flapping=FlappingPolicy(
                ends=config.flapping_ends,
                window_ns=round(config.flapping_window_s * SECOND),
                steady_ns=round(config.flapping_steady_s * SECOND),
                away_ns=round(config.flapping_away_s * SECOND),
            ),
        )


class _Spell:
    """Evidence of one kind that has not ceased yet: how long it has lasted, how long it has been quiet."""

    __slots__ = ("begun", "lasted_ns", "quiet_ns")

    def __init__(self) -> None:
        self.begun = False
        self.lasted_ns = 0
        self.quiet_ns = 0


class CameraDoubts:
    """The doubts of one camera. `reasons`: those that hold, the one to show first; `long_away`: see Flapping."""

    __slots__ = (
        "_flapping",
        "_jumps",
        "_looked_ns",
        "_lost",
        "_offset_ns",
        "_packets",
        "_policy",
        "_share",
        "_spells",
        "_told_by_rtp",
        "reasons",
    )

    def __init__(self, policy: DoubtPolicy) -> None:
        self.reasons: tuple[Doubt, ...] = ()
        self._policy = policy
        self._flapping = Flapping(policy.flapping)
        self._spells: dict[Doubt, _Spell] = {}
        self._looked_ns = 0
        self._packets = self._lost = self._jumps = 0
        self._share = 0.0
        self._offset_ns: int | None = None
        self._told_by_rtp = False
        """Its RTP time jumped, and no report has told a new clock since."""

    @property
    def long_away(self) -> bool:
        """It flaps, and is away for longer than a flapping one is."""
        return self._flapping.long_away

    def ended(self, now_ns: int, cause: str) -> None:
        """A live session ended by itself, at monotonic ns; `cause` is the error's reason."""
        self._flapping.ended(now_ns, cause)

    def look(
        self, now_ns: int, suspicion: Suspicion, reception: Reception | None, *, up: bool, storm: int = 0
    ) -> bool:
        """Judge anew; True when `reasons` or `long_away` changed.

        `now_ns`: monotonic; `suspicion`: of its last pictures; `reception`: its totals so far, None while no
        session shows anything; `up`: its link is live, between two visits on patrol included; `storm`: number of
        the storm that rages, 0 for none.
        """
        span_ns, self._looked_ns = now_ns - (self._looked_ns or now_ns), now_ns
        flapping, changed = self._flapping, False
        if flapping.stirs:
            before = (flapping.on, flapping.long_away)
            flapping.look(now_ns, span_ns, up=up, storm=storm)
            changed = (flapping.on, flapping.long_away) != before
        spells = self._spells
        if reception is not None and (reception.packets != self._packets or not reception.packets):
            # Nothing came since the last look: what its last picture showed lasts no longer for that.
            seen = self._seen(suspicion, reception)
            if seen or spells:
                changed = self._step(seen, span_ns) or changed
        if changed:
            holding = {doubt for doubt, spell in spells.items() if spell.begun}
            if flapping.on:
                holding.add(Doubt.FLAPPING)
            self.reasons = tuple(doubt for doubt in Doubt if doubt in holding)
        return changed

    def _seen(self, suspicion: Suspicion, reception: Reception) -> tuple[Doubt, ...]:
        """What there is evidence of since the last look."""
        packets, lost, jumps, offset_ns = reception
        new, new_lost = packets - self._packets, lost - self._lost
        self._packets, self._lost = packets, lost
        jumped = (jumps != self._jumps or offset_ns != self._offset_ns) and self._jumped(jumps, offset_ns)
        if suspicion is Suspicion.NONE and new_lost <= 0 and not jumped:
            return ()
        seen = [_BY_SUSPICION[suspicion]] if suspicion in _BY_SUSPICION else []
        share = new_lost / (new + new_lost) if new_lost > 0 and new >= 0 else 0.0
        if share >= self._policy.loss_share:
            self._share = share
            seen.append(Doubt.PACKET_LOSS)
        if jumped:
            seen.append(Doubt.CLOCK_JUMP)
        return tuple(seen)

    def _jumped(self, jumps: int, offset_ns: int | None) -> bool:
        """Whether its clock was set: the RTP time jumped, or its reports tell of another time of day."""
        jumped, self._jumps = jumps != self._jumps, jumps
        before_ns = self._offset_ns
        if offset_ns is not None:
            self._offset_ns = offset_ns
            if before_ns is not None and abs(offset_ns - before_ns) > JUMP_NS:
                # The first report behind a jump of the RTP time tells of the same jump once more.
                told, self._told_by_rtp = self._told_by_rtp, False
                return jumped or not told
        self._told_by_rtp = self._told_by_rtp or jumped
        return jumped

    def _step(self, seen: tuple[Doubt, ...], span_ns: int) -> bool:
        """Move every spell on by one look; True when one began or ended."""
        policy, changed = self._policy, False
        for doubt, spell in list(self._spells.items()):
            spell.lasted_ns += span_ns
            spell.quiet_ns = 0 if doubt in seen else spell.quiet_ns + span_ns
            if not spell.begun:
                # A jump is a moment and not a condition: two of them belong together within the quiet time.
                gap_ns = policy.quiet_ns if doubt is Doubt.CLOCK_JUMP else min(_GAP_NS, policy.quiet_ns)
                if spell.quiet_ns == 0 and spell.lasted_ns >= policy.after_ns:
                    spell.begun = changed = True
                elif spell.quiet_ns >= gap_ns:
                    del self._spells[doubt]
            elif spell.quiet_ns >= policy.quiet_ns:
                del self._spells[doubt]
                changed = True
        for doubt in seen:
            # It may be older than the look that finds it; nobody knows by how much.
            self._spells.setdefault(doubt, _Spell())
        return changed

    def detail(self) -> str:
        """A sentence for each of `reasons`, the one shown first."""
        return "; ".join([self._sentence(doubt) for doubt in self.reasons])

    def _sentence(self, doubt: Doubt) -> str:
        if doubt is Doubt.PACKET_LOSS:
            return f"丢包 {self._share:.1%} (packets are lost on the way)"
        if doubt is Doubt.FLAPPING:
            policy = self._policy.flapping
            causes = ", ".join(f"{cause} {count}" for cause, count in self._flapping.causes)
            return (
                f"{policy.window_ns / (60 * SECOND):g} 分钟内断开 {policy.ends} 次以上 "
                f"(its sessions end again and again: {causes})"
            )
        return _SENTENCES[doubt]
