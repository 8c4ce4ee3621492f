"""Targets on the video side: RTSP dialogue, SDP, RTP of both codecs through the real walk of a connection."""

from __future__ import annotations

import os
import socket
import zlib
from collections import deque
from random import Random
from typing import Any, Final, cast

from contracts.errors import ConfigError, SourceError
from ingest.rtsp.credentials import Credentials
from ingest.rtsp.depacketize import Depacketizer
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.depacketize_h265 import H265Depacketizer
from ingest.rtsp.dialogue import Dialogue
from ingest.rtsp.message import RtspReply, RtspRequest, parse_url
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.receive import Connection
from ingest.rtsp.rtcp import find_sender_report
from ingest.rtsp.sdp import parse_sdp
from runtime.clock import SimClock
from tests.fuzz.campaign import Target

PICTURE_BYTES_MAX: Final = 65_536
_START: Final = b"\x00\x00\x00\x01"


class ScriptedSocket:
    """A connection's socket: gives pieces of one input, takes whatever is sent. Its number is a real one."""

    def __init__(self) -> None:
        self._number = os.eventfd(0)
        self.pieces: deque[bytes] = deque()

    def __del__(self) -> None:
        os.close(self._number)

    def recv_into(self, buffer: memoryview) -> int:
        if not self.pieces:
            raise BlockingIOError
        piece = self.pieces.popleft()
        if len(piece) > len(buffer):
            self.pieces.appendleft(piece[len(buffer) :])
        taken = piece[: len(buffer)]
        buffer[: len(taken)] = taken
        return len(taken)

    def fileno(self) -> int:
        return self._number

    def send(self, data: bytes) -> int:
        return len(data)

    def setsockopt(self, *_: object) -> None:
        return

    def close(self) -> None:
        return


class Wire:
    """Connections that receive an input in pieces. The splits follow from the input, so a failure repeats."""

    def __init__(self) -> None:
        self.pool = ReceivePool(SimClock())
        self.socket = ScriptedSocket()
        self.kept = 0

    def receive(self, connection: Connection, data: bytes) -> None:
        """Feed the input; raises the error that ended the connection."""
        chance = Random(zlib.crc32(data))
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 1, 2, 5))))
        ends = [*cuts, len(data)]
        self.socket.pieces.clear()
        begin = 0
        for end in ends:
            if end > begin:
                self.socket.pieces.append(data[begin:end])
            begin = end
        for _ in range(2 * len(ends) + 2):
            connection.read()
        assert connection.closed or not self.socket.pieces, "the connection stopped reading"
        self.kept = max(self.kept, len(connection._rest))
        error = connection.ended.exception() if connection.ended.done() else None
        connection.close()
        if error is not None:
            raise error

    def connection(self, on_message: Any, on_rtcp: Any) -> Connection:
        return Connection(self.pool, cast(socket.socket, self.socket), on_message, on_rtcp)


def rtsp_target() -> Target:
    """What a server says: replies, requests, logins, descriptions; every header that a session reads."""
    wire = Wire()
    credentials = Credentials("user", "password")

    def run(data: bytes) -> None:
        dialogue = Dialogue("camera", credentials, 1.0)
        heard: list[RtspReply] = []

        def on_message(message: RtspReply | RtspRequest) -> None:
            dialogue.on_message(message)
            if isinstance(message, RtspReply):
                heard.append(message)

        connection = wire.connection(on_message, lambda *_: None)
        dialogue.connection = connection
        dialogue.send("DESCRIBE", "rtsp://camera/1")
        wire.receive(connection, data)
        for reply in heard:
            judge(dialogue, reply)

    return Target(
        "rtsp",
        run,
        refuses=(SourceError, ConfigError),
        words=(
            b"RTSP/1.0 200 OK\r\n", b"RTSP/1.0 401 Unauthorized\r\n", b"CSeq: 1\r\n", b"Content-Length: ",
            b'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth,auth-int"\r\n',
            b"WWW-Authenticate: Basic realm=\r\n", b"Content-Base: ", b"Location: rtsp://[::1", b"Session: ",
            b"$\x00\xff\xff", b"\r\n", b"OPTIONS * RTSP/1.0\r\n", b"timeout=", b";interleaved=", b'"', b"\\",
            b"\t", b"\xc2\x85", b"\xe2\x80\xa8",
        ),
        kept=lambda: wire.kept,
        kept_max=2 * 65_536,
    )  # fmt: skip


