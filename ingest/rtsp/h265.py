"""What ingest must know of H.265 (ITU-T H.265, 7.3, table 7-1): NAL unit types, set ids, picture size."""

from __future__ import annotations

from typing import Final

from contracts.errors import MalformedMessage
from ingest.rtsp.h264 import BitReader, PictureFormat

NAL_RASL_N: Final = 8
NAL_RASL_R: Final = 9
NAL_SLICE_LAST: Final = 9
"""The last type of a slice that is no random access point; those above up to 15 are reserved."""
NAL_IRAP_FIRST: Final = 16
"""BLA, IDR and CRA: pictures that decode alone."""
NAL_IRAP_LAST: Final = 21
NAL_VPS: Final = 32
NAL_SPS: Final = 33
NAL_PPS: Final = 34
NAL_AUD: Final = 35
NAL_FILLER: Final = 38
NAL_AP: Final = 48
NAL_FU: Final = 49

_HEADER_BYTES: Final = 2


def nal_type(nal: bytes) -> int:
    """The type of a NAL unit of at least one byte."""
    return nal[0] >> 1 & 0x3F


def parameter_set_id(nal: bytes) -> int:
    """The id of a VPS, SPS or PPS NAL unit (header included), or 0 when it cannot be read."""
    kind = nal_type(nal)
    try:
        if kind == NAL_VPS:
            return BitReader(nal[_HEADER_BYTES : _HEADER_BYTES + 2]).bits(4)
        reader = BitReader(nal[_HEADER_BYTES:256])
        if kind == NAL_SPS:
            reader.bits(4)
            _skip_profile(reader, reader.bits(3))
        return reader.ue()
    except MalformedMessage:
        return 0


def parse_sps(nal: bytes) -> PictureFormat:
    """Profile, level and picture size of a sequence parameter set (7.3.2.2.1), NAL header included.

    Raises MalformedMessage when the bytes are no SPS or the size is out of bounds (1 to 16,384 pixels a side).
    """
    if len(nal) < 16 or nal_type(nal) != NAL_SPS:
        raise MalformedMessage("these bytes are no H.265 sequence parameter set")
    reader = BitReader(nal[_HEADER_BYTES:1024])
    reader.bits(4)
    profile, level = _skip_profile(reader, reader.bits(3))
    reader.ue()
    chroma = reader.ue()
    if chroma == 3:
        reader.bits(1)
    width, height = reader.ue(), reader.ue()
    if reader.bits(1):
        left, right, top, bottom = reader.ue(), reader.ue(), reader.ue(), reader.ue()
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1)
    if not (0 < width <= 16_384 and 0 < height <= 16_384):
        raise MalformedMessage(f"an H.265 parameter set gives the picture size {width}x{height}")
    return PictureFormat(profile, level, width, height)


def _skip_profile(reader: BitReader, sub_layers: int) -> tuple[int, int]:
    """profile_tier_level (7.3.3), with the temporal nesting flag before it: profile and level."""
    reader.bits(1)
    reader.bits(3)
    profile = reader.bits(5)
    reader.bits(32 + 48)
    level = reader.bits(8)
    present = [(reader.bits(1), reader.bits(1)) for _ in range(sub_layers)]
    if sub_layers:
        reader.bits(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        reader.bits(88 * has_profile + 8 * has_level)
    return profile, level
