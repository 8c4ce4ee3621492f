"""Real servers of the source kinds that FFmpeg reads: HLS, HTTP-FLV, MPEG-TS, motion JPEG over HTTP, TS over UDP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import av
import numpy as np
from aiohttp import web


def encoded(
    container: str, *, seconds: int = 4, codec: str = "libx264", size: tuple[int, int] = (160, 96), start: int = 0
) -> bytes:
    """A clip of 10 pictures a second with a key picture each second and silent sound beside it."""
    buffer = io.BytesIO()
    out = av.open(buffer, "w", format=container)
    stream = out.add_stream(codec, rate=10)
    stream.width, stream.height = size
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    if codec == "libx264":
        stream.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": "keyint=10:min-keyint=10:scenecut=0",
        }
    elif codec == "libx265":
        stream.options = {
            "preset": "ultrafast",
            "x265-params": "keyint=10:min-keyint=10:scenecut=0:bframes=0:log-level=none",
        }
    for index in range(seconds * 10):
        frame = av.VideoFrame.from_ndarray(
            np.full((size[1], size[0], 3), index * 5 % 250, np.uint8), format="rgb24"
        )
        frame.pts = start * 10 + index
        out.mux(stream.encode(frame))
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

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/")
        self.asked.append(name)
        self.agents.add(request.headers.get("User-Agent", ""))
        if name == "live.m3u8":
            return web.Response(text=self.playlist, content_type="application/vnd.apple.mpegurl")
        if name in self.bodies:
            kind, body = self.bodies[name]
            response = web.StreamResponse(headers={"Content-Type": kind})
            response.enable_chunked_encoding()
            await response.prepare(request)
            try:
                async for chunk in body():
                    await response.write(chunk)
            except ConnectionError:
                pass
            return response
        if name in self.segments and name not in self.missing:
            return web.Response(body=self.segments[name], content_type="video/mp2t")
        return web.Response(status=404)


@asynccontextmanager
async def media_server() -> AsyncIterator[MediaServer]:
    """The server, running."""
    server = MediaServer()
    application = web.Application()
    application.router.add_get("/{name:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


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
