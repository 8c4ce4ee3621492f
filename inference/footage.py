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


def sample_video(path: Path, every_s: float, pixels_max: int) -> Iterator[Sampled]:
    """Pictures of a video at least `every_s` apart; 0 = its key pictures, as live cameras are seen.

    Raises FileUnreadable at the first damage that the decoder does not survive; what came before was yielded.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FileUnreadable(f"{path}: 没有视频轨 (no video track)")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if every_s <= 0:
                stream.codec_context.skip_frame = "NONKEY"
            rate = float(stream.average_rate or 25)
            due_s = 0.0
            for index, frame in enumerate(container.decode(stream)):
                offset_s = index / rate if frame.pts is None else float(frame.time)
                if frame.is_corrupt or (every_s > 0 and offset_s + 0.5 / rate < due_s):
                    continue
                due_s = max(due_s + every_s, offset_s)
                yield Sampled(offset_s, to_bgr(frame, pixels_max))
    except av.error.FFmpegError as error:
        raise FileUnreadable(f"{path}: 视频无法继续解码 (does not decode: {error.strerror})") from None


def read_frames(path: Path, every_s: float, pixels_max: int) -> Iterator[Bgr]:
    """The pictures of a file, whether one still or a video. Raises FileUnreadable."""
    if is_still(path):
        yield read_still(path, pixels_max)
        return
    for sampled in sample_video(path, every_s, pixels_max):
        yield sampled.bgr


def _imdecode(data: npt.NDArray[np.uint8]) -> Bgr | None:
    """OpenCV answers None for what is no picture, whatever its stub says, and refuses an empty array."""
    if not len(data):
        return None
    picture = cast("Bgr | None", cv2.imdecode(data, cv2.IMREAD_COLOR))
    return None if picture is None else np.asarray(picture, np.uint8)
