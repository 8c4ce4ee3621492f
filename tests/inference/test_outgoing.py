from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts import wire
from contracts.observation import IncidentType, Observation, Phase
from contracts.source import SourceKind
from inference.outgoing import Outgoing
from runtime.clock import SystemClock
from runtime.log_link import Position
from runtime.metrics import StageCounters
from runtime.zmq_log import ZmqLogReceiver, ZmqLogSender
from tests.inference.pictures import at, camera

CLOCK = SystemClock()
TEMPLATE = Observation(
    id="",
    site="t",
    type=IncidentType.CROWD_DENSITY,
    phase=Phase.SAMPLE,
    source_id="c",
    source_kind=SourceKind.CAMERA,
    event_time=at(0),
    arrival_time=at(0),
    place=camera().place,
    confidence=1.0,
)


def record(name: str, phase: Phase) -> Observation:
    return msgspec.structs.replace(TEMPLATE, id=name, phase=phase)


class Tape:
    """A link whose other end commits at once."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, payloads: Sequence[bytes], *, deadline_s: float | None = None) -> None:
        for payload in payloads:
            got = wire.decode_log_record(payload)
            self.sent.append(got.id)

    async def close(self) -> None:
        return


@given(st.lists(st.sampled_from([Phase.SAMPLE, Phase.ACTIVE, Phase.UNKNOWN]), max_size=60), st.integers(1, 20))
def test_full_queue_sheds_oldest_samples_first_and_keeps_order(phases: list[Phase], capacity: int) -> None:
    counters = StageCounters("inference")
    outgoing = Outgoing(capacity, counters)
    records = [record(str(index), phase) for index, phase in enumerate(phases)]
    for each in records:
        outgoing.add([each])
    tape = Tape()

    async def send() -> None:
        task = asyncio.create_task(outgoing.send_forever(tape))
        await outgoing.drain(CLOCK, 1.0)
        task.cancel()

    asyncio.run(send())
    kept = [int(name) for name in tape.sent]
    assert kept == sorted(kept)
    shed = counters.total("records_dropped", "shed_sample") + counters.total("records_dropped", "shed_alarm")
    assert len(kept) + shed == len(phases)
    alarms = sum(phase is not Phase.SAMPLE for phase in phases)
    kept_alarms = sum(records[index].phase is not Phase.SAMPLE for index in kept)
    assert kept_alarms == min(alarms, capacity)


async def test_records_wait_for_alerts_and_arrive_in_order_when_it_comes(short_dir: Path) -> None:
    outgoing = Outgoing(100, StageCounters("inference"))
    endpoint = f"ipc://{short_dir}/log.sock"
    sender = ZmqLogSender(endpoint, "inference-0", CLOCK, resend_s=0.1)
    task = asyncio.create_task(outgoing.send_forever(sender))
    outgoing.add([record(str(n), Phase.ACTIVE) for n in range(5)])
    await CLOCK.asleep(0.05)
    receiver = ZmqLogReceiver(endpoint, CLOCK)
    got: list[str] = []
    while len(got) < 5:
        for entry in await receiver.receive(limit=10, wait_s=0.5):
            got.append(wire.decode_log_record(entry.payload).id)
            await receiver.commit([Position(entry.producer, entry.incarnation, entry.sequence)])
    assert got == ["0", "1", "2", "3", "4"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await sender.close()
    await receiver.close()
