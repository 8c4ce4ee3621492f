from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from contracts.ids import derive_id
from contracts.instant import Instant
from contracts.source import SourceChange, SourceKind, SourceState
from dashboard_api.config import ApiConfig
from dashboard_api.database import DatabaseReader
from dashboard_api.directory import EMPTY
from dashboard_api.live import ChangeFeed
from runtime.clock import SystemClock
from runtime.metrics import StageCounters
from tests.dashboard_api.county_records import SITE, county, make_pair, shown_cameras
from tests.dashboard_api.county_store import CountyStore
from tests.dashboard_api.running_api import RunningApi, running_api

Message = dict[str, Any]
CLOCK = SystemClock()


@asynccontextmanager
async def wall(api: RunningApi, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"{api.ws_url}{query}", max_size=None, proxy=None, **options) as socket:
        yield socket


async def hear(socket: ClientConnection, *kinds: str) -> Message:
    """The next message of one of these types."""
    async with asyncio.timeout(20):
        while True:
            message: Message = json.loads(await socket.recv())
            if message["type"] in kinds:
                return message


async def until_closed(socket: ClientConnection) -> tuple[int, str]:
    """Read on until the server closes; its code and reason."""
    async with asyncio.timeout(30):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def changes_until(socket: ClientConnection, seq: int) -> list[Message]:
    """Every change up to `seq`."""
    found: list[Message] = []
    while not found or found[-1]["seq"] < seq:
        found += (await hear(socket, "changes"))["changes"]
    return found


def pairs(api: RunningApi, first: int, count: int) -> list[Any]:
    now = api.services.clock.now()
    return [record for number in range(first, first + count) for record in make_pair(number, now)]


async def test_wall_starts_with_a_snapshot_of_everything_open(api: RunningApi) -> None:
    async with wall(api) as socket:
        snapshot = await hear(socket, "snapshot")
    assert snapshot["seq"] == api.store.seq
    assert (len(snapshot["incidents"]), len(snapshot["tickets"])) == (6, 6)
    assert snapshot["sources"]["cameras"]["total"] == len(shown_cameras())
    assert sum(snapshot["totals"]["incidents"].values()) == 6
    assert not snapshot["truncated"]
    levels = [incident["level"]["value"] for incident in snapshot["incidents"]]
    assert levels == sorted(levels, reverse=True)


async def test_changes_come_in_order_without_gap(api: RunningApi) -> None:
    async with wall(api) as socket:
        start = (await hear(socket, "snapshot"))["seq"]
        for number in range(100, 130):
            await api.alerts.commit(pairs(api, number, 1))
        heard = await changes_until(socket, api.store.seq)
    assert [change["seq"] for change in heard] == list(range(start + 1, api.store.seq + 1))
    assert {change["kind"] for change in heard} == {"incident", "ticket"}
    assert heard[0]["record"]["level"]["label"]["zh"].startswith("内部告警等级")


async def test_lost_publication_loses_no_change(api: RunningApi) -> None:
    async with wall(api) as socket:
        start = (await hear(socket, "snapshot"))["seq"]
        await api.alerts.commit(pairs(api, 100, 3), publish=False)
        heard = await changes_until(socket, api.store.seq)
    assert [change["seq"] for change in heard] == list(range(start + 1, start + 7))


async def test_wall_that_was_away_gets_exactly_what_it_missed(api: RunningApi) -> None:
    async with wall(api) as socket:
        seen = (await hear(socket, "snapshot"))["seq"]
    await api.alerts.commit(pairs(api, 100, 40))
    async with wall(api, f"?after={seen}") as socket:
        assert (await hear(socket, "resumed", "snapshot"))["type"] == "resumed"
        heard = await changes_until(socket, api.store.seq)
    assert [change["seq"] for change in heard] == list(range(seen + 1, api.store.seq + 1))


async def test_wall_further_behind_than_the_ring_is_filled_from_the_table(short_dir: Path) -> None:
    config = ApiConfig(port=0, live_backlog_max=10, live_batch_max=7)
    async with running_api(short_dir, config, pairs=1) as api:
        async with wall(api) as socket:
            seen = (await hear(socket, "snapshot"))["seq"]
        await api.alerts.commit(pairs(api, 100, 50))
        async with wall(api, f"?after={seen}") as socket:
            heard = await changes_until(socket, api.store.seq)
            await api.alerts.commit(pairs(api, 200, 2))
            heard += await changes_until(socket, api.store.seq)
        assert [change["seq"] for change in heard] == list(range(seen + 1, api.store.seq + 1))
        assert api.services.counters.total("changes_refilled") > 0


