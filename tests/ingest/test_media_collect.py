"""Every picture of a source that FFmpeg reads: in decoding order, none missing between, within the budget."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import av
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Codec
from contracts.instant import SECOND
from ingest.media.demux import MediaSource
from ingest.media.folder import time_in_name
from ingest.media.link import LENGTHS, Beat, Ended, Opened, from_child
from ingest.media.link import Taken as TakenMessage
from ingest.media.outbox import Outbox
from ingest.media.play import PlayedPicture
from ingest.media.taken import MediaFormat, MediaPicture
from tests.ingest.media_servers import encoded, media_server, trickle
from tests.ingest.test_media_pool import Taken, pooled
from tests.ingest.test_probe import recording


def decoded(pictures: list[MediaPicture], codec: Codec) -> int:
    """How many pictures one decoder that remembers gives for all of them."""
    context = av.CodecContext.create(codec.value, "r")
    assert isinstance(context, av.VideoCodecContext)
    frames = [frame for each in pictures for frame in context.decode(av.Packet(each.data))]
    return len([*frames, *context.decode(None)])


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mjpeg"])
@pytest.mark.parametrize("container", ["mpegts", "matroska"])
def test_all_pictures_of_a_file_decode_in_the_order_in_which_they_are_given(
    tmp_path: Path, container: str, codec: str
) -> None:
    if (container, codec) == ("mpegts", "mjpeg"):
        pytest.skip("no such mapping")
    (tmp_path / "a.bin").write_bytes(encoded(container, seconds=4, codec=codec))
    source = MediaSource(str(tmp_path / "a.bin"))
    found = list(source.access_units(lambda: True))
    source.close()
    assert len(found) == decoded(found, source.format.codec) == 40
    assert sum(each.key for each in found) == (40 if codec == "mjpeg" else 4)
    between = [each.dropped_pictures for each in found if each.key]
    assert between == ([0] * 40 if codec == "mjpeg" else [0, 9, 9, 9]), "sizes between are told as before"


def test_collecting_begins_with_the_next_key_picture_and_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(encoded("mpegts", seconds=4))
    source = MediaSource(str(tmp_path / "a.ts"))
    wanted = [False]
    keys: list[bool] = []
    for each in source.access_units(lambda: wanted[0]):
        keys.append(each.key)
        # On while the second key picture is taken, off while the third picture of its group is.
        wanted[0] = keys.count(True) == 2 and len(keys) < 5
    source.close()
    assert keys == [True, True, False, False, False, True, True]


def test_damaged_or_oversized_picture_ends_what_follows_until_the_next_key_picture(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(encoded("mpegts", seconds=3))
    whole = MediaSource(str(tmp_path / "a.ts"))
    sizes = [len(each.data) for each in whole.access_units(lambda: True) if not each.key]
    whole.close()
    assert max(sizes) > min(sizes)
    bounded = MediaSource(str(tmp_path / "a.ts"), picture_bytes_max=max(sizes) - 1)
    found = list(bounded.access_units(lambda: True))
    bounded.close()
    assert len(found) < 30
    assert all(after.key or before.key or after.time_s is not None for before, after in pairwise(found))
    assert decoded(found, Codec.H264) == len(found), "what is given decodes without what is left out"


async def test_live_source_hands_on_whole_groups_while_collected_and_key_pictures_alone_before_and_after() -> None:
    clip = encoded("mpegts", seconds=120)
    async with media_server() as server, pooled() as rig:
        server.bodies["live"] = ("video/mp2t", trickle(clip, parts=600))
        taken = rig.play("live", server.url + "/live", stall_s=10.0)
        await taken.until(2)
        assert all(picture.key for _, picture, _, _ in taken.pictures)
        rig.pool.collect("live", True)
        await until_between(taken, 20)
        rig.pool.collect("live", False)
        count = len(taken.pictures)
        await taken.until(count + 12)
        pictures = [picture for _, picture, _, _ in taken.pictures]
    # Whole groups: ten pictures from each key picture on that any other follows, at most one cut by the end.
    begun = next(index for index, each in enumerate(pictures) if not each.key) - 1
    ended = max(index for index, each in enumerate(pictures) if not each.key) + 1
    times = [each.time_s for each in pictures[begun:ended]]
    assert pictures[begun].key
    assert [round((after or 0) - (before or 0), 3) for before, after in pairwise(times)] == [0.1] * (
        len(times) - 1
    )
    assert all(each.key for each in pictures[count + 11 :])


async def until_between(taken: Taken, count: int) -> None:
    """Wait for so many pictures that are no key pictures."""
    async with asyncio.timeout(60):
        while sum(not picture.key for _, picture, _, _ in taken.pictures) < count:
            taken.changed.clear()
            await taken.changed.wait()


async def test_recording_that_is_read_at_once_loses_no_picture_while_it_is_collected(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(encoded("mpegts", seconds=20))
    async with pooled() as rig:
        taken = rig.play("a", str(tmp_path / "a.ts"), paced=False, loop=True)
        await taken.until(1)
        rig.pool.collect("a", True)
        await until_between(taken, 400)
        whole = [picture for _, picture, _, _ in taken.pictures]
    assert rig.counters.total("media_pictures_dropped", "replaced") == 0
    first = next(index for index, each in enumerate(whole) if not each.key) - 1
    group = whole[first : first + 180]
    assert decoded(group, Codec.H264) == len(group)


async def test_unreadable_files_of_a_folder_are_counted_and_the_others_are_read(tmp_path: Path) -> None:
    recording(tmp_path / "cam_20261125_100000.mp4")
    (tmp_path / "cam_20261125_100004.mp4").write_bytes(b"torn" * 1000)
    whole = recording(tmp_path / "cam_20261125_100008.mp4").read_bytes()
    (tmp_path / "cam_20261125_100012.mp4").write_bytes(whole[:2000])
    (tmp_path / "notes.txt").write_text("no recording")
    recording(tmp_path / "cam_20261125_100016.mp4")
    async with pooled() as rig:
        taken = rig.play("folder", str(tmp_path), paced=False, quiet_s=0.0)
        await taken.until(12)
        notes = rig.counters.take_refused()
        assert rig.counters.total("media_files_skipped", "garbage") == sum(each.n for each in notes) == 2
        assert {(each.source_id, each.text.partition(":")[0]) for each in notes} <= {
            ("folder", "cam_20261125_100004.mp4"),
            ("folder", "cam_20261125_100012.mp4"),
        }
        base = time_in_name("20261125_100000")
        assert base is not None
        seconds = [((wall or 0) - base) // SECOND for _, _, _, wall in taken.pictures]
        assert seconds == [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]
        assert not rig.tasks["folder"].done(), "it waits for new files"


FORMAT = MediaFormat(Codec.H264, "test", 1, 1, None)


def played(number: int, key: bool, size: int, collected: bool) -> PlayedPicture:
    picture = MediaPicture(bytes(size), float(number), 0, 0, key=key)
    return PlayedPicture(FORMAT, picture, None, first=False, every=False, collected=collected)


def sent(outbox: Outbox) -> list[TakenMessage]:
    """All that leaves until it is empty."""
    outbox.event(Beat(rss_bytes=1))
    messages = []
    for number in range(3):
        outbox.event(Ended(number=number))
    while True:
        frame = outbox.take()
        head, _ = LENGTHS.unpack(frame[: LENGTHS.size])
        message = from_child(frame[LENGTHS.size : LENGTHS.size + head])
        if isinstance(message, TakenMessage):
            messages.append(message)
        if isinstance(message, Ended) and message.number == 2:
            return messages


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 60), st.booleans(), st.booleans()), max_size=60
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_outbox_keeps_its_budget_and_what_leaves_follows_without_a_hole_whatever_comes(
    steps: list[tuple[int, bool, int, bool, bool]],
) -> None:
    """A source numbers its pictures; a picture that is no key picture must follow its number."""
    outbox = Outbox(100)
    numbers = [0, 0, 0]
    collecting = [False] * 3
    offered = [0, 0, 0]
    for source, key, size, collected, _ in steps:
        if key:
            collecting[source] = collected
        elif not collecting[source]:
            continue
        numbers[source] += 1
        offered[source] += 1
        outbox.picture(source, played(numbers[source], key, size, collecting[source]))
        assert 0 <= outbox.size_bytes <= 100
    left = sent(outbox)
    assert outbox.size_bytes == 0
    for source in range(3):
        mine = [each for each in left if each.number == source]
        assert len(mine) + sum(each.replaced for each in mine) <= offered[source]
        for before, after in pairwise(mine):
            assert after.key or after.time_s == (before.time_s or 0) + 1
        assert not mine or mine[0].key or mine[0].time_s is not None


def test_source_that_is_not_collected_leaves_its_latest_key_picture_alone() -> None:
    outbox = Outbox()
    for number in range(5):
        outbox.picture(1, played(number, True, 10, collected=False))
    [message] = sent(outbox)
    assert (message.time_s, message.replaced, message.first) == (4.0, 4, True)


def test_hog_falls_forward_to_its_next_key_picture_and_its_neighbour_loses_nothing() -> None:
    outbox = Outbox(1000)
    for number in range(3):
        outbox.picture(0, played(number, number == 0, 10, collected=True))
    for number in range(30):
        outbox.picture(1, played(number, number % 10 == 0, 90, collected=True))
    left = sent(outbox)
    assert [each.time_s for each in left if each.number == 0] == [0.0, 1.0, 2.0]
    hog = [each for each in left if each.number == 1]
    assert hog[0].key
    assert hog[0].first, "its decoder begins anew"
    assert hog[-1].time_s == 29.0
    assert len(hog) + hog[0].replaced == 30


def test_opening_is_no_picture() -> None:
    """Messages of the link keep their kind."""
    opened = Opened(codec=Codec.H264, container="x", width=1, height=1, pictures_per_s=None)
    assert from_child(msgspec.msgpack.encode(opened)) == opened
