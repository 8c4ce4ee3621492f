"""Promotion as inference does it: whom, for how long; and all pictures of a camera through the running service."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.control import Promote
from contracts.frame import ActivityNotice, Codec, Frame, Suspicion
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType
from contracts.place import ZoneKind
from contracts.source import SourceState
from inference.config import FlowConfig, InferenceConfig, PromotionConfig
from inference.promote import Promoter, Promotions
from runtime.metrics import StageCounters
from runtime.zmq_request import ZmqRequestClient
from sim.scenario import normalised_homography
from sim.scenes import SceneKind, make_scene
from tests.inference.county import CAMERA, CLOCK, CONFIG, County, child_of_ours, county, until
from tests.inference.pictures import at, catalogue, encode, encode_groups, moving, noisy, promoted, zone

HOLD = PromotionConfig(cameras_max=3, hold_s=20.0, longest_s=60.0, rest_s=30.0)


def test_suspected_camera_is_asked_for_once_and_again_in_the_second_half_of_its_time() -> None:
    made = Promotions(HOLD)
    asked = [made.wish("a", 8.0, at(second)) for second in range(25)]
    assert [(second, until) for second, until in enumerate(asked) if until is not None] == [
        (0, at(20)), (10, at(30)), (20, at(40)),
    ]  # fmt: skip


def test_suspicion_that_never_ends_is_followed_so_long_and_then_rests() -> None:
    made = Promotions(HOLD)
    held = []
    for second in range(200):
        made.wish("a", 8.0, at(second))
        held.append(made.holds("a"))
    changes = [second for second in range(1, 200) if held[second] != held[second - 1]]
    assert held[0]
    assert changes == [60, 90, 150, 180], "60 s promoted, 30 s not"
    assert made.skipped == {"resting": 60}


def test_suspicion_that_passed_is_held_and_then_left_and_may_rise_again_at_once() -> None:
    made = Promotions(HOLD)
    made.wish("a", 8.0, at(0))
    made.expire(at(19.9))
    assert made.holds("a")
    made.expire(at(20))
    assert not made.holds("a")
    assert made.wish("a", 8.0, at(21)) == at(41)


def test_places_are_few_and_the_last_one_is_for_a_fire() -> None:
    made = Promotions(HOLD)
    assert [made.wish(name, 4.0, at(0)) is not None for name in "abc"] == [True, True, False]
    assert made.wish("fire", 8.0, at(0)) is not None
    assert made.wish("second fire", 8.0, at(0)) is None
    assert made.skipped == {"limit": 2}


def test_weak_suspicion_and_no_places_at_all_promote_nobody() -> None:
    assert Promotions(HOLD).wish("a", 1.9, at(0)) is None
    assert Promotions(PromotionConfig(cameras_max=0)).wish("a", 8.0, at(0)) is None


def test_refused_camera_gives_its_place_back_and_is_left_alone_for_a_while() -> None:
    made = Promotions(HOLD)
    made.wish("a", 8.0, at(0))
    made.refused("a", at(1))
    assert len(made) == 0
    assert made.wish("a", 8.0, at(5.9)) is None
    assert made.wish("a", 8.0, at(6)) is not None


def test_bursts_are_few_take_places_and_never_the_one_for_a_fire() -> None:
    made = Promotions(HOLD)
    assert made.burst("a", 9.0, 1, at(0)) == at(9)
    assert made.burst("a", 9.0, 1, at(4)) is None, "it goes on"
    assert made.burst("b", 9.0, 1, at(4)) is None
    assert made.skipped == {"burst_limit": 1}
    assert made.burst("b", 9.0, 2, at(4)) == at(13)
    assert made.burst("c", 9.0, 3, at(5)) is None, "the last place"
    assert made.wish("fire", 8.0, at(5)) is not None
    made.expire(at(14))
    assert not made.holds("a")
    assert made.burst("a", 9.0, 1, at(14)) == at(23)


def test_burst_of_a_camera_that_is_promoted_makes_its_promotion_no_shorter_and_none_without_end() -> None:
    made = Promotions(HOLD)
    assert made.wish("a", 8.0, at(0)) == at(20)
    assert made.burst("a", 9.0, 1, at(1)) == at(20)
    for second in range(2, 58):
        made.wish("a", 8.0, at(second))
    assert made.burst("a", 9.0, 1, at(58)) == at(60), "as long as may be"


def test_refused_burst_gives_its_place_to_another() -> None:
    made = Promotions(HOLD)
    made.burst("a", 9.0, 1, at(0))
    made.refused("a", at(0))
    assert made.burst("b", 9.0, 1, at(0)) == at(9)


def test_camera_that_leaves_the_catalogue_gives_its_place_back() -> None:
    made = Promotions(HOLD)
    made.wish("a", 8.0, at(0))
    made.wish("b", 8.0, at(0))
    made.keep_only({"b"})
    assert (made.holds("a"), made.holds("b")) == (False, True)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([2.0, 4.0, 8.0]), st.floats(0, 15)), max_size=80)
)
def test_any_suspicions_then_bounds_of_number_and_time_hold(wishes: list[tuple[str, float, float]]) -> None:
    made, now = Promotions(HOLD), 0.0
    since: dict[str, Instant] = {}
    for name, urgency, step in wishes:
        now += step
        made.expire(at(now))
        for gone in [each for each in since if not made.holds(each)]:
            del since[gone]
        until = made.wish(name, urgency, at(now))
        if until is not None:
            assert at(now) < until <= at(now + 20)
            assert until <= since.setdefault(name, at(now)) + 60 * SECOND
        assert len(made) <= 3


async def test_ingest_does_not_answer_then_the_reason_is_no_link_and_it_is_counted(short_dir: Path) -> None:
    client = ZmqRequestClient(f"ipc://{short_dir}/control.sock", CLOCK)
    counters = StageCounters("inference")
    promoter = Promoter(HOLD, CLOCK, counters, [client])
    answer = await promoter.ask(Promote(source_id="a", until=at(0), reason="fire"))
    assert (answer.accepted, answer.reason) == (False, "no_link")
    promoter.suspected("a", 8.0, "fire")
    while promoter.promotions.holds("a"):
        await CLOCK.asleep(0.05)
    await promoter.close()
    await client.close()


@pytest.fixture(scope="module")
def fire() -> list[bytes]:
    """Key pictures of a fire that burns: each is unlike the one before."""
    scene = make_scene(SceneKind.FIRE_STARTING, 3)
    return [encode(noisy(scene.render(90.0 + n / 2)[0], n)) for n in range(8)]


async def test_fire_is_suspected_then_its_camera_is_promoted_and_asked_for_again(
    short_dir: Path, fire: list[bytes]
) -> None:
    config = msgspec.structs.replace(CONFIG, promotion=PromotionConfig(hold_s=2.0))
    turn = count()
    async with county(short_dir, catalogue(CAMERA), config, ingest=True) as made:
        await until(made, lambda: len(made.promoted) >= 3, lambda: made.offer(fire[next(turn) % 8]))
    assert {(each.source_id, each.reason, each.from_last_key) for each in made.promoted} == {
        (CAMERA.id, "fire", False)
    }
    assert made.promoted[0].until < made.promoted[1].until < made.promoted[2].until


async def test_ingest_finds_a_camera_suspicious_then_it_is_promoted_from_its_last_key_picture_on(
    short_dir: Path,
) -> None:
    scenes = moving(2)
    async with county(short_dir, catalogue(CAMERA), ingest=True) as made:
        frames = promoted(encode_groups(scenes, group=1), CAMERA.id)

        def offer(number: int, suspicion: Suspicion) -> None:
            frame = frames[number % 2]
            header = msgspec.structs.replace(
                frame.header, sequence=number + 1, promoted=False, suspicion=suspicion, event_time=CLOCK.now()
            )
            made.offer_frame(Frame(header=header, data=frame.data))

        numbers = count()
        for _ in range(3):
            offer(next(numbers), Suspicion.NONE)
            await CLOCK.asleep(0.1)
        assert made.promoted == []
        await until(made, lambda: bool(made.promoted), lambda: offer(next(numbers), Suspicion.BURST))
        for _ in range(5):
            offer(next(numbers), Suspicion.BURST)
            await CLOCK.asleep(0.1)
    assert [(each.source_id, each.reason, each.from_last_key) for each in made.promoted] == [
        (CAMERA.id, "burst", True)
    ]


async def test_ingest_notices_a_burst_between_two_pictures_then_the_camera_is_promoted_without_a_new_picture(
    short_dir: Path,
) -> None:
    async with county(short_dir, catalogue(CAMERA), ingest=True) as made:
        for name in ("stranger", CAMERA.id):
            made.publisher.notice(
                ActivityNotice(source_id=name, at=CLOCK.now(), activity=9.0, suspicion=Suspicion.BURST)
            )
        await until(made, lambda: bool(made.promoted) and made.counted("notices_received:burst") == 2)
    assert [(each.source_id, each.reason, each.from_last_key) for each in made.promoted] == [
        (CAMERA.id, "burst", True)
    ]


class Stream:
    """A promoted camera's endless stream of real pictures, in order."""

    def __init__(self, codec: Codec = Codec.H264) -> None:
        self._units = encode_groups(moving(24), codec, group=12)
        self._codec = codec
        self._numbers = count()
        self.sent = 0

    def play(self, made: County, pictures: int) -> None:
        for number in (next(self._numbers) for _ in range(pictures)):
            (frame,) = promoted([self._units[number % 24]], CAMERA.id, first=number + 1, codec=self._codec)
            header = msgspec.structs.replace(frame.header, chain=number % 12)
            made.offer_frame(Frame(header=header, data=frame.data))
            self.sent += 1


