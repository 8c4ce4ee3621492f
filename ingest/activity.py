"""Activity of a camera for nothing: what do the sizes of the pictures that nobody decodes say?

An encoder spends bytes where a picture differs from the one before, so the mean size of the pictures between two
key pictures measures motion. (Poppe et al. 2009, "Moving object detection in the H.264/AVC compressed domain for
video surveillance applications", do so block by block; here not even a block is read.) What is *normal* differs
from camera to camera by three powers of ten, with scene, gain noise, rain and leaves. So everything is measured on
a logarithmic scale, in units of the camera's own learnt spread:

    x = ln(SIZE_FLOOR + mean bytes);  deviation = (x - mean of x) / max(spread of x, SPREAD_FLOOR)

`SIZE_FLOOR` keeps quiet nights quiet (20 B against 60 B is no news), `SPREAD_FLOOR` the steadiest cameras.

Mean and spread follow with a time constant of a minute, each step bounded (a Huber estimate), so that dusk, clouds
and rain are followed, and one event neither moves the normal nor widens the spread much. What stays outside for a
minute *is* the new normal (IR switch, other bit rate, other resolution): learnt anew, and no news any longer.

Encoders with a constant bit rate spend the same bytes whatever happens. There the key pictures shrink when the
others need more, so their ratio is measured too. `ActivityMeter` decides which by the spread of the total.
"""

from __future__ import annotations

import math
import zlib
from typing import Final, NamedTuple

from contracts.frame import Suspicion
from contracts.instant import SECOND

SIZE_FLOOR: Final = 96.0
"""Bytes added to every size before its logarithm is taken."""
SPREAD_FLOOR: Final = 0.08
"""Least spread of a logarithm that counts: 8 % more bytes are no news of any camera."""
RATIO_SPREAD_FLOOR: Final = 0.03
"""The same for the ratio of a camera with a constant bit rate, which is steady by itself."""
MEMORY_S: Final = 60.0
"""Time constant of what is normal..."""
SPREAD_MEMORY_S: Final = 240.0
"""...and of how far it spreads, where that shrinks; it grows fast: neither rain nor heavy tails cry wolf."""
RELEARN_S: Final = 60.0
"""What stays outside the normal for so long is the new normal."""
OUTSIDE: Final = 3.0
"""Deviations from which a value is outside, and beyond which it is no longer followed in proportion."""
PEAK_LESS: Final = 2.0
"""A single picture counts two deviations less than a second of them: sizes have heavy tails."""
SCORE_MAX: Final = 100.0

BURST_DEVIATION: Final = 6.0
BURST_FACTOR: Final = 2.0
"""BURST: so many deviations, and times the normal, SIZE_FLOOR included."""
COLLAPSE_DEVIATION: Final = 5.0
COLLAPSE_FACTOR: Final = 4.0
COLLAPSE_FROM_BYTES: Final = 160.0
"""SIZE_COLLAPSE: so many deviations below, and the normal divided by so much; smaller normals cannot collapse."""
COLLAPSE_NS: Final = 3 * SECOND
"""For so long in mid-interval, so that the pause between two cars is none."""
CONSTANT_RATE_SPREAD: Final = 0.05
"""A camera whose bytes per second spread less than this (as a logarithm), most of them between the key pictures,
has a constant bit rate."""
FROZEN_REPEATS: Final = 3
"""FROZEN_BYTES: so many key pictures in a row that were there before..."""
STILL_BYTES: Final = 64
"""...or no picture between them larger than this (a picture of skipped blocks only)..."""
STILL_FROM_BYTES: Final = 4.0 * STILL_BYTES
"""...of a camera whose largest used to be above this..."""
STILL_FIRST_S: Final = 10.0
STILL_LAST_S: Final = 180.0
"""...suspect from so long to so long after it began: then it was looked at, and may be an empty room."""

_WARM_UP: Final = 8
"""Intervals before anything is suspected."""
_PRIOR_SPREAD: Final = 0.3
_WINDOW_NS: Final = SECOND // 2
_WINDOW_PICTURES: Final = 3
_TAIL_BYTES: Final = 2048


class Activity(NamedTuple):
    """Of one key-picture interval. `score` >= 0: 1 is normal, 1 + n is n of the camera's own spreads above it,
    below 1 the share of the normal size. `suspicion`: what to look at first."""

    score: float
    suspicion: Suspicion


def key_digest(picture: bytes) -> int:
    """A number that is equal when a key picture repeats, though its SEI and slice headers count on.

    Only the last 2 KiB are read: the arithmetic decoder carries every difference of a slice to its end.
    """
    return zlib.crc32(memoryview(picture)[-_TAIL_BYTES:])