async def test_wall_whose_changes_are_pruned_gets_a_new_snapshot(api: RunningApi) -> None:
    await api.alerts.commit(pairs(api, 100, 20))
    api.store.forget_changes_before(api.store.seq - 2)
    async with wall(api, "?after=3") as socket:
        snapshot = await hear(socket, "snapshot", "resumed")
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", api.store.seq)


async def test_changes_pruned_before_they_were_read_leave_no_gap_but_a_new_snapshot(short_dir: Path) -> None:
    store = CountyStore(short_dir / "a.sqlite")
    store.put(list(make_pair(0, CLOCK.now())), CLOCK.now())
    reader = DatabaseReader(short_dir / "a.sqlite", 1)
    feed = ChangeFeed(reader, lambda: EMPTY, ApiConfig(), CLOCK, StageCounters("api"))
    await feed.advance()
    store.put(list(make_pair(1, CLOCK.now())), CLOCK.now())
    assert (await feed.advance(), feed.generation) == (2, 0)
    for number in range(2, 8):
        store.put(list(make_pair(number, CLOCK.now())), CLOCK.now())
    store.forget_changes_before(store.seq - 2)
    assert await feed.advance() == 0
    assert (feed.generation, feed.head, feed.floor) == (1, store.seq, store.seq)
    store.close()
    await reader.close()


async def test_walls_that_come_at_once_share_one_snapshot(api: RunningApi) -> None:
    feed = api.services.feed
    one, other = await asyncio.gather(feed.snapshot(), feed.snapshot())
    assert one is other
    await api.alerts.commit(pairs(api, 100, 1))
    assert (await feed.snapshot()).seq == api.store.seq > one.seq


async def test_cursor_from_another_database_gets_a_new_snapshot(api: RunningApi) -> None:
    async with wall(api, "?after=999999") as socket:
        assert (await hear(socket, "snapshot", "resumed"))["type"] == "snapshot"


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 19, "٣"])
async def test_senseless_cursor_is_closed_with_a_reason(api: RunningApi, after: str) -> None:
    async with wall(api, f"?after={after}") as socket:
        assert (await until_closed(socket))[0] == 4400


async def test_batches_are_bounded_and_shared(short_dir: Path) -> None:
    async with running_api(short_dir, ApiConfig(port=0, live_batch_max=50), pairs=1) as api:  # noqa: SIM117
        async with wall(api) as one, wall(api) as other:
            await hear(one, "snapshot")
            await hear(other, "snapshot")
            await api.alerts.commit(pairs(api, 100, 100))
            for socket in (one, other):
                sizes, seq = [], 0
                while seq < api.store.seq:
                    message = await hear(socket, "changes")
                    sizes.append(len(message["changes"]))
                    seq = message["seq"]
                assert max(sizes) <= 50
                assert sum(sizes) == 200


async def test_slow_wall_is_dropped_with_a_reason_and_harms_nobody(short_dir: Path) -> None:
    config = ApiConfig(port=0, live_backlog_max=400, live_send_timeout_s=0.5)
    async with running_api(short_dir, config, pairs=1) as api:
        async with wall(api) as quick, wall(api, max_queue=1) as slow:
            await hear(quick, "snapshot")
            await hear(slow, "snapshot")
            first = api.store.seq + 1
            slow.transport.pause_reading()
            heard: list[Message] = []
            number = 100
            while not api.services.counters.total("live_walls_dropped", "too_slow"):
                await api.alerts.commit(pairs(api, number, 150))
                heard += await changes_until(quick, api.store.seq)
                number += 150
            slow.transport.resume_reading()
            code, reason = await until_closed(slow)
        assert [change["seq"] for change in heard] == list(range(first, api.store.seq + 1))
        assert code == 4008
        assert "接收过慢" in reason


async def test_too_many_walls_are_refused_with_a_reason(short_dir: Path) -> None:
    config = ApiConfig(port=0, live_clients_max=1)
    async with running_api(short_dir, config, pairs=1) as api, wall(api) as first:
        await hear(first, "snapshot")
        async with wall(api) as second:
            assert (await until_closed(second))[0] == 4013


