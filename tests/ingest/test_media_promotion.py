"""A camera that FFmpeg reads, promoted in the real worker: every picture over the link, decodable, for a while."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import av
import pytest

from contracts.frame import Codec, Frame
from contracts.source import SourceState
from runtime.zmq_latest import ZmqLatestPuller
from tests.ingest.alerts_end import alerts_end, site_in
from tests.ingest.media_servers import encoded, media_server, trickle
from tests.ingest.test_patrol_worker import promote
from tests.ingest.test_worker import camera, pull, state, working


async def frames_until(puller: ZmqLatestPuller, promoted: int) -> list[Frame]:
    """All pictures up to so many promoted ones, and on to the first that is not promoted any more."""
    found: list[Frame] = []
    async with asyncio.timeout(120):
        while sum(each.header.promoted for each in found) < promoted or found[-1].header.promoted:
            headers = await puller.headers(limit=100, wait_s=1.0)
            found += await puller.pull([(each.source_id, each.sequence) for each in headers])
    return found


@pytest.mark.parametrize(
    ("container", "kind", "codec"), [("flv", "video/x-flv", "libx264"), ("mpegts", "video/mp2t", "libx265")]
)
async def test_promoted_camera_through_ffmpeg_hands_on_every_picture_until_its_time_is_over(
    short_dir: Path, container: str, kind: str, codec: str
) -> None:
    site = site_in(short_dir)
    clip = encoded(container, seconds=300, codec=codec)
    async with media_server() as server:
        server.bodies["live"] = (kind, trickle(clip, parts=1500, every_s=0.1))
        async with (
            alerts_end(site, cameras=(camera("a", server.url + "/live"),)) as end,
            working(site, stall_s=10.0, key_stall_s=20.0) as puller,
        ):
            assert not (await promote(site, "nobody", 5.0)).accepted
            await pull(puller, {"a"})
            await end.until(state(end, "a", SourceState.LIVE))
            answer = await promote(site, "a", 6.0)
            assert (answer.accepted, answer.reason) == (True, "")
            found = await frames_until(puller, 20)
    chain = [each for each in found if each.header.promoted]
    assert chain[0].header.key
    assert {each.header.codec for each in chain} == {Codec.HEVC if codec == "libx265" else Codec.H264}
    for before, after in pairwise(chain):
        assert after.header.sequence == before.header.sequence + 1
        assert after.header.key or after.header.chain == before.header.chain + 1
    assert sum(not each.header.key for each in chain) >= 15
    decoder = av.CodecContext.create(chain[0].header.codec.value, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    shown = [frame for each in chain for frame in decoder.decode(av.Packet(each.data))]
    assert len([*shown, *decoder.decode(None)]) == len(chain)
    assert all(each.header.key for each in found if not each.header.promoted)
