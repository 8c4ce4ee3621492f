"""Hours of cameras where nothing happens, day and night: rendered, encoded as a camera would, re-analysed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from msgspec import structs
from rich.progress import Progress

from bench.seeing.reanalysed import incidents_of, site_in
from bench.seeing.scene_zones import zones_of
from contracts.observation import IncidentType
from contracts.policy import Policy
from inference.reanalyse import footage_camera
from sim.scenes import Scene, SceneKind, make_scene

EVERY_S: Final = 2.0
"""Seconds between two key pictures, as live cameras are looked at."""
CLIP_S: Final = 360.0
KINDS: Final = (SceneKind.QUIET, SceneKind.EMPTY, SceneKind.QUIET)
"""Of every three clips two show people and vehicles that do nothing unusual."""
_FIRST_SEED: Final = 500
"""Above all seeds of training."""


@dataclass(frozen=True, slots=True)
class QuietClip:
    """A stretch of one camera's time."""

    kind: SceneKind
    seed: int
    night: bool

    def scene(self) -> Scene:
        """What it shows."""
        return make_scene(self.kind, self.seed, night=self.night)


@dataclass(slots=True)
class QuietHours:
    """What was seen where nothing happens. `wrong`: incidents by type, as (type, seed, night)."""

    hours: float = 0.0
    pictures: int = 0
    candidates: int = 0
    tickets: int = 0
    wrong: list[tuple[IncidentType, int, bool]] | None = None


def quiet_clips(hours: float) -> Iterator[QuietClip]:
    """So many hours of clips, half of them at night, each at another place."""
    for number in range(round(hours * 3600 / CLIP_S)):
        yield QuietClip(KINDS[number // 2 % len(KINDS)], _FIRST_SEED + number // 2, bool(number % 2))


def render_quiet(path: Path, scene: Scene, pictures: int, every_s: float = EVERY_S) -> None:
    """A clip of a scene: key pictures only, so many seconds apart, encoded as a camera does."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1) / Fraction(every_s))
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        stream.codec_context.options = {"g": "1", "crf": "26", "preset": "veryfast"}
        for number in range(pictures):
            picture, _ = scene.render(every_s * number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


def quiet_hours(hours: float, policy: Policy, folder: Path, progress: Progress) -> QuietHours:
    """Render and re-analyse; every camera has the zones of its scene, and the rules are those given."""
    site, made = site_in(folder), QuietHours(wrong=[])
    clips = list(quiet_clips(hours))
    task = progress.add_task("无事时段 (hours without incident)", total=len(clips))
    for number, clip in enumerate(clips):
        scene, path = clip.scene(), folder / "quiet.mkv"
        render_quiet(path, scene, round(CLIP_S / EVERY_S))
        camera = structs.replace(footage_camera(f"quiet-{number}", number, ()), zones=zones_of(scene))
        seen = incidents_of(path, camera, site, policy, folder / "quiet", every_s=0.0)
        made.hours += CLIP_S / 3600
        made.pictures += seen.pictures
        made.candidates += seen.candidates
        made.tickets += seen.tickets
        assert made.wrong is not None
        made.wrong += [(each.type, clip.seed, clip.night) for each in seen.found]
        progress.advance(task)
    return made
