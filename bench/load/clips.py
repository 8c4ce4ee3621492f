"""The clips of the load server: real H.264 and H.265 of drawn scenes, in whole groups of pictures.

The encoder's bit rate is corrected until the clip has the one that it is named for; nothing is padded.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

from contracts.errors import ConfigError
from sim import h264, h265
from sim.h264 import split_annexb
from sim.scenes import SceneKind, make_scene

PICTURES_PER_S: Final = 25
KEY_INTERVAL: Final = 50
"""Pictures from one key picture to the next: 2 s."""
_GROUPS: Final = 4
"""Groups of pictures in a clip: even, so that IDRs differ in idr_pic_id over its end; with fewer the key pictures
come back so soon that ingest takes the cameras for frozen."""
_BIT_RATE_WITHIN: Final = 0.03
_TRIES: Final = 6
_SEED: Final = 20


class ClipName(enum.StrEnum):
    """What is played."""

    NORMAL = "normal"
    """640x360, 512 kb/s, H.264."""
    QUIET = "quiet"
    """640x360 of an empty place at night, variable rate: key pictures <= 12 kB, others <= 300 B."""
    MAIN = "main"
    """1920x1080, 4 Mb/s, H.264."""
    NORMAL265 = "normal265"
    """640x360, 512 kb/s, H.265."""


@dataclass(frozen=True, slots=True)
class _Order:
    """How a clip is made. `bit_rate` in bit/s; 0 = constant quality, sought for the bounds of `quiet`."""

    codec: str
    width: int
    height: int
    kind: SceneKind
    bit_rate: int
    night: bool = False


_ORDERS: Final = {
    ClipName.NORMAL: _Order("libx264", 640, 360, SceneKind.ROAD_SLOWING, 512_000),
    ClipName.QUIET: _Order("libx264", 640, 360, SceneKind.EMPTY, 0, night=True),
    ClipName.MAIN: _Order("libx264", 1920, 1080, SceneKind.ROAD_SLOWING, 4_000_000),
    ClipName.NORMAL265: _Order("libx265", 640, 360, SceneKind.ROAD_SLOWING, 512_000),
}
QUIET_KEY_BYTES_MAX: Final = 12_000
QUIET_OTHER_BYTES_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Clip:
    """Whole groups of pictures: NAL units per picture; every `KEY_INTERVAL`-th is key, parameter sets first."""

    name: str
    hevc: bool
    width: int
    height: int
    pictures: tuple[tuple[bytes, ...], ...]

    @property
    def bit_rate(self) -> float:
        """Bit/s of the NAL units, with their start codes."""
        return sum(self.sizes()) * 8 * PICTURES_PER_S / len(self.pictures)

    def sizes(self) -> list[int]:
        """Bytes of each picture in Annex B form."""
        return [sum(len(unit) + 4 for unit in units) for units in self.pictures]

    def format_line(self, payload_type: int) -> tuple[str, str]:
        """Encoding name and `a=fmtp` line for the session description."""
        if self.hevc:
            return "H265", h265.sdp_format(self.pictures[0], payload_type)
        sets = h264.parameter_sets(self.pictures[0])
        assert sets is not None, "the encoder puts SPS and PPS in front of every key picture"
        return "H264", h264.sdp_format(*sets, payload_type)


def make_clip(name: ClipName) -> Clip:
    """Draw and encode a clip, some seconds. Raises ConfigError without an encoder that keeps the bounds."""
    order = _ORDERS[name]
    if order.codec not in av.codecs_available:
        raise ConfigError(f"没有编码器 {order.codec} (FFmpeg of PyAV has no such encoder); install PyAV's wheels")
    drawn = list(_draw(order))
    return _constant_quality(name, drawn) if order.bit_rate == 0 else _bit_rate(name, order, drawn)


def encode_groups(name: str, drawn: list[av.VideoFrame], quality: int) -> Clip:
    """An H.264 clip of constant quality (rate factor) from whole groups of pictures; the first one is left out,
    since the encoder settles in it."""
    first = drawn[0]
    return _encode(name, "libx264", (first.width, first.height), drawn, {"crf": str(quality)}, None)


def _draw(order: _Order) -> Iterator[av.VideoFrame]:
    scene = make_scene(order.kind, _SEED, night=order.night, width=order.width, height=order.height)
    # The encoder's rate control settles during one more group, which is left out of the clip.
    for number in range((1 + _GROUPS) * KEY_INTERVAL):
        picture: npt.NDArray[np.uint8] = scene.render(number / PICTURES_PER_S)[0]
        yield av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")


def _bit_rate(name: ClipName, order: _Order, drawn: list[av.VideoFrame]) -> Clip:
    asked = order.bit_rate
    for _ in range(_TRIES):
        clip = _encode(name.value, order.codec, (order.width, order.height), drawn, {}, asked)
        if abs(clip.bit_rate / order.bit_rate - 1) <= _BIT_RATE_WITHIN:
            return clip
        asked = round(asked * order.bit_rate / clip.bit_rate)
    raise ConfigError(
        f"片段 {name} 的码率为 {clip.bit_rate / 1000:.0f} kb/s (the encoder misses the clip's bit rate of "
        f"{order.bit_rate / 1000:.0f} kb/s); 请更换 PyAV 版本 (try another version of PyAV)"
    )


def _constant_quality(name: ClipName, drawn: list[av.VideoFrame]) -> Clip:
    for quality in range(20, 50):
        clip = encode_groups(name.value, drawn, quality)
        sizes = clip.sizes()
        others = [size for number, size in enumerate(sizes) if number % KEY_INTERVAL]
        if max(sizes) <= QUIET_KEY_BYTES_MAX and max(others) <= QUIET_OTHER_BYTES_MAX:
            return clip
    raise ConfigError(f"片段 {name} 达不到大小上限 (the encoder misses the clip's bounds); try another PyAV")


def _encode(
    name: str,
    codec: str,
    size: tuple[int, int],
    drawn: list[av.VideoFrame],
    options: dict[str, str],
    bit_rate: int | None,
) -> Clip:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    (context.width, context.height), context.pix_fmt = size, "yuv420p"
    context.time_base = Fraction(1, PICTURES_PER_S)
    context.framerate = Fraction(PICTURES_PER_S)
    context.gop_size = KEY_INTERVAL
    context.max_b_frames = 0
    context.thread_count = 1
    if bit_rate is not None:
        context.bit_rate = bit_rate
    hevc = codec == "libx265"
    context.options = {"preset": "superfast", "tune": "zerolatency", "forced-idr": "1", **options}
    if hevc:
        context.options["x265-params"] = (
            f"keyint={KEY_INTERVAL}:min-keyint={KEY_INTERVAL}:scenecut=0:bframes=0:open-gop=0:repeat-headers=1:"
            "frame-threads=1:pools=none:log-level=none"
        )
    else:
        context.options["x264-params"] = f"keyint={KEY_INTERVAL}:min-keyint={KEY_INTERVAL}:scenecut=0"
    pictures = []
    for number, frame in enumerate(drawn):
        frame.pts = number
        frame.pict_type = PictureType.I if number % KEY_INTERVAL == 0 else PictureType.NONE
        pictures += [tuple(split_annexb(bytes(packet))) for packet in context.encode(frame)]
    pictures += [tuple(split_annexb(bytes(packet))) for packet in context.encode(None)]
    return Clip(name, hevc, *size, tuple(pictures[KEY_INTERVAL:]))
