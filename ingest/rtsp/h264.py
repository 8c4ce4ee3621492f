"""What ingest must know of H.264 (ITU-T H.264, 7.3): NAL unit types, picture size, recovery points.

Nothing is decoded here; only the first bytes of parameter sets, SEI messages and slices are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.errors import MalformedMessage

START_CODE: Final = b"\x00\x00\x00\x01"

NAL_SLICE: Final = 1
NAL_IDR: Final = 5
NAL_SEI: Final = 6
NAL_SPS: Final = 7
NAL_PPS: Final = 8
NAL_AUD: Final = 9
NAL_FILLER: Final = 12
NAL_STAP_A: Final = 24
NAL_FU_A: Final = 28

_SEI_RECOVERY_POINT: Final = 6
_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_INTRA_SLICE_TYPES: Final = frozenset({2, 4, 7, 9})


class BitReader:
    """Bits of a NAL unit's payload, emulation prevention bytes removed (7.3.1, 9.1)."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(clean := data.replace(b"\x00\x00\x03", b"\x00\x00"), "big")
        self._left = len(clean) * 8

    def bits(self, count: int) -> int:
        """The next `count` bits. Raises MalformedMessage at the end of the data."""
        if count > self._left:
            raise MalformedMessage("an H.264 header ends too early")
        self._left -= count
        return (self._bits >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned Exp-Golomb number of at most 32 bits."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 31:
                raise MalformedMessage("an H.264 header holds a number over 32 bits")
        return (1 << zeros) - 1 + (self.bits(zeros) if zeros else 0)

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """What a sequence parameter set says of the pictures; sizes in pixels after cropping.

    `pictures_per_s` is None when the set carries no timing.
    """

    profile: int
    level: int
    width: int
    height: int
    pictures_per_s: float | None = None


def parameter_set_id(nal: bytes) -> int:
    """The id of an SPS or PPS NAL unit (header byte included), or 0 when it cannot be read."""
    skip = 4 if nal[0] & 0x1F == NAL_SPS else 1
    try:
        return BitReader(nal[skip : skip + 12]).ue()
    except MalformedMessage:
        return 0


def is_intra_slice(head: bytes) -> bool:
    """True when the slice that begins with these bytes (NAL header included) is an I or SI slice."""
    reader = BitReader(head[1:16])
    try:
        reader.ue()
        return reader.ue() in _INTRA_SLICE_TYPES
    except MalformedMessage:
        return False


def has_recovery_point(nal: bytes) -> bool:
    """True when an SEI NAL unit holds a recovery point with recovery_frame_cnt 0: the picture decodes alone."""
    at = 1
    end = min(len(nal), 4096)
    while at + 2 < end:
        kind = size = 0
        while at < end and nal[at] == 0xFF:
            kind += 255
            at += 1
        if at >= end:
            return False
        kind += nal[at]
        at += 1
        while at < end and nal[at] == 0xFF:
            size += 255
            at += 1
        if at >= end:
            return False
        size += nal[at]
        at += 1
        if kind == _SEI_RECOVERY_POINT:
            return at < end and nal[at] & 0x80 != 0
        at += size
    return False


def _skip_scaling_lists(reader: BitReader, count: int) -> None:
    for index in range(count):
        if not reader.bits(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + reader.se()) % 256
            last = following or last


def _timing(reader: BitReader) -> float | None:
    """Pictures per second from the VUI (annex E), None when absent."""
    if not reader.bits(1):
        return None
    if reader.bits(1) and reader.bits(8) == 255:
        reader.bits(32)
    if reader.bits(1):
        reader.bits(1)
    if reader.bits(1):
        reader.bits(4)
        if reader.bits(1):
            reader.bits(24)
    if reader.bits(1):
        reader.ue()
        reader.ue()
    if not reader.bits(1):
        return None
    units, scale = reader.bits(32), reader.bits(32)
    return scale / (2 * units) if units else None


def parse_sps(nal: bytes) -> PictureFormat:
    """Profile, level and picture size of a sequence parameter set (7.3.2.1.1), NAL header included.

    Raises MalformedMessage when the bytes are no SPS or the size is out of bounds (1 to 16,384 pixels a side).
    """
    if len(nal) < 5 or nal[0] & 0x1F != NAL_SPS:
        raise MalformedMessage("these bytes are no H.264 sequence parameter set")
    profile, level = nal[1], nal[3]
    reader = BitReader(nal[4:1024])
    reader.ue()
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = reader.ue()
        separate_planes = chroma == 3 and reader.bits(1) == 1
        reader.ue()
        reader.ue()
        reader.bits(1)
        if reader.bits(1):
            _skip_scaling_lists(reader, 12 if chroma == 3 else 8)
        if separate_planes:
            chroma = 0
    reader.ue()
    order = reader.ue()
    if order == 0:
        reader.ue()
    elif order == 1:
        reader.bits(1)
        reader.se()
        reader.se()
        for _ in range(min(reader.ue(), 255)):
            reader.se()
    reader.ue()
    reader.bits(1)
    width = (reader.ue() + 1) * 16
    map_units = reader.ue() + 1
    frames_only = reader.bits(1)
    height = map_units * 16 * (2 - frames_only)
    if not frames_only:
        reader.bits(1)
    reader.bits(1)
    if reader.bits(1):
        left, right, top, bottom = reader.ue(), reader.ue(), reader.ue(), reader.ue()
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1) * (2 - frames_only)
    if not (0 < width <= 16_384 and 0 < height <= 16_384):
        raise MalformedMessage(f"an H.264 parameter set gives the picture size {width}x{height}")
    try:
        rate = _timing(reader)
    except MalformedMessage:
        rate = None
    return PictureFormat(profile, level, width, height, rate)
