from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest

from contracts.frame import Codec
from contracts.instant import SECOND
from ingest.media.folder import RecordingFolder, time_in_name
from tests.ingest.media_servers import encoded, media_server, multipart, trickle
from tests.ingest.test_media import decodes
from tests.ingest.test_media_pool import Taken, pooled
from tests.ingest.test_probe import recording


def all_decode(taken: Taken) -> bool:
    return all(decodes(picture.data, codec.value) for codec, picture, _, _ in taken.pictures)


def undecodable(taken: Taken) -> int:
    """Pictures that do not decode; FFmpeg's parser glues those on both sides of a change of codec into one."""
    return sum(not whole(picture.data, codec) for codec, picture, _, _ in taken.pictures)


def whole(data: bytes, codec: Codec) -> bool:
    try:
        return decodes(data, codec.value)
    except av.error.FFmpegError:
        return False


async def test_live_playlist_is_followed_past_a_missing_segment(tmp_path: Path) -> None:
    async with media_server() as server, pooled() as rig:
        server.segments = {f"s{i}.ts": encoded("mpegts", seconds=1, start=i) for i in range(9)}
        server.missing = {"s4.ts"}
        server.live_list(0, ["s0.ts", "s1.ts", "s2.ts"])
        taken = rig.play("hls", server.url + "/live.m3u8", stall_s=8.0)
        await server.until_asked("s2.ts")
        for first in range(1, 6):
            # The list moves on as the player does: a slow one would find its next segments gone.
            server.live_list(first, [f"s{i}.ts" for i in range(first, first + 4)])
            await server.until_asked(f"s{first + 2}.ts")
        # Of two that come at once only the later one may be taken.
        await taken.until_after(4.5)
        assert all_decode(taken)
        assert "s4.ts" in server.asked
        assert server.agents == {"gridwhistle"}


async def test_playlist_that_stops_moving_is_a_stall() -> None:
    async with media_server() as server, pooled() as rig:
        server.segments = {f"s{i}.ts": encoded("mpegts", seconds=1, start=i) for i in range(3)}
        server.live_list(0, list(server.segments))
        taken = rig.play("hls", server.url + "/live.m3u8", stall_s=2.0)
        assert await rig.reason("hls") == "stall"
        assert len(taken.pictures) >= 1


async def test_live_body_that_the_server_ends_is_closed() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield encoded("mpegts", seconds=4)

    async with media_server() as server, pooled() as rig:
        server.bodies["live"] = ("video/mp2t", body)
        rig.play("live", server.url + "/live")
        assert await rig.reason("live") == "closed"


async def test_complete_playlist_is_played_by_its_own_time_and_ends() -> None:
    async with media_server() as server, pooled() as rig:
        server.segments = {f"s{i}.ts": encoded("mpegts", seconds=1, start=i) for i in range(3)}
        server.live_list(0, list(server.segments), ended=True)
        taken = rig.play("vod", server.url + "/live.m3u8")
        await asyncio.wait_for(rig.tasks["vod"], 30)
        assert len(taken.pictures) == 3
        assert all_decode(taken)


async def test_playlist_cannot_read_local_files(tmp_path: Path) -> None:
    secret = recording(tmp_path / "secret.ts")
    async with media_server() as server, pooled() as rig:
        server.live_list(0, [f"file://{secret}"], ended=True)
        taken = rig.play("evil", server.url + "/live.m3u8")
        await rig.reason("evil")
        assert taken.pictures == []
    (tmp_path / "list.ts").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{secret}\n#EXT-X-ENDLIST\n")
    async with pooled() as rig:
        taken = rig.play("evil", str(tmp_path / "list.ts"))
        assert await rig.reason("evil") == "garbage"


@pytest.mark.parametrize(
    ("container", "kind", "codec"),
    [
        ("flv", "video/x-flv", "libx264"),
        ("mpegts", "video/mp2t", "libx264"),
        ("mpegts", "video/mp2t", "libx265"),
    ],
)
async def test_live_body_over_http_gives_its_key_pictures_without_sound(
    container: str, kind: str, codec: str
) -> None:
    async with media_server() as server, pooled() as rig:
        clip = encoded(container, seconds=8, codec=codec, sound=True)
        server.bodies["live"] = (kind, trickle(clip))
        taken = rig.play("live", server.url + "/live", stall_s=4.0)
        await taken.until(6)
        assert taken.formats[0].codec is (Codec.HEVC if codec == "libx265" else Codec.H264)
        assert all_decode(taken)
        assert await rig.reason("live") == "stall"


async def test_every_part_of_a_motion_jpeg_stream_is_a_key_picture() -> None:
    async with media_server() as server, pooled() as rig:
        pictures = [b"\xff\xd8" + each for each in encoded("mjpeg", codec="mjpeg").split(b"\xff\xd8")[1:]]
        server.bodies["live"] = ("multipart/x-mixed-replace;boundary=frame", trickle(multipart(pictures)))
        taken = rig.play("live", server.url + "/live", stall_s=4.0)
        await taken.until(3)
        assert {codec for codec, _, _, _ in taken.pictures} == {Codec.MJPEG}
        assert all_decode(taken)


