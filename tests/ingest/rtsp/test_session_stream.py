from __future__ import annotations

import asyncio

import pytest

from tests.ingest.h264_clip import clip, interleaved, rtp, stream
from tests.ingest.rtsp.session_pieces import Watcher, receiving, session
from tests.ingest.rtsp_server import Script, ScriptedServer


def media(*parts: tuple[int, int]) -> bytes:
    """Clips of these sizes in a row, two key pictures each; sequence and time run on."""
    out, sequence, timestamp = [], 100, 9_000
    for width, height in parts:
        packets = stream(clip(20, width=width, height=height), sequence=sequence, timestamp=timestamp)
        out += [interleaved(rtp(*each)) for each in packets]
        sequence += len(packets)
        timestamp += 20 * 3_600
    return b"".join(out)


async def test_picture_size_that_changes_in_mid_stream_is_a_discontinuity_of_the_same_session() -> None:
    script = Script(media=media((160, 96), (320, 192), (160, 96)))
    async with receiving() as pool, ScriptedServer(script) as server:
        watcher = Watcher()
        task = asyncio.create_task(session(pool, server.url, watcher).run_once())
        await watcher.until_pictures(6)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [picture.discontinuity for picture in watcher.pictures] == [True, False] * 3
        assert server.connections == 1
