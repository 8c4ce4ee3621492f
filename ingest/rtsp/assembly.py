"""Pictures while they come together from packets, and the loop that steps over those that nobody wants.

Key pictures always leave. Every picture does while `collecting`, from the next key picture on and in decoding
order; one that is damaged breaks the chain until the next key picture.
"""

from __future__ import annotations

import enum
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from ingest.rtsp.h264 import START_CODE

_DOLLAR: Final = 0x24
_MARKER: Final = 0x80
_PLAIN: Final = 0x80
"""First byte of an RTP header without padding, extension and contributing sources."""


class KeyPicturePolicy(enum.StrEnum):
    """Which pictures are handed on as decodable alone."""

    IDR = "idr"
    """IDR pictures only (H.265: IDR, CRA and BLA: every picture that decodes alone)."""
    RECOVERY_POINT = "recovery_point"
    """Also I pictures behind a recovery point SEI with recovery_frame_cnt 0 (encoders with open GOPs that send
    one IDR picture per session)."""


# Phases of the picture at hand. Plain numbers: they are compared for every packet of the county.
WAITING: Final = 0
"""Between pictures."""
UNDECIDED: Final = 1
"""Only parameter sets and SEI so far."""
KEY: Final = 2
KEEP: Final = 3
"""No key picture, but every picture is wanted."""
DROP: Final = 4

Octets = bytes | bytearray | memoryview
"""Bytes in any form that can be sliced."""

PictureSink = Callable[[bytes, int, bool, bool], None]
"""(Annex B bytes, RTP timestamp, True when the end was told by the next timestamp only, key) per picture."""


