"""Which cameras are asked for a filmstrip, what stands of two tellings, and asking until there is an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from alerts.config import AlertsConfig, FilmstripConfig, LookConfig
from alerts.core.effects import IncidentChanged
from alerts.filmstrips import FilmstripDesk, given_up
from alerts.store.filmstrips import supersedes
from alerts.witnesses import Witnesses
from contracts import topics, wire
from contracts.control import FilmstripAnswer, FilmstripRequest
from contracts.filmstrip import (
    Filmstrip,
    FilmstripGap,
    FilmstripOrigin,
    FilmstripPicture,
    FilmstripState,
    filmstrip_id,
)
from contracts.incident import Incident, IncidentState
from contracts.instant import SECOND, Instant
from contracts.observation import EvidenceRef
from contracts.place import Place
from contracts.source import Camera
from runtime.clock import SimClock, SystemClock
from runtime.metrics import StageCounters
from runtime.site import Site
from runtime.zmq_request import ZmqRequestServer
from tests.alerts.county import CONFIG, County, county
from tests.alerts.records import SITE, SQUARE, at, incident, smoke
from tests.alerts.site_files import CAMERA_ID, catalogue, write_site

CLOCK = SystemClock()
METRE = 1 / 111_320


def camera(id_: str, place: Place = SQUARE) -> Camera:
    return Camera(id=id_, name=id_, place=place, owner="公安局", url="rtsp://127.0.0.1/1", live=True)


def north(metres: float, fire_zone: str | None = None) -> Place:
    return Place(SQUARE.lon, SQUARE.lat + metres * METRE, None, None, fire_zone, "")


def desk(*cameras: Camera, config: FilmstripConfig = FilmstripConfig()) -> FilmstripDesk:  # noqa: B008 - frozen
    return FilmstripDesk(SITE, config, Witnesses(cameras), SimClock(), StageCounters("alerts"), lambda _: None)


def chosen(of: FilmstripDesk, *incidents: Incident) -> list[str]:
    return [strip.source_id for strip in of.wanted([IncidentChanged(each) for each in incidents], at(5))]


def test_camera_that_claims_it_is_asked_and_nobody_else() -> None:
    here = desk(camera("a"), camera("b"), camera("c"))
    assert chosen(here, replace(incident(), source_ids=("S-1", "b"))) == ["b"]


def test_sensors_alone_then_the_cameras_of_the_fire_zone_and_the_nearest_within_reach() -> None:
    far_zone = camera("zone", north(300, "fz-1"))
    cameras = (camera("70m", north(70)), camera("20m", north(20)), far_zone, camera("90m", north(90)))
    assert chosen(desk(*cameras), incident()) == ["zone", "20m"]
    assert chosen(desk(*cameras, config=FilmstripConfig(cameras_max=9)), incident()) == ["zone", "20m", "70m"]
    assert chosen(desk(camera("90m", north(90))), incident()) == []


@pytest.mark.parametrize("forbidden", [{"secrecy": True}, {"forbidden_place": True}, {"live": False}])
def test_camera_that_may_not_be_looked_at_is_never_asked(forbidden: dict[str, bool]) -> None:
    closed = replace(camera("a"), **forbidden)
    assert chosen(desk(closed), incident(), replace(incident(2), source_ids=("a",))) == []


def test_incident_is_asked_for_once_when_it_comes_onto_the_wall() -> None:
    here = desk(camera("a"))
    candidate = replace(incident(), state=IncidentState.CANDIDATE)
    assert chosen(here, candidate) == []
    assert chosen(here, incident()) == ["a"]
    assert chosen(here, replace(incident(), version=2)) == []
    assert chosen(here, replace(incident(2), operations=True)) == []
    assert chosen(desk(camera("a"), config=FilmstripConfig(cameras_max=0)), incident()) == []


def test_strip_spans_the_moment_that_put_it_on_the_wall() -> None:
    exercise = replace(incident(), last_event_time=at(4), exercise=True)
    [strip] = desk(camera("a")).wanted([IncidentChanged(exercise)], at(5))
    assert (strip.begin, strip.at, strip.end, strip.exercise) == (at(-26), at(4), at(34), True)
    assert strip.id == filmstrip_id(exercise.id, "a")
    late = replace(incident(2), last_event_time=at(900))
    [strip] = desk(camera("a")).wanted([IncidentChanged(late)], at(5))
    assert strip.at == at(5), "a moment that has not come is none"


def test_storm_of_incidents_then_the_strips_beyond_the_bound_are_born_missing() -> None:
    here = desk(camera("a"), config=FilmstripConfig(open_max=3))
    strips = here.wanted([IncidentChanged(incident(number)) for number in range(1, 6)], at(5))
    assert [strip.state for strip in strips] == [FilmstripState.WANTED] * 3 + [FilmstripState.COMPLETE] * 2
    assert strips[4].gaps == (FilmstripGap(begin=strips[4].begin, end=strips[4].end, reason="busy"),)


def picture(when: Instant) -> FilmstripPicture:
    ref = EvidenceRef(
        sha256="0" * 64,
        path="x.jpg",
        media_type="image/jpeg",
        width=1,
        height=1,
        size=1,
        event_time=when,
        source_id="a",
    )
    return FilmstripPicture(evidence=ref, origin=FilmstripOrigin.RING)


def strip_of(state: FilmstripState, pictures: Sequence[float] = ()) -> Filmstrip:
    return Filmstrip(
        id="strip-1",
        site=SITE,
        incident_id="inc-1",
        source_id="a",
        begin=at(0),
        at=at(30),
        end=at(60),
        state=state,
        pictures=tuple(picture(at(second)) for second in pictures),
    )


def test_given_up_then_pictures_stay_and_the_rest_is_missing() -> None:
    strip = given_up(strip_of(FilmstripState.GATHERING, (0, 15, 30)), "unanswered")
    assert strip.state is FilmstripState.COMPLETE
    assert len(strip.pictures) == 3
    assert strip.gaps == (FilmstripGap(begin=at(30), end=at(60), reason="unanswered"),)
    assert given_up(strip, "busy") == strip


def test_of_two_tellings_the_one_stands_that_knows_more() -> None:
    wanted, first = strip_of(FilmstripState.WANTED), strip_of(FilmstripState.GATHERING, (0,))
    empty, full = strip_of(FilmstripState.COMPLETE), strip_of(FilmstripState.COMPLETE, (0, 3))
    order = [None, wanted, first, empty, full]
    for place, new in enumerate(order[1:], start=1):
        assert new is not None
        assert [supersedes(new, old) for old in order] == [old_place < place for old_place in range(len(order))]


def test_strip_out_of_order_is_no_record() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(
            {**msgspec.to_builtins(strip_of(FilmstripState.WANTED)), "at": at(90)}, Filmstrip, strict=False
        )


class Inference:
    """The asked side: answers as told, and remembers what it was asked."""

    def __init__(self, site: Site) -> None:
        self.asked: list[FilmstripRequest] = []
        self.reason = ""
        self._server = ZmqRequestServer(site.endpoint(topics.CONTROL_INFERENCE), CLOCK)
        self._task = asyncio.create_task(self._server.serve(self._answer))

    async def _answer(self, kind: str, body: bytes) -> bytes:
        assert kind == topics.REQUEST_FILMSTRIP
        wish = wire.decode(body, FilmstripRequest)
        self.asked.append(wish)
        return wire.encode(FilmstripAnswer(id=wish.id, accepted=not self.reason, reason=self.reason))

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await CLOCK.asleep(0.02)


@asynccontextmanager
async def inference(site: Site) -> AsyncIterator[Inference]:
    made = Inference(site)
    try:
        yield made
    finally:
        await made.close()


def config(**changes: object) -> AlertsConfig:
    strip = replace(FilmstripConfig(after_s=0.5, answer_s=1.0, give_up_s=60.0), **changes)
    return replace(CONFIG, filmstrip=strip, look=LookConfig(cameras_max=0))


def site_with_camera(folder: Path) -> Site:
    site = write_site(folder)
    listed = catalogue()
    live = replace(listed, cameras=tuple(replace(each, live=True) for each in listed.cameras))
    (folder / "catalogue.json").write_bytes(msgspec.json.encode(live))
    return site


def stored(here: County) -> list[Filmstrip]:
    return [wire.decode(row["body"], Filmstrip) for row in here.rows("SELECT body FROM filmstrips ORDER BY seq")]


def told(wish: FilmstripRequest, state: FilmstripState, pictures: int) -> Filmstrip:
    times = [Instant(wish.begin + number * SECOND) for number in range(pictures)]
    return Filmstrip(
        id=wish.id,
        site=SITE,
        incident_id=wish.incident_id,
        source_id=wish.source_id,
        begin=wish.begin,
        at=wish.at,
        end=wish.end,
        state=state,
        pictures=tuple(picture(each) for each in times),
    )


def alarm(number: int) -> msgspec.Struct:
    """A smoke alarm beside the camera."""
    return smoke(number, CLOCK.now(), place=catalogue().cameras[0].place)


COMPLETE = "SELECT 1 FROM filmstrips WHERE state = 'complete'"


async def test_alarm_beside_a_camera_then_asked_told_and_committed(short_dir: Path) -> None:
    site = site_with_camera(short_dir)
    async with inference(site) as asked, county(site, config(), producer="inference-0") as here:
        await here.send(alarm(1))
        await asked.until(lambda: bool(asked.asked))
        wish = asked.asked[0]
        assert (wish.source_id, wish.end - wish.begin) == (CAMERA_ID, round(30.5 * SECOND))
        [strip] = stored(here)
        assert strip.state is FilmstripState.WANTED
        await here.send(told(wish, FilmstripState.GATHERING, 2))
        await here.send(told(wish, FilmstripState.COMPLETE, 4))
        await here.send(told(wish, FilmstripState.COMPLETE, 3), told(wish, FilmstripState.GATHERING, 2))
        [strip] = stored(here)
        assert (strip.state, len(strip.pictures)) == (FilmstripState.COMPLETE, 4)
        kinds = [row["kind"] for row in here.rows("SELECT kind FROM changes ORDER BY seq")]
        assert kinds.count("filmstrip") == 3, "wanted, first part, complete; what says no more is no change"
        assert here.rows("SELECT * FROM refusals") == []


async def test_nobody_asked_for_it_then_refused_and_shown(short_dir: Path) -> None:
    site = site_with_camera(short_dir)
    async with county(site, config(), producer="inference-0") as here:
        await here.send(
            strip_of(FilmstripState.COMPLETE), replace(strip_of(FilmstripState.COMPLETE), site="other")
        )
        assert stored(here) == []
        assert sorted(row["reason"] for row in here.rows("SELECT reason FROM refusals")) == [
            "unknown_filmstrip",
            "wrong_site",
        ]


async def test_inference_was_restarted_and_forgot_then_asked_again(short_dir: Path) -> None:
    site = site_with_camera(short_dir)
    async with county(site, config(), producer="inference-0") as here:
        async with inference(site) as asked:
            await here.send(alarm(1))
            await asked.until(lambda: bool(asked.asked))
        async with inference(site) as again:
            await again.until(lambda: bool(again.asked))
            assert again.asked[0] == asked.asked[0]
            await here.send(told(again.asked[0], FilmstripState.COMPLETE, 1))
            assert stored(here)[0].state is FilmstripState.COMPLETE


async def test_alerts_was_restarted_then_it_asks_on(short_dir: Path) -> None:
    site = site_with_camera(short_dir)
    async with county(site, config(), producer="inference-0") as here:
        await here.send(alarm(1))
        assert stored(here)[0].state is FilmstripState.WANTED
    async with inference(site) as asked, county(site, config(), producer="inference-0") as here:
        await asked.until(lambda: bool(asked.asked))
        await here.send(told(asked.asked[0], FilmstripState.COMPLETE, 2))
        [strip] = stored(here)
        assert len(strip.pictures) == 2


async def test_nobody_answers_then_missing_with_the_reason(short_dir: Path) -> None:
    site = site_with_camera(short_dir)
    async with county(site, config(answer_s=0.2, give_up_s=0.5), producer="inference-0") as here:
        await here.send(alarm(1))
        await here.until(COMPLETE)
        [strip] = stored(here)
        assert [gap.reason for gap in strip.gaps] == ["no_link"]


@pytest.mark.parametrize("reason", ["unknown_source", "evidence_off"])
async def test_refused_for_good_then_missing_at_once(short_dir: Path, reason: str) -> None:
    site = site_with_camera(short_dir)
    async with inference(site) as asked, county(site, config(), producer="inference-0") as here:
        asked.reason = reason
        await here.send(alarm(1))
        await here.until(COMPLETE)
        assert [gap.reason for gap in stored(here)[0].gaps] == [reason]
        assert len(asked.asked) == 1


async def test_busy_then_asked_until_there_is_room(short_dir: Path) -> None:
    site = site_with_camera(short_dir)
    async with inference(site) as asked, county(site, config(), producer="inference-0") as here:
        asked.reason = "busy"
        await here.send(alarm(1))
        await asked.until(lambda: bool(asked.asked))
        asked.reason = ""
        await asked.until(lambda: len(asked.asked) >= 2)
        assert stored(here)[0].state is FilmstripState.WANTED
