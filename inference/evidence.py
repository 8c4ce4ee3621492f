"""Evidence: pictures that may leave this process: small, with whole persons and whole vehicles pixelated.

What is pixelated: every person and vehicle down to the detector's floor, in this picture and at the places where
the pictures just before had one (a person overlooked once is rarely overlooked thrice), with a margin. Whoever
is too small for the detector is too small to be known in 640 pixels. Without detections there is no picture.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.errors import StoreError, StoreFull
from contracts.instant import SECOND, Instant, beijing_date
from contracts.observation import EvidenceRef, IncidentType
from inference.config import EvidenceConfig
from inference.picture import Bgr, Picture
from runtime.whole_file import write_whole

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
MARGIN_SHARE: Final = 0.12
MARGIN_PX: Final = 3
BLOCKS_ACROSS: Final = 6
"""A pixelated thing has at most so many blocks across its longer side: a face is one, a plate less."""
_BLOCK_MIN_PX: Final = 6
_ZONE_COLOUR = (255, 200, 80)
_BOX_COLOUR = (80, 220, 120)
_LIMIT_MEMORY = 50_000
_NEIGHBOURS = 2
HIDDEN: Final = tuple(CLASS_NAMES.index(n) for n in ("person", "bicycle", "motorcycle", "car", "bus", "truck"))
"""Classes of what is pixelated."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn on the picture. `hidden`: (n, 4) boxes of persons and vehicles, to be pixelated;
    `measured`: (m, 4) boxes of what the observation is about; `zone`: (k, 2) polygon. All in its pixels."""

    hidden: F32
    measured: F32
    zone: F64 | None = None


def render(bgr: Bgr, drawing: Drawing, width_max: int) -> Bgr:
    """The picture as it may be shown, at most `width_max` pixels wide; the input is not changed."""
    height, width = bgr.shape[:2]
    scale = min(1.0, width_max / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
    for box in drawing.hidden * scale:
        pixelate(small, box)
    if drawing.zone is not None:
        points = np.round(drawing.zone * scale).astype(np.int32)
        cv2.polylines(small, [points], True, _ZONE_COLOUR, 1, cv2.LINE_AA)
    for box in np.round(drawing.measured * scale).astype(int):
        cv2.rectangle(small, (int(box[0]), int(box[1])), (int(box[2]), int(box[3])), _BOX_COLOUR, 1)
    return small


def pixelate(bgr: Bgr, box: F32) -> None:
    """Replace a box (x1, y1, x2, y2 in pixels) and a margin by blocks, in place."""
    height, width = bgr.shape[:2]
    margin = MARGIN_SHARE * np.maximum(box[2:] - box[:2], 0) + MARGIN_PX
    x1, y1 = max(0, int(box[0] - margin[0])), max(0, int(box[1] - margin[1]))
    x2, y2 = min(width, int(np.ceil(box[2] + margin[0]))), min(height, int(np.ceil(box[3] + margin[1])))
    if x2 <= x1 or y2 <= y1:
        return
    block = max(_BLOCK_MIN_PX, -(-max(x2 - x1, y2 - y1) // BLOCKS_ACROSS))
    blocks = (max(1, (x2 - x1) // block), max(1, (y2 - y1) // block))
    coarse = cv2.resize(bgr[y1:y2, x1:x2], blocks, interpolation=cv2.INTER_AREA)
    bgr[y1:y2, x1:x2] = cv2.resize(coarse, (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)


class Hiding:
    """Boxes of persons and vehicles in one camera's pictures, one after the other."""

    def __init__(self) -> None:
        self._last: list[F32] = []

    def boxes(self, picture: Picture, found: Detections) -> F32:
        """Those of this picture and of the ones just before, (n, 4) in its pixels."""
        sides = np.array([picture.width, picture.height, picture.width, picture.height], np.float32)
        self._last.append(found.xyxy[np.isin(found.class_id, HIDDEN)] / sides)
        del self._last[: -1 - _NEIGHBOURS]
        return np.asarray(union(self._last) * sides, np.float32)


class EvidenceStore:
    """Writes evidence pictures below one folder, as `YYYY-MM-DD/<sha256>.jpg`, within a budget."""

    def __init__(self, folder: Path, config: EvidenceConfig) -> None:
        self._folder = folder
        self._config = config
        self._budget = config.budget_mb * 1_000_000
        self._used = _bytes_below(folder)
        self._recount_at = Instant(0)
        self._last: OrderedDict[tuple[str, IncidentType], Instant] = OrderedDict()

    def due(self, source_id: str, type_: IncidentType, at: Instant) -> bool:
        """Whether this camera and type may have a picture again; asking does not use it up."""
        last = self._last.get((source_id, type_))
        return last is None or not 0 <= at - last < round(self._config.every_s * SECOND)

    def keep(
        self, picture: Picture, drawing: Drawing, type_: IncidentType | None, *, width_max: int | None = None
    ) -> EvidenceRef:
        """Render, encode and write one picture; it is on disk, whole, when this returns.

        `type_` None: of no incident type, so that `due` does not count it. `width_max`: narrower than configured.

        Raises StoreFull (reason `budget`, `disk_full`) or StoreError (reason `evidence_io`).
        """
        shown = render(picture.bgr, drawing, min(width_max or 640, self._config.width_max))
        done, encoded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, self._config.quality])
        if not done:
            raise StoreError("证据图片无法编码 (the evidence picture cannot be encoded)", reason="evidence_io")
        data = encoded.tobytes()
        digest = hashlib.sha256(data).hexdigest()
        path = Path(beijing_date(picture.event_time)) / f"{digest}.jpg"
        self._check_room(len(data), picture.arrival_time)
        try:
            write_whole(self._folder / path, data)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(f"证据盘已满 (no space for evidence in {self._folder})") from None
            raise StoreError(
                f"证据无法写入 {self._folder} (evidence cannot be written: {error.strerror}); check its owner",
                reason="evidence_io",
            ) from None
        self._used += len(data)
        if type_ is not None:
            self._remember(picture, type_)
        return EvidenceRef(
            sha256=digest,
            path=path.as_posix(),
            media_type="image/jpeg",
            width=shown.shape[1],
            height=shown.shape[0],
            size=len(data),
            event_time=picture.event_time,
            source_id=picture.source_id,
        )

    def _check_room(self, size: int, now: Instant) -> None:
        if self._used + size > self._budget and now >= self._recount_at:
            # Retention deletes files behind our back: count again, but not for every picture.
            self._used = _bytes_below(self._folder)
            self._recount_at = Instant(now + 60 * SECOND)
        if self._used + size > self._budget:
            raise StoreFull(
                f"证据已达预算 {self._config.budget_mb} MB (evidence budget reached); raise "
                "inference.evidence.budget_mb or shorten the retention",
                reason="budget",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._folder).free < self._config.reserve_mb * 1_000_000 + size:
            raise StoreFull(f"证据盘仅剩预留空间 (only the reserve is left on the disk of {self._folder})")

    def _remember(self, picture: Picture, type_: IncidentType) -> None:
        key = (picture.source_id, type_)
        self._last.pop(key, None)
        self._last[key] = picture.event_time
        while len(self._last) > _LIMIT_MEMORY:
            self._last.popitem(last=False)


def union(boxes: Sequence[F32]) -> F32:
    """All boxes of several pictures, (n, 4)."""
    return np.concatenate(boxes) if boxes else np.empty((0, 4), np.float32)


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.glob("*/*.jpg"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
