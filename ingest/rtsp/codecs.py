"""Codecs that a session receives, and which depacketizer takes each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.frame import Codec
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.depacketize_h265 import H265Depacketizer

if TYPE_CHECKING:
    from ingest.rtsp.assembly import KeyPicturePolicy, PictureSink
    from ingest.rtsp.depacketize import Depacketizer

CODECS: Final = {"H264": Codec.H264, "H265": Codec.HEVC}
"""By the names in SDP, `sdp.RECEIVEDCODECS`."""
_DEPACKETIZERS: Final[dict[Codec, type[H264Depacketizer] | type[H265Depacketizer]]] = {
    Codec.H264: H264Depacketizer,
    Codec.HEVC: H265Depacketizer,
}


def make_depacketizer(
    codec: Codec, on_picture: PictureSink, *, picture_bytes_max: int, policy: KeyPicturePolicy
) -> Depacketizer:
    """The depacketizer of a codec."""
    kind = _DEPACKETIZERS[codec]
    return kind(on_picture, picture_bytes_max=picture_bytes_max, policy=policy)
