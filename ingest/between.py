"""One camera's activity as its receiver sees it: measured at each key picture, peeked at between two of them.

A key picture carries what its interval showed. What shows earlier is worth a notice to inference: a new suspicion,
or a score that is far from normal and from what was told of it. So a change is known within a second or two,
however long the camera's key-picture interval is, and a county in the rain does not talk all the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.frame import Suspicion
from ingest.activity import Activity, ActivityMeter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.instant import Instant
    from ingest.camera import CameraReceiver
    from ingest.rtsp.received import Between
    from runtime.clock import Clock

NOTICE_SCORE: Final = 4.0
"""Least score that is told between key pictures: three spreads above the camera's normal..."""
NOTICE_FACTOR: Final = 1.5
"""...and so many times what was told last."""
PEEK_S: Final = 1.0
"""Every camera is peeked at so often..."""
_PARTS: Final = 10
"""...a tenth of them at a time."""


class CameraActivity:
    """Measures one camera, and knows what was told of it."""

    __slots__ = ("_key_at", "_meter", "_told")

    def __init__(self) -> None:
        self._meter = ActivityMeter()
        self._key_at: Instant | None = None
        self._told = Activity(1.0, Suspicion.NONE)

    @property
    def suspicion(self) -> Suspicion:
        """What was told last: by a key picture, or since."""
        return self._told.suspicion

    def begin(self) -> None:
        """A session begins."""
        self._meter.begin()

    def interval(self, between: tuple[int, int, int], key_bytes: int, key_digest: int, at: Instant) -> Activity:
        """A key picture came at `at`; number, bytes and largest of the pictures between, size and digest of it."""
        before, self._key_at = self._key_at, at
        duration_ns = at - before if before is not None else 0
        self._told = self._meter.interval(*between, key_bytes, key_digest, duration_ns)
        return self._told

    def peek(self, between: Between) -> Activity | None:
        """What shows now, if it is to be told before the next key picture."""
        suspicion = self._meter.peek(*between)
        score, told = self._meter.score, self._told
        new = suspicion is not Suspicion.NONE and suspicion is not told.suspicion
        if not new and (score < NOTICE_SCORE or score < NOTICE_FACTOR * told.score):
            return None
        self._told = Activity(score, suspicion or told.suspicion)
        return Activity(score, suspicion)


async def peek_forever(receivers: Mapping[str, CameraReceiver], clock: Clock) -> None:
    """Peek at every camera once a second until cancelled."""
    part = 0
    while True:
        await clock.asleep(PEEK_S / _PARTS)
        for receiver in list(receivers.values())[part::_PARTS]:
            receiver.peek()
        part = (part + 1) % _PARTS
