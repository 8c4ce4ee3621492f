"""Bad input reaches a running county while good alarms flow: each is refused with a reason, counted and shown, no
incident comes of it, no good alarm is lost, no process ends."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.instant import SECOND
from contracts.source import Sensor
from runtime.clock import SystemClock
from sim import faults
from sim.fault_drill import WRONG_PASSWORD, FaultDrill
from sim.mqtt_link import MqttLink

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CLOCK = SystemClock()
MIB = 1024 * 1024
STRANGER = "15292100021346999999"
RETAINED = 190
"""Number of the detector whose old message waits at the broker before the county starts."""
Publish = Callable[[MqttLink, Sensor, FaultDrill], Awaitable[None]]


@dataclass(frozen=True)
class BadMessage:
    """What is published, and the counter and reason that it must meet. `number`: whose topic it comes on."""

    publish: Publish
    counter: str
    number: int
    source_id: str = ""


MESSAGES = {
    "payload_of_100_MB": BadMessage(
        lambda link, sensor, _: faults.publish_huge(link, sensor), "messages_refused:too_large", 180
    ),
    "invalid_json": BadMessage(
        lambda link, sensor, _: faults.publish_invalid_json(link, sensor), "messages_refused:invalid_json", 181
    ),
    "bytes_that_are_no_text": BadMessage(
        lambda link, sensor, _: faults.publish_not_text(link, sensor), "messages_refused:invalid_json", 182
    ),
    "json_that_is_no_senml": BadMessage(
        lambda link, sensor, _: faults.publish_wrong_shape(link, sensor), "messages_refused:senml", 183
    ),
    "sensor_unknown_to_the_catalogue": BadMessage(
        lambda link, _, drill: faults.publish_unknown_sensor(link, drill.clock, STRANGER),
        "messages_refused:unknown_source",
        184,
        STRANGER,
    ),
    "value_of_minus_999": BadMessage(
        lambda link, sensor, drill: faults.publish_impossible_value(link, drill.clock, sensor),
        "readings_refused:out_of_range",
        -1,
    ),
    "old_message": BadMessage(
        lambda link, sensor, drill: faults.publish_old(link, drill.clock, sensor), "messages_refused:too_old", 185
    ),
}
CAMERAS = {
    "garbage": ("faulted", "garbage", "sessions_failed:garbage"),
    "silent": ("stale", "stall", "sessions_failed:stall"),
    "refused": ("faulted", "refused_credentials", "sessions_failed:refused_credentials"),
    "missing": ("faulted", "not_found", "sessions_failed:not_found"),
    "stall": ("stale", "stall", "sessions_failed:stall"),
    "cut": ("faulted", "closed", "sessions_failed:closed"),
    "noise": ("faulted", "garbage", "sessions_failed:garbage"),
    "truncated": ("blind", "undecodable", "pictures_refused:corrupt"),
}
"""State, reason and counter of the camera behind each faulty path."""
RESTLESS = {"stall", "cut", "noise"}
"""These play for some seconds each time: the fourth end within ten minutes makes them suspect for flapping, and
the reason above is then told as its cause."""


@pytest.fixture(scope="module")
def county() -> Iterator[tuple[FaultDrill, dict[str, int]]]:
    """A running installation and the ids of its processes."""
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    try:
        with FaultDrill(folder, CLOCK) as drill:
            drill.start_county()
            asyncio.run(leave_retained(drill))
            drill.start()
            yield drill, drill.stack.pids()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def leave_retained(drill: FaultDrill) -> None:
    async with drill.link() as link:
        await faults.publish_retained_old(link, CLOCK, drill.detectors[RETAINED])


async def until(drill: FaultDrill, found: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask again and again, up to a minute."""
    deadline_ns = CLOCK.monotonic_ns() + 60 * SECOND
    while not await found():
        assert CLOCK.monotonic_ns() < deadline_ns, f"{what}\n{drill.stack.log_tail()}"
        await CLOCK.asleep(0.2)


async def counted(drill: FaultDrill, key: str) -> int:
    """A counter over all services, as the health page tells it."""
    health = await drill.get("/api/v1/health")
    return sum(service["counters"].get(key, 0) for service in health["services"])


async def shown(drill: FaultDrill, reason: str, source_id: str) -> dict[str, Any] | None:
    """The line of refused input for this reason and sender."""
    for line in (await drill.get("/api/v1/health"))["refusals"]:
        if (line["reason"]["code"], line["source_id"]) == (reason, source_id):
            found: dict[str, Any] = line
            return found
    return None


async def alarms_behind_tickets(drill: FaultDrill) -> Counter[str]:
    """How often each alarm id stands behind a ticket; a ticket without any counts as `none`."""
    behind: Counter[str] = Counter()
    for ticket in (await drill.get("/api/v1/tickets", limit=500))["items"]:
        behind.update(ticket["external_ids"] or ["none"])
    return behind


