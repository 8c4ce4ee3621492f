"""An RTSP recorder: it plays what `Range: clock=` asks for, at the Speed asked for; pictures bear their times."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
import numpy.typing as npt

from tests.ingest import h264_clip, h265_clip
from tests.ingest.h264_clip import interleaved, rtp, split_nals, stream
from tests.ingest.rtsp_server import clip_sdp

RECORDED_FROM = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
RECORDED_S = 3600
_RANGE = re.compile(r"clock=(\d{8}T\d{6})Z-(\d{8}T\d{6})Z")


@dataclass(frozen=True)
class Habits:
    """What this recorder does. `stated`: replies with Range and RTP-Info; `lead_s`: it begins that much before the
    asked time, as recorders do that can only begin at their index; `hangs_up` at the end; `gap`: seconds of the
    recording that it does not have; `cut_s`: it breaks off after so many; `refuses`: method to status; `pace`:
    times slower than it should; `scale`: it takes this Scale by itself; `sessions_max`: further ones get 453;
    `live`: it ignores Range and plays what is `live` seconds into the recording; `states`: what it says as Range
    instead; `fraction`: it writes its times with one; `restarts`: seconds at which its RTP clock begins anew;
    `no_speed`: it refuses Speed with this status; `zone_s`: what it means by Z is so far from UTC; `info`: its
    RTP-Info instead."""

    stated: bool = True
    lead_s: int = 0
    hangs_up: bool = False
    gap: range = range(0)
    cut_s: int | None = None
    refuses: tuple[tuple[str, str], ...] = ()
    pace: float = 1.0
    scale: int = 1
    sessions_max: int = 100
    live: int | None = None
    states: str | None = None
    fraction: bool = False
    restarts: tuple[int, ...] = ()
    no_speed: str = ""
    zone_s: int = 0
    info: str = ""
    codec: str = "libx264"


class RecordingServer:
    """A key picture every second of the recording, from `recorded_from` on for an hour, and four between."""

    def __init__(self, habits: Habits | None = None, recorded_from: datetime = RECORDED_FROM) -> None:
        self.habits = habits or Habits()
        self.recorded_from = recorded_from
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sessions = self.sessions_most = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        sender: asyncio.Task[None] | None = None
        self.sessions += 1
        self.sessions_most = max(self.sessions_most, self.sessions)
        try:
            while True:
                first = await reader.readexactly(1)
                if first == b"$":
                    head = await reader.readexactly(3)
                    await reader.readexactly(int.from_bytes(head[1:], "big"))
                    continue
                lines = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
                method = lines[0].split()[0]
                self.requests.append((method, headers))
                sender = self._reply(writer, method, headers) or sender
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.sessions -= 1
            if sender is not None:
                sender.cancel()
            writer.close()

    def _reply(
        self, writer: asyncio.StreamWriter, method: str, headers: dict[str, str]
    ) -> asyncio.Task[None] | None:
        out = {"CSeq": headers["CSeq"], "Session": "r1;timeout=60"}
        body, status, span = b"", "200 OK", None
        refused = dict(self.habits.refuses).get(method, "")
        if method == "SETUP" and self.sessions > self.habits.sessions_max:
            refused = "453 Not Enough Bandwidth"
        if method == "PLAY" and "Speed" in headers and self.habits.no_speed:
            refused = self.habits.no_speed
        if refused:
            status = refused
        elif method == "DESCRIBE":
            body = clip_sdp(codec="H264" if self.habits.codec == "libx264" else "H265").encode()
            out |= {"Content-Base": self.url + "/", "Content-Length": str(len(body))}
        elif method == "SETUP":
            out["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
        elif method == "PLAY":
            span = self._span(headers.get("Range", ""))
            if span is None:
                status = "457 Invalid Range"
            elif self.habits.stated:
                out["Range"] = f"clock={self._text(span[0])}-{self._text(span[1])}"
                out["RTP-Info"] = self.habits.info or f"url={self.url}/track1;seq=100;rtptime={_RTP_TIME}"
            if span is not None and self.habits.states is not None:
                out["Range"] = self.habits.states
            if span is not None and self.habits.scale != 1:
                out["Scale"] = f"{self.habits.scale}.0"
        head = f"RTSP/1.0 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in out.items()) + "\r\n"
        writer.write(head.encode() + body)
        if span is None:
            return None
        return asyncio.create_task(
            self._send(writer, span[0], span[1] - span[0], float(headers.get("Speed", "1")))
        )

    def _span(self, text: str) -> tuple[int, int] | None:
        """Seconds of the recording that are asked for and there."""
        if self.habits.live is not None:
            return self.habits.live, self.habits.live + 600
        found = _RANGE.search(text)
        if found is None:
            return None
        begin, end = (
            int(
                (datetime.strptime(each, "%Y%m%dT%H%M%S").replace(tzinfo=UTC) - self.recorded_from).total_seconds()
            )
            for each in found.groups()
        )
        begin, end = begin - self.habits.zone_s, end - self.habits.zone_s
        begin, end = max(0, begin - self.habits.lead_s), min(RECORDED_S, end)
        return (begin, end) if begin < end else None

    async def _send(self, writer: asyncio.StreamWriter, begin: int, seconds: int, speed: float) -> None:
        sequence, habits = 100, self.habits
        for second in range(seconds + 1):
            if habits.cut_s is not None and second >= habits.cut_s:
                writer.close()
                return
            if begin + second not in habits.gap:
                units = stamped_group(int(self.recorded_from.timestamp()) + begin + second, habits.codec)
                since = max((at for at in (0, *habits.restarts) if at <= second), default=0)
                time = _RTP_TIME + (second - since) * 90_000 // habits.scale
                packets = stream(
                    units,
                    sequence=sequence,
                    timestamp=time,
                    step=18_000 // habits.scale,
                    fragments=h264_clip.fragments if habits.codec == "libx264" else h265_clip.fragments,
                    aggregate=h264_clip.stap_a if habits.codec == "libx264" else h265_clip.aggregate,
                )
                sequence += len(packets)
                writer.write(b"".join(interleaved(rtp(*packet)) for packet in packets))
                await writer.drain()
            await asyncio.sleep(habits.pace / speed)  # noqa: TID251
        if habits.hangs_up:
            writer.close()

    def _text(self, second: int) -> str:
        at = datetime.fromtimestamp(self.recorded_from.timestamp() + second + self.habits.zone_s, UTC)
        return at.strftime("%Y%m%dT%H%M%S.000Z" if self.habits.fraction else "%Y%m%dT%H%M%SZ")


_RTP_TIME = 2**32 - 200_000
"""It wraps within three seconds."""
_CELL = 24
_BITS = 32


def stamp_picture(unix_s: int) -> npt.NDArray[np.uint8]:
    """A textured picture, 320 x 192, whose time is written into it as 32 bright and dark fields."""
    noise = np.random.default_rng(unix_s).integers(110, 140, (192, 320, 3), dtype=np.uint8)
    for bit in range(_BITS):
        row, column = divmod(bit, 8)
        top, left = 16 + row * 40, 16 + column * 36
        noise[top : top + _CELL, left : left + _CELL] = 235 if unix_s >> bit & 1 else 16
    return noise


def read_stamp(picture: npt.NDArray[np.uint8]) -> int:
    """The time that is written into a picture, however it was encoded, scaled and in part pixelated since."""
    height, width = picture.shape[:2]
    value = 0
    for bit in range(_BITS):
        row, column = divmod(bit, 8)
        y, x = (16 + row * 40 + _CELL / 2) * height / 192, (16 + column * 36 + _CELL / 2) * width / 320
        field = picture[int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3]
        value |= int(field.mean() > 126) << bit
    return value


def picture_of(data: bytes, codec: str = "h264") -> npt.NDArray[np.uint8]:
    """The one picture of an access unit, BGR."""
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    [frame] = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    return frame.to_ndarray(format="bgr24").astype(np.uint8)


@lru_cache(200)
def stamped_group(unix_s: int, codec: str = "libx264") -> tuple[tuple[tuple[bytes, ...], bool], ...]:
    """Five access units of one second: a key picture with its parameter sets, four between."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 320, 192, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 5), Fraction(5, 1)
    params = "keyint=5:min-keyint=5:scenecut=0:bframes=0:threads=1:repeat-headers=1"
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": params}
    if codec == "libx265":
        params = f"{params}:log-level=none:pools=none:frame-threads=1".replace("threads=1:", "", 1)
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "x265-params": params}
    packets = []
    for index in range(5):
        frame = av.VideoFrame.from_ndarray(stamp_picture(unix_s), format="bgr24")
        frame.pts = index
        packets += context.encode(frame)
    return tuple((tuple(split_nals(bytes(packet))), packet.is_keyframe) for packet in packets)


@asynccontextmanager
async def recording_server(recording: RecordingServer) -> AsyncIterator[RecordingServer]:
    """The server, running."""
    tasks: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await recording.answer(reader, writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    recording.url = f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/record/1"
    try:
        yield recording
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
