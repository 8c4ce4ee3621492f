"""Recorded files as cameras: H.264 is handed on as it is, from key picture to key picture; the rest is transcoded,
and so is what has key pictures too seldom: the pipeline looks at those alone, and a clip with a single one would
show it the same picture, to the last byte, for ever.

Timestamps grow without a break when a file begins again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from contracts.errors import ConfigError
from sim.encode import Encoder

SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".ts", ".flv", ".webm", ".m4v", ".264", ".h264", ".mpg"})
WIDTH_MAX = 1280
"""Transcoded pictures are scaled down to this width, px."""
DEFAULT_PERIOD_S = 0.04
KEY_INTERVAL_S = 2.0
"""Seconds between key pictures in what we transcode..."""
KEY_INTERVAL_MAX_S = 2.5
"""...and the most of a file that is handed on as it is."""
KEYS_MIN = 3
"""Key pictures in the shortest clip that we transcode, if it has so many pictures."""
LOOKED_AT_S = 600.0
"""How far a file is searched for its key pictures: a camera's encoder keeps its interval."""

Progress = Callable[[Path, float], None]
"""Hears of a file's transcoding: share done, 0..1."""


class FootageReader:
    """Plays an H.264 file again and again, a picture at a time. A PictureSource of sim.render.

    Raises ConfigError when the file has no H.264 picture.
    """

    def __init__(self, path: Path, *, first_s: float = 0.0) -> None:
        self._path = path
        self._offset_s = first_s
        self._packets = self._play()
        self._next = next(self._packets)
        self.due_s = self._next[0]

    def take(self) -> tuple[bytes, bool]:
        """The access unit that is due and whether it is a key picture."""
        _, data, key = self._next
        self._advance()
        return data, key

    def catch_up(self, now_s: float) -> None:
        """Leave pictures out up to the next key picture from `now_s` on; those between would miss the others."""
        while self.due_s < now_s or not self._next[2]:
            self._advance()

    def _advance(self) -> None:
        self._next = next(self._packets)
        self.due_s = max(self._next[0], self.due_s + 1e-6)

    def _play(self) -> Iterator[tuple[float, bytes, bool]]:
        """(due s, Annex B bytes, key) for ever."""
        while True:
            last_s, period_s = self._offset_s, DEFAULT_PERIOD_S
            count = 0
            for at_s, data, key in access_units(self._path):
                due_s = self._offset_s + at_s
                period_s = due_s - last_s if count and due_s > last_s else period_s
                last_s = max(due_s, last_s)
                count += 1
                yield due_s, data, key
            if count == 0:
                raise ConfigError(
                    f"{self._path} 没有 H.264 画面 (holds no H.264 picture); take it out of sim.footage"
                )
            self._offset_s = last_s + period_s


def access_units(path: Path) -> Iterator[tuple[float, bytes, bool]]:
    """(seconds from the first key picture, Annex B bytes, key) of an H.264 file in decoding order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        convert = av.BitStreamFilterContext("h264_mp4toannexb", in_stream=stream)
        first: int | None = None
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            stamp = packet.dts if packet.dts is not None else packet.pts
            if first is None:
                if not packet.is_keyframe:
                    continue
                first = stamp or 0
            base = packet.time_base or stream.time_base or Fraction(1, 90_000)
            at_s = float(((stamp if stamp is not None else first) - first) * base)
            key = packet.is_keyframe
            for out in convert.filter(packet):
                yield at_s, bytes(out), key


def playable(folder: Path, cache: Path, on_progress: Progress) -> list[Path]:
    """The files of `folder` as H.264, in the order of their names; others are transcoded into `cache` once.

    Raises ConfigError when the folder holds no video, or a file cannot be read.
    """
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        raise ConfigError(
            f"{folder} 中没有录像文件 (holds no video file); "
            f"name a folder with {', '.join(sorted(SUFFIXES))} in it"
        )
    return [path if _is_plain_h264(path) else _transcoded(path, cache, on_progress) for path in found]


def _is_plain_h264(path: Path) -> bool:
    """Whether a file can be handed on as it is: H.264 without B pictures, as a camera of ours sends it."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ConfigError(f"{path} 没有视频 (holds no video stream); take it out of sim.footage")
            context = container.streams.video[0].codec_context
            as_camera = (
                context.name == "h264" and context.pix_fmt in ("yuv420p", "yuvj420p") and not context.has_b_frames
            )
        return as_camera and _has_key_pictures_enough(path)
    except av.FFmpegError as error:
        raise ConfigError(f"{path} 无法读取 (cannot be read: {error}); take it out of sim.footage") from error


def _has_key_pictures_enough(path: Path) -> bool:
    keys, last_key_s = 0, 0.0
    for at_s, _, key in access_units(path):
        if at_s - last_key_s > KEY_INTERVAL_MAX_S:
            return False
        if at_s > LOOKED_AT_S:
            break
        if key:
            keys, last_key_s = keys + 1, at_s
    # A file without any is refused in words when it is played.
    return keys != 1


def _transcoded(path: Path, cache: Path, on_progress: Progress) -> Path:
    stat = path.stat()
    name = hashlib.sha256(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache / f"{name}.ts"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    try:
        _transcode(path, fresh, on_progress)
    except av.FFmpegError as error:
        raise ConfigError(f"{path} 无法解码 (cannot be decoded: {error}); take it out of sim.footage") from error
    fresh.replace(target)
    return target


def _transcode(path: Path, target: Path, on_progress: Progress) -> None:
    with av.open(str(path)) as source, av.open(str(target), "w", format="mpegts") as sink:
        video = source.streams.video[0]
        video.thread_type = "AUTO"
        length_s = float(source.duration or 0) / 1_000_000
        rate = float(video.average_rate or 25)
        out = sink.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        encoder: Encoder | None = None
        size = 0, 0
        last_s = -1.0
        for frame in source.decode(video):
            at_s = frame.time if frame.pts is not None else last_s + 1 / rate
            if at_s <= last_s:
                continue
            scale = min(1.0, WIDTH_MAX / frame.width)
            width, height = (int(frame.width * scale) // 2 * 2, int(frame.height * scale) // 2 * 2)
            if encoder is None:
                encoder = Encoder(width, height, rate, _key_interval_s(length_s, rate))
                size = width, height
            picture = np.asarray(frame.reformat(*size, "bgr24").to_ndarray(), dtype=np.uint8)
            made = encoder.encode(picture, at_s)
            if made is not None:
                packet = av.Packet(made[0])
                packet.pts = packet.dts = round(at_s * 90_000)
                packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 90_000), out, made[1]
                sink.mux(packet)
            last_s = at_s
            on_progress(path, min(at_s / length_s, 1.0) if length_s > 0 else 0.0)
        on_progress(path, 1.0)


def _key_interval_s(length_s: float, rate: float) -> float:
    """Between the key pictures of a clip of this length, 0 = unknown, so that no two in a row are the same one."""
    if length_s <= 0:
        return 1 / rate
    return min(KEY_INTERVAL_S, max(length_s / KEYS_MIN, 1 / rate))
