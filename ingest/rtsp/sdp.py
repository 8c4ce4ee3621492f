"""Session descriptions (SDP, RFC 8866): the video track to receive and where to ask for it."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from contracts.errors import ProtocolViolation

_LINES_MAX: Final = 2_000
_FORMATS_MAX: Final = 32
RECEIVED_CODECS: Final = frozenset({"H264", "H265"})
"""Codecs by their names in SDP that ingest.rtsp receives itself."""
_CODEC_NAMES: Final = {"HEVC": "H265", "H.264": "H264", "H.265": "H265", "AVC": "H264"}
"""Names that cameras use for those that are registered."""
_SPROPS: Final = {
    "H264": ("sprop-parameter-sets",),
    "H265": ("sprop-vps", "sprop-sps", "sprop-pps"),
}
_DON_DIFF: Final = re.compile(r"(?:^|[;\s])sprop-max-don-diff\s*=\s*0*[1-9]", re.IGNORECASE)
_STATIC_CODECS: Final = {"26": ("JPEG", 90_000), "32": ("MPV", 90_000), "31": ("H261", 90_000)}


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """A video track: what to set up and how its packets are coded.

    `codec` is the encoding name in upper case (`H264`), `parameter_sets` are NAL units from the `sprop-`
    parameters (empty when the description has none), `parameter_sets_odd` says that those were missing or not all
    usable. `frame_rate` as the server says it, None when it does not. `reordered`: NAL units come in another order
    than they are decoded in, with decoding order numbers in the packets (RFC 7798, 7.1: sprop-max-don-diff).
    """

    control: str
    payload_type: int
    codec: str
    clock_rate: int
    parameter_sets: tuple[bytes, ...] = ()
    parameter_sets_odd: bool = False
    frame_rate: float | None = None
    reordered: bool = False


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """What DESCRIBE told: the aggregate control URL and the video track to set up."""

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
    tracks = [_video(section, aggregate) for section in media if section[0].startswith("m=video")]
    if not tracks:
        raise ProtocolViolation(
            "该流没有视频轨 (no video track in the session description); check the URL's path", reason="no_video"
        )
    # The first that can be received, so that a JPEG track in front does not hide the stream behind it.
    track = next((each for each in tracks if each.codec in RECEIVED_CODECS), tracks[0])
    return SessionDescription(aggregate, track)


def _attribute(lines: list[str], name: str) -> str | None:
    prefix = f"a={name}:"
    return next((line[len(prefix) :].strip() for line in lines if line.startswith(prefix)), None)


def _video(section: list[str], base: str) -> VideoTrack:
    formats = section[0].split()[3:]
    if not formats or not all(
        each.isascii() and each.isdigit() and len(each) < 4 and int(each) < 128 for each in formats[:_FORMATS_MAX]
    ):
        raise ProtocolViolation(f"SDP 的 m= 行无效 (cannot be read): {section[0][:80]!r}", reason="sdp")
    names = dict(_STATIC_CODECS)
    parameters: dict[str, str] = {}
    for line in section:
        kind, _, rest = line.partition(":")
        number, _, value = rest.strip().partition(" ")
        if kind == "a=rtpmap":
            names[number] = _rtpmap(value)
        elif kind == "a=fmtp":
            parameters[number] = value.strip()
    offered = formats[:_FORMATS_MAX]
    number = next((each for each in offered if names.get(each, ("", 0))[0] in RECEIVED_CODECS), offered[0])
    codec, rate = names.get(number) or (_codec_by_parameters(parameters.get(number, "")), 90_000)
    said = parameters.get(number, "")
    sets, odd = _parameter_sets(codec, said)
    control = _join(base, _attribute(section, "control") or "*")
    reordered = codec == "H265" and _DON_DIFF.search(said) is not None
    return VideoTrack(control, int(number), codec, rate, sets, odd, _frame_rate(section), reordered)


def _rtpmap(value: str) -> tuple[str, int]:
    name, _, text = value.strip().partition("/")
    digits = text.split("/")[0].strip()
    rate = int(digits) if digits.isascii() and digits.isdigit() and 0 < len(digits) < 10 else 0
    return _CODEC_NAMES.get(name.strip().upper(), name.strip().upper()), rate or 90_000


def _codec_by_parameters(parameters: str) -> str:
    """The codec of a dynamic payload type without rtpmap, as far as its parameters give it away."""
    names = {part.strip().partition("=")[0].lower() for part in parameters.split(";")}
    if names & {"sprop-vps", "sprop-sps", "sprop-pps", "sprop-max-don-diff"}:
        return "H265"
    return "H264" if names & {"packetization-mode", "sprop-parameter-sets", "profile-level-id"} else ""


def _frame_rate(section: list[str]) -> float | None:
    text = _attribute(section, "framerate") or ""
    try:
        rate = float(text)
    except ValueError:
        return None
    return rate if 0 < rate < 1000 else None


def _parameter_sets(codec: str, parameters: str) -> tuple[tuple[bytes, ...], bool]:
    """The NAL units of the codec's sprop parameters, and whether any was missing or unusable."""
    wanted = _SPROPS.get(codec, ())
    sets: list[bytes] = []
    found = 0
    odd = False
    for part in parameters.split(";"):
        name, _, value = part.strip().partition("=")
        if name.strip().lower() not in wanted:
            continue
        found += 1
        for text in value.strip().strip('"').split(",")[:64]:
            nal = _decoded(text.strip())
            # Forbidden bit set: no NAL unit. A start code in front is a common mistake and is taken off.
            if nal and not nal[0] & 0x80:
                sets.append(nal)
            else:
                odd = True
    return tuple(sets), odd or found < len(wanted)


def _decoded(text: str) -> bytes:
    try:
        nal = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return nal[4:] if nal.startswith(b"\0\0\0\1") else nal


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
