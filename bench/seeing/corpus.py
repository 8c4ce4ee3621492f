"""Key pictures of many kinds of camera: sizes, codecs, profiles, slices, qualities, by day and by night.

Each kind has parameter sets of its own, as the cameras of a county have: a decoder is never warm for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np

from contracts.frame import Codec, Frame, FrameHeader
from contracts.instant import SECOND, Instant
from inference.picture import Bgr
from sim.scenes import SceneKind, make_scene

SIZES = ((640, 360), (704, 576), (1280, 720), (1920, 1080), (352, 288), (640, 480), (960, 540), (2304, 1296))
"""Of every ten kinds seven are sub-streams, one is 1280x720 and two are main streams."""
_ORDER = (0, 1, 2, 0, 3, 5, 4, 0, 6, 7)
_SCENES = (SceneKind.SQUARE_FILLING, SceneKind.VEHICLE_STOPPING, SceneKind.FIRE_STARTING, SceneKind.QUIET)
_PROFILES = ("baseline", "main", "high")
_START = Instant(1_700_000_000 * SECOND)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of camera. `quality`: constant rate factor; `slices` per picture (H.264)."""

    number: int
    codec: Codec
    width: int
    height: int
    quality: int
    profile: str
    slices: int
    references: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.codec.value} {self.width}x{self.height} {self.profile} crf {self.quality}"


def kinds(count: int) -> list[Kind]:
    """The first `count` kinds; every third is H.265, and no two have the same parameters."""
    made = []
    for number in range(count):
        codec = Codec.HEVC if number % 3 == 2 else Codec.H264
        width, height = SIZES[_ORDER[number % len(_ORDER)]]
        profile = "main" if codec is Codec.HEVC else _PROFILES[number // 3 % 3]
        made.append(
            Kind(number, codec, width, height, 22 + number % 11, profile, 1 + number % 4, 1 + number // 10 % 3)
        )
    return made


def key_pictures(kind: Kind, count: int) -> Iterator[Frame]:
    """So many pictures of one camera of this kind, each decodable alone."""
    scene = make_scene(_SCENES[kind.number % len(_SCENES)], 11 + kind.number, night=kind.number % 5 == 4)
    context = _encoder(kind)
    for number in range(count):
        bgr, _ = scene.render(60.0 + 7.0 * number)
        resized = np.asarray(cv2.resize(bgr, (kind.width, kind.height), interpolation=cv2.INTER_CUBIC), np.uint8)
        packets = context.encode(_frame(resized, number))
        if number == count - 1:
            packets += context.encode(None)
        yield from (_unit(kind, number, bytes(packet)) for packet in packets)


def _encoder(kind: Kind) -> av.VideoCodecContext:
    hevc = kind.codec is Codec.HEVC
    context = av.CodecContext.create("libx265" if hevc else "libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = kind.width, kind.height, "yuv420p"
    context.time_base = Fraction(1, 25)
    context.framerate = Fraction(25)
    context.thread_count = 1
    context.gop_size = 1
    options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(kind.quality)}
    if hevc:
        options["x265-params"] = f"log-level=none:keyint=1:repeat-headers=1:ref={kind.references}:pools=1"
    else:
        options |= {"profile": kind.profile, "slices": str(kind.slices), "refs": str(kind.references)}
    context.options = options
    return context


def _frame(bgr: Bgr, number: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
    frame.pts, frame.time_base = number, Fraction(1, 25)
    return frame


def _unit(kind: Kind, number: int, data: bytes) -> Frame:
    moment = Instant(_START + (kind.number * 100 + number) * SECOND)
    header = FrameHeader(
        source_id=f"camera-{kind.number}",
        sequence=number + 1,
        event_time=moment,
        arrival_time=moment,
        codec=kind.codec,
        size=len(data),
    )
    return Frame(header=header, data=data)
