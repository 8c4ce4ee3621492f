"""Looks through the API: who may ask, how often, what is told and what stands in the register."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inference.blind
import inference.look
import ingest.camera
import ingest.control
from contracts.class_names import CLASS_NAMES
from contracts.control import LookAnswer, LookOutcome
from contracts.instant import MINUTE, SECOND, Instant
from contracts.principal import Principal, Role
from contracts.source import Camera
from dashboard_api.config import ApiConfig
from dashboard_api.look_desk import LookBudget
from dashboard_api.names import CLASSES, LOOK_OUTCOMES, LOOK_REASONS
from dashboard_api.problem import ApiError
from dashboard_api.routes.examples import LOOKS
from dashboard_api.routes.looks import LookWish, _whom
from tests.dashboard_api.county_records import county, draw_evidence, shown_cameras
from tests.dashboard_api.running_api import RunningApi, running_api

CAMERA, OTHER, THIRD, *_, OFF = shown_cameras()
HIDDEN = next(each for each in county().cameras if each.secrecy)


@pytest.fixture
async def api(short_dir: Path) -> AsyncIterator[RunningApi]:
    """A county whose cameras are switched on."""
    async with running_api(short_dir, pairs=0, live=True) as running:
        yield running


def seen(api: RunningApi, camera: Camera = CAMERA, **changes: Any) -> LookAnswer:
    """Twelve people, and something that may be a fire."""
    at = Instant(api.services.clock.now() - SECOND // 2)
    return msgspec.structs.replace(
        LookAnswer(
            id="",
            source_id=camera.id,
            outcome=LookOutcome.SEEN,
            counts=(("person", 12), ("fire", 1)),
            confidence=(("person", 0.91), ("fire", 0.834)),
            event_time=at,
            evidence=(draw_evidence(api.site.evidence_dir, Random(5), at, camera.id),),
        ),
        **changes,
    )


def blind(api: RunningApi, reason: str = "covered") -> LookAnswer:
    return LookAnswer(
        id="", source_id=CAMERA.id, outcome=LookOutcome.BLIND, reason=reason, event_time=api.services.clock.now()
    )


async def entries(api: RunningApi) -> list[tuple[str, ...]]:
    def read() -> list[tuple[str, ...]]:
        with sqlite3.connect(api.site.state_dir / "access.sqlite") as database:
            return database.execute(
                "SELECT principal_id, action, target, reason, outcome FROM access ORDER BY rowid"
            ).fetchall()

    return await asyncio.to_thread(read)


def literals(function: Any, *callees: str) -> Iterator[str]:
    """Strings that a module hands to these callables as their reason."""
    tree = ast.parse(Path(function.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in callees:
            given_ = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "reason")]
            yield from (
                each.value for each in given_ if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


def test_every_outcome_and_reason_that_inference_and_ingest_can_give_has_a_name() -> None:
    assert set(LookOutcome) == set(LOOK_OUTCOMES)
    assert set(CLASS_NAMES) == set(CLASSES)
    looked = set(literals(inference.look, "_unanswered", "_blind"))
    promoted = set(literals(ingest.camera, "CommandRefused")) | set(literals(ingest.control, "CommandRefused"))
    assert {"unknown_zone", "not_visible", "quarantined", "busy"} <= looked
    assert {"limit", "not_live", "unknown_source"} <= promoted
    others = {"late", "resting", "no_link", "covered", "dark", "frozen", "undecodable", "off"}
    assert (looked | promoted | others) - set(LOOK_REASONS) == set()
    assert all(zh and en for zh, en in LOOK_REASONS.values())


def test_the_examples_are_what_they_claim_to_be() -> None:
    for example in LOOKS.values():
        wish = msgspec.convert(example["value"], LookWish)
        assert (wish.source_id != "") != (wish.near is not None)


async def test_answer_tells_numbers_confidence_age_and_picture_and_stands_in_the_register(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    api.inference.says(seen(api))
    answer = await client.post("looks", json={"source_id": CAMERA.id, "reason": "群众来电"})
    assert answer.status_code == 200
    [told] = answer.json()["cameras"]
    assert told["source"]["name"] == CAMERA.name
    assert told["outcome"]["code"] == "seen"
    assert [(each["name"]["zh"], each["count"], each["confidence"]) for each in told["counts"]] == [
        ("人", 12, 0.91), ("明火", 1, 0.83),
    ]  # fmt: skip
    assert told["reason"] is None
    assert 0 < told["age_s"] < 60
    [picture] = told["evidence"]
    shown = await client.get(f"{api.url}{picture['url']}")
    assert hashlib.sha256(shown.content).hexdigest() == picture["sha256"]
    asked, viewed = await entries(api)
    assert asked == ("local-operator", "look", CAMERA.id, "群众来电", f"{CAMERA.id}:seen")
    assert viewed[1] == "view_evidence"
    again = await client.get(f"looks/{answer.json()['id']}")
    assert again.json() == answer.json()


@pytest.mark.parametrize("reason", ["covered", "dark", "frozen", "undecodable", "quarantined"])
async def test_blind_camera_answers_blind_with_its_reason_and_no_picture(
    api: RunningApi, client: httpx.AsyncClient, reason: str
) -> None:
    api.inference.says(blind(api, reason))
    [told] = (await client.post("looks", json={"source_id": CAMERA.id})).json()["cameras"]
    assert told["outcome"]["code"] == "blind"
    assert (told["reason"]["code"], told["reason"]["zh"]) == (reason, LOOK_REASONS[reason][0])
    assert (told["counts"], told["evidence"]) == ([], [])


async def test_camera_that_is_unknown_or_secret_does_not_exist(api: RunningApi, client: httpx.AsyncClient) -> None:
    for source_id in ("nobody", HIDDEN.id, county().sensors[0].id):
        answer = await client.post("looks", json={"source_id": source_id})
        assert (answer.status_code, answer.json()["reason"]) == (404, "source_not_found")
    assert api.inference.asked == []
    told = [(entry[2], entry[4]) for entry in await entries(api)]
    assert told == [(each, "source_not_found") for each in ("nobody", HIDDEN.id, county().sensors[0].id)]


async def test_camera_that_is_switched_off_is_told_to_be_off_and_never_asked(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    [told] = (await client.post("looks", json={"source_id": OFF.id})).json()["cameras"]
    assert (told["outcome"]["code"], told["reason"]["code"]) == ("unanswered", "off")
    assert api.inference.asked == []


async def test_asker_of_one_grid_has_no_cameras_but_those_of_its_subtree(api: RunningApi) -> None:
    grid = CAMERA.place.grid_code
    assert grid is not None
    foreign = next(each for each in shown_cameras() if not (each.place.grid_code or "").startswith(grid[:9]))
    worker = Principal(id="w", name="w", role=Role.GRID_WORKER, grid_prefix=grid[:9])
    assert _whom(api.services, LookWish(source_id=CAMERA.id), worker.grid_prefix)[0] == (CAMERA.id,)
    with pytest.raises(ApiError) as refused:
        _whom(api.services, LookWish(source_id=foreign.id), worker.grid_prefix)
    assert (refused.value.status, refused.value.reason) == (404, "source_not_found")
    assert foreign.place.grid_code is not None
    with pytest.raises(ApiError) as nowhere:
        _whom(api.services, LookWish(grid=foreign.place.grid_code), worker.grid_prefix)
    assert nowhere.value.reason == "no_camera_near"


async def test_place_asks_the_nearest_cameras_first_and_tells_how_many_more_there_are(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    near = {"lon": CAMERA.place.lon, "lat": CAMERA.place.lat, "radius_m": 2_000}
    told = (await client.post("looks", json={"near": near})).json()
    assert len(told["cameras"]) == ApiConfig().look_cameras_max
    assert told["cameras"][0]["source"]["id"] == CAMERA.id
    assert told["left_out"] > 0
    assert {each.source_id for each in api.inference.asked} == {each["source"]["id"] for each in told["cameras"]}
    empty = await client.post("looks", json={"near": {"lon": 0.0, "lat": 0.0}})
    assert (empty.status_code, empty.json()["reason"]) == (404, "no_camera_near")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"source_id": "a", "grid": "1529"}',
        b'{"grid": "1529", "zone_id": "z"}',
        b'{"face": 1}',
        b'{"near": {"lon": 500, "lat": 0}}',
    ],
)
async def test_body_that_does_not_fit_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("looks", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (422, "look_body")
    assert (await client.post("looks", content=b"{}")).status_code == 415


async def test_who_asks_at_once_shares_one_look(api: RunningApi, client: httpx.AsyncClient) -> None:
    api.inference.pause()
    asking = [asyncio.create_task(client.post("looks", json={"source_id": CAMERA.id})) for _ in range(5)]
    await api.inference.until_asked(1)
    elsewhere = asyncio.create_task(client.post("looks", json={"source_id": OTHER.id}))
    await api.inference.until_asked(2)
    assert (await client.get("meta")).status_code == 200, "the API answers others meanwhile"
    api.inference.resume()
    told = [answer.json() for answer in await asyncio.gather(*asking)]
    assert (await elsewhere).json()["cameras"][0]["shared"] is False
    assert [each.source_id for each in api.inference.asked] == [CAMERA.id, OTHER.id]
    assert sorted(each["cameras"][0]["shared"] for each in told) == [False, True, True, True, True]
    assert len({each["id"] for each in told}) == 5
    assert [entry[1] for entry in await entries(api)] == ["look"] * 6


async def test_asker_who_goes_away_takes_no_answer_from_those_who_share_it(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    api.inference.pause()
    gone = asyncio.create_task(client.post("looks", json={"source_id": CAMERA.id}))
    await api.inference.until_asked(1)
    stays = asyncio.create_task(client.post("looks", json={"source_id": CAMERA.id}))
    await api.services.clock.asleep(0.1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    api.inference.resume()
    assert (await stays).json()["cameras"][0]["outcome"]["code"] == "nothing"


async def test_too_many_looks_are_refused_with_the_wait_and_registered(short_dir: Path) -> None:
    config = ApiConfig(port=0, looks_per_minute=2)
    async with running_api(short_dir, config, pairs=0, live=True) as api, httpx.AsyncClient() as client:
        url = f"{api.url}/api/v1/looks"
        codes = [(await client.post(url, json={"source_id": each.id})).status_code for each in (CAMERA, OTHER)]
        refused = await client.post(url, json={"source_id": THIRD.id})
        assert codes == [200, 200]
        assert (refused.status_code, refused.json()["reason"]) == (429, "looks_limit")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "application/problem+json" in refused.headers["content-type"]
        assert [entry[4] for entry in await entries(api)][-1] == "looks_limit"
        assert len(api.inference.asked) == 2


async def test_inference_that_hangs_is_a_clear_answer_in_bounded_time(short_dir: Path) -> None:
    config = ApiConfig(port=0, look_within_s=0.2)
    async with running_api(short_dir, config, pairs=0, live=True) as api, httpx.AsyncClient(timeout=30) as client:
        api.inference.pause()
        answer = await client.post(f"{api.url}/api/v1/looks", json={"source_id": CAMERA.id})
        assert answer.status_code == 200
        [told] = answer.json()["cameras"]
        assert (told["outcome"]["code"], told["reason"]["code"]) == ("unanswered", "no_link")
        assert told["reason"]["zh"] == LOOK_REASONS["no_link"][0]
        assert told["age_s"] is None
        api.inference.resume()


async def test_camera_of_rare_key_pictures_is_given_the_time_to_its_next_one(api: RunningApi) -> None:
    rare = {CAMERA.id: 12.0}
    await api.services.looks.look(
        "p", (CAMERA.id, OTHER.id), "", "", off=frozenset(), left_out=0, key_intervals_s=rare
    )
    assert {each.source_id: each.within_s for each in api.inference.asked} == {CAMERA.id: 18.0, OTHER.id: 6.0}


async def test_look_of_another_asker_is_not_found(api: RunningApi, client: httpx.AsyncClient) -> None:
    told = (await client.post("looks", json={"source_id": CAMERA.id})).json()
    with pytest.raises(ApiError) as refused:
        api.services.looks.find(told["id"], "somebody-else")
    assert refused.value.status == 404
    assert (await client.get("looks/look-nothing")).status_code == 404


@given(st.lists(st.tuples(st.integers(0, 30 * SECOND), st.sampled_from("ab"), st.integers(1, 4)), max_size=60))
def test_no_minute_holds_more_looks_than_the_budget_and_the_wait_is_long_enough(
    asks: list[tuple[int, str, int]],
) -> None:
    budget, now = LookBudget(6, 9), 0
    spent: list[tuple[int, str]] = []
    for step, who, looks in asks:
        now += step
        wait_s = budget.wait_s(who, looks, Instant(now))
        now += wait_s * SECOND
        assert budget.wait_s(who, looks, Instant(now)) == 0
        budget.spend(who, looks, Instant(now))
        spent += [(now, who)] * looks
        last = [by for at, by in spent if now - at < MINUTE]
        assert len(last) <= 9
        assert last.count(who) <= 6
