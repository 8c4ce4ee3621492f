"""What is taken from a source that FFmpeg reads; without FFmpeg, which lives in the children alone."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.frame import Codec


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """What the container says of its first video stream. `pictures_per_s` None when unknown."""

    codec: Codec
    container: str
    width: int
    height: int
    pictures_per_s: float | None


@dataclass(frozen=True, slots=True)
class MediaPicture:
    """One key picture; `time_s` on the stream's own time line, None when it has none.

    `changed`: its parameter sets differ from those of the key picture before, as after a change of resolution.
    """

    data: bytes
    time_s: float | None
    dropped_pictures: int
    dropped_bytes: int
    changed: bool = False
