"""Immediate looks at the running service: real links, a real decoder and detector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.control import LookAnswer, LookOutcome, Promote
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType
from contracts.place import ZoneKind
from contracts.source import Catalogue
from inference.config import InferenceConfig, LookConfig
from sim.scenes import SceneKind, make_scene
from tests.inference.county import CAMERA, CLOCK, CONFIG, County, county
from tests.inference.pictures import Bgr, camera, catalogue, encode, encode_groups, noisy, promoted, textured, zone

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
NOWHERE = ((0.0, 0.0), (0.01, 0.0), (0.01, 0.01), (0.0, 0.01))
ZONED = camera(
    zone(ZoneKind.STANDING), zone(ZoneKind.STANDING, LEFT, zone_id="left"),
    zone(ZoneKind.STANDING, NOWHERE, zone_id="corner"),
)  # fmt: skip


@pytest.fixture(scope="module")
def square() -> Bgr:
    picture, _ = make_scene(SceneKind.SQUARE_FILLING, 3).render(90.0)
    return picture


@asynccontextmanager
async def watched(
    folder: Path, answer: Catalogue, config: InferenceConfig = CONFIG, *, ingest: bool = True
) -> AsyncIterator[County]:
    """A service that knows its cameras."""
    async with county(folder, answer, config, ingest=ingest) as made:
        # The first answer other than "unknown source" shows that the catalogue is there.
        while (await made.look(id="warm", within_s=0.0)).reason == "unknown_source":
            await CLOCK.asleep(0.05)
        yield made


def promotions(made: County, since: Instant, within_s: float) -> list[Promote]:
    """What ingest was asked for by looks since then; what an earlier question asked for may arrive only now."""
    least = since + round((within_s + 1.0) * SECOND)
    return [each for each in made.promoted if each.reason == "look" and each.until >= least]


async def looked(made: County, offer: Callable[[], None], *, within_s: float = 8.0, **wish: str) -> LookAnswer:
    """Ask for a look, and let the picture come when the question is there."""
    since = CLOCK.now()
    asking = asyncio.create_task(made.look(within_s=within_s, **wish))
    while not promotions(made, since, within_s) and not asking.done():
        await CLOCK.asleep(0.02)
    if not asking.done():
        offer()
    return await asking


def fresh(bgr: Bgr) -> Callable[[County], None]:
    return lambda made: made.offer(encode(noisy(bgr, made.sequence)))


async def test_people_on_a_square_are_seen_counted_by_class_and_in_the_zone_that_is_named(
    short_dir: Path, square: Bgr
) -> None:
    async with watched(short_dir, catalogue(ZONED)) as made:
        whole = await looked(made, lambda: fresh(square)(made), kind=IncidentType.CROWD_DENSITY)
        # The same picture answers: it came within the last second.
        others = [await made.look(kind=IncidentType.CROWD_DENSITY, zone_id=each) for each in ("left", "corner")]
        cars = await made.look(kind=IncidentType.STOPPED_VEHICLE)
        anything = await made.look()
    assert whole.outcome is LookOutcome.SEEN
    assert whole.reason == ""
    assert whole.event_time is not None
    (name, people), *rest = whole.counts
    assert (name, rest) == ("person", [])
    assert people >= 10
    left, corner = others
    assert left.outcome is LookOutcome.SEEN
    assert 0 < dict(left.counts)["person"] < people
    assert (corner.outcome, corner.counts) == (LookOutcome.NOTHING, ())
    assert cars.outcome is LookOutcome.NOTHING
    assert dict(anything.counts)["person"] == people
    assert {each.event_time for each in (*others, cars, anything)} == {whole.event_time}


async def test_empty_scene_then_nothing_and_a_flame_then_seen(short_dir: Path) -> None:
    fire, _ = make_scene(SceneKind.FIRE_STARTING, 3).render(90.0)
    config = msgspec.structs.replace(CONFIG, look=LookConfig(fresh_s=0.0))
    async with watched(short_dir, catalogue(CAMERA), config) as made:
        nothing = await looked(made, lambda: fresh(textured())(made), kind=IncidentType.FLAME_SUSPECTED)
        seen = await looked(made, lambda: fresh(fire)(made), kind=IncidentType.FIRE_CONFIRMED)
    assert (nothing.outcome, nothing.counts, nothing.reason) == (LookOutcome.NOTHING, (), "")
    assert seen.outcome is LookOutcome.SEEN
    assert {name for name, _ in seen.counts} <= {"fire", "smoke"}


@pytest.mark.parametrize(
    ("bgr", "reason"),
    [
        (np.full((192, 320, 3), 90, np.uint8), "covered"),
        (np.full((192, 320, 3), 4, np.uint8), "dark"),
    ],
)
async def test_nothing_can_be_seen_then_blind_with_the_reason_from_one_picture(
    short_dir: Path, bgr: Bgr, reason: str
) -> None:
    async with watched(short_dir, catalogue(CAMERA)) as made:
        answer = await looked(made, lambda: fresh(bgr)(made))
    assert (answer.outcome, answer.reason, answer.counts) == (LookOutcome.BLIND, reason, ())
    assert answer.event_time is not None


async def test_picture_does_not_decode_then_blind_and_not_nothing(short_dir: Path) -> None:
    data = encode(textured())
    async with watched(short_dir, catalogue(CAMERA)) as made:
        answer = await looked(made, lambda: made.offer(data[: len(data) // 3]))
    assert (answer.outcome, answer.reason) == (LookOutcome.BLIND, "undecodable")


async def test_no_picture_comes_then_late_and_the_camera_was_asked_to_be_promoted(short_dir: Path) -> None:
    async with watched(short_dir, catalogue(CAMERA)) as made:
        since = CLOCK.now()
        answer = await made.look(within_s=0.5)
    assert (answer.outcome, answer.reason) == (LookOutcome.UNANSWERED, "late")
    assert [(each.source_id, each.reason, each.from_last_key) for each in promotions(made, since, 0.5)] == [
        (CAMERA.id, "look", True)
    ]


async def test_camera_is_not_live_then_told_at_once(short_dir: Path) -> None:
    async with watched(short_dir, catalogue(CAMERA)) as made:
        made.refusal = "not_live"
        answer = await made.look(within_s=10.0)
    assert (answer.outcome, answer.reason) == (LookOutcome.UNANSWERED, "not_live")


async def test_ingest_is_away_or_full_then_the_next_picture_still_answers(short_dir: Path) -> None:
    async with watched(short_dir, catalogue(CAMERA), ingest=False) as made:
        asking = asyncio.create_task(made.look(within_s=10.0))
        await CLOCK.asleep(0.2)
        made.offer(encode(textured()))
        away = await asking
    assert away.outcome is LookOutcome.NOTHING


async def test_questions_that_make_no_sense_are_answered_with_their_reasons(short_dir: Path) -> None:
    secret = msgspec.structs.replace(CAMERA, id="15292100001320000007", secrecy=True)
    async with watched(short_dir, catalogue(CAMERA, secret)) as made:
        reasons = [
            (await made.look(**wish)).reason
            for wish in (
                {"source_id": "15292100001320009999"}, {"source_id": secret.id}, {"zone_id": "z9"},
                {"kind": IncidentType.GAS_CO}, {"kind": "nonsense"}, {"within_s": -1.0},
            )
        ]  # fmt: skip
    assert reasons == ["unknown_source", "unknown_source", "unknown_zone", "not_visible", "not_visible", "late"]
    assert made.counted("looks_without_sight:unknown_zone") in (0, 1)


async def test_more_looks_than_allowed_at_once_are_told_that_we_are_busy(short_dir: Path) -> None:
    config = msgspec.structs.replace(CONFIG, look=LookConfig(at_once_max=2))
    async with watched(short_dir, catalogue(CAMERA), config) as made:
        answers: Sequence[LookAnswer] = await asyncio.gather(
            *(made.look(id=f"look-{n}", within_s=1.0) for n in range(5))
        )
        again = await made.look(within_s=0.0)
    assert sorted(each.reason for each in answers) == ["busy", "busy", "busy", "late", "late"]
    assert {each.id for each in answers} == {f"look-{n}" for n in range(5)}
    assert again.reason == "late", "the places are free again"


async def test_picture_from_before_the_question_does_not_answer_it(short_dir: Path) -> None:
    config = msgspec.structs.replace(CONFIG, look=LookConfig(fresh_s=0.0))
    async with watched(short_dir, catalogue(CAMERA), config) as made:
        made.offer(encode(textured()))
        while made.counted("pictures_analysed") < 1:
            await CLOCK.asleep(0.05)
        before = made.sequence
        grey = np.full((192, 320, 3), 90, np.uint8)
        answer = await looked(made, lambda: fresh(grey)(made))
    assert made.sequence == before + 1
    assert answer.outcome is LookOutcome.BLIND


async def test_promoted_camera_is_looked_at_in_mid_group(short_dir: Path, square: Bgr) -> None:
    """The next picture of the chain answers, not the next key picture."""
    stream = promoted(encode_groups([noisy(square, n) for n in range(10)], group=10), CAMERA.id)
    config = msgspec.structs.replace(CONFIG, look=LookConfig(fresh_s=0.0))
    async with watched(short_dir, catalogue(CAMERA), config) as made:
        since = CLOCK.now()
        asking = asyncio.create_task(made.look(within_s=10.0, kind=IncidentType.CROWD_DENSITY))
        while not promotions(made, since, 10.0):
            await CLOCK.asleep(0.02)
        for each in stream[:4]:
            made.offer_frame(each)
        first = await asking
        again = asyncio.create_task(made.look(within_s=10.0, kind=IncidentType.CROWD_DENSITY))
        await CLOCK.asleep(0.1)
        for each in stream[4:]:
            made.offer_frame(each)
        second = await again
    assert first.outcome is second.outcome is LookOutcome.SEEN
    assert first.event_time is not None
    assert second.event_time is not None
    assert second.event_time > first.event_time
