"""RTP payloads of H.264 (RFC 6184: single NAL unit, STAP-A, FU-A) become access units; key pictures only.

A picture that is not a key picture costs a few header bytes per packet: its payload is neither copied nor read.
Loss is found by sequence number, the end of a picture by its marker bit or, where that is missing, by the next
timestamp. What decodes alone is an IDR picture, and by policy an I picture announced by a recovery point.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from ingest.rtsp.h264 import (
    NAL_AUD,
    NAL_FILLER,
    NAL_FU_A,
    NAL_IDR,
    NAL_PPS,
    NAL_SEI,
    NAL_SLICE,
    NAL_SPS,
    NAL_STAP_A,
    START_CODE,
    has_recovery_point,
    is_intra_slice,
    parameter_set_id,
    starts_picture,
)

_SETS_MAX: Final = 64
_SET_BYTES_MAX: Final = 4096
_HEAD_BYTES_MAX: Final = 65_536
_SLICE_HEAD_BYTES: Final = 16


class KeyPicturePolicy(enum.StrEnum):
    """Which pictures are handed on as decodable alone."""

    IDR = "idr"
    """IDR pictures only."""
    RECOVERY_POINT = "recovery_point"
    """Also I pictures behind a recovery point SEI with recovery_frame_cnt 0 (encoders with open GOPs that send
    one IDR picture per session)."""


class _Phase(enum.Enum):
    WAITING = 0
    """Between pictures."""
    UNDECIDED = 1
    """Only parameter sets and SEI so far."""
    KEY = 2
    DROP = 3


Octets = bytes | bytearray | memoryview
"""Bytes in any form that can be sliced."""

PictureSink = Callable[[bytes, int, bool], None]
"""(Annex B bytes, RTP timestamp, True when the end was told by the next timestamp only) per key picture."""


class H264Depacketizer:
    """One stream's packets in order, its key pictures out through `on_picture`. Never raises on any input.

    Totals: `packets`, `packets_lost`, `packets_malformed`, `pictures` (all seen), `key_pictures` (handed on),
    `key_pictures_lost` (damaged by loss), `key_pictures_too_large`, `key_pictures_without_sets`,
    `dropped_pictures`, `dropped_bytes`, `dropped_bytes_max` (the largest dropped picture).
    """

    __slots__ = (
        "_damaged",
        "_fragment_open",
        "_head",
        "_on_picture",
        "_phase",
        "_picture_bytes_max",
        "_policy",
        "_pps",
        "_recovery",
        "_side",
        "_sps",
        "_unit",
        "_unit_bytes",
        "dropped_bytes",
        "dropped_bytes_max",
        "dropped_pictures",
        "dropping",
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

    def __init__(
        self,
        on_picture: PictureSink,
        *,
        picture_bytes_max: int = 4 << 20,
        policy: KeyPicturePolicy = KeyPicturePolicy.RECOVERY_POINT,
    ) -> None:
        self._on_picture = on_picture
        self._picture_bytes_max = picture_bytes_max
        self._policy = policy
        self._sps: dict[int, bytes] = {}
        self._pps: dict[int, bytes] = {}
        self._phase = _Phase.WAITING
        self._unit = bytearray()
        self._head: list[bytes] = []
        self._side: bytearray | None = None
        self._unit_bytes = 0
        self._fragment_open = False
        self._damaged = False
        self._recovery = False
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
        self.dropped_pictures = 0
        self.dropped_bytes = 0
        self.dropped_bytes_max = 0

    @property
    def assembling(self) -> bool:
        """True while a key picture, or what may become one, is incomplete."""
        return self._phase is _Phase.KEY or self._phase is _Phase.UNDECIDED

    @property
    def sps(self) -> bytes | None:
        """The sequence parameter set learnt last, None before the first."""
        return next(reversed(self._sps.values()), None)

    def add_parameter_set(self, nal: bytes) -> None:
        """Learn an SPS or PPS, from SDP or from the stream; others and oversized ones are ignored."""
        kind = nal[0] & 0x1F if nal else 0
        if kind not in (NAL_SPS, NAL_PPS) or not 1 < len(nal) <= _SET_BYTES_MAX:
            return
        sets = self._sps if kind == NAL_SPS else self._pps
        number = parameter_set_id(nal)
        sets.pop(number, None)
        if len(sets) < _SETS_MAX:
            sets[number] = nal

    def would_drop(self, first: int, second: int, timestamp: int) -> bool:
        """True when a packet with these first payload bytes will be dropped whatever follows in it."""
        if self.dropping and timestamp == self.timestamp:
            return True
        kind = first & 0x1F
        if kind == NAL_FU_A:
            kind = second & 0x1F
        if kind != NAL_SLICE:
            return False
        return timestamp != self.timestamp or (self._phase is _Phase.UNDECIDED and not self._recovery)

    def packet(self, data: Octets, start: int, end: int, sequence: int, timestamp: int, marker: bool) -> None:
        """One RTP payload `data[start:end]`; `data` may be reused after the call.

        Of a payload for which `would_drop` holds only the first bytes need to be there.
        """
        self.packets += 1
        lost = sequence != self.next_sequence and self.next_sequence >= 0
        if lost:
            # TCP keeps the order: a step back is a server that began to count anew.
            gap = (sequence - self.next_sequence) & 0xFFFF
            self.packets_lost += gap if gap < 0x8000 else 1
        self.next_sequence = (sequence + 1) & 0xFFFF
        if timestamp != self.timestamp:
            if self._phase is not _Phase.WAITING:
                self._end_picture(by_marker=False, lost=lost)
            self.timestamp = timestamp
        if self._phase is _Phase.WAITING:
            # A gap before this packet does not matter here: the first slice proves whether the start is there.
            self._phase = _Phase.UNDECIDED
        elif lost:
            self._damaged = True
            self._fragment_open = False
            self._side = None
        self._unit_bytes += end - start
        if not self.dropping:
            self._payload(memoryview(data), start, end)
        if marker and (self._phase is _Phase.KEY or self._phase is _Phase.DROP):
            self._end_picture(by_marker=True, lost=False)

    def _payload(self, view: memoryview, start: int, end: int) -> None:
        if end - start < 2:
            self.packets_malformed += 1
            return
        kind = view[start] & 0x1F
        if kind == NAL_FU_A:
            self._fragment(view, start, end)
            return
        if self._fragment_open:
            self._damaged = True
            self._fragment_open = False
        self._side = None
        if kind == NAL_STAP_A:
            self._aggregate(view, start + 1, end)
        else:
            self._nal(view, start, end)

    def _aggregate(self, view: memoryview, at: int, end: int) -> None:
        """STAP-A (5.7.1): 16-bit size, NAL unit, and so on."""
        while at + 2 < end:
            size = view[at] << 8 | view[at + 1]
            at += 2
            if size == 0 or at + size > end:
                self.packets_malformed += 1
                self._damaged = True
                return
            self._nal(view, at, at + size)
            at += size

    def _fragment(self, view: memoryview, start: int, end: int) -> None:
        """FU-A (5.8): the first fragment carries the type, the others only continue it."""
        if end - start < 3:
            self.packets_malformed += 1
            return
        header = view[start + 1]
        kind = header & 0x1F
        if header & 0x80:
            self._first_fragment(view, start, end, kind)
        elif self._side is not None:
            self._side += view[start + 2 : end]
        elif self._phase is _Phase.KEY and self._fragment_open:
            self._append(view[start + 2 : end])
        elif self._phase is _Phase.UNDECIDED:
            # The first fragment was lost; what the picture is can still be read in every fragment.
            self._damaged = True
            if kind <= NAL_IDR:
                self._phase = _Phase.KEY if kind == NAL_IDR else _Phase.DROP
                self.dropping = kind != NAL_IDR
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

    def _first_fragment(self, view: memoryview, start: int, end: int, kind: int) -> None:
        first = bytes((view[start] & 0xE0 | kind,))
        if self._phase is _Phase.UNDECIDED:
            if not 1 <= kind <= NAL_IDR:
                self._side = bytearray(first + view[start + 2 : end])
                return
            self._decide(kind, first + view[start + 2 : min(end, start + 2 + _SLICE_HEAD_BYTES)])
        if self._phase is _Phase.KEY:
            self._fragment_open = True
            self._append(START_CODE)
            self._append(first)
            self._append(view[start + 2 : end])

    def _nal(self, view: memoryview, start: int, end: int) -> None:
        kind = view[start] & 0x1F
        if not 1 <= kind <= 23:
            self.packets_malformed += 1
            return
        if kind in (NAL_SPS, NAL_PPS):
            self.add_parameter_set(bytes(view[start:end]))
            return
        if kind in (NAL_AUD, NAL_FILLER):
            return
        if self._phase is _Phase.UNDECIDED:
            if kind >= NAL_SEI:
                nal = bytes(view[start:end])
                if sum(map(len, self._head)) + len(nal) <= _HEAD_BYTES_MAX:
                    self._head.append(nal)
                if kind == NAL_SEI and self._policy is KeyPicturePolicy.RECOVERY_POINT:
                    self._recovery = self._recovery or has_recovery_point(nal)
                return
            self._decide(kind, bytes(view[start : min(end, start + _SLICE_HEAD_BYTES)]))
        if self._phase is _Phase.KEY:
            self._append(START_CODE)
            self._append(view[start:end])

    def _decide(self, kind: int, head: bytes) -> None:
        """The first slice of a picture says what the picture is."""
        key = kind == NAL_IDR or (kind == NAL_SLICE and self._recovery and is_intra_slice(head))
        self._phase = _Phase.KEY if key else _Phase.DROP
        self.dropping = not key
        if not key:
            return
        if len(head) > 1 and not starts_picture(head[1]):
            self._damaged = True
        for nal in self._head:
            self._append(START_CODE)
            self._append(nal)

    def _append(self, data: Octets) -> None:
        if len(self._unit) <= self._picture_bytes_max:
            self._unit += data

    def _end_picture(self, *, by_marker: bool, lost: bool) -> None:
        """Hand on or drop the picture of `timestamp`, and be ready for the next."""
        phase = self._phase
        if phase is _Phase.KEY:
            # Without a marker, a gap before the next picture may have swallowed the end of this one.
            damaged = self._damaged or self._fragment_open or (lost and not by_marker)
            self._hand_on(damaged, by_marker)
            self.pictures += 1
        elif phase is _Phase.DROP:
            self.pictures += 1
            self.dropped_pictures += 1
            self.dropped_bytes += self._unit_bytes
            self.dropped_bytes_max = max(self.dropped_bytes_max, self._unit_bytes)
        self._phase = _Phase.WAITING
        self.dropping = False
        self._fragment_open = False
        self._unit_bytes = 0
        self._damaged = False
        self._recovery = False
        self._side = None
        if self._head:
            self._head = []
        if self._unit:
            self._unit = bytearray()

    def _hand_on(self, damaged: bool, by_marker: bool) -> None:
        if damaged:
            self.key_pictures_lost += 1
        elif len(self._unit) > self._picture_bytes_max:
            self.key_pictures_too_large += 1
        elif not self._sps or not self._pps:
            self.key_pictures_without_sets += 1
        else:
            self.key_pictures += 1
            sets = (*self._sps.values(), *self._pps.values())
            data = b"".join((*(START_CODE + nal for nal in sets), self._unit))
            self._on_picture(data, self.timestamp, not by_marker)
