"""Canary: a new model on a share of the cameras, for real, and back to the old one when its alerts drift.

Which cameras follows from their ids and the model's hash, so that every new model has others. Each day anew we
count, for each incident type, the cameras with an alert among those that were looked at. A camera counts once,
however often it alarms, so that one lamp weighs no more than one camera. Were the models alike, the alarming
cameras would be spread by chance: k of the n canary cameras, when K of all N cameras alarm, is hypergeometric
(Fisher's exact test). The canary ends when that is less likely than P_MAX, on either side, its share of alarming
cameras differs by RATIO_MIN at least, and COUNT_MIN cameras alarm. It is judged at every first alert of a camera,
some thousand times a day at most for ten types: an identical model ends by chance on less than one day in a
hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from contracts.errors import GridwhistleError
from contracts.instant import DAY, Instant
from contracts.observation import Observation, Phase
from runtime.whole_file import write_whole

if TYPE_CHECKING:
    from contracts.detection import Detections
    from inference.detector import Detector
    from inference.picture import Bgr, Picture
    from inference.registry import Model
    from inference.watch import Record

P_MAX: Final = 1e-6
RATIO_MIN: Final = 1.5
COUNT_MIN: Final = 10


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """Why a canary ended; on disk, so that a restart does not begin it again. `reason`: `drift` or `failed`."""

    sha256: str
    model: str
    at: Instant
    reason: str
    sentence: str


@dataclass(slots=True)
class _Day:
    """Cameras of one group: looked at, and by type those with an alert."""

    looked: set[str] = field(default_factory=set)
    alarmed: dict[str, set[str]] = field(default_factory=dict)


def is_canary(camera_id: str, model_sha256: str, share: float) -> bool:
    """Whether this camera is among the share that a new model looks after."""
    digest = sha256(f"{model_sha256}/{camera_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < round(share * 2**64)


def chance(k: int, n: int, total_k: int, total_n: int) -> float:
    """How likely it is that so few, or so many, of n are among the total_k of total_n: the smaller tail, 0..1."""
    low, high = max(0, n - (total_n - total_k)), min(n, total_k)
    logs = [
        _log_choose(total_k, i) + _log_choose(total_n - total_k, n - i) - _log_choose(total_n, n)
        for i in range(low, high + 1)
    ]
    chances = [math.exp(each) for each in logs]
    upper = math.fsum(chances[k - low :])
    lower = math.fsum(chances[: k - low + 1])
    return min(upper, lower, 1.0)


class Canary:
    """The groups of today, and the verdict. For one event loop; `looks_after` may be called from any thread."""

    def __init__(self, model: Model, share: float, state_file: Path) -> None:
        self.model = model
        self._share = share
        self._file = state_file
        self._canary, self._control = _Day(), _Day()
        self._day = -1
        self.ended = _stored(state_file, model.toml.sha256)
        """Why it ended, None while it goes on."""

    def looks_after(self, camera_id: str) -> bool:
        """Whether the new model looks at this camera now."""
        return self.ended is None and is_canary(camera_id, self.model.toml.sha256, self._share)

    def looked(self, camera_id: str, records: Sequence[Record], now: Instant) -> RolledBack | None:
        """A camera was looked at, with what came of it; the verdict when this ends the canary, else None."""
        if self.ended is not None:
            return None
        if now // DAY != self._day:
            self._day, self._canary, self._control = now // DAY, _Day(), _Day()
        group = self._canary if self.looks_after(camera_id) else self._control
        group.looked.add(camera_id)
        for record in records:
            if not isinstance(record, Observation) or record.phase is not Phase.ACTIVE:
                continue
            cameras = group.alarmed.setdefault(record.type, set())
            if camera_id not in cameras:
                cameras.add(camera_id)
                verdict = self._judge(record.type, now)
                if verdict is not None:
                    return verdict
        return None

    def fail(self, error: GridwhistleError, now: Instant) -> RolledBack:
        """The new model cannot look: it ends at once."""
        return self._end("failed", f"新模型运行失败 (the new model failed): {error}", now)

    def _judge(self, type_: str, now: Instant) -> RolledBack | None:
        k, n = len(self._canary.alarmed.get(type_, ())), len(self._canary.looked)
        others, rest = len(self._control.alarmed.get(type_, ())), len(self._control.looked)
        if k + others < COUNT_MIN or not n or not rest:
            return None
        # Half a camera more on both sides: a share of nothing is no ratio.
        ratio = ((k + 0.5) / n) / ((others + 0.5) / rest)
        if 1 / RATIO_MIN < ratio < RATIO_MIN:
            return None
        likely = chance(k, n, k + others, n + rest)
        if likely >= P_MAX:
            return None
        sentence = (
            f"{type_}: 新模型 {n} 路中 {k} 路告警, 其余 {rest} 路中 {others} 路 "
            f"({k} of {n} cameras of the new model alarm, {others} of the other {rest}; by chance {likely:.0e})"
        )
        return self._end("drift", sentence, now)

    def _end(self, reason: str, sentence: str, now: Instant) -> RolledBack:
        self.ended = RolledBack(
            sha256=self.model.toml.sha256, model=self.model.tag, at=now, reason=reason, sentence=sentence
        )
        try:
            write_whole(self._file, msgspec.json.encode(self.ended))
        except OSError as error:
            # It stays ended in this process; after a restart it would begin again and end again.
            self.ended = msgspec.structs.replace(self.ended, sentence=f"{sentence}; {error.strerror}")
        return self.ended


class Models:
    """The live detector and that of the canary: which of them looks at which camera. For the pixel thread."""

    def __init__(self, live: Detector, canary: Canary | None = None, new: Detector | None = None) -> None:
        """`new`: the canary's detector; both or neither."""
        self.live = live
        self._canary = canary
        self._new = new
        self.failure: GridwhistleError | None = None
        """Why the canary's model could not look, until somebody takes it."""

    def of(self, camera_id: str) -> Model:
        """The model whose name stands on what is seen of this camera."""
        return self._detector(camera_id).model

    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        """Findings of each picture by the model of its camera."""
        answers: list[Detections | None] = [None] * len(pictures)
        for detector in dict.fromkeys(self._detector(each.source_id) for each in pictures):
            mine = [i for i, each in enumerate(pictures) if self._detector(each.source_id) is detector]
            for index, found in zip(mine, self._ask(detector, [pictures[i].bgr for i in mine]), strict=True):
                answers[index] = found
        return [found for found in answers if found is not None]

    def second_look(self, longer_side: int) -> Callable[[Bgr], Detections] | None:
        """See Detector.second_look; the live model's."""
        return self.live.second_look(longer_side)

    def _detector(self, camera_id: str) -> Detector:
        if self._new is not None and self._canary is not None and self._canary.looks_after(camera_id):
            return self._new
        return self.live

    def _ask(self, detector: Detector, pictures: Sequence[Bgr]) -> list[Detections]:
        if detector is self.live or self.failure is not None:
            return self.live.detect(pictures)
        try:
            return detector.detect(pictures)
        except GridwhistleError as error:
            self.failure = error
            return self.live.detect(pictures)


def _stored(file: Path, model_sha256: str) -> RolledBack | None:
    """The verdict on this very model, if one is on disk; one that cannot be read is none."""
    try:
        stored = msgspec.json.decode(file.read_bytes(), type=RolledBack)
    except (OSError, msgspec.MsgspecError):
        return None
    return stored if stored.sha256 == model_sha256 else None


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