class PictureAssembly(ABC):
    """The picture at hand, and totals. Pictures leave through `on_picture`.

    Totals: `packets`, `packets_lost`, `packets_malformed`, `pictures` (all seen), `key_pictures` (handed on),
    `key_pictures_lost` (damaged by loss), `key_pictures_too_large`, `key_pictures_without_sets`, `kept_pictures`
    (handed on, no key pictures), `chains_broken` (a wanted picture was damaged), `dropped_pictures`,
    `dropped_bytes`, `collected_pictures`, `collected_bytes` (wanted whole, no key pictures, damaged or not),
    `dropped_bytes_max` (the largest of both since it was last set to 0).
    """

    __slots__ = (
        "_damaged",
        "_fragment_open",
        "_head",
        "_head_bytes",
        "_leading_drop",
        "_on_picture",
        "_phase",
        "_picture_bytes_max",
        "_sets_new",
        "_side",
        "_unbroken",
        "_unit",
        "_unit_bytes",
        "chains_broken",
        "collected_bytes",
        "collected_pictures",
        "collecting",
        "dropped_bytes",
        "dropped_bytes_max",
        "dropped_pictures",
        "dropping",
        "kept_pictures",
        "key_pictures",
        "key_pictures_lost",
        "key_pictures_too_large",
        "key_pictures_without_sets",
        "next_sequence",
        "packets",
        "packets_lost",
        "packets_malformed",
        "pictures",
        "timestamp",
    )

    FIRST_BYTES: ClassVar[bytes]
    """By first payload byte: 1 = a slice that can be dropped, 2 = a fragment, 0 = anything else."""
    FRAGMENT_BYTES: ClassVar[bytes]
    """By fragment header: 1 = of a slice that can be dropped."""
    LAYOUT: ClassVar[struct.Struct]
    """Interleaved header, RTP header, first payload byte, fragment header."""

    def __init__(
        self,
        on_picture: PictureSink,
        *,
        picture_bytes_max: int = 4 << 20,
    ) -> None:
        self._on_picture = on_picture
        self._picture_bytes_max = picture_bytes_max
        self._phase = WAITING
        self._unit = bytearray()
        self._head: list[bytes] = []
        self._head_bytes = 0
        self._side: bytearray | None = None
        self._unit_bytes = 0
        self._fragment_open = False
        self._damaged = False
        self._sets_new = False
        self._unbroken = False
        self._leading_drop = False
        self.collecting = False
        """True while every picture is wanted, not only key pictures."""
        self.dropping = False
        """True while the picture of `timestamp` is being dropped: only its packet headers matter."""
        self.timestamp = -1
        self.next_sequence = -1
        self.packets = 0
        self.packets_lost = 0
        self.packets_malformed = 0
        self.pictures = 0
        self.key_pictures = 0
        self.key_pictures_lost = 0
        self.key_pictures_too_large = 0
        self.key_pictures_without_sets = 0
        self.kept_pictures = 0
        self.collected_pictures = 0
        self.collected_bytes = 0
        self.chains_broken = 0
        self.dropped_pictures = 0
        self.dropped_bytes = 0
        self.dropped_bytes_max = 0

    @abstractmethod
    def _sets_in_front(self) -> list[bytes] | None:
        """All known parameter sets in decoding order, None while one kind is missing."""

    @property
    def assembling(self) -> bool:
        """True while a picture that leaves, or what may become one, is incomplete."""
        return UNDECIDED <= self._phase <= KEEP

    @property
    def slice_digest(self) -> int:
        """CRC-32 of the picture at hand from its first slice on; of use within `on_picture` only.

        Without what stands in front: SEI hold clocks and counters, so no two would be alike.
        """
        return zlib.crc32(memoryview(self._unit)[self._head_bytes :])

    def collect(self, every_picture: bool) -> None:
        """Hand on every picture from the next key picture on, or key pictures only again."""
        self.collecting = every_picture

    def walk(self, buffer: bytearray, at: int, end: int, channel: int) -> int:
        """Take interleaved packets of `channel` from `buffer[at:end]` while they are plain: in order, and of
        pictures that are dropped, or fragments in the middle of a key picture. The hot loop of ingest.

        Returns where the first stands that is not so. Beyond `end`: that many bytes which are still to come
        belong to a dropped picture and need not be looked at.
        """
        phase = self._phase
        if phase == KEY:
            return self._walk_fragments(buffer, at, end, channel) if self._fragment_open else at
        if (phase != WAITING and phase != DROP) or self.collecting:
            return at
        unpack = self.LAYOUT.unpack_from
        last = end - self.LAYOUT.size
        firsts = self.FIRST_BYTES
        timestamp = self.timestamp
        expected = self.next_sequence
        unit_bytes = self._unit_bytes
        packets = pictures = total = 0
        largest = self.dropped_bytes_max
        while at <= last:
            dollar, track, length, flags, kind, sequence, stamp, first, fragment = unpack(buffer, at)
            if sequence != expected or track != channel or dollar != _DOLLAR or flags != _PLAIN or length < 15:
                break
            if phase == DROP:
                if stamp != timestamp:
                    break
            else:
                what = firsts[first]
                if not what or (what == 2 and not self.FRAGMENT_BYTES[fragment]):
                    break
                phase = DROP
                timestamp = stamp
                unit_bytes = 0
            packets += 1
            unit_bytes += length - 12
            expected = sequence + 1 & 0xFFFF
            at += length + 4
            if kind >= _MARKER:
                pictures += 1
                total += unit_bytes
                if unit_bytes > largest:
                    largest = unit_bytes
                phase = WAITING
        if packets:
            self._unbroken = False
            self._damaged = False
            self._phase = phase
            self.dropping = phase == DROP
            self.timestamp = timestamp
            self.next_sequence = expected
            self._unit_bytes = unit_bytes if phase == DROP else 0
            self.packets += packets
            self.pictures += pictures
            self.dropped_pictures += pictures
            self.dropped_bytes += total
            self.dropped_bytes_max = largest
        return at

    def _walk_fragments(self, buffer: bytearray, at: int, end: int, channel: int) -> int:
        """The middle of a fragmented slice of a key picture: copied, nothing to decide."""
        unpack = self.LAYOUT.unpack_from
        size = self.LAYOUT.size
        firsts = self.FIRST_BYTES
        timestamp = self.timestamp
        expected = self.next_sequence
        unit = self._unit
        packets = 0
        room = self._picture_bytes_max - len(unit)
        with memoryview(buffer) as view:
            while at + size <= end:
                dollar, track, length, flags, kind, sequence, stamp, first, fragment = unpack(buffer, at)
                after = at + 4 + length
                if (
                    sequence != expected
                    or track != channel
                    or dollar != _DOLLAR
                    or flags != _PLAIN
                    or after > end
                    or stamp != timestamp
                    or firsts[first] != 2
                    or fragment >= 0x40
                    or kind >= _MARKER
                    or length < 15
                    or room < length
                ):
                    break
                unit += view[at + size : after]
                room -= length
                packets += 1
                self._unit_bytes += length - 12
                expected = sequence + 1 & 0xFFFF
                at = after
        self.packets += packets
        self.next_sequence = expected
        return at

    def _append(self, data: Octets) -> None:
        if len(self._unit) <= self._picture_bytes_max:
            self._unit += data

    def _break_chain(self) -> None:
        if self._unbroken and self.collecting:
            self.chains_broken += 1
        self._unbroken = False

    def _end_picture(self, *, by_marker: bool, lost: bool) -> None:
        """Hand on or drop the picture of `timestamp`, and be ready for the next."""
        phase = self._phase
        # Without a marker, a gap before the next picture may have swallowed the end of this one.
        damaged = self._damaged or self._fragment_open or (lost and not by_marker)
        if phase == KEY:
            self._hand_on_key(damaged, by_marker)
            self.pictures += 1
        elif phase == KEEP:
            self.collected_pictures += 1
            self.collected_bytes += self._unit_bytes
            self.dropped_bytes_max = max(self.dropped_bytes_max, self._unit_bytes)
            self._hand_on(damaged, by_marker)
            self.pictures += 1
        elif phase == DROP:
            self.pictures += 1
            self.dropped_pictures += 1
            self.dropped_bytes += self._unit_bytes
            self.dropped_bytes_max = max(self.dropped_bytes_max, self._unit_bytes)
        self._phase = WAITING
        self.dropping = False
        self._fragment_open = False
        self._unit_bytes = 0
        self._head_bytes = 0
        self._damaged = False
        self._side = None
        if self._head:
            self._head = []
        if self._unit:
            self._unit = bytearray()

    def _hand_on_key(self, damaged: bool, by_marker: bool) -> None:
        sets = self._sets_in_front()
        if damaged:
            self.key_pictures_lost += 1
        elif len(self._unit) > self._picture_bytes_max:
            self.key_pictures_too_large += 1
        elif sets is None:
            self.key_pictures_without_sets += 1
        else:
            self.key_pictures += 1
            self._leading_drop = not self._unbroken
            self._unbroken = True
            self._sets_new = False
            data = b"".join((*(START_CODE + nal for nal in sets), self._unit))
            self._on_picture(data, self.timestamp, not by_marker, True)
            return
        self._break_chain()

    def _hand_on(self, damaged: bool, by_marker: bool) -> None:
        if damaged or len(self._unit) > self._picture_bytes_max:
            self._break_chain()
            return
        self.kept_pictures += 1
        front: list[bytes] = []
        if self._sets_new:
            # A set that changed in the middle of a group: the decoder must hear of it here.
            front = [START_CODE + nal for nal in self._sets_in_front() or ()]
            self._sets_new = False
        self._on_picture(b"".join((*front, self._unit)), self.timestamp, not by_marker, False)
