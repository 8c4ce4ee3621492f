"""Promoted cameras through the real decoding child: real H.264 and HEVC, in order, with losses and kills."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest
from msgspec import structs

from contracts.frame import Codec, Frame
from inference.chain_book import Chained
from inference.chain_decode import HELD_MAX
from inference.decode import Decoded, Decoder, Fate, Followed, Refused
from tests.inference.pictures import Bgr, at, encode, encode_groups, frame, moving, promoted, textured

BOTH = [Codec.H264, Codec.HEVC]


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(slots=16, pixels_max=320 * 240, access_unit_max=1_000_000, timeout_s=20.0)
    yield made
    made.close()


def feed(decoder: Decoder, frames: Sequence[Frame], *, look: bool = True) -> list[Fate]:
    """Decode in batches of four; pictures are copied and their slots given back."""
    fates: list[Fate] = []
    for start in range(0, len(frames), 4):
        for fate in decoder.decode([Chained(each, look) for each in frames[start : start + 4]]):
            if isinstance(fate, Decoded):
                decoder.release(fate.slot)
            fates.append(fate)
    return fates


def words(fates: Sequence[Fate]) -> list[str]:
    return [fate.reason if isinstance(fate, Refused) else type(fate).__name__.lower() for fate in fates]


def unlike(came: Bgr, sent: Bgr) -> float:
    a, b = (cv2.GaussianBlur(each, (0, 0), 3).astype(int) for each in (came, sent))
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize("codec", BOTH)
def test_chain_then_every_picture_comes_as_it_was_sent(decoder: Decoder, codec: Codec) -> None:
    scenes = moving(30)
    for each in promoted(encode_groups(scenes, codec, group=12), codec=codec):
        (fate,) = decoder.decode([Chained(each)])
        assert isinstance(fate, Decoded)
        index = each.header.sequence - 1
        assert fate.header == each.header, "low delay: its own picture, at once"
        assert unlike(fate.picture.bgr, scenes[index]) < 6
        assert unlike(fate.picture.bgr, scenes[(index + 3) % 30]) > 8
        decoder.release(fate.slot)
    assert decoder.free == 16
    assert decoder.chains == 1


def test_only_pictures_that_somebody_wants_are_handed_back(decoder: Decoder) -> None:
    frames = promoted(encode_groups(moving(12)))
    fates = decoder.decode([Chained(each, look=each.header.chain in (0, 7)) for each in frames])
    assert words(fates) == ["decoded", *["followed"] * 6, "decoded", *["followed"] * 4]
    assert decoder.free == 14


@pytest.mark.parametrize("codec", BOTH)
def test_stream_with_b_pictures_then_each_picture_keeps_its_own_time_and_they_come_in_its_order(
    decoder: Decoder, codec: Codec
) -> None:
    scenes = moving(24)
    stream = encode_groups(scenes, codec, group=24, b_pictures=2)
    assert [shown for _, _, shown in stream] != list(range(24)), "the encoder did reorder"
    came = []
    for each in promoted(stream, codec=codec):
        (fate,) = decoder.decode([Chained(each)])
        if isinstance(fate, Decoded):
            index = round((fate.header.event_time - at(0)) / 1e9 * 25)
            assert unlike(fate.picture.bgr, scenes[index]) < 6, "the header is that of the picture"
            came.append(index)
            decoder.release(fate.slot)
        else:
            assert isinstance(fate, Followed)
    assert came == sorted(came)
    assert len(came) >= 24 - 3, "only what the decoder still holds is not there yet"


def test_picture_missing_in_a_chain_then_nothing_is_shown_until_the_next_key_picture(decoder: Decoder) -> None:
    frames = promoted(encode_groups(moving(24), group=12))
    del frames[5]
    fates = feed(decoder, frames)
    assert words(fates) == ["decoded"] * 5 + ["chain_lost"] * 6 + ["decoded"] * 12


def test_key_picture_missing_then_a_like_number_of_the_next_group_is_not_taken_for_its_successor(
    decoder: Decoder,
) -> None:
    frames = promoted(encode_groups(moving(24), group=12))
    fates = feed(decoder, [*frames[:5], *frames[17:]])
    assert frames[17].header.chain == frames[4].header.chain + 1
    assert words(fates) == ["decoded"] * 5 + ["chain_lost"] * 7


@pytest.mark.parametrize("codec", BOTH)
def test_damaged_picture_then_its_chain_goes_on_with_the_next_key_picture(decoder: Decoder, codec: Codec) -> None:
    frames = promoted(encode_groups(moving(24), codec, group=12), codec=codec)
    # Only the access unit's first bytes: neither decoder makes a picture of this.
    frames[4] = Frame(header=frames[4].header, data=frames[4].data[:6])
    told = words(feed(decoder, frames))
    assert told[:4] == ["decoded"] * 4
    assert told[4] in {"undecodable", "corrupt", "no_picture"}
    assert told[5:12] == ["chain_lost"] * 7
    assert told[12:] == ["decoded"] * 12


def test_stream_with_b_pictures_stops_giving_pictures_then_its_chain_is_given_up(decoder: Decoder) -> None:
    frames = promoted(encode_groups(moving(6), group=6, b_pictures=2))
    empty = b"\0\0\0\1\x09\xf0"  # an access unit delimiter alone
    silent = promoted([(True, b"", 0), *((False, empty, n) for n in range(2 * HELD_MAX))], first=6)[1:]
    silent = [
        Frame(header=structs.replace(each.header, chain=each.header.chain + 5), data=each.data) for each in silent
    ]
    told = words(feed(decoder, [*frames, *silent]))
    assert "decoded" in told[:6]
    assert set(told[6:]) <= {"decoded", "followed", "no_picture", "undecodable", "chain_lost"}
    assert told[-1] == "chain_lost"


def test_child_is_killed_then_all_chains_go_on_with_their_next_key_pictures(decoder: Decoder) -> None:
    one = promoted(encode_groups(moving(24), group=12), "one")
    two = promoted(encode_groups(moving(24), Codec.HEVC, group=12), "two", codec=Codec.HEVC)
    feed(decoder, [*one[:6], *two[:6]])
    assert decoder.child_pid is not None
    os.kill(decoder.child_pid, signal.SIGKILL)
    alone = frame(encode(textured()), "alone")
    (still,) = decoder.decode([alone])
    assert isinstance(still, Decoded), "whoever needs no other pictures loses nothing"
    decoder.release(still.slot)
    for stream in (one, two):
        assert words(feed(decoder, stream[6:])) == ["chain_lost"] * 6 + ["decoded"] * 12
    assert decoder.restarts == {"killed": 1}
    assert decoder.free == 16


def test_child_is_killed_in_a_batch_then_what_needs_its_memory_is_not_decoded_with_the_rest(
    decoder: Decoder,
) -> None:
    frames = promoted(encode_groups(moving(16), group=8))
    feed(decoder, frames[:4])
    assert decoder.child_pid is not None
    os.kill(decoder.child_pid, signal.SIGKILL)
    fates = decoder.decode([Chained(each) for each in frames[4:12]])
    assert words(fates) == ["chain_lost"] * 4 + ["decoded"] * 4


def test_chains_of_several_cameras_and_single_pictures_in_one_batch_then_none_disturbs_another(
    decoder: Decoder,
) -> None:
    scenes, still = moving(12), textured(seed=9)
    one = promoted(encode_groups(scenes), "one")
    two = promoted(encode_groups(scenes[::-1], Codec.HEVC), "two", codec=Codec.HEVC)
    data = encode(still)
    for index in range(12):
        fates = decoder.decode([Chained(one[index]), frame(data, "alone"), Chained(two[index])])
        for fate, sent in zip(fates, (scenes[index], still, scenes[11 - index]), strict=True):
            assert isinstance(fate, Decoded)
            assert unlike(fate.picture.bgr, sent) < 6
            decoder.release(fate.slot)


def test_chain_ends_then_its_decoder_is_closed_and_the_camera_begins_anew(decoder: Decoder) -> None:
    frames = promoted(encode_groups(moving(24), group=12))
    feed(decoder, frames[:6])
    decoder.end_chains(["cam"])
    assert decoder.chains == 0
    assert words(feed(decoder, frames[6:])) == ["chain_lost"] * 6 + ["decoded"] * 12


def test_many_chains_one_after_the_other_then_the_child_keeps_none_of_them(decoder: Decoder) -> None:
    def memory_kb() -> int:
        with open(f"/proc/{decoder.child_pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def visit(camera: str) -> None:
        for each in promoted(encode_groups(moving(2), group=2), camera):
            (fate,) = decoder.decode([Chained(each, look=False)])
            assert isinstance(fate, Followed)
        decoder.end_chains([camera])

    for n in range(20):
        visit(f"camera {n}")
    before = memory_kb()
    for n in range(100):
        visit(f"next {n}")
    assert memory_kb() < before + 20_000
