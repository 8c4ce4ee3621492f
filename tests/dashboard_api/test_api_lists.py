from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.incident import Incident
from contracts.instant import SECOND, Instant
from dashboard_api.config import ApiConfig
from dashboard_api.problem import ApiError
from dashboard_api.queries import Cursor, decode_cursor, encode_cursor
from tests.dashboard_api.county_records import county, make_mute, make_pair, shown_cameras
from tests.dashboard_api.running_api import RunningApi, running_api


async def pages(client: httpx.AsyncClient, path: str, **parameters: str | int) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(500):
        answer = await client.get(path, params={**parameters, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            return found
    raise AssertionError("the list does not end")


@pytest.mark.parametrize("path", ["incidents", "tickets"])
@pytest.mark.parametrize("sort", ["opened_at", "seq"])
@pytest.mark.parametrize("limit", [1, 4, 50])
async def test_pages_hold_every_row_once_in_order(
    client: httpx.AsyncClient, path: str, sort: str, limit: int
) -> None:
    items = await pages(client, path, sort=sort, limit=limit)
    assert len({item["id"] for item in items}) == len(items) == 6
    keys = [item[sort] for item in items]
    assert keys == sorted(keys, reverse=sort == "opened_at")


async def test_same_moment_rows_are_not_lost_between_pages(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=0) as api, httpx.AsyncClient(base_url=f"{api.url}/api/v1/") as client:
        now = api.services.clock.now()
        same = [make_pair(number, Instant(now)) for number in range(12)]
        opened = min(incident.opened_at for incident, _ in same)
        await api.alerts.commit([_opened(incident, opened) for incident, _ in same])
        assert len({item["id"] for item in await pages(client, "incidents", limit=5)}) == 12


def _opened(incident: Incident, at: Instant) -> Incident:
    return msgspec.structs.replace(incident, opened_at=at)


@pytest.mark.parametrize(
    ("parameters", "fits"),
    [
        ({"state": "A3"}, lambda item: item["state"]["code"] == "A3"),
        ({"level": 4}, lambda item: item["level"]["value"] == 4),
        ({"type": "fire.smoke_sensor"}, lambda item: item["type"]["code"] == "fire.smoke_sensor"),
        ({"state": "open", "exercise": "false"}, lambda item: item["open"] and not item["exercise"]),
        ({"exercise": "true"}, lambda item: item["exercise"]),
        ({"operations": "false"}, lambda item: not item["operations"]),
        ({"grid": "152921"}, lambda item: item["place"]["grid_code"].startswith("152921")),
    ],
)
async def test_filter_keeps_exactly_what_fits(
    client: httpx.AsyncClient, parameters: dict[str, str | int], fits: Any
) -> None:
    everything = await pages(client, "incidents")
    found = await pages(client, "incidents", **parameters)
    assert {item["id"] for item in found} == {item["id"] for item in everything if fits(item)}


async def test_grid_filter_is_a_subtree_not_a_text_search(client: httpx.AsyncClient) -> None:
    item = (await pages(client, "incidents"))[0]
    code = item["place"]["grid_code"]
    assert item["id"] in {found["id"] for found in await pages(client, "incidents", grid=code[:12])}
    assert await pages(client, "incidents", grid=code[3:]) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"cursor": "x"},
        {"cursor": "WyJzZXEiLDEsImEiXQ"},
        {"limit": 0},
        {"grid": "15%"},
        {"grid": "' OR 1=1 --"},
        {"sort": "body"},
        {"level": "high"},
    ],
)
async def test_bad_parameter_refused_as_problem(client: httpx.AsyncClient, parameters: dict[str, str]) -> None:
    answer = await client.get("incidents", params=parameters)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert "\u4e00" <= problem["title"][0] <= "\u9fff"
    assert problem["instance"] == "/api/v1/incidents"


async def test_sql_in_a_filter_is_only_a_value(client: httpx.AsyncClient) -> None:
    answer = await client.get("incidents", params={"type": "x' OR '1'='1", "state": '"; DROP TABLE incidents; --'})
    assert answer.json()["items"] == []
    assert len(await pages(client, "incidents")) == 6


@given(
    st.sampled_from(["seq", "opened_at", "id"]),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"])),
)
def test_cursor_comes_back_whole(sort: str, key: int, id_: str) -> None:
    assert decode_cursor(encode_cursor(Cursor(sort, key, id_)), sort) == Cursor(sort, key, id_)


@given(st.text(max_size=80))
def test_invented_cursor_is_refused_not_a_crash(text: str) -> None:
    with pytest.raises(ApiError, match="翻页标记无效"):
        decode_cursor(text, "no such list")


async def test_one_incident_shows_all_decisions(client: httpx.AsyncClient) -> None:
    item = (await pages(client, "incidents"))[0]
    detail = (await client.get(f"incidents/{item['id']}")).json()
    assert [decision["reason"]["code"] for decision in detail["decisions"]] == ["first_evidence", "hold_met"]


async def test_one_ticket_shows_its_moves_by_id_or_case_number(client: httpx.AsyncClient) -> None:
    item = (await pages(client, "tickets"))[0]
    by_id = (await client.get(f"tickets/{item['id']}")).json()
    assert by_id == (await client.get(f"tickets/{item['case_number']}")).json()
    assert [event["seq"] for event in by_id["events"]] == [1, 2]
    assert by_id["events"][1]["to_state"] == {"code": "20", "zh": "待立案", "en": "accepted"}


