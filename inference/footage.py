"""Footage: recorded files as decoded pictures with times. For re-analysis; live pictures go through the child."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import av
import cv2
import numpy as np
import numpy.typing as npt

from contracts.errors import SourceError, SourceMissing
from inference.access_unit import to_bgr
from inference.picture import Bgr, kept_size

VIDEO_SUFFIXES: Final = frozenset(
    {
        ".mp4", ".avi", ".mkv", ".mov", ".ts", ".m4v", ".flv", ".webm", ".h264", ".264", ".hevc", ".265", ".ps",
        ".mpg",
    }
)  # fmt: skip
STILL_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


class FileUnreadable(SourceError):
    """A file that is no video or picture, or a damaged one."""

    retriable = False
    reason = "undecodable"


@dataclass(frozen=True, slots=True)
class Sampled:
    """A picture of a file, `offset_s` seconds after its beginning."""

    offset_s: float
    bgr: Bgr


def list_files(paths: Iterable[Path]) -> list[Path]:
    """The videos and stills named, and those below the folders named, sorted within each.

    Raises SourceMissing for a path that does not exist, or when nothing is left.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise SourceMissing(f"{path}: 没有此文件 (no such file or folder)")
        if path.is_dir():
            known = VIDEO_SUFFIXES | STILL_SUFFIXES
            files += sorted(each for each in path.rglob("*") if each.is_file() and each.suffix.lower() in known)
        else:
            files.append(path)
    if not files:
        raise SourceMissing(
            "没有可分析的文件 (nothing to analyse): give videos or pictures, or folders with "
            f"{', '.join(sorted(VIDEO_SUFFIXES | STILL_SUFFIXES))}"
        )
    return files


def is_still(path: Path) -> bool:
    """Whether a file is one picture."""
    return path.suffix.lower() in STILL_SUFFIXES


def read_still(path: Path, pixels_max: int) -> Bgr:
    """One picture, scaled down as live ones are. Raises FileUnreadable."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    bgr = _imdecode(data)
    if bgr is None:
        raise FileUnreadable(f"{path}: 不是图片或已损坏 (no picture, or a damaged one)")
    height, width = bgr.shape[:2]
    size = kept_size(width, height, pixels_max)
    if width * height > pixels_max:
        return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
    return bgr


def duration_s(path: Path) -> float:
    """Seconds of a video as its container says, 0 when it does not. Raises FileUnreadable."""
    try:
        with av.open(str(path)) as container:
            return (container.duration or 0) / av.time_base
    except av.error.FFmpegError as error:
        raise FileUnreadable(f"{path}: 不是视频或已损坏 (not a video: {error.strerror})") from None


class Pace:
    """How far apart pictures are taken; whoever looks at them may ask for more while they come."""

    def __init__(self, every_s: float) -> None:
        """`every_s`: seconds; 0 = key pictures, as live cameras are seen, and no bursts, which need all."""
        self.every_s = every_s
        self._burst_every_s = every_s
        self._burst_until_s = 0.0

    def burst(self, every_s: float, until_s: float) -> None:
        """A picture every `every_s` seconds until then, seconds since the video began."""
        self._burst_every_s, self._burst_until_s = min(every_s, self.every_s), until_s

    def gap_s(self, offset_s: float) -> float:
        """Seconds to the picture after the one at `offset_s`."""
        return self._burst_every_s if offset_s < self._burst_until_s else self.every_s


def sample_video(path: Path, pace: Pace, pixels_max: int) -> Iterator[Sampled]:
    """Pictures of a video at the pace that is asked for.

    Raises FileUnreadable at the first damage that the decoder does not survive; what came before was yielded.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FileUnreadable(f"{path}: 没有视频轨 (no video track)")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if pace.every_s <= 0:
                stream.codec_context.skip_frame = "NONKEY"
            rate = float(stream.average_rate or 25)
            beat_s: float | None = None
            for index, frame in enumerate(container.decode(stream)):
                offset_s = index / rate if frame.pts is None else float(frame.time)
                if frame.is_corrupt:
                    continue
                if beat_s is None or pace.every_s <= 0:
                    beat_s = offset_s
                else:
                    gap_s = pace.gap_s(beat_s)
                    if offset_s + 0.5 / rate < beat_s + gap_s:
                        continue
                    # A picture a little late does not move the beat; a hole in the video does.
                    beat_s = beat_s + gap_s if offset_s < beat_s + 2 * gap_s else offset_s
                yield Sampled(offset_s, to_bgr(frame, pixels_max))
    except av.error.FFmpegError as error:
        raise FileUnreadable(f"{path}: 视频无法继续解码 (does not decode: {error.strerror})") from None


def read_frames(path: Path, every_s: float, pixels_max: int) -> Iterator[Bgr]:
    """The pictures of a file, whether one still or a video. Raises FileUnreadable."""
    if is_still(path):
        yield read_still(path, pixels_max)
        return
    for sampled in sample_video(path, Pace(every_s), pixels_max):
        yield sampled.bgr


def _imdecode(data: npt.NDArray[np.uint8]) -> Bgr | None:
    """OpenCV answers None for what is no picture, whatever its stub says, and refuses an empty array."""
    if not len(data):
        return None
    picture = cast("Bgr | None", cv2.imdecode(data, cv2.IMREAD_COLOR))
    return None if picture is None else np.asarray(picture, np.uint8)
