"""The two packets of which there are thousands a second, PUBLISH in and PUBACK out, without an object per field.

MQTT 3.1.1 and MQTT 5 (OASIS), sections 3.3 and 3.4. Everything else is paho's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.errors import MalformedMessage

PUBACK: Final = 0x40


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A PUBLISH packet. `topic` holds U+FFFD alone when it is not UTF-8; `packet_id` is 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retained: bool
    duplicate: bool
    packet_id: int


def decode_publication(command: int, packet: bytes | bytearray, *, version_5: bool) -> Publication:
    """Read a PUBLISH: `command` is its first byte, `packet` what follows the remaining length.

    Properties of MQTT 5 are passed over: we allow no topic alias, and use no other. Raises MalformedMessage.
    """
    qos = command >> 1 & 3
    if qos == 3 or len(packet) < 2:
        raise _malformed()
    at = 2 + (packet[0] << 8 | packet[1])
    name = bytes(packet[2:at])
    packet_id = 0
    if qos:
        packet_id = int.from_bytes(packet[at : at + 2], "big")
        at += 2
        if not packet_id:
            raise _malformed()
    if version_5:
        size = shift = 0
        while True:
            if at >= len(packet) or shift > 21:
                raise _malformed()
            byte = packet[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += size
    if at > len(packet):
        raise _malformed()
    try:
        topic = name.decode()
    except UnicodeDecodeError:
        topic = "\ufffd"
    return Publication(topic, bytes(packet[at:]), qos, bool(command & 1), bool(command & 8), packet_id)


def encode_pubacks(packet_ids: Sequence[int]) -> bytes:
    """PUBACK packets (reason: success) one after the other."""
    return b"".join([b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids])


def _malformed() -> MalformedMessage:
    return MalformedMessage("MQTT 服务器发来的 PUBLISH 无法解析 (a PUBLISH that does not parse)")