@pytest.mark.parametrize("path", ["incidents/nothing", "tickets/nothing", "sources/nothing", "nothing"])
async def test_unknown_thing_is_404_problem(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_sources_page_through_catalogue_and_states(client: httpx.AsyncClient) -> None:
    items = await pages(client, "sources", limit=100)
    assert len(items) == len({item["id"] for item in items}) == len(shown_cameras()) + len(county().sensors)
    unseeing = await pages(client, "sources", state="unseeing", kind="camera")
    assert {item["state"]["code"] for item in unseeing} == {"blind", "faulted", "stale"}
    one = (await client.get(f"sources/{unseeing[0]['id']}")).json()
    assert one == unseeing[0]


async def test_sources_filter_by_owner_department_and_grid(client: httpx.AsyncClient) -> None:
    """Domain M30."""
    one = shown_cameras()[7]
    street = (one.place.grid_code or "")[:9]
    items = await pages(client, "sources", owner=one.owner, grid=street, kind="camera", limit=100)
    expected = [
        camera.id
        for camera in shown_cameras()
        if camera.owner == one.owner and (camera.place.grid_code or "").startswith(street)
    ]
    assert [item["id"] for item in items] == sorted(expected)
    assert one.id in expected


async def test_source_summary_adds_up(client: httpx.AsyncClient) -> None:
    cameras = (await client.get("sources/summary")).json()["cameras"]
    assert cameras["total"] == len(shown_cameras())
    assert sum(state["count"] for state in cameras["states"]) == cameras["total"]
    assert cameras["unseeing"] == 4


async def test_grids_answer_not_modified_for_known_etag(client: httpx.AsyncClient) -> None:
    first = await client.get("grids")
    assert first.headers["content-type"] == "application/geo+json"
    leaves = [f for f in first.json()["features"] if f["properties"]["level"] == "grid"]
    assert len(leaves) == 147
    assert all(leaf["geometry"]["type"] == "MultiPolygon" for leaf in leaves)
    again = await client.get("grids", headers={"If-None-Match": f'W/{first.headers["etag"]}, "other"'})
    assert (again.status_code, again.content) == (304, b"")


async def test_mutes_tell_active_from_ended(api: RunningApi, client: httpx.AsyncClient) -> None:
    old = make_mute(Instant(api.services.clock.now() - 7_200 * SECOND))
    await api.alerts.commit([old])
    assert {item["active"] for item in await pages(client, "mutes", active="true")} == {True}
    assert [item["id"] for item in await pages(client, "mutes", active="false")] == [old.id]


async def test_deliveries_filter_by_state(client: httpx.AsyncClient) -> None:
    assert len(await pages(client, "deliveries", state="delivered")) == 1
    assert await pages(client, "deliveries", state="dead") == []


async def test_page_size_is_capped_by_the_site(short_dir: Path) -> None:
    config = ApiConfig(port=0, page_size_max=2)
    async with running_api(short_dir, config, pairs=3) as api, httpx.AsyncClient() as client:
        answer = (await client.get(f"{api.url}/api/v1/tickets?limit=9999")).json()
        assert len(answer["items"]) == 2


async def test_database_absent_is_503_with_sentence_and_recovers(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=2) as api, httpx.AsyncClient(base_url=f"{api.url}/api/v1/") as client:
        aside = api.site.database_file.with_suffix(".aside")
        await asyncio.to_thread(api.site.database_file.rename, aside)
        answer = await client.get("incidents")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert answer.json()["reason"] == "waiting_for_alerts"
        assert answer.json()["detail"].startswith("等待告警服务")
        assert (await client.get("health")).json()["status"] == "waiting"
        assert (await client.get("health/ready")).status_code == 503
        assert (await client.get("health/live")).status_code == 204
        await asyncio.to_thread(aside.rename, api.site.database_file)
        assert (await client.get("incidents")).status_code == 200
        assert (await client.get("health/ready")).status_code == 204


async def test_database_without_tables_yet_is_waiting_not_an_error(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=1) as api, httpx.AsyncClient(base_url=f"{api.url}/api/v1/") as client:
        aside = api.site.database_file.with_suffix(".aside")
        await asyncio.to_thread(api.site.database_file.rename, aside)
        await asyncio.to_thread(api.site.database_file.touch)
        assert (await client.get("tickets")).json()["reason"] == "waiting_for_alerts"


async def test_database_that_is_no_database_is_said_so(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=1) as api, httpx.AsyncClient(base_url=f"{api.url}/api/v1/") as client:
        api.store.close()
        for name in ("", "-wal", "-shm"):
            await asyncio.to_thread(Path(f"{api.site.database_file}{name}").unlink, missing_ok=True)
        await asyncio.to_thread(api.site.database_file.write_bytes, b"not a database " * 400)
        answer = await client.get("tickets")
        assert (answer.status_code, answer.json()["reason"]) == (500, "store_corrupt")
        assert (await client.get("health")).json()["status"] == "down"


@pytest.mark.parametrize("level", [-1, 5, 2**70])
async def test_level_that_does_not_exist_is_refused(client: httpx.AsyncClient, level: int) -> None:
    assert (await client.get("incidents", params={"level": level})).status_code == 422
