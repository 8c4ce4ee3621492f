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
    """One picture; `time_s` on the stream's own time line, None when it has none.

    `key` False: it needs every picture since the key picture before it, and all of them were given. `changed`: the
    parameter sets of a key picture differ from those of the one before, as after a change of resolution.
    `dropped_*` of a key picture: what lay between it and the key picture before, handed on or not.
    """

    data: bytes
    time_s: float | None
    dropped_pictures: int
    dropped_bytes: int
    changed: bool = False
    key: bool = True
