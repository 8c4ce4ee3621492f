"""All that is not RTSP over TCP, through FFmpeg (PyAV): files, HLS, HTTP-FLV, MPEG-TS, MJPEG, RTSP over UDP.

Demultiplexed, never decoded: key pictures leave as Annex B with parameter sets in front (JPEG as it is), and while
they are collected the others too. All of it blocks and may crash, so it runs in a thread of a media child.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final

import av
import av.error
from av.bitstream import BitStreamFilterContext

from contracts.errors import (
    GridwhistleError,
    ProtocolViolation,
    SourceMissing,
    SourceRefused,
    SourceUnreachable,
)
from contracts.frame import Codec
from ingest.media.address import full_address, is_file, open_options, public_name
from ingest.media.taken import MediaFormat, MediaPicture
from ingest.rtsp.h264 import START_CODE

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from ingest.rtsp.credentials import Credentials

_CODECS: Final = {"h264": Codec.H264, "hevc": Codec.HEVC, "mjpeg": Codec.MJPEG}
_FILTERS: Final = {Codec.H264: "h264_mp4toannexb", Codec.HEVC: "hevc_mp4toannexb"}
_ELSEWHERE_MAX: Final = 50
"""Packets of another video track in a row after which ours is taken to be over."""
_FOREIGN_MAX: Final = 4
"""Key pictures of another codec in a row that are passed over; with the next one the source is opened again."""
_START: Final = re.compile(rb"\x00\x00\x01")


class MediaSource:
    """One opened source. Raises SourceMissing, SourceRefused, SourceUnreachable or ProtocolViolation."""

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None = None,
        open_s: float = 10.0,
        read_s: float = 10.0,
        picture_bytes_max: int = 4 << 20,
        udp: bool = False,
        stop: Callable[[], bool] = lambda: False,
        reading: Callable[[bool], None] = lambda _begins: None,
    ) -> None:
        """`stop` is asked before each packet; `reading` hears when a native call begins and ends."""
        self._name = public_name(url)
        self._stop = stop
        self._reading = reading
        self._picture_bytes_max = picture_bytes_max
        self.pictures = 0
        self.bytes = 0
        self.refused_too_large = 0
        try:
            self._container: InputContainer = av.open(
                full_address(url, credentials), options=open_options(url, udp=udp), timeout=(open_s, read_s)
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _mapped(error, self._name) from None
        try:
            self.format, self._stream = self._choose()
        except BaseException:
            self._container.close()
            raise
        self.finite = is_file(url) or self._container.duration is not None
        """It has an end (a file, a list of segments that is complete): read by its own time, not by arrival."""

    def _choose(self) -> tuple[MediaFormat, VideoStream]:
        streams = self._container.streams.video
        if not streams:
            raise ProtocolViolation(f"{self._name} 没有视频轨 (no video track)", reason="no_video")
        stream = streams[0]
        context = stream.codec_context
        codec = _CODECS.get(context.name)
        if codec is None:
            raise ProtocolViolation(
                f"{self._name} 的视频编码 {context.name} 不受支持 (known: {', '.join(_CODECS)})",
                reason="unsupported_codec",
            )
        rate = float(stream.average_rate) if stream.average_rate else None
        kind = self._container.format.name
        return MediaFormat(codec, kind, context.width, context.height, rate), stream

    def key_pictures(self) -> Iterator[MediaPicture]:
        """Key pictures in order until the end of the source. Raises as the class does."""
        return self.access_units(lambda: False)

    def access_units(self, collecting: Callable[[], bool]) -> Iterator[MediaPicture]:
        """Key pictures, and while `collecting` all that follow one, in decoding order. Raises as the class does.

        A picture that is damaged, too large or of another codec ends what follows its key picture.
        """
        codec = self.format.codec
        name = _FILTERS.get(codec)
        to_annexb = BitStreamFilterContext(name, self._stream) if name is not None else None
        sets = _annexb_sets(self._stream.codec_context.extradata)
        seen = b""
        dropped = dropped_bytes = foreign = 0
        following = False
        try:
            for packet in self._packets():
                self.pictures += 1
                self.bytes += packet.size
                too_large = packet.size > self._picture_bytes_max
                whole = not packet.is_corrupt and not too_large
                time_s = float(packet.pts * packet.time_base) if packet.pts is not None else None
                if not packet.is_keyframe or packet.is_corrupt:
                    dropped += 1
                    dropped_bytes += packet.size
                    following = following and whole and collecting()
                    if following:
                        data = _annexb(packet, to_annexb)
                        following = to_annexb is None or _is_slice(data, codec)
                        if following:
                            yield MediaPicture(data, time_s, 0, 0, key=False)
                    continue
                following = False
                if too_large:
                    self.refused_too_large += 1
                    continue
                data = _annexb(packet, to_annexb)
                if not data:
                    continue
                changed = False
                if to_annexb is not None:
                    own, sliced = head_of(data, codec)
                    if not sliced:
                        # Of another codec than the container says, as before or after a change.
                        foreign += 1
                        if foreign > _FOREIGN_MAX:
                            raise self._changed()
                        dropped += 1
                        dropped_bytes += packet.size
                        continue
                    foreign = 0
                    data = data if own else sets + data
                    own = own or seen
                    changed, seen = bool(seen) and own != seen, own
                yield MediaPicture(data, time_s, dropped, dropped_bytes, changed)
                dropped = dropped_bytes = 0
                # Asked once it is taken: whoever began to collect meanwhile gets what follows this one.
                following = collecting()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _mapped(error, self._name) from None

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets of our track; raises when the video goes on in another one, as after a change of codec."""
        elsewhere = 0
        packets = self._container.demux()
        while not self._stop():
            self._reading(True)
            packet = next(packets, None)
            self._reading(False)
            if packet is None:
                self._ended()
                return
            if not packet.size:
                continue
            if packet.stream_index == self._stream.index:
                elsewhere = 0
                yield packet  # type: ignore[misc]
            elif packet.stream.type == "video":
                elsewhere += 1
                if elsewhere > _ELSEWHERE_MAX:
                    raise self._changed()

    def _ended(self) -> None:
        """The end of what has one is no failure; a live list that ends has stopped moving, another was closed."""
        if self.finite or self._stop():
            return
        if self.format.container.startswith("hls"):
            raise SourceUnreachable(f"{self._name} 的播放列表不再更新 (its list moves no more)", reason="stall")
        raise SourceUnreachable(f"{self._name} 已被对方关闭 (closed by the peer)", reason="closed")

    def _changed(self) -> SourceUnreachable:
        return SourceUnreachable(
            f"{self._name} 的视频编码中途改变 (its codec changed in mid-stream); 重新打开 (it is opened again)",
            reason="stream_changed",
        )

    def close(self) -> None:
        """Give the source back."""
        self._container.close()