@asynccontextmanager
async def undisturbed(county: tuple[FaultDrill, dict[str, int]]) -> AsyncIterator[MqttLink]:
    """Good alarms flow before, while and after bad input comes; all become tickets, nothing else does."""
    drill, pids = county
    async with drill.link() as link:
        await drill.alarm(link)
        flow = asyncio.create_task(alarms_flow(drill, link))
        yield link
        flow.cancel()
        with suppress(asyncio.CancelledError):
            await flow
        await drill.alarm(link)

        async def all_there() -> bool:
            return set(await alarms_behind_tickets(drill)) >= set(drill.sent)

        await until(drill, all_there, "a good alarm did not become a ticket")
    assert await alarms_behind_tickets(drill) == Counter(drill.sent)
    assert drill.stack.pids() == pids, "a process was started again"


async def alarms_flow(drill: FaultDrill, link: MqttLink) -> None:
    while True:
        await CLOCK.asleep(1.0)
        await drill.alarm(link)


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
async def test_bad_message_then_refused_counted_and_shown(
    county: tuple[FaultDrill, dict[str, int]], message: BadMessage
) -> None:
    drill, _ = county
    sensor = drill.heat if message.number < 0 else drill.detectors[message.number]
    source_id, reason = message.source_id or sensor.id, message.counter.partition(":")[2]
    before = await counted(drill, message.counter)
    memory = drill.resident_bytes("ingest-sensors")
    async with undisturbed(county) as link:
        await message.publish(link, sensor, drill)

        async def is_shown() -> bool:
            return await shown(drill, reason, source_id) is not None

        await until(drill, is_shown, f"{reason} of {source_id} is not shown")
    line = await shown(drill, reason, source_id)
    assert line is not None
    assert line["total"] == 1
    assert line["last_text"]
    assert line["reason"]["zh"] != reason
    assert await counted(drill, message.counter) == before + 1
    assert drill.resident_bytes("ingest-sensors", peak=True) - memory < 20 * MIB


async def test_retained_old_message_met_at_the_start_then_refused_counted_and_shown(
    county: tuple[FaultDrill, dict[str, int]],
) -> None:
    drill, _ = county
    async with undisturbed(county) as link:
        line = await shown(drill, "retained", drill.detectors[RETAINED].id)
        assert line is not None
        assert line["total"] == await counted(drill, "messages_refused:retained") == 1
        await faults.clear_retained(link, drill.detectors[RETAINED])


@pytest.mark.parametrize("fault", CAMERAS)
async def test_bad_stream_then_its_camera_says_why_and_the_others_are_watched(
    county: tuple[FaultDrill, dict[str, int]], fault: str
) -> None:
    drill, _ = county
    state, reason, counter = CAMERAS[fault]
    analysed = await counted(drill, "pictures_analysed")
    camera: dict[str, Any] = {}
    async with undisturbed(county):

        async def says_why() -> bool:
            nonlocal camera
            camera = await drill.get(f"/api/v1/sources/{drill.faulty[fault]}")
            told = (camera["state"]["code"], (camera["reason"] or {}).get("code"))
            if fault in RESTLESS and told == ("suspect", "flapping"):
                return f"{reason} 4" in camera["detail"]
            return told == (state, reason)

        async def others_are_watched() -> bool:
            return await counted(drill, "pictures_analysed") > analysed

        await until(drill, says_why, f"{fault}: the camera never became {state} for {reason}: {camera}")
        await until(drill, others_are_watched, "no picture of any camera was looked at")
        for good in drill.good_cameras:
            assert (await drill.get(f"/api/v1/sources/{good}"))["state"]["code"] == "live"
    assert camera["detail"]
    assert camera["reason"]["zh"] != reason
    if fault == "truncated":
        line = await shown(drill, "corrupt", camera["id"])
        assert line is not None
        assert line["total"] >= 3
    assert await counted(drill, counter) >= 1


async def test_password_is_never_shown(county: tuple[FaultDrill, dict[str, int]]) -> None:
    drill, _ = county
    camera = await drill.get(f"/api/v1/sources/{drill.faulty['refused']}")
    assert camera["detail"]
    assert WRONG_PASSWORD not in camera["detail"]
    assert WRONG_PASSWORD not in drill.stack.log_file.read_text(encoding="utf-8", errors="replace")


async def test_after_all_of_it_only_alarms_became_incidents_and_device_faults_became_no_tickets(
    county: tuple[FaultDrill, dict[str, int]],
) -> None:
    drill, pids = county
    incidents = (await drill.get("/api/v1/incidents", limit=500))["items"]
    faulty = set(drill.faulty.values())
    for incident in incidents:
        sources = {source["id"] for source in incident["sources"]}
        if incident["operations"]:
            assert sources <= faulty, incident["title"]
            assert incident["ticket_id"] is None
        else:
            assert incident["type"]["code"] == "fire.smoke_sensor", incident["title"]
    behind = [
        alarm
        for incident in incidents
        if not incident["operations"]
        for alarm in (await drill.get(f"/api/v1/incidents/{incident['id']}"))["external_ids"]
    ]
    assert Counter(behind) == Counter(drill.sent)
    assert drill.stack.pids() == pids
    health = await drill.get("/api/v1/health")
    assert health["status"] == "ok"
    assert health["refused_total"] == sum(line["total"] for line in health["refusals"])
    refused = {line["source_id"] for line in health["refusals"]}
    badly_used = {drill.detectors[message.number].id for message in MESSAGES.values() if message.number >= 0}
    assert refused <= {*badly_used, *faulty, drill.heat.id, drill.detectors[RETAINED].id, STRANGER}
