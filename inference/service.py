"""The inference process: model, links and pipeline brought up, run until told to stop, and taken down in order."""

from __future__ import annotations

import asyncio
from typing import Final

import cv2
from msgspec.structs import replace

from contracts import topics, wire
from contracts.control import FilmstripRequest, LookRequest
from contracts.coverage import CoverageStage
from contracts.errors import CommandRefused
from contracts.source import Catalogue
from inference.config import InferenceConfig
from inference.detector import Detector
from inference.evidence import EvidenceStore
from inference.filmstrip_desk import FilmstripDesk
from inference.look import LookDesk
from inference.pipeline import Pipeline
from inference.places import measure_network_ms, places
from inference.promote import Promoter
from inference.registry import load_model
from inference.trials import open_trials
from inference.watch import Observer
from runtime.clock import Clock
from runtime.cores import cores_allowed
from runtime.coverage import CoverageTeller
from runtime.crew import Crew
from runtime.health import report_forever
from runtime.log import get_log
from runtime.metrics import StageCounters
from runtime.request_link import RequestHandler
from runtime.shutdown import Shutdown
from runtime.site import Site
from runtime.snapshot_copy import SnapshotCopy
from runtime.zmq_latest import ZmqLatestPuller
from runtime.zmq_log import ZmqLogSender
from runtime.zmq_request import ZmqRequestClient, ZmqRequestServer

INSTANCE: Final = "inference-0"
_DRAIN_S: Final = 1.0


async def run(site: Site, config: InferenceConfig, clock: Clock, stop: asyncio.Event) -> None:
    """Serve until `stop`. Raises ModelRefused when the model is not what it should be."""
    counters = StageCounters("inference")
    detector, observer, evidence = await asyncio.to_thread(_prepare, site, config, counters)
    carried = places(config, cores_allowed(), await asyncio.to_thread(measure_network_ms, detector))
    config = replace(config, promotion=replace(config.promotion, cameras_max=carried.count))
    get_log().info(
        "Inference starts",
        model=detector.model.tag,
        decoders=config.decoders,
        threads=config.threads,
        network_ms=round(carried.network_ms, 1),
        promotion=carried.sentence,
    )
    async with Shutdown(5.0) as on_stop:
        client = ZmqRequestClient(site.endpoint(topics.COMMAND), clock)
        on_stop("close the request link", client.close)
        sender = ZmqLogSender(site.endpoint(topics.LOG), INSTANCE, clock)
        on_stop("close the log link", sender.close)
        endpoints = [site.endpoint(f"{topics.FRAMES}-{n}") for n in range(config.frame_workers)]
        puller = ZmqLatestPuller(endpoints, clock)
        on_stop("close the picture link", puller.close)
        copy = SnapshotCopy(
            client, topics.REQUEST_CATALOGUE, Catalogue, site.state_dir / "inference-catalogue.bin"
        )
        models, canary, shadow = await asyncio.to_thread(open_trials, site, config, detector, counters)
        observer.model_of = models.of
        pipeline = Pipeline(config, clock, stop, models, observer, counters, copy)
        pipeline.canary, pipeline.shadow = canary, shadow
        on_stop("end the decoders", pipeline.close)
        ingest = [
            ZmqRequestClient(site.endpoint(f"{topics.CONTROL_INGEST}-{n}"), clock)
            for n in range(config.frame_workers)
        ]
        for asked in ingest:
            on_stop("close a link to ingest", asked.close)
        desk = FilmstripDesk(site.id, config, clock, counters, detector, evidence, pipeline, ingest)
        pipeline.onlooker = desk.see
        on_stop("give up the filmstrips in work", desk.close)
        promoter = Promoter(config.promotion, clock, counters, ingest)
        pipeline.promoter = promoter
        on_stop("promote no more", promoter.close)
        looks = LookDesk(
            config.look, clock, counters, detector.model, pipeline, promoter, shows=evidence is not None
        )
        observer.asked = looks.waits_for
        pipeline.on_seen = looks.looked
        teller = CoverageTeller(
            CoverageStage.ANALYSED, pipeline.minutes, pipeline.rounds, counters, site.id, INSTANCE, clock
        )
        control = ZmqRequestServer(site.endpoint(topics.CONTROL_INFERENCE), clock)
        seeing, sending = Crew(), Crew()
        on_stop("end the sending", sending.close)
        on_stop("end the seeing", seeing.close)
        sending.add("send records", pipeline.outgoing.send_forever(sender))
        seeing.add("follow the catalogue", pipeline.follow_catalogue())
        seeing.add("answer control requests", control.serve(_control(desk, looks)))
        seeing.add("follow the headers", pipeline.follow_headers(puller))
        for index in range(len(pipeline.decoders)):
            seeing.add("decode", pipeline.decode_forever(puller, index))
        seeing.add("detect", pipeline.detect_forever())
        seeing.add("watch lateness", pipeline.watch_lateness())
        seeing.add("follow the hour", pipeline.follow_the_hour())
        seeing.add("report health", report_forever(counters, sender, site.id, INSTANCE, clock))
        seeing.add("tell the coverage", teller.tell_forever(sender))
        try:
            await sending.work(seeing.work(stop.wait(), stop), stop)
        finally:
            stop.set()
            await seeing.close()
        # What was seen before the stop still goes out, if alerts is there to take it.
        await pipeline.outgoing.drain(clock, _DRAIN_S)


def _prepare(
    site: Site, config: InferenceConfig, counters: StageCounters
) -> tuple[Detector, Observer, EvidenceStore | None]:
    """Everything that reads files before the first picture. Raises ModelRefused."""
    # One picture at a time per thread: OpenCV's own threads would take the cores of ingest and decoding.
    cv2.setNumThreads(1)
    model = load_model(site.models_dir / config.model, config.thresholds)
    detector = Detector(model, floor=config.evidence.floor, threads=config.threads, batch_max=config.batch_max)
    evidence = EvidenceStore(site.evidence_dir, config.evidence) if config.evidence.budget_mb else None
    observer = Observer(
        site=site.id,
        exercise=site.exercise,
        config=config,
        model=model,
        evidence=evidence,
        counters=counters,
        second=detector.second_look(config.fire.second_look),
    )
    return detector, observer, evidence


def _control(desk: FilmstripDesk, looks: LookDesk) -> RequestHandler:
    """What may be asked of inference."""

    async def answer(kind: str, body: bytes) -> bytes:
        if kind == topics.REQUEST_FILMSTRIP:
            return wire.encode(desk.answer(wire.decode(body, FilmstripRequest)))
        if kind == topics.REQUEST_LOOK:
            return wire.encode(await looks.answer(wire.decode(body, LookRequest)))
        raise CommandRefused(f"未知的请求 {kind[:40]} (no such request)", reason="unknown_request")

    return answer