FAST = msgspec.structs.replace(CONFIG, promotion=PromotionConfig(look_s=0.8))


@asynccontextmanager
async def playing(folder: Path, stream: Stream, config: InferenceConfig = FAST) -> AsyncIterator[County]:
    """The service with a promoted camera at 25 pictures a second."""
    async with county(folder, catalogue(CAMERA), config, ingest=True) as made:

        async def play() -> None:
            while True:
                stream.play(made, 1)
                await CLOCK.asleep(0.04)

        task = asyncio.create_task(play())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def decoded(made: County) -> int:
    return made.counted("pictures_decoded") + made.counted("pictures_followed")


def lost(made: County) -> dict[str, int]:
    counters = dict(made.health.counters) if made.health is not None else {}
    return {name: n for name, n in counters.items() if name.startswith(("pictures_dropped", "pictures_refused"))}


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
async def test_promoted_camera_then_every_picture_is_decoded_in_order_and_some_are_looked_at(
    short_dir: Path, codec: Codec
) -> None:
    stream = Stream(codec)
    async with playing(short_dir, stream) as made:
        await until(made, lambda: decoded(made) >= 100)
        looks = made.counted("pictures_analysed")
    assert lost(made) == {}
    assert decoded(made) <= stream.sent
    assert 1 <= looks <= decoded(made) / 10, "one in 0.8 s of 25 a second"
    assert [change.state for change in made.changes] == [SourceState.LIVE]


