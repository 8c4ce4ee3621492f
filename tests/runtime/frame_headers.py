"""Headers of pictures for tests of the picture link: event and arrival at `sequence` nanoseconds."""

from __future__ import annotations

from contracts.frame import Codec, FrameHeader
from contracts.instant import Instant


def header(source: str, sequence: int, size: int = 3, chain: int | None = None) -> FrameHeader:
    """Of an ordinary picture, or with `chain` of one of a promoted camera."""
    return FrameHeader(
        source_id=source,
        sequence=sequence,
        event_time=Instant(sequence),
        arrival_time=Instant(sequence),
        codec=Codec.H264,
        size=size,
        key=not chain,
        promoted=chain is not None,
        chain=chain or 0,
    )
