from __future__ import annotations

import av
import pytest

from bench.load.clips import (
    KEY_INTERVAL,
    QUIET_KEY_BYTES_MAX,
    QUIET_OTHER_BYTES_MAX,
    Clip,
    ClipName,
)
from sim import h264, h265
from tests.bench.load.small_clip import clip

BOTH = [ClipName.NORMAL, pytest.param(ClipName.NORMAL265, marks=pytest.mark.slow)]


def decoded(played: Clip) -> int:
    context = av.CodecContext.create("hevc" if played.hevc else "h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    pictures = 0
    for units in played.pictures + played.pictures:
        pictures += len(context.decode(av.Packet(b"".join(b"\x00\x00\x00\x01" + unit for unit in units))))
    return pictures + len(context.decode(None))


@pytest.mark.parametrize("name", BOTH)
def test_clip_has_its_bit_rate_and_plays_twice_in_a_row_without_an_error(name: ClipName) -> None:
    played = clip(name)
    assert played.bit_rate == pytest.approx(512_000, rel=0.03)
    assert (played.width, played.height) == (640, 360)
    assert decoded(played) == 2 * len(played.pictures)


@pytest.mark.parametrize("name", BOTH)
def test_every_fiftieth_picture_alone_decodes_alone(name: ClipName) -> None:
    for number, units in enumerate(clip(name).pictures):
        if name is ClipName.NORMAL265:
            key = any(16 <= h265.nal_type(unit) <= 21 for unit in units)
        else:
            key = any(h264.nal_type(unit) == h264.NAL_IDR for unit in units)
        assert key == (number % KEY_INTERVAL == 0)


@pytest.mark.slow
def test_quiet_clip_keeps_its_bounds() -> None:
    sizes = clip(ClipName.QUIET).sizes()
    assert max(sizes[::KEY_INTERVAL]) <= QUIET_KEY_BYTES_MAX
    assert max(size for number, size in enumerate(sizes) if number % KEY_INTERVAL) <= QUIET_OTHER_BYTES_MAX
    assert len(set(clip(ClipName.QUIET).pictures)) > KEY_INTERVAL


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_main_clip_has_its_bit_rate() -> None:
    played = clip(ClipName.MAIN)
    assert played.bit_rate == pytest.approx(4_000_000, rel=0.03)
    assert (played.width, played.height) == (1920, 1080)