class _Level:
    """Learnt mean and spread of one logarithm."""

    __slots__ = ("_floor", "mean", "outside_s", "seen", "spread")

    def __init__(self, floor: float = SPREAD_FLOOR) -> None:
        self._floor = floor
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.mean = 0.0
        self.spread = _PRIOR_SPREAD
        self.outside_s = 0.0
        self.seen = 0

    @property
    def ready(self) -> bool:
        """Enough is known to be surprised."""
        return self.seen >= _WARM_UP

    def deviation(self, value: float) -> float:
        """Signed, in spreads; 0 while too little is known."""
        return (value - self.mean) / max(self.spread, self._floor) if self.ready else 0.0

    def learn(self, value: float, duration_s: float) -> None:
        """One more value, which held for `duration_s`."""
        self.seen += 1
        if self.seen == 1:
            self.mean = value
            return
        step, widens = value - self.mean, True
        bound = OUTSIDE * max(self.spread, self._floor)
        if abs(step) <= bound or not self.ready:
            self.outside_s = 0.0
        else:
            # Time outside is signed: what swings from side to side is no new normal, it is a wide one.
            # Staying on one side does not make it wider, or it would be inside before it is the new normal.
            same_side = self.outside_s * step > 0.0
            widens = not same_side
            self.outside_s = math.copysign(abs(self.outside_s) * same_side + duration_s, step)
            if abs(self.outside_s) >= RELEARN_S:
                self.forget()
                self.learn(value, duration_s)
                return
            step = math.copysign(bound, step)
        first = 1.0 / self.seen
        self.mean += max(-math.expm1(-duration_s / MEMORY_S), first) * step
        if widens:
            # 1.25 times the mean absolute deviation is the standard deviation of a normal distribution.
            wider = 1.25 * abs(step) - self.spread
            memory_s = MEMORY_S if wider > 0.0 else SPREAD_MEMORY_S
            self.spread += max(-math.expm1(-duration_s / memory_s), first) * wider


