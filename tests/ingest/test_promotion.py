from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import ActivityNotice, Codec, FrameHeader
from contracts.instant import SECOND, Instant
from ingest.promotion import Promotion
from ingest.ring import PictureRing

T0 = Instant(1_800_000_000 * SECOND)


class Handed:
    """The link's end: what was offered, in order."""

    def __init__(self) -> None:
        self.headers: list[FrameHeader] = []

    def offer(self, header: FrameHeader, data: bytes) -> None:
        assert header.size == len(data)
        self.headers.append(header)

    def notice(self, notice: ActivityNotice) -> None:
        raise AssertionError(notice)

    def forget(self, source_id: str) -> None:
        raise AssertionError(source_id)

    async def serve(self) -> None:
        raise AssertionError


class Camera:
    """A camera whose session hands on what it is asked for: a group of ten pictures a second."""

    def __init__(self, *, keep_ring: bool = False) -> None:
        self.handed = Handed()
        self.ring = PictureRing(1 << 20, 60 * SECOND)
        self.collecting = False
        self.unbroken = False
        self.pictures = 0
        self.promotion = Promotion(self.handed, self.ring, self._collect, keep_ring=keep_ring)

    def _collect(self, every_picture: bool) -> None:
        self.collecting = every_picture

    def play(self, pictures: int) -> Camera:
        for _ in range(pictures):
            key = self.pictures % 10 == 0
            self.unbroken = key or (self.unbroken and self.collecting)
            if self.unbroken:
                at = Instant(T0 + self.pictures * SECOND // 10)
                header = FrameHeader(
                    source_id="a", sequence=0, event_time=at, arrival_time=at, codec=Codec.H264, size=7, key=key
                )
                self.promotion.hand_on(header, bytes(7))
            self.pictures += 1
        return self

    def promote(self, *, from_last_key: bool = False, seconds: float = 100.0) -> bool:
        return self.promotion.promote("a", Instant(T0 + round(seconds * SECOND)), from_last_key=from_last_key)

    def told(self) -> list[tuple[bool, int, bool]]:
        return [(each.key, each.chain, each.promoted) for each in self.handed.headers]


def test_without_a_wish_key_pictures_alone_leave() -> None:
    assert Camera().play(30).told() == [(True, 0, False)] * 3


def test_every_picture_leaves_from_the_next_key_picture_on_until_the_time_is_over() -> None:
    camera = Camera().play(5)
    assert not camera.promote(seconds=3.0)
    camera.play(15)
    assert camera.told()[:2] == [(True, 0, False), (True, 0, True)]
    assert camera.told()[2:] == [(False, number, True) for number in range(1, 10)]
    assert not camera.promotion.expire(Instant(T0 + 2 * SECOND))
    assert camera.promotion.expire(Instant(T0 + 3 * SECOND))
    assert not camera.promotion.expire(Instant(T0 + 3 * SECOND))
    camera.play(20)
    assert camera.told()[11:] == [(True, 0, False)] * 2


def test_suspect_begins_with_its_last_key_picture() -> None:
    camera = Camera()
    camera.promotion.set_suspect("a", True)
    camera.play(25)
    assert camera.told() == [(True, 0, False)] * 3, "a suspect's pictures are kept, not sent"
    assert camera.promote(from_last_key=True)
    camera.play(3)
    assert camera.told()[3:] == [(key == 0, key, True) for key in range(8)]
    camera.promotion.set_suspect("a", False)
    assert camera.collecting, "it is still promoted"


def test_open_group_that_is_not_kept_waits_for_the_next_key_picture() -> None:
    camera = Camera().play(5)
    assert not camera.promote(from_last_key=True)
    camera.play(6)
    assert camera.told() == [(True, 0, False), (True, 0, True)]


def test_session_that_broke_goes_on_with_a_key_picture() -> None:
    camera = Camera().play(1)
    camera.promote()
    camera.play(15)
    camera.promotion.broken("a")
    camera.unbroken = False
    camera.play(8)
    chains = [chain for _, chain, _ in camera.told()]
    assert chains == [0, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3]


def test_suspect_that_goes_away_leaves_its_place_to_one_that_is_there() -> None:
    away, there = Camera(), Camera()
    there.promotion._ring = away.ring = PictureRing(1_000_000, 30 * SECOND, suspects_max=1)
    away.promotion._ring = away.ring
    away.promotion.set_suspect("a", True)
    there.promotion.set_suspect("b", True)
    assert (away.promotion.suspect, there.promotion.suspect) == (True, False)
    away.promotion.broken("a")
    there.promotion.set_suspect("b", True)
    assert (away.promotion.suspect, there.promotion.suspect) == (False, True)


def test_camera_named_by_policy_has_its_key_pictures_kept() -> None:
    camera = Camera(keep_ring=True).play(40)
    assert len(camera.ring) == 4
    assert not camera.collecting
    assert len(Camera().play(40).ring) == 0


ACTS = st.lists(
    st.sampled_from(["play", "play", "play", "promote", "promote_last", "suspect", "trust", "expire", "break"]),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(ACTS)
def test_no_picture_leaves_without_all_that_it_needs(acts: list[str]) -> None:
    camera = Camera()
    for act in acts:
        match act:
            case "play":
                camera.play(7)
            case "promote" | "promote_last":
                camera.promote(from_last_key=act == "promote_last")
            case "suspect" | "trust":
                camera.promotion.set_suspect("a", act == "suspect")
            case "expire":
                camera.promotion.expire(Instant(T0 + 1000 * SECOND))
            case _:
                camera.promotion.broken("a")
                camera.unbroken = False
    headers = camera.handed.headers
    assert [each.sequence for each in headers] == list(range(1, len(headers) + 1))
    for before, after in pairwise(headers):
        assert after.key or after.chain == before.chain + 1
        assert after.key or after.promoted
    assert not headers or headers[0].key
