"""Write the captures anew: `python -m tests.ingest.rtsp.make_captures`.

Each is derived by hand from the behaviour that its policy in ingest.rtsp.quirks names: the dialogue is written
here, the pictures are a synthetic clip of our own, packed as our load servers pack it. No outside footage is in
them. The key pictures that must come out follow from the encoder's access units, not from the code under test.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ingest.rtsp.h265 import nal_type
from ingest.rtsp.quirks import Quirk
from tests.ingest import h264_clip, h265_clip
from tests.ingest.h264_clip import START, interleaved, rtp, stream
from tests.ingest.rtsp.capture import FOLDER

PATH = "/live/1"
SESSION = "Session: 8A3F;timeout=60"
TCP = "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=1234ABCD"
PUBLIC = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
CHALLENGE = 'WWW-Authenticate: Digest realm="cam", nonce="5f2c9a"'
Units = tuple[tuple[tuple[bytes, ...], bool], ...]


class Clip(NamedTuple):
    """A clip packed for sending: RTP packets, parameter sets, and what must come out."""

    codec: str
    packets: list[bytes]
    sets: list[bytes]
    keys: list[bytes]


def h264() -> Clip:
    units = _without(
        h264_clip.clip(5, width=64, height=48, gop=2, options=":qp=44"), lambda nal: nal[0] & 0x1F == 6
    )
    return _clip(
        "H264", units, lambda nal: nal[0] & 0x1F in (7, 8), [rtp(*each) for each in stream(units, size=90)]
    )


def h265() -> Clip:
    units = _without(
        h265_clip.clip(5, width=64, height=64, gop=2, options=":qp=44"), lambda nal: nal_type(nal) in (39, 40)
    )
    packets = stream(units, size=90, fragments=h265_clip.fragments, aggregate=h265_clip.aggregate)
    return _clip("H265", units, lambda nal: nal_type(nal) in (32, 33, 34), [rtp(*each) for each in packets])


def _without(units: Units, dropped: Callable[[bytes], bool]) -> Units:
    """The encoder's SEI names its options in 600 bytes: not needed here."""
    return tuple((tuple(nal for nal in nals if not dropped(nal)), key) for nals, key in units)


def _clip(codec: str, units: Units, is_set: Callable[[bytes], bool], packets: list[bytes]) -> Clip:
    sets = [nal for nal in units[0][0] if is_set(nal)]
    keys = [
        b"".join(START + nal for nal in [*sets, *(each for each in nals if not is_set(each))])
        for nals, key in units
        if key
    ]
    return Clip(codec, packets, sets, keys)


def sender_report() -> bytes:
    return struct.pack("!BBHIIIIII", 0x80, 200, 6, 0x1234ABCD, 3_990_000_000, 5, 9_000, 1, 1)


def media(clip: Clip, channel: int = 0) -> list[bytes]:
    """The clip as interleaved packets, a sender report behind the second."""
    packets = [interleaved(each, channel) for each in clip.packets]
    return [*packets[:2], interleaved(sender_report(), channel + 1), *packets[2:]]


def sdp(clip: Clip, control: str = "trackID=1", sprop: str | None = None) -> bytes:
    if sprop is None:
        texts = [base64.b64encode(each).decode() for each in clip.sets]
        names = ("sprop-vps", "sprop-sps", "sprop-pps")
        pairs = [f"{name}={text}" for name, text in zip(names, texts, strict=False)]
        sprop = f"sprop-parameter-sets={','.join(texts)}" if clip.codec == "H264" else ";".join(pairs)
    form = f"a=fmtp:96 packetization-mode=1;{sprop}\r\n" if clip.codec == "H264" else f"a=fmtp:96 {sprop}\r\n"
    return (
        "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=live\r\nt=0 0\r\na=control:*\r\n"
        f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {clip.codec}/90000\r\n{form}a=control:{control}\r\n"
    ).encode()


