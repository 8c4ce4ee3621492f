"""RTP payloads become access units; of a picture that nobody wants only the packet headers are touched.

What is common to H.264 and H.265 is here: packet order, where pictures begin, aggregation and fragmentation (the
two RFCs differ only in their NAL unit headers), parameter sets. Loss is found by sequence number, the end of a
picture by its marker bit or, where that is missing, by the next timestamp.
"""

from __future__ import annotations

import enum
from abc import abstractmethod
from typing import ClassVar, Final

from ingest.rtsp.assembly import (
    DROP,
    KEEP,
    KEY,
    UNDECIDED,
    WAITING,
    KeyPicturePolicy,
    Octets,
    PictureAssembly,
    PictureSink,
)
from ingest.rtsp.h264 import START_CODE

_SETS_MAX: Final = 64
_SET_BYTES_MAX: Final = 4096
_HEAD_BYTES_MAX: Final = 65_536
_SLICE_HEAD_BYTES: Final = 16


class Unit(enum.IntEnum):
    """What a NAL unit is to the depacketizer."""

    INVALID = 0
    SLICE = 1
    KEY_SLICE = 2
    """A slice of a picture that decodes alone."""
    SET = 3
    PREFIX = 4
    """SEI and others that stand in front of slices and belong to their picture."""
    IGNORED = 5
    LEADING = 6
    """A slice of a picture that needs pictures before the key picture that it follows (H.265: RASL)."""


_SLICES: Final = frozenset({Unit.SLICE, Unit.KEY_SLICE, Unit.LEADING})


