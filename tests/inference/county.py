"""An inference service between its neighbours, for tests: real links, a real decoder and detector."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from contracts import topics, wire
from contracts.control import LookAnswer, LookRequest, Promote, PromoteAnswer
from contracts.filmstrip import Filmstrip
from contracts.frame import Codec, Frame, FrameHeader
from contracts.observation import Observation
from contracts.place import ZoneKind
from contracts.source import Catalogue, HealthReport, SourceChange
from inference.config import BlindConfig, EvidenceConfig, InferenceConfig
from inference.service import run
from runtime.clock import SystemClock
from runtime.latest import LatestStore
from runtime.log_link import Position
from runtime.site import PathsConfig, Site, SiteConfig
from runtime.zmq_latest import ZmqLatestPublisher
from runtime.zmq_log import ZmqLogReceiver
from runtime.zmq_request import ZmqRequestClient, ZmqRequestServer
from tests.inference.pictures import camera, zone

CLOCK = SystemClock()
MODELS = Path(__file__).resolve().parents[2] / "models"
CAMERA = camera(zone(ZoneKind.STANDING, area_m2=200.0))
CONFIG = InferenceConfig(rest_s=0.0, blind=BlindConfig(samples=3), evidence=EvidenceConfig(reserve_mb=0))


class County:
    """The neighbours of inference, real links and all: an ingest that publishes, an alerts that commits."""

    def __init__(self, folder: Path, answer: Catalogue, config: InferenceConfig, models: Path = MODELS) -> None:
        self.config = config
        self.site = Site(
            SiteConfig(id="t", exercise=False),
            PathsConfig(state=str(folder), models=str(models)),
            folder,
        )
        self.receiver = ZmqLogReceiver(self.site.endpoint(topics.LOG), CLOCK)
        self.store = LatestStore(8_000_000)
        self.publisher = ZmqLatestPublisher(self.site.endpoint(f"{topics.FRAMES}-0"), self.store, CLOCK)
        self.catalogue = answer
        self.observations: list[Observation] = []
        self.changes: list[SourceChange] = []
        self.strips: list[Filmstrip] = []
        self.asked_catalogue = False
        self.health: HealthReport | None = None
        self.sequence = 0
        self.promoted: list[Promote] = []
        """What ingest was asked for."""
        self.refusal = ""
        """Why ingest promotes nobody, "" when it does."""
        self.start()
        self.looker = ZmqRequestClient(self.site.endpoint(topics.CONTROL_INFERENCE), CLOCK)

    def start(self) -> None:
        """Start inference."""
        self.stop = asyncio.Event()
        self.inference = asyncio.create_task(run(self.site, self.config, CLOCK, self.stop))

    async def end(self) -> None:
        """End inference in order."""
        self.stop.set()
        await asyncio.wait_for(self.inference, 15)

    async def answer(self, kind: str, body: bytes) -> bytes:
        assert kind == topics.REQUEST_CATALOGUE
        self.asked_catalogue = True
        return wire.encode(self.catalogue)

    async def promote(self, kind: str, body: bytes) -> bytes:
        assert kind == topics.REQUEST_PROMOTE
        wish = wire.decode(body, Promote)
        self.promoted.append(wish)
        accepted = not self.refusal
        until = wish.until if accepted else None
        return wire.encode(
            PromoteAnswer(source_id=wish.source_id, accepted=accepted, reason=self.refusal, until=until)
        )

    async def look(self, **wish: Any) -> LookAnswer:
        """Ask inference for a look at CAMERA, as others do."""
        request = LookRequest(**({"id": "look-1", "source_id": CAMERA.id} | wish))
        body = await self.looker.request(topics.REQUEST_LOOK, wire.encode(request), timeout_s=20)
        return wire.decode(body, LookAnswer)

    def offer_frame(self, frame: Frame) -> None:
        """A picture that arrives now, under its own number."""
        now = CLOCK.now()
        self.publisher.offer(msgspec.structs.replace(frame.header, event_time=now, arrival_time=now), frame.data)

    def offer(self, data: bytes, source_id: str = CAMERA.id) -> None:
        self.sequence += 1
        now = CLOCK.now()
        header = FrameHeader(
            source_id=source_id,
            sequence=self.sequence,
            event_time=now,
            arrival_time=now,
            codec=Codec.H264,
            size=len(data),
        )
        self.publisher.offer(header, data)

    async def receive_forever(self) -> None:
        while True:
            for entry in await self.receiver.receive(limit=100, wait_s=0.2):
                match wire.decode_log_record(entry.payload):
                    case Observation() as observation:
                        self.observations.append(observation)
                    case SourceChange() as change:
                        self.changes.append(change)
                    case Filmstrip() as strip:
                        self.strips.append(strip)
                    case HealthReport() as report:
                        self.health = report
                await self.receiver.commit([Position(entry.producer, entry.incarnation, entry.sequence)])

    def counted(self, name: str) -> int:
        return dict(self.health.counters).get(name, 0) if self.health is not None else 0


@asynccontextmanager
async def county(
    folder: Path,
    answer: Catalogue,
    config: InferenceConfig = CONFIG,
    *,
    alerts: bool = True,
    ingest: bool = False,
    models: Path = MODELS,
) -> AsyncIterator[County]:
    """An inference service between its neighbours; with `alerts` False nobody answers for the catalogue.

    `ingest`: somebody answers when inference wants a camera promoted.
    """
    made = County(folder, answer, config, models)
    tasks = [
        asyncio.create_task(made.publisher.serve()),
        asyncio.create_task(made.receive_forever()),
    ]
    if alerts:
        server = ZmqRequestServer(made.site.endpoint(topics.COMMAND), CLOCK)
        tasks.append(asyncio.create_task(server.serve(made.answer)))
    if ingest:
        desk = ZmqRequestServer(made.site.endpoint(f"{topics.CONTROL_INGEST}-0"), CLOCK)
        tasks.append(asyncio.create_task(desk.serve(made.promote)))
    try:
        yield made
    finally:
        await made.end()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await made.receiver.close()
        await made.looker.close()


async def until(made: County, condition: Callable[[], bool], each: Callable[[], None] = lambda: None) -> None:
    """Do `each` every tenth of a second until the condition holds; the test's time-out is the bound."""
    while not condition():
        each()
        await CLOCK.asleep(0.1)


def child_of_ours() -> int | None:
    """The decoding child of this process, if it runs."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            parent = (path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if b"inference.decode_child" in path.read_bytes() and int(parent) == os.getpid():
                return int(path.parent.name)
    return None
