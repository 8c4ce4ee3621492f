"""What the camera worker and its media children say to each other, framed on a socket pair.

A frame is a head (msgpack, tagged by kind) and, for a picture, its bytes: `<II` lengths, head, bytes. Both ends
are ours; the bounds guard against a child whose memory was damaged by what it read.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from contracts.errors import MalformedMessage
from contracts.frame import Codec

LENGTHS: Final = struct.Struct("<II")
_HEAD_BYTES_MAX: Final = 64 * 1024
_DATA_BYTES_MAX: Final = 64 << 20


class Message(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A message of one of the two ends; `number` names the opening of a source it is about."""

    number: int = 0


class Open(Message, frozen=True, kw_only=True):
    """Parent: play this. `user` and `password` travel here only, never on a command line."""

    url: str
    user: str = ""
    password: str = ""
    udp: bool = False
    loop: bool = False
    paced: bool = True
    picture_bytes_max: int = 4 << 20
    stall_s: float = 10.0
    quiet_s: float = 10.0


class Collect(Message, frozen=True, kw_only=True):
    """Parent: hand on every picture of this source, from its next key picture on, or key pictures only again."""

    every: bool


class Close(Message, frozen=True):
    """Parent: end this source."""


class Ready(Message, frozen=True):
    """Child: it is there."""


class Opened(Message, frozen=True, kw_only=True):
    """Child: the container is open. `pictures_per_s` None when unknown."""

    codec: Codec
    container: str
    width: int
    height: int
    pictures_per_s: float | None


class Taken(Message, frozen=True, kw_only=True):
    """Child: a picture follows. `wall_ns`: when it was taken, by the recording's own clock, None for live.

    `key` False: it follows the picture before it in decoding order with none missing between. `replaced`: pictures
    of this source since the last one sent that were given up while the link was full.
    """

    codec: Codec
    time_s: float | None
    wall_ns: int | None
    first: bool
    dropped_pictures: int
    dropped_bytes: int
    key: bool = True
    replaced: int = 0


class Skipped(Message, frozen=True, kw_only=True):
    """Child: a file of a folder cannot be read, or not to its end, and the next one is read."""

    file: str
    reason: str
    text: str


class Ended(Message, frozen=True, kw_only=True):
    """Child: the source ended; `kind` is the name of the error's class, empty for an end without error."""

    kind: str = ""
    reason: str = ""
    text: str = ""


class Beat(Message, frozen=True, kw_only=True):
    """Child, once a second: resident memory in bytes, and sources that hang.

    `hanging`: numbers of sources that have been within one native call for longer than any time-out allows.
    """

    rss_bytes: int
    hanging: list[int] = []


FromParent = Open | Collect | Close
FromChild = Ready | Opened | Taken | Skipped | Ended | Beat

_encoder: Final = msgspec.msgpack.Encoder()
_from_parent: Final[msgspec.msgpack.Decoder[FromParent]] = msgspec.msgpack.Decoder(FromParent)
_from_child: Final[msgspec.msgpack.Decoder[FromChild]] = msgspec.msgpack.Decoder(FromChild)


def pack(message: Message, data: bytes = b"") -> bytes:
    """One frame."""
    head = _encoder.encode(message)
    return LENGTHS.pack(len(head), len(data)) + head + data


def lengths(frame: bytes) -> tuple[int, int]:
    """Bytes of head and data of a frame's first LENGTHS.size bytes. Raises MalformedMessage over the bounds."""
    head, data = LENGTHS.unpack(frame)
    if head > _HEAD_BYTES_MAX or data > _DATA_BYTES_MAX:
        raise MalformedMessage("媒体子进程的消息超过上限 (a frame of a media child is over its bound)")
    return head, data


def from_parent(head: bytes) -> FromParent:
    """Read a head within the child."""
    return _from_parent.decode(head)


def from_child(head: bytes) -> FromChild:
    """Read a head within the parent. Raises MalformedMessage."""
    try:
        return _from_child.decode(head)
    except msgspec.DecodeError as error:
        raise MalformedMessage(f"媒体子进程的消息无法解析 (a media child's message): {error}") from None
