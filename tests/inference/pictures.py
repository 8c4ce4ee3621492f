"""Encoded pictures, findings and cameras for tests of inference; the encoder is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
import numpy.typing as npt

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.frame import Codec, Frame, FrameHeader
from contracts.instant import SECOND, Instant
from contracts.place import Place, Zone, ZoneKind
from contracts.source import Camera, Catalogue
from inference.picture import Picture

Bgr = npt.NDArray[np.uint8]
T0 = Instant(1_750_000_000 * SECOND)
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def at(seconds: float) -> Instant:
    """A moment of the test's day."""
    return Instant(T0 + round(seconds * SECOND))


def textured(width: int = 320, height: int = 192, seed: int = 1) -> Bgr:
    """A picture with something in it everywhere, as a camera in daylight gives."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(40, 216, (6, 10, 1), dtype=np.uint8).repeat(3, axis=2)
    scene = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    grain = rng.integers(0, 40, (height, width, 1), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 2) - 20 + grain, np.uint8)


def noisy(bgr: Bgr, seed: int) -> Bgr:
    """The same scene with the noise of another moment."""
    rng = np.random.default_rng(seed)
    return np.clip(bgr.astype(np.int16) + rng.normal(0, 2, bgr.shape), 0, 255).astype(np.uint8)


def encode(bgr: Bgr, codec: Codec = Codec.H264) -> bytes:
    """One key picture as an access unit with its parameter sets."""
    encoders = {Codec.H264: "libx264", Codec.HEVC: "libx265", Codec.MJPEG: "mjpeg"}
    context = av.CodecContext.create(encoders[codec], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.height, context.width = bgr.shape[:2]
    context.pix_fmt = "yuvj420p" if codec is Codec.MJPEG else "yuv420p"
    context.time_base = Fraction(1, 25)
    if codec is Codec.H264:
        context.options = {"preset": "veryfast", "x264-params": "repeat-headers=1:threads=1:bframes=0"}
    if codec is Codec.HEVC:
        context.options = {"preset": "ultrafast", "x265-params": "repeat-headers=1:log-level=none:pools=1"}
    frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def encode_groups(
    scenes: Sequence[Bgr], codec: Codec = Codec.H264, *, group: int = 12, b_pictures: int = 0
) -> list[tuple[bool, bytes, int]]:
    """A stream's access units in decoding order: key picture or not, bytes, index of its scene."""
    library, name = ("x264", "libx264") if codec is Codec.H264 else ("x265", "libx265")
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.height, context.width = scenes[0].shape[:2]
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
    words = f"repeat-headers=1:bframes={b_pictures}:keyint={group}:min-keyint={group}:scenecut=0:open-gop=0"
    words += ":threads=1:b-adapt=0" if codec is Codec.H264 else ":log-level=none:pools=1:b-adapt=0"
    context.options = {"preset": "veryfast", f"{library}-params": words}
    packets = []
    for index, scene in enumerate(scenes):
        picture_ = av.VideoFrame.from_ndarray(scene, format="bgr24")
        picture_.pts = index
        packets += context.encode(picture_)
    packets += context.encode(None)
    return [(packet.is_keyframe, bytes(packet), packet.pts or 0) for packet in packets]


def moving(count: int, width: int = 320, height: int = 192) -> list[Bgr]:
    """Pictures of a camera that pans over one scene, each unlike the others."""
    wide = textured(width + 8 * count, height)
    return [np.ascontiguousarray(wide[:, 8 * index : 8 * index + width]) for index in range(count)]


def promoted(
    stream: Sequence[tuple[bool, bytes, int]], source_id: str = "cam", *, first: int = 1, codec: Codec = Codec.H264
) -> list[Frame]:
    """The pictures of a promoted camera as they come over the link; event times are those of their scenes."""
    frames, chain = [], 0
    for offset, (key, data, shown) in enumerate(stream):
        chain = 0 if key else chain + 1
        header_ = FrameHeader(
            source_id=source_id,
            sequence=first + offset,
            event_time=at(shown / 25),
            arrival_time=at(offset / 25),
            codec=codec,
            size=len(data),
            key=key,
            promoted=True,
            chain=chain,
        )
        frames.append(Frame(header=header_, data=data))
    return frames


def frame(
    data: bytes, source_id: str = "cam", sequence: int = 1, moment: Instant = T0, codec: Codec = Codec.H264
) -> Frame:
    """An access unit as it comes over the link."""
    header = FrameHeader(
        source_id=source_id,
        sequence=sequence,
        event_time=moment,
        arrival_time=moment,
        codec=codec,
        size=len(data),
    )
    return Frame(header=header, data=data)


def header(source_id: str, sequence: int = 1, moment: Instant = T0, *, key: bool = True) -> FrameHeader:
    """An announcement."""
    return FrameHeader(
        source_id=source_id,
        sequence=sequence,
        event_time=moment,
        arrival_time=moment,
        codec=Codec.H264,
        size=10_000,
        key=key,
    )


def picture(bgr: Bgr, moment: Instant, source_id: str = "cam") -> Picture:
    """A decoded picture."""
    return Picture(source_id, bgr, moment, moment, hash((moment, bgr.tobytes())) & 0xFFFF_FFFF or 1)


def found(*findings: tuple[str, float, Sequence[float]]) -> Detections:
    """Findings as (class name, confidence, box in pixels)."""
    if not findings:
        return Detections.empty()
    return Detections(
        np.array([box for _, _, box in findings], np.float32),
        np.array([confidence for _, confidence, _ in findings], np.float32),
        np.array([CLASS_NAMES.index(name) for name, _, _ in findings], np.int16),
    )


def zone(
    kind: ZoneKind,
    polygon: tuple[tuple[float, float], ...] = WHOLE,
    *,
    zone_id: str = "z1",
    area_m2: float | None = None,
) -> Zone:
    """A zone; the whole picture unless said otherwise."""
    return Zone(zone_id, "区", kind, polygon, area_m2=area_m2)


def camera(*zones: Zone, camera_id: str = "15292100001320000001", exercise: bool = False) -> Camera:
    """A camera in 阿拉善左旗 with these zones."""
    return Camera(
        id=camera_id,
        name="测试",
        place=Place(105.67, 38.84, "152921001001001", name="测试点"),
        owner="公安",
        zones=zones,
        live=True,
        exercise=exercise,
    )


def catalogue(*cameras: Camera) -> Catalogue:
    """A catalogue of these cameras."""
    return Catalogue(site="t", county="152921", version=1, cameras=cameras, sensors=())
