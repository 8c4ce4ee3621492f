"""Calibrate: what two ways of measuring a camera's ground say of its zones, before a person confirms one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from contracts.errors import ConfigError
from contracts.source import Camera
from inference.config import InferenceConfig
from inference.crowd import PERSON
from inference.detector import Detector
from inference.footage import list_files, read_frames
from inference.ground import Ground
from inference.heights import Learnt, learn, upright

F64 = npt.NDArray[np.float64]
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_POINT = re.compile(rf"{_NUMBER},{_NUMBER}={_NUMBER},{_NUMBER}")
_SURE = 0.5


@dataclass(frozen=True, slots=True)
class ZoneArea:
    """A zone's ground by a calibration. `area_m2` None: it reaches the horizon. `error`: share of it, 1 sigma."""

    zone_id: str
    name: str
    area_m2: float | None
    error: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A ground and what it makes of the zones; `lines`: for people."""

    ground: Ground
    zones: tuple[ZoneArea, ...]
    lines: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        rows = [*self.lines]
        for zone in self.zones:
            if zone.area_m2 is None:
                rows.append(
                    f"  {zone.zone_id} {zone.name}: 伸到地平线, 无法量 (reaches the horizon; not measured)"
                )
            else:
                rows.append(f"  {zone.zone_id} {zone.name}: {zone.area_m2:.1f} m² ± {zone.error:.0%}")
        return "\n".join(rows)


def points_of(texts: Iterable[str]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """`x,y=E,N` as points of the picture (shares, 0..1) and of the ground (metres). Raises ConfigError."""
    picture, metres = [], []
    for text in texts:
        match = _POINT.fullmatch(text.replace(" ", ""))
        if match is None:
            raise ConfigError(
                f"点 {text!r} 写法有误 (a point is written 0.25,0.80=3.5,12.0): 画面 = 地面米 (picture = metres)"
            )
        x, y, east, north = (float(value) for value in match.groups())
        picture.append((x, y))
        metres.append((east, north))
    return picture, metres


def by_points(camera: Camera, texts: Sequence[str]) -> Calibration:
    """From clicked points. Raises ConfigError."""
    picture, metres = points_of(texts)
    ground = Ground.from_points(picture, metres)
    apart = ground.error_m(picture, metres)
    extent = float(np.ptp(np.array(metres), axis=0).max())
    said = "恰为四点, 无从核对 (four points: nothing left to check)" if len(picture) == 4 else f"{apart:.2f} m"
    lines = (f"{camera.id}: {len(picture)} 点 (points), 点位误差 (points lie apart by) {said}",)
    return Calibration(ground, _areas(camera, ground, 2 * apart / max(extent, 1e-6)), lines)


def by_heights(
    camera: Camera,
    recordings: Sequence[Path],
    detector: Detector,
    config: InferenceConfig,
    *,
    every_s: float,
    view_deg: float | None,
    progress: Progress,
) -> Calibration:
    """From the people in recordings of the camera. Raises ConfigError, SourceMissing."""
    found: list[F64] = []
    aspect = 0.0
    files = list_files(recordings)
    for path in progress.track(files, description="量身高 (measuring people)"):
        for bgr in read_frames(path, every_s, config.picture_pixels_max):
            height, width = bgr.shape[:2]
            if aspect and abs(aspect - width / height) > 0.02:
                raise ConfigError(f"{path}: 画面比例与前不同 (another shape of picture); 一次只用一台摄像机的录像")
            aspect = width / height
            seen = detector.detect([bgr])[0]
            people = seen[(seen.class_id == PERSON) & (seen.confidence >= _SURE)].xyxy
            whole = people[upright(people, (width, height))]
            found.append(whole.astype(np.float64) / (width, height, width, height))
    learnt = learn(np.concatenate(found) if found else np.empty((0, 4)), aspect or 1.0, view_deg=view_deg)
    return Calibration(learnt.ground, _areas(camera, learnt.ground, 0.0, learnt), (_of_camera(camera, learnt),))


def _of_camera(camera: Camera, learnt: Learnt) -> str:
    return (
        f"{camera.id}: {learnt.people} 人 (people), 摄像机高 (camera) {learnt.height_m:.1f} m, "
        f"俯角 (tilt) {learnt.tilt_deg:.0f}°, 视场角 (angle of view) {learnt.view_deg:.0f}°, "
        f"身高离散 (spread) {learnt.spread:.0%}"
    )


def _areas(camera: Camera, ground: Ground, error: float, learnt: Learnt | None = None) -> tuple[ZoneArea, ...]:
    zones = []
    for zone in camera.zones:
        polygon = np.array(zone.polygon, np.float64)
        doubt = learnt.area_error(polygon) if learnt is not None else error
        zones.append(ZoneArea(zone.id, zone.name, ground.area_m2(polygon), doubt or 0.0))
    return tuple(zones)
