"""What a session gives: the stream as its server described it, and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from contracts.frame import Codec
from contracts.instant import Instant


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the server said of the stream when it began to play; `play_range`, `rtp_info` and `play_scale` as in
    its reply."""

    codec: str
    server: str
    transport: str
    url: str
    clock_rate: int = 90_000
    play_range: str = ""
    rtp_info: str = ""
    play_scale: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """One picture as Annex B bytes, parameter sets in front of a key picture.

    What follows the key picture comes only while everything is collected, in decoding order. Of a key picture:
    `dropped_pictures`, `dropped_bytes`, `dropped_bytes_max`: number, sum and largest of what came since the key
    picture before, collected or not; `digest`: CRC-32 of its slices, alike when the encoder repeats itself.
    `clock_offset_ns`: camera clock minus ours by its last sender report, None while unknown. `discontinuity`: the
    first picture of a session, the RTP clock jumped, or the parameter sets changed.
    """

    data: bytes
    codec: Codec
    key: bool
    event_time: Instant
    arrival_time: Instant
    discontinuity: bool
    dropped_pictures: int
    dropped_bytes: int
    dropped_bytes_max: int
    digest: int
    clock_offset_ns: int | None
    timestamp: int = 0
    """The RTP timestamp, 32 bits."""


class Between(NamedTuple):
    """What came since the last key picture, `since_ns` ago: number and bytes of the other pictures, so far."""

    pictures: int
    size: int
    since_ns: int


class PictureReceiver(Protocol):
    """Who takes what a session gives; called within the event loop, must not wait."""

    def playing(self, info: StreamInfo) -> None:
        """The server accepted PLAY."""

    def picture(self, picture: ReceivedPicture) -> None:
        """A picture is complete."""
