"""Activity of a camera for nothing: what do the sizes of the pictures that nobody decodes say?

An encoder spends bytes where a picture differs from the one before, so the mean size of the pictures between two
key pictures measures motion. (Poppe et al. 2009, "Moving object detection in the H.264/AVC compressed domain for
video surveillance applications", do so block by block; here not even a block is read.) What is *normal* differs
from camera to camera by three powers of ten, with scene, gain noise, rain and leaves. So everything is measured on
a logarithmic scale, in units of the camera's own learnt spread:

    x = ln(SIZE_FLOOR + mean bytes);  deviation = (x - mean of x) / max(spread of x, SPREAD_FLOOR)

`SIZE_FLOOR` keeps quiet nights quiet (20 B against 60 B is no news), `SPREAD_FLOOR` the steadiest cameras.

An encoder repairs a key picture in the pictures behind it, so sizes depend on the time since then by more than a
small change adds to them. Each second is compared with *the same second* of the intervals before (`SECONDS`).

Mean and spread follow with time constants of 20 s and minutes, each step bounded (a Huber estimate), so that
dusk, clouds and rain are followed, and one event neither moves the normal nor widens the spread much. What stays
outside for a minute *is* the new normal (IR switch, other bit rate, other resolution): learnt anew, and no news.

Encoders with a constant bit rate spend the same bytes whatever happens. There the key pictures shrink when the
others need more, so their ratio is measured too. `ActivityMeter` decides which by the spread of the total.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from typing import Final, NamedTuple

from contracts.frame import Suspicion
from contracts.instant import SECOND

SIZE_FLOOR: Final = 96.0
"""Bytes added to every size before its logarithm is taken."""
SPREAD_FLOOR: Final = 0.03
"""Least spread of a logarithm that counts: 3 % more bytes are no news of any camera."""
SECONDS: Final = 4
"""Seconds behind a key picture that have a normal of their own; the last one holds for all that follow."""
MEMORY_S: Final = 20.0
"""Time constant of what is normal..."""
WIDER_MEMORY_S: Final = 60.0
"""...of how far it spreads, where that grows..."""
NARROWER_MEMORY_S: Final = 240.0
"""...and where it shrinks: neither rain nor heavy tails cry wolf."""
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
_BURST_MORE: Final = math.log(BURST_FACTOR)


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


class _Pace(NamedTuple):
    """How far mean and spread follow a value that held for `duration_s`."""

    duration_s: float
    mean: float
    wider: float
    narrower: float


@lru_cache(1024)
def _pace(duration_ms: int) -> _Pace:
    duration_s = duration_ms / 1000.0
    mean, wider, narrower = (
        -math.expm1(-duration_s / memory_s) for memory_s in (MEMORY_S, WIDER_MEMORY_S, NARROWER_MEMORY_S)
    )
    return _Pace(duration_s, mean, wider, narrower)


class _Level:
    """Learnt mean and spread of one logarithm."""

    __slots__ = ("mean", "outside_s", "seen", "spread")

    def __init__(self) -> None:
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
        if self.seen < _WARM_UP:
            return 0.0
        return (value - self.mean) / (self.spread if self.spread > SPREAD_FLOOR else SPREAD_FLOOR)

    def learn(self, value: float, pace: _Pace) -> None:
        """One more value."""
        self.seen += 1
        if self.seen == 1:
            self.mean = value
            return
        step, widens = value - self.mean, True
        spread = self.spread
        bound = OUTSIDE * (spread if spread > SPREAD_FLOOR else SPREAD_FLOOR)
        if -bound <= step <= bound or self.seen <= _WARM_UP:
            self.outside_s = 0.0
        else:
            # Time outside is signed: what swings from side to side is no new normal, it is a wide one.
            # Staying on one side does not make it wider, or it would be inside before it is the new normal.
            same_side = self.outside_s * step > 0.0
            widens = not same_side
            self.outside_s = math.copysign(abs(self.outside_s) * same_side + pace.duration_s, step)
            if abs(self.outside_s) >= RELEARN_S:
                self.forget()
                self.learn(value, pace)
                return
            step = bound if step > 0.0 else -bound
        first = 1.0 / self.seen
        self.mean += max(pace.mean, first) * step
        if widens:
            # 1.25 times the mean absolute deviation is the standard deviation of a normal distribution.
            wider = 1.25 * abs(step) - spread
            self.spread += max(pace.wider if wider > 0.0 else pace.narrower, first) * wider


class ActivityMeter:
    """One camera's activity: `interval` once per key picture, `peek` about once a second between them.

    Both take the counts *since the last key picture*. Nothing is called per dropped picture.
    """

    __slots__ = (
        "_before",
        "_digests",
        "_interval",
        "_key",
        "_low_ns",
        "_peak",
        "_rate",
        "_ratio",
        "_repeats",
        "_seconds",
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
        """The last score: of the last interval or, while the next one lasts, of the last two peeks."""
        self._seconds = tuple(_Level() for _ in range(SECONDS))
        """Mean picture of each second behind a key picture."""
        self._size = _Level()
        """Mean picture of an interval."""
        self._peak = _Level()
        """Its largest picture."""
        self._key = _Level()
        self._ratio = _Level()
        """Mean picture to key picture."""
        self._rate = _Level()
        """Bytes per second, key pictures included."""
        self._interval = _pace(1000)
        self._before = 0.0
        """Deviation of the last interval or peek."""
        self._seen_pictures = 0
        self._seen_bytes = 0
        self._seen_ns = 0
        self._low_ns = 0
        self._digests = (-1, -1)
        self._repeats = 0
        self._still_s = 0.0
        self._stills = False

    def begin(self) -> None:
        """A session begins: media servers send the key picture that they keep once more to whoever comes again."""
        self._repeats, self._digests = 0, (-1, -1)

    def peek(self, dropped_pictures: int, dropped_bytes: int, since_ns: int) -> Suspicion:
        """BURST or SIZE_COLLAPSE in mid-interval; `since_ns` is the time since the last key picture.

        Looks at what came since the last call, and waits for the next call where that is less than half a second.
        """
        pictures = dropped_pictures - self._seen_pictures
        window_ns = since_ns - self._seen_ns
        if window_ns < _WINDOW_NS or pictures < _WINDOW_PICTURES:
            return Suspicion.NONE
        size = max(dropped_bytes - self._seen_bytes, 0) / pictures
        # Which second it is, by the middle of the window.
        second = min((since_ns + self._seen_ns) // (2 * SECOND), SECONDS - 1)
        self._seen_pictures, self._seen_bytes, self._seen_ns = dropped_pictures, dropped_bytes, since_ns
        pace = self._interval if second < SECONDS - 1 else _pace(min(window_ns // 1_000_000, 60_000))
        level = self._seconds[second]
        value = math.log(SIZE_FLOOR + size)
        more = value - level.mean
        deviation = level.deviation(value)
        normal = math.exp(level.mean) - SIZE_FLOOR
        level.learn(value, pace)
        before, self._before = self._before, deviation
        self._raise(max(deviation, before))
        if deviation > BURST_DEVIATION and more > _BURST_MORE:
            return Suspicion.BURST
        if deviation < -COLLAPSE_DEVIATION and normal >= COLLAPSE_FROM_BYTES and size * COLLAPSE_FACTOR < normal:
            self._low_ns += window_ns
            return Suspicion.SIZE_COLLAPSE if self._low_ns >= COLLAPSE_NS else Suspicion.NONE
        self._low_ns = 0
        return Suspicion.NONE

    def _raise(self, above: float) -> None:
        self.score = min(1.0 + above, SCORE_MAX) if above > 0.0 else min(self.score, 1.0)

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
        self._interval = pace = _pace(round(duration_s * 1000.0))
        self._seen_pictures = self._seen_bytes = self._seen_ns = self._low_ns = 0
        key = math.log(SIZE_FLOOR + max(key_bytes, 0))
        suspicion = self._frozen(key_digest, dropped_pictures, dropped_bytes_max, duration_s)
        if dropped_pictures <= 0:
            suspicion = suspicion or self._fallen(self._key, key, key_bytes)
            self._before = self._key.deviation(key)
            self._key.learn(key, pace)
            self._raise(self._before)
            return Activity(self.score, suspicion)
        mean = max(dropped_bytes, 0) / dropped_pictures
        size = math.log(SIZE_FLOOR + mean)
        peak = math.log(SIZE_FLOOR + max(dropped_bytes_max, mean))
        ratio = size - key
        above = max(self._before, self._size.deviation(size), self._peak.deviation(peak) - PEAK_LESS)
        if self._rate.ready and self._rate.spread < CONSTANT_RATE_SPREAD and dropped_bytes > key_bytes:
            above = max(above, self._ratio.deviation(ratio))
        normal = math.exp(self._size.mean) - SIZE_FLOOR
        if suspicion is Suspicion.NONE:
            suspicion = self._fallen(self._size, size, mean) or self._fallen(self._key, key, key_bytes)
        more = max(size - self._size.mean, peak - self._peak.mean) > _BURST_MORE
        if suspicion is Suspicion.NONE and above > BURST_DEVIATION and more:
            suspicion = Suspicion.BURST
        score = 1.0
        if above > 0.0:
            score = min(1.0 + above, SCORE_MAX)
        elif self._size.ready:
            score = min(mean / max(normal, 1.0), 1.0)
        self._size.learn(size, pace)
        self._peak.learn(peak, pace)
        self._key.learn(key, pace)
        self._ratio.learn(ratio, pace)
        self._rate.learn(math.log(SIZE_FLOOR + (max(dropped_bytes, 0) + max(key_bytes, 0)) / duration_s), pace)
        self._before, self.score = above, score
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
