"""The coverage of the last minute and storms, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts.instant import SECOND, Instant
from dashboard_api import names
from runtime.clock import SystemClock
from tests.dashboard_api.county_records import county
from tests.dashboard_api.coverage_records import live_ids, make_reports, make_storm
from tests.dashboard_api.running_api import RunningApi, running_api
from tests.dashboard_api.test_api_lists import pages


class LaterClock(SystemClock):
    """The machine's clock, `ahead_s` later, wall time and monotonic time alike."""

    ahead_s = 0.0

    def now(self) -> Instant:
        return Instant(super().now() + round(self.ahead_s * SECOND))

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + round(self.ahead_s * SECOND)


@asynccontextmanager
async def covering(folder: Path) -> AsyncIterator[tuple[RunningApi, httpx.AsyncClient, LaterClock]]:
    """An API whose time a test moves on."""
    clock = LaterClock()
    async with (
        running_api(folder, pairs=1, clock=clock) as api,
        httpx.AsyncClient(base_url=f"{api.url}/api/v1/") as client,
    ):
        yield api, client, clock


async def gauges(api: RunningApi, client: httpx.AsyncClient) -> dict[str, float]:
    """The API's own gauges as Prometheus reads them."""
    text = (await client.get(f"{api.url}/metrics")).text
    families = {each.name: each for each in text_string_to_metric_families(text)}
    samples = families["gridwhistle_gauge"].samples
    return {each.labels["name"]: each.value for each in samples if each.labels["service"] == "api"}


async def test_numbers_of_the_last_minute_with_what_is_left_out_and_who_told(short_dir: Path) -> None:
    async with covering(short_dir) as (api, client, _):
        found = (await client.get("coverage")).json()
        wanted = len(live_ids())
        secret = sum(camera.secrecy for camera in county().cameras)
        assert wanted > 10
        assert found["wanted"] == wanted
        assert found["received"]["seen"] == wanted - 1
        assert found["received"]["unseen"] == 1
        assert found["received"]["share"] == pytest.approx((wanted - 1) / wanted)
        assert found["received"]["per_s"] == pytest.approx((wanted - 2) / 2, abs=0.01)
        assert found["analysed"]["seen"] == wanted - 2
        assert found["analysed"]["per_s"] == pytest.approx((wanted - 3) / 10, abs=0.01)
        assert (found["on_patrol"], found["round_s"]) == (1, 82)
        idle = {each["reason"]["code"]: each["count"] for each in found["idle"]}
        assert idle == {"not_live": len(county().cameras) - wanted - secret, "secrecy": secret}
        told = {(each["instance"], each["stage"], each["silent"]) for each in found["instances"]}
        assert told == {("ingest-0", "received", False), ("inference-0", "analysed", False)}
        assert {each["name"]["zh"] for each in found["instances"]} == {"视频接入", "推理"}
        assert found["as_of"] < found["at"]
        assert found["storms"] == []
        assert (await gauges(api, client))["cameras_received_60s"] == wanted - 1
        assert (await gauges(api, client))["cameras_analysed_60s"] == wanted - 2


async def test_instance_that_fell_silent_is_named_and_its_cameras_are_unknown(short_dir: Path) -> None:
    async with covering(short_dir) as (api, client, clock):
        clock.ahead_s = 30.0
        assert (await client.get("coverage")).json()["received"]["unknown"] == 0
        clock.ahead_s = 70.0
        await asyncio.to_thread(api.store.put_report, make_reports(clock.now())[1])
        found = (await client.get("coverage")).json()
        wanted = len(live_ids())
        assert (found["received"]["seen"], found["received"]["unknown"]) == (0, wanted)
        assert found["received"]["per_s"] is None
        silent = [each for each in found["instances"] if each["silent"]]
        assert [(each["instance"], each["unknown"]) for each in silent] == [("ingest-0", wanted)]
        assert silent[0]["age_s"] > 60
        assert found["analysed"]["seen"] > 0
        rows = (await client.get("coverage/cameras", params={"received": "unknown", "limit": 1})).json()["items"]
        assert rows[0]["received"] == {"seen": "unknown", "pictures": None, "last_at": None}
        now = await gauges(api, client)
        assert (now["cameras_received_60s"], now["cameras_received_unknown"]) == (0, wanted)
        assert now["coverage_instances_silent"] == 1
        assert now["pictures_received_per_s"] == 0