def key_pictures(url: str, picture_bytes_max: int = 4 << 20) -> Iterator[MediaPicture]:
    """Key pictures of a file or URL, as fast as they are taken."""
    with closing(MediaSource(url, picture_bytes_max=picture_bytes_max)) as source:
        yield from source.key_pictures()


def _annexb(packet: Packet[VideoStream], to_annexb: BitStreamFilterContext | None) -> bytes:
    if to_annexb is None:
        return bytes(packet)
    return b"".join(bytes(each) for each in to_annexb.filter(packet))


def _annexb_sets(extradata: bytes | None) -> bytes:
    """Parameter sets of a stream whose extradata are Annex B already (MPEG-TS, RTSP); the filter adds others."""
    if not extradata or not extradata.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        return b""
    return b"".join(START_CODE + nal.rstrip(b"\x00") for nal in _START.split(extradata) if nal.strip(b"\x00"))


def head_of(data: bytes, codec: Codec) -> tuple[bytes, bool]:
    """The sequence parameter set in front of the first slice (empty without), and whether a slice of this codec
    that can begin a decode follows: H.264 types 1 and 5, H.265 types 16 to 23 (IRAP; layer 0, so the header's bits
    0x81 are 0, which tells it from H.264)."""
    h264 = codec is Codec.H264
    found = b""
    for match in _START.finditer(data):
        if match.end() >= len(data):
            break
        head = data[match.end()]
        kind = head & 0x1F if h264 else head >> 1 & 0x3F
        if kind == (7 if h264 else 33):
            end = data.find(b"\x00\x00\x01", match.end())
            found = data[match.end() : end if end >= 0 else len(data)].rstrip(b"\x00")
        elif h264 and kind in (1, 5):
            return found, True
        elif not h264 and kind <= 31:
            return found, 16 <= kind <= 23 and not head & 0x81
    return found, False


def _is_slice(data: bytes, codec: Codec) -> bool:
    """Whether a picture between key pictures holds a slice of this codec: H.264 types 1 to 4, H.265 0 to 9."""
    for match in _START.finditer(data):
        if match.end() + 1 >= len(data):
            break
        head = data[match.end()]
        if codec is Codec.H264:
            if 1 <= head & 0x1F <= 4:
                return True
        # Layer 0 and a temporal id above 0, as every H.265 header has it, tell it from H.264.
        elif not head & 0x81 and head >> 1 <= 9 and not data[match.end() + 1] >> 3 and data[match.end() + 1] & 7:
            return True
    return False


def _mapped(error: Exception, name: str) -> GridwhistleError:
    """FFmpeg's errors in our tree; their own text may repeat the URL with its password, so it is not used."""
    if isinstance(error, GridwhistleError):
        return error
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError() | av.error.PermissionError():
            return SourceRefused(f"{name} 拒绝访问 (refuses our credentials or rights); 请检查密钥文件")
        case av.error.HTTPNotFoundError() | av.error.FileNotFoundError() | av.error.IsADirectoryError():
            return SourceMissing(f"{name} 不存在 (not found); 请检查地址 (check the URL)")
        case av.error.InvalidDataError():
            return ProtocolViolation(
                f"{name} 的内容不是可识别的视频 (no video that FFmpeg knows)", reason="garbage"
            )
        case av.error.ExitError() | av.error.TimeoutError():
            return SourceUnreachable(f"{name} 未按时应答 (did not answer in time)", reason="stall")
        case _:
            cause = getattr(error, "strerror", None) or type(error).__name__
            return SourceUnreachable(f"{name} 无法读取 (cannot be read): {cause}")
