"""Tracker: findings of successive pictures joined into tracks, while a camera is looked at several times a second.

Two rounds as in ByteTrack (Zhang et al., arXiv 2110.06864): tracks take the confident findings first, those left
over take the weak ones. Likeness is the generalised IoU (Rezatofighi et al., arXiv 1902.09630) between a finding
and the place where the track should be by now, along the line through its last places. A track is where something
was, and when; nothing of how it looks is kept, so one that leaves and comes back is two.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.instant import SECOND, Instant

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
TRACKS_MAX: Final = 128
"""More at once are not followed; a picture full of vehicles has fewer."""
POINTS_MAX: Final = 400
"""Of one track: 50 s at eight pictures a second."""
LEAST_LIKENESS: Final = -0.2
LEAST_LIKENESS_WEAK: Final = 0.1
LIKENESS_NEW: Final = -0.45
"""A track of one finding has no speed yet: the next one may be as far as its own length and a half."""
MISSED_MAX_S: Final = 0.8
SIZE_STEP_MAX: Final = 1.8
"""Nothing grows or shrinks in area by more than this from one picture to the next."""
_SPEED_POINTS: Final = 6


@dataclass(slots=True)
class Track:
    """One thing that moved or stood. `times`: event times; `boxes`: float32 (4,), pixels, one per time."""

    number: int
    class_id: int
    times: deque[Instant] = field(default_factory=lambda: deque(maxlen=POINTS_MAX))
    boxes: deque[F32] = field(default_factory=lambda: deque(maxlen=POINTS_MAX))
    sure: int = 0
    """How many of its findings were confident."""

    def predicted(self, at: Instant) -> F32:
        """Its box at a moment after the last one: straight on, at the speed of its last places."""
        last = self.boxes[-1]
        if len(self.times) < 2:
            return last
        boxes = np.stack(list(self.boxes)[-_SPEED_POINTS:])
        times = _seconds(list(self.times)[-_SPEED_POINTS:], self.times[-1])
        centred = times - times.mean()
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        speed = (centred[:, None] * middles).sum(axis=0) / max(float((centred**2).sum()), 1e-9)
        step = speed * ((at - self.times[-1]) / SECOND)
        return np.asarray(last + np.concatenate((step, step)), np.float32)


class Tracker:
    """The tracks of one camera. Pictures must come in order of event time; after a pause begin with a new one."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        """Those that may still be seen again."""
        self.ended: list[Track] = []
        """Those that were not seen for MISSED_MAX_S; whoever wants them takes them out."""
        self._numbers = 0

    def look(self, at: Instant, xyxy: F32, class_id: npt.NDArray[np.int16], sure: npt.NDArray[np.bool_]) -> None:
        """Take the findings of one picture: `xyxy` float32 (n, 4), pixels; `sure`: which are confident.

        Weak findings keep a track alive, they never begin one.
        """
        predicted = [track.predicted(at) for track in self.tracks]
        open_tracks = list(range(len(self.tracks)))
        strong, weak = np.flatnonzero(sure), np.flatnonzero(~sure)
        open_tracks, new = self._join(at, open_tracks, predicted, xyxy, strong, class_id, weak=False)
        self._join(at, open_tracks, predicted, xyxy, weak, class_id, weak=True)
        for index in new:
            if len(self.tracks) >= TRACKS_MAX:
                break
            self._numbers += 1
            track = Track(self._numbers, int(class_id[index]), sure=1)
            track.times.append(at)
            track.boxes.append(xyxy[index].copy())
            self.tracks.append(track)
        kept: list[Track] = []
        for track in self.tracks:
            (kept if (at - track.times[-1]) / SECOND <= MISSED_MAX_S else self.ended).append(track)
        self.tracks = kept

    def _join(
        self,
        at: Instant,
        tracks: list[int],
        predicted: list[F32],
        xyxy: F32,
        rows: npt.NDArray[np.intp],
        class_id: npt.NDArray[np.int16],
        *,
        weak: bool,
    ) -> tuple[list[int], list[int]]:
        """Greedy: the likest pair first. Tracks that stay without a finding, and findings without a track."""
        if not tracks or not len(rows):
            return tracks, [int(row) for row in rows]
        expected = np.stack([predicted[index] for index in tracks])
        alike = generalised_iou(expected, xyxy[rows])
        least = np.array(
            [
                LEAST_LIKENESS_WEAK if weak else LIKENESS_NEW if len(self.tracks[i].times) < 2 else LEAST_LIKENESS
                for i in tracks
            ]
        )
        grown = _areas(xyxy[rows])[None] / np.maximum(_areas(expected)[:, None], 1e-6)
        alike[(alike < least[:, None]) | (grown > SIZE_STEP_MAX) | (grown < 1 / SIZE_STEP_MAX)] = -2.0
        free_tracks, free_rows = set(range(len(tracks))), set(range(len(rows)))
        for flat in np.argsort(-alike, axis=None):
            mine, row = divmod(int(flat), len(rows))
            if alike[mine, row] <= -2.0:
                break
            if mine not in free_tracks or row not in free_rows:
                continue
            free_tracks.discard(mine)
            free_rows.discard(row)
            track = self.tracks[tracks[mine]]
            track.times.append(at)
            track.boxes.append(xyxy[rows[row]].copy())
            if not weak:
                track.sure += 1
                track.class_id = int(class_id[rows[row]])
        return [tracks[i] for i in sorted(free_tracks)], [int(rows[i]) for i in sorted(free_rows)]


def generalised_iou(left: F32, right: F32) -> F64:
    """n x m generalised intersection over union of boxes (n, 4) and (m, 4), -1..1; below 0 they are apart."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2, dtype=np.float64)
    union = _areas(left)[:, None] + _areas(right)[None] - shared
    hull_low = np.minimum(left[:, None, :2], right[None, :, :2])
    hull_high = np.maximum(left[:, None, 2:], right[None, :, 2:])
    hull = np.maximum(np.prod(hull_high - hull_low, axis=2, dtype=np.float64), 1e-9)
    return np.asarray(shared / np.maximum(union, 1e-9) - (hull - union) / hull)


def _areas(boxes: F32) -> F64:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.float64))


def _seconds(times: list[Instant], origin: Instant) -> F64:
    return np.array([(each - origin) / SECOND for each in times], np.float64)
