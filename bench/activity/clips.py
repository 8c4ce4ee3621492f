"""Staged changes as cameras would encode them: the size of every picture, and when the change began.

Places of the simulated county, empty, by day and night, are encoded at 640x360, 25 pictures a second, a key
picture every 2 s, in several ways at once. Into each place somebody walks, a car drives, or a fire begins, at a
moment that no key picture waits for. It counts as begun with the first picture that shows it: 24 pixels of height,
or flames.

A clip can be written as text and read again: numbers of our own encodings, no pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

from sim.scenes.cast import Cast, Driven
from sim.scenes.people import make_look
from sim.scenes.square import Passer, square_setting
from sim.scenes.stage import StagedScene
from sim.scenes.truth import SceneKind
from sim.scenes.vehicle_models import make_car
from sim.scenes.yard import fire_script, yard_setting

Numbers = npt.NDArray[np.int64]
Bgr = npt.NDArray[np.uint8]

WIDTH, HEIGHT, RATE, GOP_S = 640, 360, 25, 2
GOP: Final = RATE * GOP_S
QUIET_S: Final = 60.0
LONG_S: Final = 74.0
SEEN_PX: Final = 24.0
CHANGES: Final = ("person", "vehicle", "fire")
X264: Final = {"preset": "veryfast", "tune": "zerolatency"}
MODES: Final[dict[str, tuple[dict[str, str], int]]] = {
    "constant quality": ({**X264, "crf": "26", "x264-params": "scenecut=0"}, 0),
    "capped at 512 kb/s": ({**X264, "crf": "23", "x264-params": "scenecut=0:vbv-maxrate=512:vbv-bufsize=1024"}, 0),
    "constant 256 kb/s": ({**X264, "x264-params": "scenecut=0:vbv-maxrate=256:vbv-bufsize=256"}, 256_000),
    "constant 512 kb/s": ({**X264, "x264-params": "scenecut=0:vbv-maxrate=512:vbv-bufsize=512"}, 512_000),
}
"""x264's options and bit rate. Cameras do not stuff (nal-hrd): they change the quantizer until the rate fits."""


@dataclass(frozen=True)
class Clip:
    """Bytes of each picture of an encoding, a key picture first and every GOP.

    `begun_s`: when the change was there.
    """

    name: str
    change: str
    mode: str
    begun_s: float
    sizes: Numbers

    @property
    def constant(self) -> bool:
        """Whether its bit rate is constant."""
        return self.mode.startswith("constant ") and self.mode != "constant quality"

    def write(self, file: Path, first_s: float, seconds: float) -> None:
        """As text: a line of words, then the bytes of each picture, a second a line, from a key picture on."""
        sizes = self.sizes[round(first_s * RATE) : round((first_s + seconds) * RATE)].tolist()
        lines = [" ".join(map(str, sizes[at : at + RATE])) for at in range(0, len(sizes), RATE)]
        words = f"{self.name};{self.change};{self.mode};{self.begun_s - first_s:.2f}"
        file.write_text("\n".join((words, *lines, "")))


def read_clip(file: Path) -> Clip:
    """What `Clip.write` wrote."""
    first, *lines = file.read_text().splitlines()
    name, change, mode, begun = first.split(";")
    return Clip(name, change, mode, float(begun), np.array(" ".join(lines).split(), np.int64))


class Encoding:
    """One encoder and what came out of it."""

    def __init__(self, mode: str, width: int = WIDTH, height: int = HEIGHT) -> None:
        options, bit_rate = MODES[mode]
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, RATE), Fraction(RATE)
        context.gop_size, context.max_b_frames, context.thread_count = GOP, 0, 1
        if bit_rate:
            context.bit_rate = bit_rate
        context.options = dict(options)
        self._context = context
        self.sizes: list[int] = []

    def add(self, frame: av.VideoFrame | None) -> None:
        """The next picture, None at the end."""
        self.sizes += [packet.size for packet in self._context.encode(frame)]


def encode(
    name: str, change: str, pictures: Iterable[tuple[Bgr, bool]], modes: Iterable[str] = MODES
) -> Iterator[Clip]:
    """The same pictures, each with whether the change is there, in each mode."""
    encodings: dict[str, Encoding] = {}
    begun_s = math.inf
    for number, (picture, there) in enumerate(pictures):
        if there:
            begun_s = min(begun_s, number / RATE)
        if not encodings:
            encodings = {mode: Encoding(mode, picture.shape[1], picture.shape[0]) for mode in modes}
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
        for encoding in encodings.values():
            frame.pts = number
            encoding.add(frame)
    for mode, encoding in encodings.items():
        encoding.add(None)
        yield Clip(name, change, mode, begun_s, np.array(encoding.sizes, np.int64))


def staged(change: str, seed: int, night: bool) -> tuple[StagedScene, float]:
    """An empty place into which something comes, some seconds after QUIET_S."""
    rng = np.random.default_rng([seed, CHANGES.index(change), night])
    onset_s = QUIET_S + float(rng.uniform(0.0, GOP_S))
    script: Callable[[float], Cast]
    if change == "person":
        setting, ground = square_setting(rng, night, WIDTH, HEIGHT)
        y, side = float(ground[:, 1].mean()) + float(rng.uniform(-1.0, 1.5)), float(rng.choice([-1, 1]))
        walker = Passer(make_look(rng), (side * 9, y), (-side * 9, y), 1.3, 1000.0, 1000.0 - onset_s)

        def script(t_s: float) -> Cast:
            at = walker.at(1, t_s)
            return Cast(walkers=(at,) if at is not None else ())
    elif change == "vehicle":
        setting, spot = yard_setting(rng, night, WIDTH, HEIGHT)
        car, side = make_car(rng), float(rng.choice([-1, 1]))
        y = spot[1] + float(rng.uniform(2.0, 4.0))

        def script(t_s: float) -> Cast:
            x = -side * (18.0 - 6.0 * (t_s - onset_s))
            heading = 0.0 if side > 0 else math.pi
            here = t_s >= onset_s and abs(x) <= 18.0
            return Cast(vehicles=(Driven(1, car, x, y, heading, False, False),) if here else ())
    else:
        setting, spot = yard_setting(rng, night, WIDTH, HEIGHT)
        burning = fire_script(rng, spot, onset_s)

        def script(t_s: float) -> Cast:
            return Cast(blazes=burning(t_s).blazes)

    return StagedScene(SceneKind.EMPTY, seed, setting, script), onset_s


def staged_clips(change: str, seed: int, modes: Iterable[str] = MODES) -> list[Clip]:
    """Place `seed` in each mode, by night where it is odd; none when the change does not show in time."""
    night = bool(seed % 2)
    scene, begins_s = staged(change, seed, night)

    def pictures() -> Iterator[tuple[Bgr, bool]]:
        for number in range(round(LONG_S * RATE)):
            at_s = number / RATE
            picture, truth = scene.render(at_s)
            there = truth.fire or any(box.y2 - box.y1 >= SEEN_PX and box.visible >= 0.5 for box in truth.boxes)
            yield picture, there and at_s >= begins_s

    clips = list(encode(f"{seed} by {'night' if night else 'day'}", change, pictures(), modes))
    return [clip for clip in clips if clip.begun_s + 2.0 < LONG_S]
