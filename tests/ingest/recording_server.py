"""An RTSP server with a recording of an hour: it plays what `Range: clock=` asks for, at the speed of `Scale`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tests.ingest.h264_clip import clip, interleaved, rtp, stream
from tests.ingest.rtsp_server import clip_sdp

RECORDED_FROM = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
RECORDED_S = 3600
_RANGE = re.compile(r"clock=(\d{8}T\d{6})Z-(\d{8}T\d{6})Z")


class RecordingServer:
    """A key picture every second of the recording. `stated`: replies with Range and RTP-Info; `lead_s`: it begins
    that much before the asked time, as recorders do that can only begin at their index."""

    def __init__(self, *, stated: bool = True, lead_s: int = 0, hangs_up: bool = False) -> None:
        self.stated = stated
        self.lead_s = lead_s
        self.hangs_up = hangs_up
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        sender: asyncio.Task[None] | None = None
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
            if sender is not None:
                sender.cancel()
            writer.close()

    def _reply(
        self, writer: asyncio.StreamWriter, method: str, headers: dict[str, str]
    ) -> asyncio.Task[None] | None:
        out = {"CSeq": headers["CSeq"], "Session": "r1;timeout=60"}
        body, status, span = b"", "200 OK", None
        if method == "DESCRIBE":
            body = clip_sdp().encode()
            out |= {"Content-Base": self.url + "/", "Content-Length": str(len(body))}
        elif method == "SETUP":
            out["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
        elif method == "PLAY":
            span = self._span(headers.get("Range", ""))
            if span is None:
                status = "457 Invalid Range"
            elif self.stated:
                out["Range"] = f"clock={_text(span[0])}-{_text(span[1])}"
                out["RTP-Info"] = f"url={self.url}/track1;seq=100;rtptime={_RTP_TIME}"
        head = f"RTSP/1.0 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in out.items()) + "\r\n"
        writer.write(head.encode() + body)
        if span is None:
            return None
        return asyncio.create_task(self._send(writer, span[1] - span[0], float(headers.get("Scale", "1"))))

    def _span(self, text: str) -> tuple[int, int] | None:
        """Seconds of the recording that are asked for and there."""
        found = _RANGE.search(text)
        if found is None:
            return None
        begin, end = (
            int((datetime.strptime(each, "%Y%m%dT%H%M%S").replace(tzinfo=UTC) - RECORDED_FROM).total_seconds())
            for each in found.groups()
        )
        begin, end = max(0, begin - self.lead_s), min(RECORDED_S, end)
        return (begin, end) if begin < end else None

    async def _send(self, writer: asyncio.StreamWriter, seconds: int, scale: float) -> None:
        sequence = 100
        for second in range(seconds + 1):
            units = clip(pictures=10, gop=10, rate=10)
            packets = stream(units, sequence=sequence, timestamp=_RTP_TIME + second * 90_000, step=9_000)
            sequence += len(packets)
            writer.write(b"".join(interleaved(rtp(*packet)) for packet in packets))
            await writer.drain()
            await asyncio.sleep(1.0 / scale)  # noqa: TID251
        if self.hangs_up:
            writer.close()


_RTP_TIME = 2**32 - 200_000
"""It wraps within three seconds."""


def _text(second: int) -> str:
    at = datetime.fromtimestamp(RECORDED_FROM.timestamp() + second, UTC)
    return at.strftime("%Y%m%dT%H%M%SZ")


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
