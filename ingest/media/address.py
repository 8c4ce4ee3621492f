"""Addresses for FFmpeg: which are taken, what each kind may do, and how they are named in messages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit, urlunsplit

from contracts.errors import ConfigError, SourceMissing
from ingest.media.folder import is_folder
from ingest.rtsp.message import USER_AGENT, parse_url

if TYPE_CHECKING:
    from ingest.rtsp.credentials import Credentials

_FILE_FORMATS: Final = "mov,matroska,mpegts,mpeg,flv,avi,h264,hevc,mjpeg,mpjpeg"
_HTTP: Final = {
    "protocol_whitelist": "http,https,httpproxy,tcp,tls,crypto,data",
    # No concat, no SDP: a list names HTTP segments and nothing else.
    "format_whitelist": f"{_FILE_FORMATS},hls,live_flv,aac,ac3,mp3,webvtt",
    "user_agent": USER_AGENT,
    # A lost source is seen, counted and asked again by our supervision, not within FFmpeg.
    "reconnect": "0",
    "probesize": str(2 << 20),
    "analyzeduration": "3000000",
}
_DATAGRAMS: Final = {
    "protocol_whitelist": "udp,rtp",
    "format_whitelist": "mpegts,rtp,sdp,h264,hevc",
    "overrun_nonfatal": "1",
    "fifo_size": "20000",
    "analyzeduration": "3000000",
}
_KINDS: Final = {
    "file": {"protocol_whitelist": "file", "format_whitelist": _FILE_FORMATS},
    "http": _HTTP,
    "https": _HTTP,
    "rtsp": {"protocol_whitelist": "rtsp,rtp,udp,tcp", "user_agent": USER_AGENT},
    "rtmp": {"protocol_whitelist": "rtmp,tcp", "format_whitelist": "flv,live_flv"},
    "udp": _DATAGRAMS,
    "rtp": _DATAGRAMS,
}
"""FFmpeg's options by scheme: a network playlist never reads a local file, a file never opens the network."""


def is_file(url: str) -> bool:
    """True for a path or a file:// URL: paced by its own timestamps; everything else is live."""
    return urlsplit(url).scheme in ("", "file") or Path(url).exists()


def is_list(url: str) -> bool:
    """True for a live list of segments (HLS), by its name."""
    return urlsplit(url).scheme in ("http", "https") and urlsplit(url).path.lower().endswith((".m3u8", ".m3u"))


def open_options(url: str, *, udp: bool) -> dict[str, str]:
    """FFmpeg's options for this address; `udp`: RTSP asks for RTP over UDP instead of TCP."""
    scheme = urlsplit(url).scheme if "://" in url else "file"
    options = dict(_KINDS[scheme])
    if scheme == "rtsp":
        options["rtsp_transport"] = "udp" if udp else "tcp"
    return options


def full_address(url: str, credentials: Credentials | None) -> str:
    """What FFmpeg is given; credentials travel in the URL there and nowhere else.

    Raises ConfigError for a scheme that is not taken, SourceMissing for a path that is no file.
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme == "rtsp":
        parse_url(url)
    elif scheme and scheme not in _KINDS:
        raise ConfigError(f"不支持的地址类型 {scheme}:// (known: {', '.join(sorted(_KINDS))})", reason="url")
    elif not scheme and not (Path(url).is_file() or is_folder(url)):
        raise SourceMissing(f"没有此文件 (no such file): {url[:200]}")
    if credentials is None or not scheme:
        return url
    parts = urlsplit(url)
    login = f"{quote(credentials.user, safe='')}:{quote(credentials.password, safe='')}@"
    return urlunsplit(parts._replace(netloc=login + parts.netloc))


def public_name(url: str) -> str:
    """The URL for messages: without user, password and query."""
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return "URL"
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme and host else url[:200]