async def test_decoding_child_is_killed_while_promoted_then_the_chain_goes_on_at_a_key_picture(
    short_dir: Path,
) -> None:
    async with playing(short_dir, Stream()) as made:
        await until(made, lambda: decoded(made) >= 30)
        killed = child_of_ours()
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await until(made, lambda: made.counted("decoder_restarts:killed") == 1)
        before = decoded(made)
        await until(made, lambda: decoded(made) >= before + 50)
    assert made.counted("cameras_quarantined:crash") == 0
    assert set(lost(made)) <= {
        "pictures_dropped:chain_lost", "pictures_refused:killed", "pictures_dropped:no_key",
    }  # fmt: skip
    assert sum(lost(made).values()) <= 24, "what was under way, and the rest of one group"
    assert [change.state for change in made.changes] == [SourceState.LIVE], "the camera is not to blame"


async def test_inference_restarts_while_a_camera_is_promoted_then_it_goes_on_at_a_key_picture(
    short_dir: Path,
) -> None:
    async with playing(short_dir, Stream()) as made:
        await until(made, lambda: decoded(made) >= 30)
        await made.end()
        made.health = None
        made.start()
        await until(made, lambda: decoded(made) >= 50)
    assert not any(name.startswith("pictures_refused") for name in lost(made))
    assert sum(lost(made).values()) <= 12, "nothing but the rest of the group that the first one had begun"


