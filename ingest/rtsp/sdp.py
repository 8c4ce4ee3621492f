"""Session descriptions (SDP, RFC 8866): the first video track and where to ask for it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from contracts.errors import ProtocolViolation

_LINES_MAX: Final = 2_000
_STATIC_CODECS: Final = {"26": ("JPEG", 90_000), "32": ("MPV", 90_000), "31": ("H261", 90_000)}


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """A video track: what to set up and how its packets are coded.

    `codec` is the encoding name in upper case (`H264`), `parameter_sets` are NAL units from
    `sprop-parameter-sets` (empty when the description has none).
    """

    control: str
    payload_type: int
    codec: str
    clock_rate: int
    parameter_sets: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """What DESCRIBE told: the aggregate control URL and the first video track."""

    control: str
    video: VideoTrack


def parse_sdp(body: bytes, base: str) -> SessionDescription:
    """Read a session description; `base` is the Content-Base or the asked URL.

    Raises ProtocolViolation with reason `sdp` when it cannot be read, `no_video` when no track is video.
    """
    lines = body.decode("utf-8", "replace").splitlines()
    if not lines or not lines[0].startswith("v="):
        raise ProtocolViolation("DESCRIBE 的应答不是 SDP (the body is no session description)", reason="sdp")
    session: list[str] = []
    media: list[list[str]] = []
    for line in lines[:_LINES_MAX]:
        if line.startswith("m="):
            media.append([])
        (media[-1] if media else session).append(line.strip())
    aggregate = _join(base, _attribute(session, "control") or "*")
    for section in media:
        if section[0].startswith("m=video"):
            return SessionDescription(aggregate, _video(section, aggregate))
    raise ProtocolViolation(
        "该流没有视频轨 (no video track in the session description); check the URL's path", reason="no_video"
    )


def _attribute(lines: list[str], name: str) -> str | None:
    prefix = f"a={name}:"
    return next((line[len(prefix) :].strip() for line in lines if line.startswith(prefix)), None)


def _video(section: list[str], base: str) -> VideoTrack:
    fields = section[0].split()
    formats = fields[3:]
    if not formats or not formats[0].isdigit() or len(formats[0]) > 3 or int(formats[0]) > 127:
        raise ProtocolViolation(f"SDP 的 m= 行无效 (cannot be read): {section[0][:80]!r}", reason="sdp")
    payload_type = formats[0]
    codec, rate = _STATIC_CODECS.get(payload_type, ("", 90_000))
    parameters = ""
    for line in section:
        if line.startswith("a=rtpmap:"):
            number, _, rest = line[9:].partition(" ")
            if number == payload_type:
                name, _, text = rest.strip().partition("/")
                codec = name.upper()
                digits = text.split("/")[0]
                rate = int(digits) if digits.isdigit() and 0 < len(digits) < 10 and int(digits) else 90_000
        elif line.startswith("a=fmtp:"):
            number, _, rest = line[7:].partition(" ")
            if number == payload_type:
                parameters = rest
    control = _join(base, _attribute(section, "control") or "*")
    return VideoTrack(control, int(payload_type), codec, rate, _parameter_sets(parameters))


def _parameter_sets(parameters: str) -> tuple[bytes, ...]:
    for part in parameters.split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() == "sprop-parameter-sets":
            sets = []
            for text in value.split(",")[:64]:
                try:
                    sets.append(base64.b64decode(text.strip() + "=" * (-len(text.strip()) % 4)))
                except (binascii.Error, ValueError):
                    continue
            return tuple(each for each in sets if each)
    return ()


def _join(base: str, control: str) -> str:
    """Cameras mean "append to the base", which RFC 3986 resolution would turn into "replace the last part"."""
    if control in ("*", ""):
        return base
    try:
        if urlsplit(control).scheme in ("rtsp", "rtsps"):
            return control
        if control.startswith("/"):
            return urljoin(base.replace("rtsp:", "http:", 1), control).replace("http:", "rtsp:", 1)
    except ValueError:
        raise ProtocolViolation("SDP 的 control 属性无效 (cannot be read)", reason="sdp") from None
    return (base if base.endswith("/") else base + "/") + control