class Depacketizer(PictureAssembly):
    """One stream's packets in order, its pictures out through `on_picture`. Never raises on any input.

    `sets_changed` counts parameter sets whose content was new: another size or profile.
    """

    __slots__ = ("_known", "_recovery", "_sets", "policy", "sets_changed")

    NAL_HEADER_BYTES: ClassVar[int]
    KIND_SHIFT: ClassVar[int]
    KIND_MASK: ClassVar[int]
    AGGREGATE: ClassVar[int]
    FRAGMENT: ClassVar[int]
    UNITS: ClassVar[tuple[Unit, ...]]
    """What each NAL unit type is."""
    SET_KINDS: ClassVar[tuple[int, ...]]
    """NAL unit types of parameter sets in decoding order; a key picture needs one of each."""

    def __init__(
        self,
        on_picture: PictureSink,
        *,
        picture_bytes_max: int = 4 << 20,
        policy: KeyPicturePolicy = KeyPicturePolicy.RECOVERY_POINT,
    ) -> None:
        super().__init__(on_picture, picture_bytes_max=picture_bytes_max)
        self.policy = policy
        self._sets: dict[int, dict[int, bytes]] = {kind: {} for kind in self.SET_KINDS}
        self._known: frozenset[bytes] = frozenset()
        self._recovery = False
        self.sets_changed = 0

    # What the codecs differ in.

    @abstractmethod
    def _set_id(self, nal: bytes) -> int:
        """The id of a parameter set."""

    @abstractmethod
    def _whole_header(self, view: memoryview, start: int, kind: int) -> bytes:
        """The NAL unit header that the fragments at `start` were cut from."""

    @abstractmethod
    def _prefix(self, nal: bytes, kind: int) -> None:
        """An SEI (or the like) in front of the slices of a picture."""

    @abstractmethod
    def _is_key(self, unit: Unit, head: bytes) -> bool:
        """Whether the picture whose first slice begins with `head` decodes alone."""

    def add_parameter_set(self, nal: bytes) -> None:
        """Learn a parameter set, from SDP or from the stream; others and oversized ones are ignored."""
        if nal in self._known or not self.NAL_HEADER_BYTES < len(nal) <= _SET_BYTES_MAX:
            return
        sets = self._sets.get(nal[0] >> self.KIND_SHIFT & self.KIND_MASK)
        if sets is None:
            return
        number = self._set_id(nal)
        before = sets.pop(number, None)
        if len(sets) >= _SETS_MAX:
            return
        sets[number] = nal
        self._known = (self._known - {before} if before else self._known) | {nal}
        self._sets_new = True
        self.sets_changed += 1

    def _sets_in_front(self) -> list[bytes] | None:
        if not all(self._sets.values()):
            return None
        return [nal for sets in self._sets.values() for nal in sets.values()]

    def would_drop(self, data: Octets, payload: int, timestamp: int) -> bool:
        """True when a packet whose payload begins at `data[payload]` will be dropped whatever follows in it.

        Its first `NAL_HEADER_BYTES` + 1 bytes must be there.
        """
        if self.dropping and timestamp == self.timestamp:
            return True
        what = self.FIRST_BYTES[data[payload]]
        if not what or (what == 2 and not self.FRAGMENT_BYTES[data[payload + self.NAL_HEADER_BYTES]]):
            return False
        if self.collecting:
            return False
        return timestamp != self.timestamp or (self._phase == UNDECIDED and not self._recovery)

    def packet(self, data: Octets, start: int, end: int, sequence: int, timestamp: int, marker: bool) -> None:
        """One RTP payload `data[start:end]`; `data` may be reused after the call.

        Of a payload for which `would_drop` holds only the first bytes need to be there.
        """
        self.packets += 1
        lost = sequence != self.next_sequence and self.next_sequence >= 0
        if lost:
            # The order is kept on the way here: a step back is a server that began to count anew.
            gap = (sequence - self.next_sequence) & 0xFFFF
            self.packets_lost += gap if gap < 0x8000 else 1
        self.next_sequence = (sequence + 1) & 0xFFFF
        if timestamp != self.timestamp:
            if self._phase != WAITING:
                self._end_picture(by_marker=False, lost=lost)
            self.timestamp = timestamp
        if self._phase == WAITING:
            self._recovery = False
            # For a key picture a gap before this packet does not matter: the first slice proves whether the start
            # is there. A whole picture may be missing, though.
            self._phase = UNDECIDED
            if lost:
                self._break_chain()
        elif lost:
            self._damaged = True
            self._fragment_open = False
            self._side = None
        self._unit_bytes += end - start
        if not self.dropping:
            self._payload(memoryview(data), start, end)
        if marker and self._phase >= KEY:
            self._end_picture(by_marker=True, lost=False)

    def _payload(self, view: memoryview, start: int, end: int) -> None:
        if end - start <= self.NAL_HEADER_BYTES:
            self.packets_malformed += 1
            return
        kind = view[start] >> self.KIND_SHIFT & self.KIND_MASK
        if kind == self.FRAGMENT:
            self._fragment(view, start, end)
            return
        if self._fragment_open:
            self._damaged = True
            self._fragment_open = False
        self._side = None
        if kind == self.AGGREGATE:
            self._aggregate(view, start + self.NAL_HEADER_BYTES, end)
        else:
            self._nal(view, start, end)

    def _aggregate(self, view: memoryview, at: int, end: int) -> None:
        """STAP-A (RFC 6184, 5.7.1), AP (RFC 7798, 4.4.2): 16-bit size, NAL unit, and so on."""
        while at + 2 < end:
            size = view[at] << 8 | view[at + 1]
            at += 2
            if size < self.NAL_HEADER_BYTES or at + size > end:
                self.packets_malformed += 1
                self._damaged = True
                return
            self._nal(view, at, at + size)
            at += size

    def _fragment(self, view: memoryview, start: int, end: int) -> None:
        """FU-A (RFC 6184, 5.8), FU (RFC 7798, 4.4.3): the first carries the type, the others only continue it."""
        body = start + self.NAL_HEADER_BYTES + 1
        if end <= body:
            self.packets_malformed += 1
            return
        header = view[body - 1]
        kind = header & self.KIND_MASK
        if header & 0x80:
            self._first_fragment(view, start, body, end, kind)
        elif self._side is not None:
            self._side += view[body:end]
        elif self._fragment_open and (self._phase == KEY or self._phase == KEEP):
            self._append(view[body:end])
        elif self._phase == UNDECIDED:
            # The first fragment was lost; what the picture is can still be read in every fragment.
            self._damaged = True
            unit = self.UNITS[kind]
            if unit in _SLICES:
                # An I picture behind a recovery point is one that decodes alone, however its slice begins.
                self._phase = KEY if unit is Unit.KEY_SLICE or self._recovery else DROP
                self.dropping = self._phase == DROP
                self._break_chain()
        else:
            self._damaged = True
        if self._side is not None and len(self._side) > _HEAD_BYTES_MAX:
            self._side = None
            self._damaged = True
        if header & 0x40:
            self._fragment_open = False
            if self._side is not None:
                whole, self._side = memoryview(self._side), None
                self._nal(whole, 0, len(whole))

    def _first_fragment(self, view: memoryview, start: int, body: int, end: int, kind: int) -> None:
        first = self._whole_header(view, start, kind)
        if self._phase == UNDECIDED:
            unit = self.UNITS[kind]
            if unit not in _SLICES:
                self._side = bytearray(first + view[body:end])
                return
            self._decide(unit, first + view[body : min(end, body + _SLICE_HEAD_BYTES)])
        if self._phase == KEY or self._phase == KEEP:
            self._fragment_open = True
            self._append(START_CODE)
            self._append(first)
            self._append(view[body:end])

    def _nal(self, view: memoryview, start: int, end: int) -> None:
        kind = view[start] >> self.KIND_SHIFT & self.KIND_MASK
        unit = self.UNITS[kind]
        if unit is Unit.INVALID:
            self.packets_malformed += 1
            return
        if unit is Unit.SET:
            self.add_parameter_set(bytes(view[start:end]))
            return
        if unit is Unit.IGNORED:
            return
        if self._phase == UNDECIDED:
            if unit is Unit.PREFIX:
                nal = bytes(view[start:end])
                if sum(map(len, self._head)) + len(nal) <= _HEAD_BYTES_MAX:
                    self._head.append(nal)
                self._prefix(nal, kind)
                return
            self._decide(unit, bytes(view[start : min(end, start + _SLICE_HEAD_BYTES)]))
        if self._phase == KEY or self._phase == KEEP:
            self._append(START_CODE)
            self._append(view[start:end])

    def _decide(self, unit: Unit, head: bytes) -> None:
        """The first slice of a picture says what the picture is."""
        if self._is_key(unit, head):
            self._phase = KEY
        elif self.collecting and self._unbroken and not (unit is Unit.LEADING and self._leading_drop):
            self._phase = KEEP
            self._leading_drop = self._leading_drop and unit is Unit.LEADING
        else:
            if unit is not Unit.LEADING or not self._leading_drop:
                self._unbroken = False
            self._phase = DROP
            self.dropping = True
            return
        at = self.NAL_HEADER_BYTES
        # First macroblock 0 (H.264, 7.3.3), first_slice_segment_in_pic_flag (H.265, 7.3.6.1): the first bit.
        if len(head) > at and not head[at] & 0x80:
            self._damaged = True
        for nal in self._head:
            self._append(START_CODE)
            self._append(nal)
        self._head_bytes = len(self._unit)