async def test_decoder_is_too_slow_for_the_stream_then_it_falls_forward_and_nothing_looks_broken(
    short_dir: Path,
) -> None:
    """A burst of forty groups at once is more than waits in a queue of this size."""
    stream = Stream()
    async with county(short_dir, catalogue(CAMERA), FAST, ingest=True) as made:
        store = made.store
        store.queue_bytes_max = 60_000
        await until(made, lambda: made.counted("pictures_analysed") >= 1, lambda: stream.play(made, 12))
        for _ in range(5):
            stream.play(made, 96)
            await CLOCK.asleep(0.3)
        before = decoded(made)
        await until(made, lambda: decoded(made) >= before + 24, lambda: stream.play(made, 12))
    assert store.dropped["queue_full"] > 0
    assert store.size_bytes <= store.budget_bytes
    assert not any(name.startswith("pictures_refused") for name in lost(made))
    assert [change.state for change in made.changes] == [SourceState.LIVE]


async def test_ingest_is_away_while_something_is_suspected_then_pictures_are_looked_at_as_before(
    short_dir: Path, fire: list[bytes]
) -> None:
    turn = count()
    async with county(short_dir, catalogue(CAMERA)) as made:
        await until(
            made,
            lambda: made.counted("promotions_refused:no_link") >= 1,
            lambda: made.offer(fire[next(turn) % 8]),
        )
        before = made.counted("pictures_analysed")
        await until(
            made,
            lambda: made.counted("pictures_analysed") >= before + 5,
            lambda: made.offer(fire[next(turn) % 8]),
        )
    assert made.counted("promotion_requests_failed:link_closed") >= 1
    assert made.promoted == []


@pytest.mark.slow
async def test_busy_lane_then_its_camera_is_promoted_for_a_burst_and_its_queue_is_measured(
    short_dir: Path,
) -> None:
    scene = make_scene(SceneKind.ROAD_SLOWING, 9001, onset_s=60.0)
    lanes = []
    for each in scene.view.zones:
        polygon = tuple((x / scene.width, y / scene.height) for x, y in each.polygon)
        lanes.append(zone(ZoneKind.LANE, polygon, zone_id=each.name))
    homography = normalised_homography(scene.view, scene.width, scene.height)
    road = msgspec.structs.replace(CAMERA, zones=tuple(lanes), homography=homography)
    units = encode_groups([scene.render(110.0 + n / 25)[0] for n in range(12)], group=12)
    config = msgspec.structs.replace(CONFIG, flow=FlowConfig(burst_s=3.0, every_s=60.0))
    numbers = count()

    async with county(short_dir, catalogue(road), config, ingest=True) as made:

        def play(promoted_now: bool) -> None:
            number = next(numbers)
            (frame,) = promoted([units[number % 12 if promoted_now else 0]], CAMERA.id, first=number + 1)
            header = msgspec.structs.replace(frame.header, chain=number % 12, promoted=promoted_now)
            made.offer_frame(Frame(header=header, data=frame.data))

        await until(made, lambda: bool(made.promoted), lambda: play(False))
        while next(numbers) % 12 != 11:
            pass

        async def go_on() -> None:
            while True:
                play(True)
                await CLOCK.asleep(0.04)

        task = asyncio.create_task(go_on())
        await until(made, lambda: any(each.type is IncidentType.CONGESTION for each in made.observations))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert made.promoted[0].reason == "flow"
    told = [dict(each.detail) for each in made.observations if each.type is IncidentType.CONGESTION]
    grades = [each.value for each in made.observations if each.type is IncidentType.CONGESTION]
    assert max(grade for grade in grades if grade is not None) == 5
    assert min(float(each["speed_kmh"]) for each in told if each["speed_kmh"] != "null") < 3
    assert max(int(each["queue"]) for each in told) >= 3