class ActivityMeter:
    """One camera's activity: `interval` once per key picture, `peek` about once a second between them.

    Both take the counts *since the last key picture*. Nothing is called per dropped picture.
    """

    __slots__ = (
        "_burst_bytes",
        "_busier_bytes",
        "_busiest",
        "_busy",
        "_collapse_bytes",
        "_digests",
        "_key",
        "_low_ns",
        "_peak",
        "_rate",
        "_ratio",
        "_repeats",
        "_seen_bytes",
        "_seen_ns",
        "_seen_pictures",
        "_size",
        "_still_s",
        "_stills",
        "score",
    )

    def __init__(self) -> None:
        self.score = 1.0
        """The last score; a peek that finds more than usual raises it before the interval is over."""
        self._size = _Level()
        """Mean picture of an interval."""
        self._busy = _Level()
        """Mean picture of its busiest second."""
        self._peak = _Level()
        """Its largest picture."""
        self._key = _Level()
        self._ratio = _Level(RATIO_SPREAD_FLOOR)
        """Mean picture to key picture."""
        self._rate = _Level()
        """Bytes per second, key pictures included."""
        self._seen_pictures = 0
        self._seen_bytes = 0
        self._seen_ns = 0
        self._busiest = 0.0
        self._low_ns = 0
        self._busier_bytes = math.inf
        """Windows larger than this raise the score in mid-interval."""
        self._burst_bytes = math.inf
        self._collapse_bytes = 0.0
        self._digests = (-1, -1)
        self._repeats = 0
        self._still_s = 0.0
        self._stills = False

    def peek(self, dropped_pictures: int, dropped_bytes: int, since_ns: int) -> Suspicion:
        """BURST or SIZE_COLLAPSE in mid-interval; `since_ns` is the time since the last key picture.

        Looks at what came since the last call, and waits for the next call where that is less than half a second.
        """
        pictures = dropped_pictures - self._seen_pictures
        window_ns = since_ns - self._seen_ns
        if window_ns < _WINDOW_NS or pictures < _WINDOW_PICTURES:
            return Suspicion.NONE
        size = (dropped_bytes - self._seen_bytes) / pictures
        self._seen_pictures, self._seen_bytes, self._seen_ns = dropped_pictures, dropped_bytes, since_ns
        if size > self._busiest:
            self._busiest = size
        if size > self._busier_bytes:
            above = self._busy.deviation(math.log(SIZE_FLOOR + size))
            self.score = min(max(self.score, 1.0 + above), SCORE_MAX)
            if size > self._burst_bytes:
                return Suspicion.BURST
        if size < self._collapse_bytes:
            self._low_ns += window_ns
            return Suspicion.SIZE_COLLAPSE if self._low_ns >= COLLAPSE_NS else Suspicion.NONE
        self._low_ns = 0
        return Suspicion.NONE

    def interval(
        self,
        dropped_pictures: int,
        dropped_bytes: int,
        dropped_bytes_max: int,
        key_bytes: int,
        key_digest: int,
        duration_ns: int,
    ) -> Activity:
        """A key picture came, `duration_ns` after the one before; the other figures are of the pictures between.

        `dropped_bytes_max`: the largest of them; `key_bytes`, `key_digest`: of the key picture that came.
        """
        self.peek(dropped_pictures, dropped_bytes, duration_ns)
        duration_s = min(max(duration_ns / SECOND, 0.04), RELEARN_S)
        key = math.log(SIZE_FLOOR + max(key_bytes, 0))
        suspicion = self._frozen(key_digest, dropped_pictures, dropped_bytes_max, duration_s)
        if dropped_pictures <= 0:
            suspicion = suspicion or self._fallen(self._key, key, key_bytes)
            score = 1.0 + max(self._key.deviation(key), 0.0)
            self._key.learn(key, duration_s)
            self.score = min(score, SCORE_MAX)
            return Activity(self.score, suspicion)
        mean = dropped_bytes / dropped_pictures
        size = math.log(SIZE_FLOOR + mean)
        busy = math.log(SIZE_FLOOR + max(self._busiest, mean))
        peak = math.log(SIZE_FLOOR + max(dropped_bytes_max, mean))
        ratio = size - key
        above = max(self._size.deviation(size), self._busy.deviation(busy), self._peak.deviation(peak) - PEAK_LESS)
        if self._rate.ready and self._rate.spread < CONSTANT_RATE_SPREAD and dropped_bytes > key_bytes:
            above = max(above, self._ratio.deviation(ratio))
        normal = math.exp(self._size.mean) - SIZE_FLOOR
        if above > 0.0:
            score = min(1.0 + above, SCORE_MAX)
        else:
            score = min(mean / max(normal, 1.0), 1.0) if self._size.ready else 1.0
        if suspicion is Suspicion.NONE:
            suspicion = self._fallen(self._size, size, mean) or self._fallen(self._key, key, key_bytes)
        more = max(size - self._size.mean, busy - self._busy.mean, peak - self._peak.mean) > math.log(BURST_FACTOR)
        if suspicion is Suspicion.NONE and above > BURST_DEVIATION and more:
            suspicion = Suspicion.BURST
        self._learn(size, busy, peak, key, dropped_bytes + key_bytes, duration_s)
        self.score = score
        return Activity(score, suspicion)

    def _fallen(self, level: _Level, value: float, size: float) -> Suspicion:
        """SIZE_COLLAPSE when `size`, whose logarithm is `value`, is far below its level."""
        normal = math.exp(level.mean) - SIZE_FLOOR
        fallen = (
            normal >= COLLAPSE_FROM_BYTES
            and size * COLLAPSE_FACTOR < normal
            and level.deviation(value) < -COLLAPSE_DEVIATION
        )
        return Suspicion.SIZE_COLLAPSE if fallen else Suspicion.NONE

    def _frozen(self, digest: int, pictures: int, largest: int, duration_s: float) -> Suspicion:
        """FROZEN_BYTES when key pictures repeat, or nothing but skipped blocks comes from what used to live."""
        # Encoders alternate idr_pic_id (neighbours must differ: H.264, 7.4.3), so the one before last counts too.
        self._repeats = self._repeats + 1 if digest in self._digests else 0
        self._digests = (self._digests[1], digest)
        if pictures > 0 and 0 < largest <= STILL_BYTES:
            if self._still_s == 0.0:
                self._stills = self._peak.ready and math.exp(self._peak.mean) - SIZE_FLOOR > STILL_FROM_BYTES
            self._still_s += duration_s
        else:
            self._still_s = 0.0
        still = self._stills and STILL_FIRST_S <= self._still_s <= STILL_LAST_S
        return Suspicion.FROZEN_BYTES if still or self._repeats >= FROZEN_REPEATS else Suspicion.NONE

    def _learn(self, size: float, busy: float, peak: float, key: float, total: int, duration_s: float) -> None:
        """Follow what is normal, and set the marks of `peek`."""
        self._size.learn(size, duration_s)
        self._busy.learn(busy, duration_s)
        self._peak.learn(peak, duration_s)
        self._key.learn(key, duration_s)
        self._ratio.learn(size - key, duration_s)
        self._rate.learn(math.log(SIZE_FLOOR + total / duration_s), duration_s)
        self._seen_pictures = self._seen_bytes = self._seen_ns = self._low_ns = 0
        self._busiest = 0.0
        busy, size = self._busy.mean, self._size.mean
        self._busier_bytes = self._burst_bytes = math.inf
        self._collapse_bytes = 0.0
        if self._busy.ready and self._size.ready:
            spread = max(self._busy.spread, SPREAD_FLOOR)
            self._busier_bytes = math.exp(busy + OUTSIDE * spread) - SIZE_FLOOR
            above = max(BURST_DEVIATION * spread, math.log(BURST_FACTOR))
            self._burst_bytes = math.exp(busy + above) - SIZE_FLOOR
            usual = math.exp(size) - SIZE_FLOOR
            if usual >= COLLAPSE_FROM_BYTES:
                below = COLLAPSE_DEVIATION * max(self._size.spread, self._busy.spread, SPREAD_FLOOR)
                self._collapse_bytes = min(usual / COLLAPSE_FACTOR, math.exp(size - below) - SIZE_FLOOR)
