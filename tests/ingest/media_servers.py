"""A real HTTP server of the source kinds that FFmpeg reads: HLS, HTTP-FLV, MPEG-TS, motion JPEG."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import av
import numpy as np

_X264 = "keyint=10:min-keyint=10:scenecut=0"
_OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "x264-params": _X264},
    "libx265": {"preset": "ultrafast", "x265-params": f"{_X264}:bframes=0:log-level=none"},
}


def encoded(
    container: str,
    *,
    seconds: int = 4,
    codec: str = "libx264",
    size: tuple[int, int] = (160, 96),
    start: int = 0,
    sound: bool = False,
) -> bytes:
    """A clip of 10 pictures a second from second `start` on, a key picture each second; silence beside it."""
    buffer = io.BytesIO()
    out = av.open(buffer, "w", format=container)
    stream = out.add_stream(codec, rate=10)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height = size
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    stream.options = dict[str, object](_OPTIONS.get(codec, {}))
    audio = out.add_stream("aac", rate=8000, layout="mono") if sound else None
    assert audio is None or isinstance(audio, av.AudioStream)
    for index in range(seconds * 10):
        frame = av.VideoFrame.from_ndarray(
            np.full((size[1], size[0], 3), index * 5 % 250, np.uint8), format="rgb24"
        )
        frame.pts = start * 10 + index
        out.mux(stream.encode(frame))
        if audio is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 8000, index * 800
            out.mux(audio.encode(silence))
    out.mux(stream.encode(None))
    out.close()
    return buffer.getvalue()


class MediaServer:
    """One HTTP server; its playlist moves when the test says so."""

    def __init__(self) -> None:
        self.segments: dict[str, bytes] = {}
        self.missing: set[str] = set()
        self.playlist = ""
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.bodies: dict[str, tuple[str, Callable[[], AsyncIterator[bytes]]]] = {}
        self.url = ""

    def live_list(self, first: int, names: list[str], *, ended: bool = False) -> None:
        """A media playlist (RFC 8216) whose window begins with segment `first`."""
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for name in names:
            lines += ["#EXTINF:1.0,", name]
        self.playlist = "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else [])]) + "\n"

    async def until_asked(self, name: str, within_s: float = 30.0) -> None:
        """Wait until a player asked for this segment, whatever it got."""
        async with asyncio.timeout(within_s):
            while name not in self.asked:
                await asyncio.sleep(0.02)  # noqa: TID251

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            name = lines[0].split()[1].removeprefix("/")
            self.asked.append(name)
            self.agents.update(line.partition(": ")[2] for line in lines if line.startswith("User-Agent"))
            if name in self.bodies:
                kind, body = self.bodies[name]
                writer.write(_head("200 OK", kind, "Transfer-Encoding: chunked"))
                async for chunk in body():
                    writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    await writer.drain()
            elif name.endswith("live.m3u8"):
                self._whole(writer, "application/vnd.apple.mpegurl", self.playlist.encode())
            elif name in self.segments and name not in self.missing:
                self._whole(writer, "video/mp2t", self.segments[name])
            else:
                writer.write(_head("404 Not Found", "text/plain", "Content-Length: 0"))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _whole(self, writer: asyncio.StreamWriter, kind: str, body: bytes) -> None:
        writer.write(_head("200 OK", kind, f"Content-Length: {len(body)}") + body)


def _head(status: str, kind: str, more: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}\r\nConnection: close\r\n\r\n".encode()


@asynccontextmanager
async def media_server() -> AsyncIterator[MediaServer]:
    """The server, running."""
    media = MediaServer()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await media.answer(reader, writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    media.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield media
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def trickle(data: bytes, *, parts: int = 20, every_s: float = 0.05) -> Callable[[], AsyncIterator[bytes]]:
    """A live body: the bytes bit by bit, then silence with the connection open."""

    async def body() -> AsyncIterator[bytes]:
        step = -(-len(data) // parts)
        for at in range(0, len(data), step):
            yield data[at : at + step]
            await asyncio.sleep(every_s)  # noqa: TID251
        await asyncio.sleep(3600)  # noqa: TID251

    return body


def multipart(pictures: list[bytes]) -> bytes:
    """Pictures as multipart/x-mixed-replace with boundary `frame`."""
    return b"".join(
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(each), each)
        for each in pictures
    )