async def test_list_is_paged_and_every_filter_holds(short_dir: Path) -> None:
    async with covering(short_dir) as (_, client, _):
        lost, patrol, unanalysed, *others = live_ids()

        async def ids(**filters: str | int) -> list[str]:
            return [each["id"] for each in await pages(client, "coverage/cameras", **filters)]

        assert await ids(received="no") == [lost]
        assert await ids(analysed="no") == [lost, unanalysed]
        assert await ids(on_patrol="true") == [patrol]
        assert await ids(wanted="true", limit=7) == [lost, patrol, unanalysed, *others]
        assert await ids(received="yes", analysed="no") == [unanalysed]
        answer = await client.get("coverage/cameras?received=no&received=yes&wanted=true&limit=500")
        assert len(answer.json()["items"]) == len(live_ids())
        idle = await ids(wanted="false", limit=500)
        assert sorted(idle + live_ids()) == sorted(each.id for each in county().cameras if not each.secrecy)
        one = county().cameras[0]
        in_grid = await ids(grid=one.place.grid_code or "")
        assert one.id in in_grid
        assert len(in_grid) < len(county().cameras)
        assert (await client.get("coverage/cameras", params={"received": "perhaps"})).status_code == 422
        assert (await client.get("coverage/cameras", params={"cursor": "nonsense"})).status_code == 422


async def test_camera_is_told_with_its_pictures_times_state_and_reason(short_dir: Path) -> None:
    async with covering(short_dir) as (_, client, _):
        rows = {each["id"]: each for each in await pages(client, "coverage/cameras", limit=500)}
        lost, patrol, unanalysed, fine, *_ = live_ids()
        assert rows[fine]["received"]["pictures"] == 30
        assert rows[fine]["analysed"]["pictures"] == 6
        assert rows[fine]["wanted"]
        assert rows[lost]["received"]["seen"] == "no"
        assert rows[lost]["received"]["last_at"] is not None
        assert rows[unanalysed]["analysed"] == {"seen": "no", "pictures": 0, "last_at": None}
        assert (rows[patrol]["on_patrol"], rows[patrol]["round_s"]) == (True, 82)
        assert (rows[patrol]["received"]["seen"], rows[patrol]["analysed"]["seen"]) == ("yes", "yes")
        stored = {each["id"]: each for each in await pages(client, "sources", kind="camera", limit=500)}
        for id_, row in rows.items():
            assert (row["state"], row["reason"]) == (stored[id_]["state"], stored[id_]["reason"])
            assert row["grid_path"] == stored[id_]["grid_path"]
        off = next(each for each in rows.values() if not each["wanted"])
        assert off["idle"]["zh"] == names.REASONS["not_live"][0]


async def test_secret_camera_is_in_no_list(short_dir: Path) -> None:
    async with covering(short_dir) as (_, client, _):
        secret = {camera.id for camera in county().cameras if camera.secrecy}
        text = (await client.get("coverage/cameras?limit=500")).text + (await client.get("coverage")).text
        assert secret
        assert not [id_ for id_ in secret if id_ in text]


async def test_storm_stands_with_its_places_until_it_ends_and_stays_in_the_list(short_dir: Path) -> None:
    async with covering(short_dir) as (api, client, clock):
        storm = make_storm(clock.now())
        await asyncio.to_thread(api.store.put_storm, storm)
        [shown] = (await client.get("coverage")).json()["storms"]
        assert (shown["state"], shown["cameras"], shown["back"], shown["away"]) == ("on", 812, 300, 512)
        assert [(each["code"], each["cameras"]) for each in shown["places"]] == list(map(tuple, storm.places))
        assert shown["reasons"][0]["reason"]["zh"] == names.REASONS["closed"][0]
        assert (await gauges(api, client))["storms_cameras_away"] == 512
        over = msgspec.structs.replace(storm, away=0, places_away=(), ended_at=clock.now(), at=clock.now())
        earlier = make_storm(Instant(clock.now() - 7_200 * SECOND), id="storm-0", cameras=30)
        for each in (over, earlier):
            await asyncio.to_thread(api.store.put_storm, each)
        clock.ahead_s = 2.0
        assert (await client.get("coverage")).json()["storms"] == []
        listed = (await client.get("storms")).json()["items"]
        assert [(each["id"], each["state"]) for each in listed] == [
            ("storm-1", "ended"),
            ("storm-0", "lost_sight"),
        ]
        assert len((await client.get("storms", params={"limit": 1})).json()["items"]) == 1


async def test_many_walls_at_once_cost_one_reading(short_dir: Path) -> None:
    async with covering(short_dir) as (_, client, _):
        answers: list[Any] = await asyncio.gather(*(client.get("coverage") for _ in range(30)))
        assert len({answer.json()["at"] for answer in answers}) <= 2
        assert {answer.status_code for answer in answers} == {200}
