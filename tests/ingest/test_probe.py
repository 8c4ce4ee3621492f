from __future__ import annotations

import asyncio
from pathlib import Path

import av
import numpy as np
import pytest

from contracts.errors import ProtocolViolation, SourceMissing, SourceRefused, SourceUnreachable
from contracts.instant import SECOND
from ingest.probe import probe
from ingest.rtsp.credentials import Credentials
from runtime.clock import SystemClock
from tests.ingest.gstreamer import gstreamer
from tests.ingest.rtsp.session_pieces import sender_report
from tests.ingest.rtsp_server import Script, ScriptedServer, clip_media

CLOCK = SystemClock()


def recording(path: Path, *, seconds: int = 4, codec: str = "libx264", key_every: int = 25) -> Path:
    """A small recording, 25 pictures a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 160, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"x264-params": f"keyint={key_every}:scenecut=0:threads=1", "preset": "ultrafast"}
        rng = np.random.default_rng(1)
        noise = rng.integers(0, 255, (96, 160, 3), dtype=np.uint8)
        for index in range(seconds * 25):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, index, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


async def test_report_tells_what_the_stream_is() -> None:
    report = sender_report(CLOCK.now() + 30 * SECOND, 9000)
    media = b"$\x01" + len(report).to_bytes(2, "big") + report + clip_media(times=3)
    async with ScriptedServer(Script(media=media)) as server:
        got = await probe(server.url, clock=CLOCK, seconds=0.4)
        await server.until(lambda: "TEARDOWN" in server.methods())
    assert (got.codec, got.width, got.height) == ("H264", 160, 96)
    assert got.server == "scripted/1.0"
    assert got.transport == "RTP/AVP/TCP interleaved"
    assert got.clock_offset_ns is not None
    assert 20 * SECOND < got.clock_offset_ns <= 30 * SECOND
    assert got.key_pictures == 9
    assert "160x96" in got.text()
    assert "校时" in got.text()


@pytest.mark.parametrize(
    ("script", "kind", "word"),
    [
        (Script(greeting=b"220 ftp ready\r\n"), ProtocolViolation, "RTSP"),
        (Script(status={"DESCRIBE": 404}), SourceMissing, "404"),
        (Script(password="x"), SourceRefused, "401"),
        (Script(media=b""), SourceUnreachable, "没有视频数据"),
    ],
)
async def test_what_cannot_be_received_is_refused_in_words(
    script: Script, kind: type[Exception], word: str
) -> None:
    async with ScriptedServer(script) as server:
        with pytest.raises(kind, match=word):
            await probe(server.url, clock=CLOCK, seconds=0.3)


async def test_file_is_reported_through_ffmpeg(tmp_path: Path) -> None:
    got = await probe(str(recording(tmp_path / "a.mp4")), clock=CLOCK, seconds=2.6)
    assert (got.codec, got.width, got.height) == ("H264", 160, 96)
    assert got.key_interval_s == pytest.approx(1.0)
    assert got.pictures_per_s == pytest.approx(25.0)
    assert got.transport == "mov,mp4,m4a,3gp,3g2,mj2 (FFmpeg)"


async def test_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="no such file"):
        await probe(str(tmp_path / "none.mp4"), clock=CLOCK, seconds=1)


@pytest.mark.external
async def test_gstreamer_server_is_probed() -> None:
    async with gstreamer() as url:
        got = await probe(url, clock=CLOCK, seconds=6.5)
        missing = asyncio.create_task(probe(url + "x", clock=CLOCK, seconds=1))
        with pytest.raises(SourceMissing):
            await missing
    assert (got.codec, got.width, got.height) == ("H264", 320, 240)
    assert got.key_interval_s == pytest.approx(1.0, abs=0.05)
    assert got.pictures_per_s == pytest.approx(25.0, abs=1.0)
    assert got.packets_lost == 0
    assert "GStreamer" in got.server
    assert got.clock_offset_ns is not None
    assert abs(got.clock_offset_ns) < 2 * SECOND


@pytest.mark.external
async def test_gstreamer_server_with_digest_is_opened_with_the_right_password_only() -> None:
    async with gstreamer("admin", "right") as url:
        got = await probe(url, clock=CLOCK, seconds=2, credentials=Credentials("admin", "right"))
        assert got.width == 320
        with pytest.raises(SourceRefused):
            await probe(url, clock=CLOCK, seconds=1, credentials=Credentials("admin", "wrong"))
        with pytest.raises(SourceRefused):
            await probe(url, clock=CLOCK, seconds=1)