def judge(dialogue: Dialogue, reply: RtspReply) -> None:
    """All that a session takes from a reply."""
    authenticator = dialogue._authenticator
    assert authenticator is not None
    if authenticator.challenge(reply.all_headers("www-authenticate")):
        authenticator.header("DESCRIBE", "rtsp://camera/1")
    try:
        parse_url(reply.header("location") or "rtsp://camera/1")
        if reply.body:
            parse_sdp(reply.body, reply.header("content-base") or "rtsp://camera/1")
    except (SourceError, ConfigError):
        return


def sdp_target() -> Target:
    """Session descriptions."""

    def run(data: bytes) -> None:
        parse_sdp(data, "rtsp://camera/1")

    return Target(
        "sdp",
        run,
        refuses=(SourceError,),
        words=(
            b"m=video 0 RTP/AVP 96\r\n", b"a=rtpmap:96 H265/90000\r\n", b"a=control:", b"a=fmtp:96 ", b"====",
            b"/",
            b"sprop-parameter-sets=", b"sprop-vps=", b"sprop-sps=", b"sprop-pps=", b"v=0\r\n", b"rtsp://[", b",",
            b"://", b";", b"m=video", b"*",
        ),
    )  # fmt: skip


def rtp_target(name: str, codec: type[H264Depacketizer] | type[H265Depacketizer]) -> Target:
    """Interleaved packets of one stream, with RTCP and other channels in between."""
    wire = Wire()
    state = {"kept": 0}

    def run(data: bytes) -> None:
        pictures = 0

        def on_picture(picture: bytes, _timestamp: int, _late: bool, _key: bool) -> None:
            nonlocal pictures
            pictures += 1
            assert picture.startswith(_START), "a picture begins with a start code"
            assert len(picture) <= PICTURE_BYTES_MAX + 65_536 + 1024, "a picture is over its bound"

        depacketizer: Depacketizer = codec(on_picture, picture_bytes_max=PICTURE_BYTES_MAX)
        depacketizer.collecting = bool(len(data) & 1)
        connection = wire.connection(lambda _: None, lambda buffer, at, end: find_sender_report(buffer, at, end))
        connection.depacketizer, connection.rtp_channel = depacketizer, 0
        wire.receive(connection, data)
        state["kept"] = max(state["kept"], len(depacketizer._unit) + depacketizer._head_bytes)
        assert depacketizer.pictures >= depacketizer.key_pictures
        assert pictures == depacketizer.key_pictures + depacketizer.kept_pictures

    return Target(
        name,
        run,
        refuses=(SourceError,),
        words=(
            b"$\x00\x00\x0c", b"$\x00\xff\xff", b"$\x01\x00\x1c\x80\xc8\x00\x06", b"\x80\x60", b"\x80\xe0",
            b"\x90\x60",
            b"\xa0\x60", b"\xbf\xff", b"\x7c\x85", b"\x7c\x45", b"\x7c\x05", b"\x78\x00\x00",
            b"\x78\xff\xff", b"\x67", b"\x68", b"\x65\x88", b"\x06\x06\x01", b"\x62\x01\x93", b"\x62\x01\x53",
            b"\x60\x01\x00\x00", b"\x40\x01", b"\x42\x01", b"\x44\x01", b"\x26\x01", b"\x00\x00\x03",
            b"\x00\x00\x01",
        ),
        kept=lambda: wire.kept + state["kept"],
        kept_max=2 * 65_540 + 2 * PICTURE_BYTES_MAX + 65_536,
    )  # fmt: skip


def video_targets() -> list[Target]:
    """All of them; make them inside a running event loop."""
    return [
        rtsp_target(),
        sdp_target(),
        rtp_target("rtp", H264Depacketizer),
        rtp_target("rtp265", H265Depacketizer),
    ]