async def test_wall_that_left_is_forgotten(api: RunningApi) -> None:
    async with wall(api) as socket:
        await hear(socket, "snapshot")
        assert api.services.feed.walls == 1
    async with asyncio.timeout(10):
        while api.services.feed.walls:
            await api.services.clock.asleep(0.01)


async def test_what_a_wall_sends_is_ignored(api: RunningApi) -> None:
    async with wall(api) as socket:
        await hear(socket, "snapshot")
        await socket.send('{"type":"confirm","id":"x"}')
        await socket.send(b"\x00\x01")
        await api.alerts.commit(pairs(api, 100, 1))
        await hear(socket, "changes")


async def test_foreign_site_may_not_open_the_link(api: RunningApi) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with wall(api, origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403


async def test_other_kinds_of_change_carry_their_views(api: RunningApi) -> None:
    camera = county().cameras[0]
    now = api.services.clock.now()
    change = SourceChange(
        id=derive_id("src", "x"),
        site=SITE,
        source_id=camera.id,
        kind=SourceKind.CAMERA,
        state=SourceState.BLIND,
        at=now,
        reason="covered",
        detail="画面被遮挡",
    )
    async with wall(api) as socket:
        await hear(socket, "snapshot")
        await api.alerts.commit([change])
        heard = (await changes_until(socket, api.store.seq))[0]
    assert (heard["kind"], heard["id"]) == ("source", camera.id)
    assert heard["record"]["name"] == camera.name
    assert heard["record"]["state"] == {"code": "blind", "zh": "看不清", "en": "blind"}


async def test_unreadable_change_keeps_the_order_and_the_link(api: RunningApi) -> None:
    async with wall(api) as socket:
        await hear(socket, "snapshot")
        api.store.put_unreadable_change(api.services.clock.now())
        await api.alerts.commit(pairs(api, 100, 1))
        heard = await changes_until(socket, api.store.seq)
    assert heard[0]["record"] is None
    assert [change["record"] is None for change in heard] == [True, False, False]


async def test_snapshot_is_bounded_and_says_so(short_dir: Path) -> None:
    config = ApiConfig(port=0, snapshot_rows_max=3)
    async with running_api(short_dir, config, pairs=12) as api, wall(api) as socket:
        snapshot = await hear(socket, "snapshot")
    assert (len(snapshot["incidents"]), snapshot["truncated"]) == (3, True)
    assert sum(snapshot["totals"]["incidents"].values()) == 12
    assert {incident["level"]["value"] for incident in snapshot["incidents"]} == {3, 4}


async def test_snapshot_counts_drills_apart_from_what_is_real(api: RunningApi) -> None:
    await api.alerts.commit(list(make_pair(10, api.services.clock.now(), exercise=True)))
    async with wall(api) as socket:
        totals = (await hear(socket, "snapshot"))["totals"]
    assert (sum(totals["incidents"].values()), sum(totals["tickets"].values())) == (6, 6)
    assert (totals["exercise_incidents"], totals["exercise_tickets"]) == ({"4": 1}, {"4": 1})


async def test_wall_waits_for_the_database_and_then_gets_its_snapshot(api: RunningApi) -> None:
    aside = api.site.database_file.with_suffix(".aside")
    await asyncio.to_thread(api.site.database_file.rename, aside)
    async with wall(api) as socket:
        waiting = await hear(socket, "waiting", "snapshot")
        assert (waiting["type"], waiting["reason"]) == ("waiting", "waiting_for_alerts")
        await asyncio.to_thread(aside.rename, api.site.database_file)
        await hear(socket, "snapshot")


async def test_replaced_database_gives_every_wall_a_new_snapshot(api: RunningApi) -> None:
    async with wall(api) as socket:
        before = await hear(socket, "snapshot")
        api.store.close()
        for ending in ("-wal", "-shm", ""):
            await asyncio.to_thread(Path(f"{api.site.database_file}{ending}").unlink, missing_ok=True)
        api.store = await asyncio.to_thread(_small_store, api)
        after = await hear(socket, "snapshot")
    assert after["seq"] < before["seq"]
    assert len(after["incidents"]) == 1


def _small_store(api: RunningApi) -> CountyStore:
    store = CountyStore(api.site.database_file)
    store.put(list(make_pair(0, SystemClock().now())), Instant(0))
    return store


async def test_stopping_tells_the_walls_to_come_back(api: RunningApi) -> None:
    async with wall(api) as socket:
        await hear(socket, "snapshot")
        api.stop.set()
        assert (await until_closed(socket))[0] == 1012
