"""All that is not RTSP over TCP, through FFmpeg (PyAV): files, HLS, HTTP-FLV, MPEG-TS, MJPEG, RTSP over UDP.

Demultiplexed, never decoded: key pictures leave as Annex B with parameter sets in front (JPEG as it is). All of it
blocks, so it runs in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit, urlunsplit

import av
import av.error
from av.bitstream import BitStreamFilterContext

from contracts.errors import (
    ConfigError,
    GridwhistleError,
    ProtocolViolation,
    SourceMissing,
    SourceRefused,
    SourceUnreachable,
)
from contracts.frame import Codec
from ingest.rtsp.h264 import START_CODE
from ingest.rtsp.message import parse_url

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from ingest.rtsp.credentials import Credentials

_SCHEMES: Final = frozenset({"file", "http", "https", "rtsp", "rtmp", "udp", "rtp"})
_PROTOCOLS: Final = "file,crypto,data,http,https,httpproxy,tcp,tls,udp,rtp,rtsp,rtmp"
_CODECS: Final = {"h264": Codec.H264, "hevc": Codec.HEVC, "mjpeg": Codec.MJPEG}
_FILTERS: Final = {Codec.H264: "h264_mp4toannexb", Codec.HEVC: "hevc_mp4toannexb"}
_START: Final = re.compile(rb"\x00\x00\x01")


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """What the container says of its first video stream. `pictures_per_s` None when unknown."""

    codec: Codec
    container: str
    width: int
    height: int
    pictures_per_s: float | None


@dataclass(frozen=True, slots=True)
class MediaPicture:
    """One key picture; `time_s` on the stream's own time line, None when it has none."""

    data: bytes
    time_s: float | None
    dropped_pictures: int
    dropped_bytes: int


def is_file(url: str) -> bool:
    """True for a path or a file:// URL: paced by its own timestamps; everything else is live."""
    return urlsplit(url).scheme in ("", "file") or Path(url).exists()


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
    ) -> None:
        self._name = _public_name(url)
        self._picture_bytes_max = picture_bytes_max
        self.pictures = 0
        self.bytes = 0
        self.refused_too_large = 0
        options = {"protocol_whitelist": _PROTOCOLS}
        if urlsplit(url).scheme == "rtsp":
            options["rtsp_transport"] = "udp" if udp else "tcp"
        try:
            self._container: InputContainer = av.open(
                _address(url, credentials), options=options, timeout=(open_s, read_s)
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _mapped(error, self._name) from None
        try:
            self.format, self._stream = self._choose()
        except BaseException:
            self._container.close()
            raise

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
        codec = self.format.codec
        name = _FILTERS.get(codec)
        to_annexb = BitStreamFilterContext(name, self._stream) if name is not None else None
        sets = _annexb_sets(self._stream.codec_context.extradata)
        dropped = dropped_bytes = 0
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size:
                    continue
                self.pictures += 1
                self.bytes += packet.size
                if not packet.is_keyframe or packet.is_corrupt:
                    dropped += 1
                    dropped_bytes += packet.size
                    continue
                if packet.size > self._picture_bytes_max:
                    self.refused_too_large += 1
                    continue
                time_s = float(packet.pts * packet.time_base) if packet.pts is not None else None
                data = _annexb(packet, to_annexb)
                if not data:
                    continue
                if to_annexb is not None and not _has_sets(data, codec):
                    data = sets + data
                yield MediaPicture(data, time_s, dropped, dropped_bytes)
                dropped = dropped_bytes = 0
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _mapped(error, self._name) from None

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


def _has_sets(data: bytes, codec: Codec) -> bool:
    """True when a sequence parameter set stands in front of the first slice."""
    for match in _START.finditer(data):
        if match.end() >= len(data):
            return False
        head = data[match.end()]
        kind = head & 0x1F if codec is Codec.H264 else head >> 1 & 0x3F
        if kind == (7 if codec is Codec.H264 else 33):
            return True
        if kind <= (5 if codec is Codec.H264 else 31):
            return False
    return False


def _public_name(url: str) -> str:
    """The URL for messages: without user, password and query."""
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return "URL"
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme and host else url[:200]


def _address(url: str, credentials: Credentials | None) -> str:
    """What FFmpeg is given; credentials travel in the URL there and nowhere else. Other protocols are refused."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme == "rtsp":
        parse_url(url)
    elif scheme and scheme not in _SCHEMES:
        raise ConfigError(f"不支持的地址类型 {scheme}:// (known: {', '.join(sorted(_SCHEMES))})", reason="url")
    elif not scheme and not Path(url).is_file():
        raise SourceMissing(f"没有此文件 (no such file): {url[:200]}")
    if credentials is None or not scheme:
        return url
    parts = urlsplit(url)
    login = f"{quote(credentials.user, safe='')}:{quote(credentials.password, safe='')}@"
    return urlunsplit(parts._replace(netloc=login + parts.netloc))


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
