from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import httpx
import msgspec
import pytest

from contracts import topics, wire
from contracts.errors import ConfigError
from contracts.grid import Grid, GridLevel, GridTree
from contracts.instant import SECOND, Instant
from contracts.source import HealthReport
from dashboard_api import app, config
from dashboard_api.snapshots import geojson
from runtime.clock import SystemClock
from runtime.zmq_log import ZmqLogReceiver
from tests.dashboard_api.county_records import POLICY, catalogue, county, make_health
from tests.dashboard_api.county_store import AlertsStandIn
from tests.dashboard_api.running_api import RunningApi, make_site, running_api, seed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def answered(url: str) -> httpx.Response:
    """The first answer of a server that is about to start."""
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while True:
            try:
                return await client.get(url)
            except httpx.ConnectError:
                await SystemClock().asleep(0.05)


async def test_service_runs_reports_and_stops_without_alerts(short_dir: Path) -> None:
    site, port, stop, clock = make_site(short_dir), free_port(), asyncio.Event(), SystemClock()
    receiver = ZmqLogReceiver(site.endpoint(topics.LOG), clock)
    running = asyncio.create_task(app.run(site, config.ApiConfig(port=port), clock, stop))
    health = (await answered(f"http://127.0.0.1:{port}/api/v1/health")).json()
    assert (health["status"], health["message"][:6]) == ("waiting", "等待告警服务")
    assert "alert" in (await answered(f"http://127.0.0.1:{port}/")).text
    entries = await receiver.receive(limit=10, wait_s=10)
    report = wire.decode(entries[0].payload, HealthReport)
    assert report.service == "api"
    stop.set()
    await asyncio.wait_for(running, 20)
    await receiver.close()


async def test_service_serves_what_alerts_hands_out_and_keeps_a_copy(short_dir: Path) -> None:
    site, port, clock = make_site(short_dir), free_port(), SystemClock()
    store = await asyncio.to_thread(seed, site, clock.now(), pairs=2)
    alerts = AlertsStandIn(site, store, clock, catalogue(county()), county().grids, POLICY)
    for with_alerts in (True, False):
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(site, config.ApiConfig(port=port), clock, stop))
        await answered(f"http://127.0.0.1:{port}/")
        async with asyncio.timeout(20):
            while (await answered(f"http://127.0.0.1:{port}/api/v1/grids")).status_code != 200:
                await clock.asleep(0.05)
        items = (await answered(f"http://127.0.0.1:{port}/api/v1/incidents")).json()["items"]
        assert items[0]["place"]["grid_path"]
        stop.set()
        await asyncio.wait_for(running, 20)
        if with_alerts:
            await alerts.close()
    store.close()


async def test_new_grid_version_replaces_the_map(api: RunningApi) -> None:
    before = api.services.snapshots.map_etag
    tree = msgspec.structs.replace(county().grids, version=2, grids=county().grids.grids[:40])
    api.alerts.hand_out(topics.REQUEST_GRIDS, wire.encode(tree))
    api.store.put_meta(grids_version="2")
    await api.services.snapshots.refresh()
    assert api.services.snapshots.map_etag != before
    assert api.services.snapshots.directory.grids_version == 2


async def test_taken_port_stops_the_start_in_words(short_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen"):
            await app.run(
                make_site(short_dir),
                config.ApiConfig(port=taken.getsockname()[1]),
                SystemClock(),
                asyncio.Event(),
            )


async def test_missing_token_file_stops_the_start(short_dir: Path) -> None:
    wanted = config.ApiConfig(host="0.0.0.0", port=0, token_file="api-token")
    with pytest.raises(ConfigError, match="token file cannot be read"):
        await app.run(make_site(short_dir), wanted, SystemClock(), asyncio.Event())


async def test_health_tells_silent_services_and_refusals(api: RunningApi, client: httpx.AsyncClient) -> None:
    fresh = (await client.get("health")).json()
    assert (fresh["status"], fresh["refused_total"]) == ("ok", 4)
    assert {refusal["reason"]["zh"] for refusal in fresh["refusals"]} == {"无法解析", "目录中无此来源"}
    long_ago = Instant(api.services.clock.now() - 60 * SECOND)
    reports = {report.service: report for report in make_health(long_ago)}
    api.store.put_report(reports["ingest-cameras"])
    degraded = (await client.get("health")).json()
    assert (degraded["status"], degraded["message"]) == ("degraded", "服务无响应: 视频接入 (silent: video intake)")
    api.store.put_report(reports["alerts"])
    assert (await client.get("health")).json()["status"] == "down"
    ahead = Instant(api.services.clock.now() + 3600 * SECOND)
    api.store.put_report({report.service: report for report in make_health(ahead)}["alerts"])
    assert (await client.get("health")).json()["status"] == "down", "a clock that was set back hides a dead engine"


async def test_openapi_document_is_complete(client: httpx.AsyncClient) -> None:
    document = (await client.get("openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    for name in ("IncidentView", "TicketDetail", "Problem", "CommandRequest", "HealthView"):
        assert name in document["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= document["components"]["schemas"].keys()
    assert "HTTPValidationError" not in references
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert any(code.startswith("2") for code in operation["responses"])
    assert document["paths"]["/api/v1/commands"]["post"]["requestBody"]["required"]


async def test_page_loads_nothing_from_elsewhere(api: RunningApi) -> None:
    async with httpx.AsyncClient(base_url=api.url) as client:
        page = (await client.get("/")).text
        for line in page.splitlines():
            assert "http" not in line or "xmlns" in line, line
        for name in ("wall.js", "wall.css", "icon.svg", "map.js"):
            answer = await client.get(f"/wall/{name}")
            assert answer.status_code == 200
            assert "innerHTML" not in answer.text


def test_geojson_leaves_retired_grids_out() -> None:
    ring = ((105.0, 38.0), (105.1, 38.0), (105.1, 38.1), (105.0, 38.0))
    tree = GridTree(
        site="s",
        county="152921",
        version=1,
        grids=(
            Grid(code="152921", name="县", level=GridLevel.COUNTY),
            Grid(code="152921001001001", name="一", level=GridLevel.GRID, parent="152921", rings=(ring,)),
            Grid(code="152921001001002", name="二", level=GridLevel.GRID, parent="152921", retired=True),
        ),
    )
    found = json.loads(geojson(tree))
    assert [feature["id"] for feature in found["features"]] == ["152921", "152921001001001"]
    assert found["features"][0]["geometry"] is None
    assert found["features"][1]["geometry"]["coordinates"][0][0][0] == [105.0, 38.0]


async def test_damaged_copy_is_left_aside(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=1) as api:
        await asyncio.to_thread((api.site.state_dir / "api-catalogue.bin").write_bytes, b"\x01garbage")
        await api.services.snapshots.load_copies()
        assert api.services.snapshots.directory.catalogue_version is None
        await api.services.snapshots.refresh()
        assert api.services.snapshots.directory.catalogue_version == 1