def reply(cseq: int | None, *headers: str, status: str = "200 OK", body: bytes = b"") -> bytes:
    lines = [f"RTSP/1.0 {status}", *([] if cseq is None else [f"CSeq: {cseq}"]), *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass
class Turn:
    client: str
    server: bytes
    media: bytes = b""
    datagrams: list[bytes] = field(default_factory=list)
    otherwise: bytes | None = None
    hangs_up: bool = False
    digest_uri: str = ""


class Exchange:
    """An exchange turn by turn; what is not given is as a server by the book says it."""

    def __init__(self, clip: Clip | None = None) -> None:
        self.clip = clip or h264()
        self.turns: list[Turn] = []

    @property
    def cseq(self) -> int:
        return len(self.turns) + 1

    def turn(self, client: str, server: bytes, **more: Any) -> Exchange:
        self.turns.append(Turn(client, server, **more))
        return self

    def options(self, server: bytes | None = None) -> Exchange:
        return self.turn("OPTIONS {url}", server or reply(self.cseq, PUBLIC))

    def describe(self, *headers: str, body: bytes | None = None) -> Exchange:
        body = body if body is not None else sdp(self.clip)
        lines = ("Content-Type: application/sdp", *headers, f"Content-Length: {len(body)}")
        return self.turn("DESCRIBE {url}", reply(self.cseq, *lines, body=body))

    def setup(
        self, transport: str = TCP, *, url: str = "{url}/trackID=1", session: str = SESSION, behind: bytes = b""
    ) -> Exchange:
        answer = reply(self.cseq, f"Transport: {transport}", session) + behind
        return self.turn(f"SETUP {url}\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1", answer)

    def play(
        self, packets: list[bytes] | None = None, *, url: str = "{url}", range_: str = "npt=0.000-"
    ) -> Exchange:
        packets = media(self.clip) if packets is None else packets
        client = f"PLAY {url}\nRange: {range_}" if range_ else f"PLAY {url}"
        return self.turn(client, reply(self.cseq, "Session: 8A3F"), media=b"".join(packets))

    def opened(self) -> Exchange:
        return self.options().describe().setup()


def numbered(exchange: Exchange, number: Callable[[int], int | None]) -> Exchange:
    """The CSeq lines rewritten by `number(cseq)`: another number, or None for no line."""
    for index, turn in enumerate(exchange.turns):
        right = f"CSeq: {index + 1}\r\n".encode()
        other = number(index + 1)
        turn.server = turn.server.replace(right, b"" if other is None else f"CSeq: {other}\r\n".encode(), 1)
    return exchange


def unnumbered() -> None:
    save("unnumbered_reply.missing", numbered(Exchange().opened().play(), lambda _: None))
    save("unnumbered_reply.one_behind", numbered(Exchange().opened().play(), lambda cseq: cseq - 1))
    short = "Session: 8A3F;timeout=4"
    kept = Exchange().options().describe().setup(session=short).play()
    kept.turn("GET_PARAMETER {url}", reply(0, "Session: 8A3F"))
    save("unnumbered_reply.keep_alive", kept)


def framing() -> None:
    packets = media(h264())
    noisy = [*packets[:3], b"\0\0 ", *packets[3:5], b" ", *packets[5:]]
    save("stray_bytes", Exchange().options().describe().setup(behind=b" \0\0").play(noisy))
    half = packets[4][: len(packets[4]) // 2]
    save("resync.partial_write", Exchange().opened().play([*packets[:5], half[5:], *packets[5:]]))
    clip = h264()
    second = (2**32 - 20_000 + 3_600).to_bytes(4, "big")
    of_second = [index for index, each in enumerate(packets) if each[1] == 0 and each[8:12] == second]
    quiet = max(of_second, key=lambda index: len(packets[index]))
    short = bytearray(packets[quiet])
    short[2:4] = (len(short) - 4 - 6).to_bytes(2, "big")
    save(
        "resync.length_too_small",
        Exchange(clip).opened().play([*packets[:quiet], bytes(short), *packets[quiet + 1 :]]),
    )


def descriptions() -> None:
    clip = h264()
    bare = reply(2, "Content-Type: application/sdp", body=sdp(clip))
    save("unsized_body", Exchange().options().turn("DESCRIBE {url}", bare).setup().play())
    for name, base in {
        "no_scheme": "192.168.1.64/live/1/",
        "scheme_twice": "rtsp://rtsp://192.168.1.64/live/1/",
        "unparsable": "rtsp://[192.168.1.64/live/1/",
    }.items():
        save(f"base_repaired.{name}", Exchange().options().describe(f"Content-Base: {base}").setup().play())
    path = Exchange().options().describe("Content-Base: /media/7/")
    path.setup(url="rtsp://127.0.0.1:*/media/7/trackID=1").play(url="rtsp://127.0.0.1:*/media/7/")
    save("base_repaired.path_alone", path)
    private = Exchange().options().describe("Content-Base: rtsp://192.168.1.64:554/live/1/")
    save("base_elsewhere.content_base", private.setup(url="{url}/trackID=1").play(url="{url}/"))
    control = sdp(clip, control="rtsp://192.168.1.64:554/live/1/trackID=1")
    save("base_elsewhere.control", Exchange().options().describe(body=control).setup().play())
    for name, sprop in {"not_base64": "sprop-parameter-sets=?,!", "missing": "profile-level-id=42C01E"}.items():
        odd = Exchange().options().describe(body=sdp(clip, sprop=sprop)).setup().play()
        save(f"parameter_sets_odd.{name}", odd)
    other = h265()
    save(
        "parameter_sets_odd.h265",
        Exchange(other).options().describe(body=sdp(other, sprop="tx-mode=SRST")).setup().play(),
    )


def transports() -> None:
    save("channel_chosen", _channel(h264(), 2))
    save("channel_chosen.h265", _channel(h265(), 4))
    save("channel_unnamed", Exchange().options().describe().setup("RTP/AVP/TCP;unicast").play())
    wanted = "SETUP {url}/trackID=1\nTransport: RTP/AVP;unicast;client_port=*"
    udp = "Transport: RTP/AVP;unicast;client_port=20000-20001;server_port=6970-6971"
    refused = Exchange().options().describe()
    refused.turn("SETUP {url}/trackID=1\nTransport: RTP/AVP/TCP;*", reply(3, status="461 Unsupported Transport"))
    refused.turn(wanted, reply(4, udp, SESSION))
    save("udp_when_tcp_refused.status_461", _datagrams(refused))
    answered = Exchange().options().describe().setup("RTP/AVP/UDP;unicast;server_port=6970-6971")
    answered.turn(wanted, reply(4, udp, SESSION))
    save("udp_when_tcp_refused.udp_answered", _datagrams(answered))


def _channel(clip: Clip, channel: int) -> Exchange:
    exchange = Exchange(clip).options().describe()
    exchange.setup(f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}")
    return exchange.play(media(clip, channel))


def _datagrams(exchange: Exchange) -> Exchange:
    exchange.play([])
    exchange.turns[-1].datagrams = list(exchange.clip.packets)
    return exchange


def refusals() -> None:
    save(
        "options_refused", Exchange().options(reply(1, status="405 Method Not Allowed")).describe().setup().play()
    )
    track = Exchange().opened()
    track.turn("PLAY {url}\nRange: npt=0.000-", reply(4, status="459 Aggregate Operation Not Allowed"))
    save("play_track", track.play(url="{url}/trackID=1"))
    ranged = Exchange().opened().turn("PLAY {url}\nRange: npt=0.000-", reply(4, status="457 Invalid Range"))
    save("range_refused", ranged.play(range_=""))
    query = "?channel=1&subtype=0"
    where = "rtsp://127.0.0.1:*/live/1"
    moved = Exchange().options().describe()
    moved.turn(f"SETUP {where}[?]channel=1&subtype=0/trackID=1", reply(3, status="404 Stream Not Found"))
    moved.setup(url=f"{where}/trackID=1[?]channel=1&subtype=0").play(url=f"{where}[?]channel=1&subtype=0")
    for turn in moved.turns[:2]:
        turn.client = turn.client.replace("{url}", f"{where}[?]channel=1&subtype=0")
    save("control_before_query", moved, path=PATH + query)


def keep_alives() -> None:
    short = "Session: 8A3F;timeout=4"
    refused = Exchange().options().describe().setup(session=short).play()
    refused.turn("GET_PARAMETER {url}", reply(5, status="400 Bad Request"))
    save("keep_alive_refused", refused.turn("OPTIONS {url}", reply(6, PUBLIC)))
    fatal = Exchange().options().describe().setup(session=short).play()
    fatal.turn("OPTIONS {url}", reply(5, PUBLIC), otherwise=b"", hangs_up=True)
    save("keep_alive_options", fatal, reason="keep_alive_fatal")
    deaf = Exchange().options(reply(1, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")).describe()
    deaf.setup(session=short).play()
    deaf.turn("GET_PARAMETER {url}", reply(5), otherwise=reply(5))
    save("keep_alive_parameter", deaf, reason="session_timed_out", timeout_s=4)


def digests() -> None:
    for name, uris in {
        "digest_uri_path": ("/live/1", "/live/1", "/live/1/trackID=1", "/live/1"),
        "digest_uri_base": ("{url}", "{url}", "{url}", "{url}"),
    }.items():
        signed = Exchange().options()
        signed.turn("DESCRIBE {url}", reply(2, CHALLENGE, status="401 Unauthorized"))
        signed.describe().setup().play()
        for turn, uri in zip(signed.turns[2:], uris[1:], strict=True):
            turn.digest_uri = uri
            cseq = signed.turns.index(turn) + 1
            turn.otherwise = reply(cseq, CHALLENGE, status="401 Unauthorized")
        save(name, signed, reason="refused_credentials")


def save(
    name: str,
    exchange: Exchange,
    *,
    path: str = PATH,
    reason: str = "rtsp_policy_off",
    timeout_s: int | None = None,
) -> None:
    quirk = Quirk(name.partition(".")[0])
    keys = ", ".join(f'"{hashlib.sha256(each).hexdigest()}"' for each in exchange.clip.keys)
    lines = [f'quirk = "{quirk}"', f'path = "{path}"', f'reason = "{reason}"', f"key_pictures = [{keys}]"]
    if timeout_s is not None:
        lines.append(f"timeout_s = {timeout_s}")
    for turn in exchange.turns:
        lines += ["", "[[turn]]", f"client = {_text(turn.client.encode())}", f"server = {_text(turn.server)}"]
        if turn.media:
            lines.append(f'media = "{base64.b64encode(turn.media).decode()}"')
        if turn.datagrams:
            texts = ", ".join(f'"{base64.b64encode(each).decode()}"' for each in turn.datagrams)
            lines.append(f"datagrams = [{texts}]")
        if turn.otherwise is not None:
            lines.append(f"otherwise = {_text(turn.otherwise)}")
        if turn.hangs_up:
            lines.append("hangs_up = true")
        if turn.digest_uri:
            lines.append(f'digest_uri = "{turn.digest_uri}"')
    (FOLDER / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="ascii")


def _text(data: bytes) -> str:
    """A basic string of TOML, each character one byte."""
    marks = {"\r": "\\r", "\n": "\\n", '"': '\\"', "\\": "\\\\"}
    plain = (
        marks.get(each) or (each if " " <= each <= "~" else f"\\u{ord(each):04x}")
        for each in data.decode("latin-1")
    )
    return f'"{"".join(plain)}"'


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.toml"):
        old.unlink()
    for group in (unnumbered, framing, descriptions, transports, refusals, keep_alives, digests):
        group()


if __name__ == "__main__":
    main()