async def test_transport_stream_over_udp_is_received() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clip = encoded("mpegts", seconds=8)
    async with pooled() as rig:
        taken = rig.play("udp", f"udp://127.0.0.1:{port}", stall_s=8.0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            while len(taken.pictures) < 3:
                for at in range(0, len(clip), 1316):
                    try:
                        sender.send(clip[at : at + 1316])
                    except ConnectionRefusedError:
                        break
                    await asyncio.sleep(0.005)  # noqa: TID251
                await asyncio.sleep(0.05)  # noqa: TID251
        assert decodes(taken.pictures[0][1].data)


async def test_change_of_resolution_is_a_discontinuity(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(
        encoded("mpegts", seconds=2) + encoded("mpegts", seconds=2, size=(320, 192), start=2)
    )
    async with pooled() as rig:
        taken = rig.play("a", str(tmp_path / "a.ts"), paced=False)
        await asyncio.wait_for(rig.tasks["a"], 30)
        assert [first for _, _, first, _ in taken.pictures] == [True, False, True, False]
        assert all_decode(taken)


@pytest.mark.parametrize(("before", "after"), [("libx264", "libx265"), ("libx265", "libx264")])
async def test_live_change_of_codec_opens_the_source_again(before: str, after: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield encoded("mpegts", seconds=4, codec=before)
        await asyncio.sleep(5.0)  # noqa: TID251
        yield encoded("mpegts", seconds=8, codec=after, start=4)
        await asyncio.sleep(3600)  # noqa: TID251

    async with media_server() as server, pooled() as rig:
        server.bodies["live"] = ("video/mp2t", body)
        taken = rig.play("live", server.url + "/live", stall_s=8.0)
        assert await rig.reason("live") == "stream_changed"
        assert {codec for codec, _, _, _ in taken.pictures} == {Codec(taken.formats[0].codec)}
        # A whole file comes at once, so of its pictures the latest may be all that is left.
        assert undecodable(taken) <= 1 <= len(taken.pictures)


async def test_pictures_of_another_codec_than_the_container_says_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(
        encoded("mpegts", seconds=2) + encoded("mpegts", seconds=8, codec="libx265", start=2)
    )
    async with pooled() as rig:
        taken = rig.play("a", str(tmp_path / "a.ts"), paced=False)
        await asyncio.wait_for(rig.tasks["a"], 30)
        assert {codec for codec, _, _, _ in taken.pictures} == {Codec.HEVC}
        assert len(taken.pictures) >= 7
        assert undecodable(taken) == 0


async def test_folder_is_read_in_order_of_its_names_and_new_recordings_are_picked_up(tmp_path: Path) -> None:
    recording(tmp_path / "cam_20261125_100004.mp4")
    recording(tmp_path / "cam_20261125_100000.mp4")
    (tmp_path / "cam_20261125_095900.mp4").write_bytes(b"torn" * 1000)
    for file in tmp_path.iterdir():
        # Quiet all together: one that is not yet waits, and the others do not wait for it.
        os.utime(file, ns=(1_795_600_000 * SECOND, 1_795_600_000 * SECOND))
    async with pooled() as rig:
        taken = rig.play("folder", str(tmp_path), paced=False, quiet_s=0.3)
        await taken.until(8)
        recording(tmp_path / "cam_20261125_100008.mp4")
        await taken.until(12)
        base = time_in_name("20261125_100000")
        assert base is not None
        assert [(wall or 0) - base for _, _, _, wall in taken.pictures] == [i * SECOND for i in range(12)]


def test_recording_that_is_still_written_waits_until_it_is_quiet(tmp_path: Path) -> None:
    file = tmp_path / "2026-11-25T10-00-00Z.ts"
    file.write_bytes(b"x")
    folder = RecordingFolder(tmp_path, quiet_s=10.0)
    written_ns = 1_795_600_000 * SECOND
    os.utime(file, ns=(written_ns, written_ns))
    assert folder.next_file(written_ns + 9 * SECOND) is None
    found = folder.next_file(written_ns + 11 * SECOND)
    assert found == (file, time_in_name(file.name))
    assert folder.next_file(written_ns + 12 * SECOND) is None, "once only"


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("cam1_20261125_100000.mp4", 1_795_572_000),
        ("2026-11-25T10-00-00Z.mkv", 1_795_600_800),
        ("20261125100000.ts", 1_795_572_000),
        ("20261325_100000.ts", None),
        ("camera.mp4", None),
        ("1234567890123456789.mp4", None),
    ],
)
def test_time_in_a_name_is_local_unless_it_says_utc(name: str, seconds: int | None) -> None:
    assert time_in_name(name) == (None if seconds is None else seconds * SECOND)
