"""Which messages the broker sends a second time: told by identifier, topic and payload, never by payload alone.

A reading without a time of its own happened when it arrived; the same message a second time would be another
reading. Two detectors' "alarm" each minute look alike, so equal bytes prove nothing. What proves a redelivery
(MQTT 3.1.1 and 5, 3.3.1-1, 4.4.0-1): the broker sets DUP, repeats the packet identifier, and may do so only while
it lacks our PUBACK. So a message is known again when DUP is set and its packet identifier holds the same topic and
payload among those whose PUBACK the broker may not have. That a PUBACK reached it is proved by a PINGRESP to a
PINGREQ sent behind it, or by the identifier's next message; a broker that says at CONNACK that it has no session
has forgotten all of them.

The book lies in a file of fixed size mapped into memory, one slot per packet identifier, so that what a killed
process had heard is known to the next one. It is not synced: after a power cut a message may be taken for new,
which tells an alarm twice rather than never.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections import deque
from pathlib import Path
from typing import Final

from contracts.errors import ConfigError
from contracts.instant import Instant

_SLOT: Final = struct.Struct("<q16s")
_SIZE: Final = _SLOT.size << 16
_NOTHING: Final = bytes(_SLOT.size)


class HeardBook:
    """When each message in doubt was first heard. `session` names broker and client id: another one's book is
    empty.

    Raises ConfigError when the file cannot be used.
    """

    def __init__(self, file: Path, session: str) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a+b") as opened:
                opened.truncate(_SIZE)
                self._map = mmap.mmap(opened.fileno(), _SIZE)
        except OSError as error:
            raise ConfigError(
                f"文件 {file} 无法使用 (cannot be used: {error.strerror}); 请检查状态文件夹的权限与空间"
            ) from None
        self._ours: dict[int, int] = {}
        self._taken = 0
        self._acknowledged: deque[tuple[int, int]] = deque()
        self._settled = 0
        owner = _SLOT.pack(1, _digest(session, b""))
        if self._map[: _SLOT.size] != owner:
            self.forget()
            self._map[: _SLOT.size] = owner

    def heard(
        self, packet_id: int, topic: str, payload: bytes, now: Instant, *, duplicate: bool
    ) -> tuple[Instant, bool]:
        """(when this message was first heard, whether this process has taken it already); notes it down."""
        at = packet_id * _SLOT.size
        digest = _digest(topic, payload)
        if duplicate:
            first, known = _SLOT.unpack_from(self._map, at)
            if known == digest:
                taken = packet_id in self._ours
                self._note(packet_id)
                return Instant(first), taken
        # The digest goes last: a slot that was half written when the process died matches nothing.
        self._map[at + 8 : at + _SLOT.size] = _NOTHING[8:]
        self._map[at : at + 8] = now.to_bytes(8, "little", signed=True)
        self._map[at + 8 : at + _SLOT.size] = digest
        self._note(packet_id)
        return now, False

    def _note(self, packet_id: int) -> None:
        self._taken += 1
        self._ours[packet_id] = self._taken

    def acknowledged(self, packet_id: int) -> None:
        """Its PUBACK was sent; it is in doubt until `settle`."""
        self._acknowledged.append((packet_id, self._ours.get(packet_id, 0)))

    @property
    def sent(self) -> int:
        """How many PUBACKs were sent so far; remember it with a PINGREQ."""
        return self._settled + len(self._acknowledged)

    def settle(self, sent: int) -> None:
        """The broker has read everything up to the PUBACK number `sent`."""
        while self._settled < sent and self._acknowledged:
            self._settled += 1
            packet_id, taken = self._acknowledged.popleft()
            # The identifier may have been given to the next message already.
            if self._ours.get(packet_id) == taken:
                del self._ours[packet_id]
                at = packet_id * _SLOT.size
                self._map[at : at + _SLOT.size] = _NOTHING

    def unsure(self) -> None:
        """The connection is lost: which of the PUBACKs under way arrived nobody knows."""
        self._settled += len(self._acknowledged)
        self._acknowledged.clear()

    def forget(self) -> None:
        """The broker begins a new session: what it sends from now on is new."""
        self._map[_SLOT.size :] = bytes(_SIZE - _SLOT.size)
        self._ours.clear()
        self.unsure()

    def close(self) -> None:
        """Give the file back."""
        self._map.close()


def _digest(topic: str, payload: bytes) -> bytes:
    digest = hashlib.blake2b(topic.encode(errors="replace"), digest_size=16)
    digest.update(b"\0")
    digest.update(payload)
    return digest.digest()
