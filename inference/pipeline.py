"""The stages between the picture link and the log link, each a task that never ends.

    headers ─▶ Scheduler ─▶ pull ─▶ decoding child ─▶ pixel thread (detect, Watch.look) ─▶ Outgoing

The event loop only moves references; decoding happens in child processes, everything that touches pixels in one
worker thread. Each stage takes what is there and never waits for more, so a slow camera holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

from contracts.detection import Detections
from contracts.errors import GridwhistleError
from contracts.frame import ActivityNotice, Suspicion
from contracts.instant import SECOND, Instant
from contracts.source import Camera, Catalogue
from inference.canary import Canary, Models, RolledBack
from inference.chain_book import Chained
from inference.config import InferenceConfig
from inference.decode import Decodable, Decoded, Decoder, DecoderLost, Fate, Followed, Refused
from inference.freshness import Freshness
from inference.next_pictures import NextPictures
from inference.outgoing import Outgoing
from inference.picture import Picture
from inference.promote import Promoter
from inference.schedule import Scheduler
from inference.shadow import Shadow
from inference.watch import Observer, Outcome, Record, Seen
from runtime.channel import Channel, Overflow
from runtime.clock import Clock
from runtime.latest import LatestPuller
from runtime.log import CountedLog
from runtime.metrics import StageCounters
from runtime.minute import MinuteBook
from runtime.quarantine import Quarantine
from runtime.snapshot_copy import SnapshotCopy
from runtime.supervise import Backoff, supervise, wait_or_stop

T = TypeVar("T")

CATALOGUE_EVERY_S: Final = 30.0
_HOUR_EVERY_S: Final = 10.0
_HEADERS_LIMIT: Final = 1024
_HEADERS_WAIT_S: Final = 0.05
_BURST_LEAD_S: Final = 3.0
"""Until the key picture comes with which a promotion begins."""
_URGENCY_BY_SIZES: Final = 4.0
"""Of a suspicion that ingest has by the sizes of pictures: less than that of a fire that was seen."""
_BLAMED: Final = frozenset({"crash", "hung"})
_OF_THE_CHAIN: Final = frozenset({"chain_lost", "no_picture"})
"""What says nothing of a camera's sight: its key pictures may decode very well."""


class Pipeline:
    """The stages of one inference process and what they share. For one event loop."""

    def __init__(
        self,
        config: InferenceConfig,
        clock: Clock,
        stop: asyncio.Event,
        models: Models,
        observer: Observer,
        counters: StageCounters,
        copy: SnapshotCopy[Catalogue],
    ) -> None:
        self._config = config
        self._clock = clock
        self._stop = stop
        self._models = models
        self._observer = observer
        self._counters = counters
        self._copy = copy
        self._log = CountedLog(clock)
        self._known: dict[str, Camera] = {}
        self._scheduler = Scheduler(
            bound_s=config.freshness_s,
            rest_s=config.rest_s,
            age_max_s=config.picture_age_max_s,
            suspect_s=config.suspect_s,
            promoted_max=config.promotion.places,
            promoted_look_s=config.promotion.look_s,
            burst_look_s=config.flow.look_s,
            decoders=config.decoders,
        )
        self._freshness = Freshness(config.profiles, config.freshness_s)
        self._next = NextPictures(config, self._scheduler, counters)
        self._quarantine = Quarantine(config.quarantine_s)
        self._wakes = [asyncio.Event() for _ in range(config.decoders)]
        self._catalogue_known = asyncio.Event()
        self._pictures: Channel[tuple[Decoder, Decoded]] = Channel(config.pull_max, Overflow.BLOCK)
        self._pixels = ThreadPoolExecutor(1, thread_name_prefix="pixels")
        self._decoding = ThreadPoolExecutor(config.decoders, thread_name_prefix="decoding")
        self.minutes = MinuteBook()
        """Pictures that were looked at, by camera."""
        self.outgoing = Outgoing(config.outgoing_max, counters)
        self.onlooker: Callable[[Picture, Detections], None] | None = None
        """Called in the pixel thread with every picture that was looked at."""
        self.on_seen: Callable[[str, Seen], None] | None = None
        """Called in the event loop with what every picture of a camera showed."""
        self.shadow: Shadow | None = None
        """A second model that looks at some pictures without any effect."""
        self.canary: Canary | None = None
        """A new model on some of the cameras."""
        self.promoter: Promoter | None = None
        """Told of suspicions, to have every picture of a camera."""
        # Pictures being decoded, pictures that wait in the channel, pictures that are looked at, and chains.
        self.decoders = [
            Decoder(
                slots=2 * config.pull_max + config.batch_max + config.promotion.decode_max,
                pixels_max=config.picture_pixels_max,
                access_unit_max=config.access_unit_max_kb * 1024,
                timeout_s=config.decode_timeout_s,
            )
            for _ in range(config.decoders)
        ]

    def knows(self, source_id: str) -> bool:
        """Whether this camera is in the catalogue and may be looked at."""
        return source_id in self._known

    def camera(self, source_id: str) -> Camera | None:
        """The camera, None unless it is in the catalogue and may be looked at."""
        return self._known.get(source_id)

    def rounds(self) -> Iterator[tuple[str, int | None]]:
        """The cameras that this process is there for; their rounds on patrol are ingest's to tell."""
        return ((camera_id, None) for camera_id, camera in self._known.items() if camera.live)

    def quarantined(self, source_id: str) -> bool:
        """Whether its pictures are left alone, since they ended the decoder twice."""
        return self._quarantine.holds(source_id, self._clock.now())

    def look_next(self, source_id: str, not_before: Instant) -> bool:
        """See LookDesk's Eyes."""
        waits = self._scheduler.ask(source_id, not_before, self._clock.now())
        self._wake()
        return waits

    def prefer(self, source_id: str, until: Instant, weight: float) -> None:
        """Look at this camera sooner until then."""
        if self.knows(source_id):
            self._scheduler.suspect(source_id, until, weight, self._clock.now())

    def tell(self, record: Record) -> None:
        """Send a record to alerts."""
        self.outgoing.add([record])

    async def on_pixels(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run in the one thread that owns detector and observer."""
        return await asyncio.get_running_loop().run_in_executor(self._pixels, function, *arguments)

    async def close(self) -> None:
        """End children and threads."""
        for pool in (self._decoding, self._pixels):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)
        for decoder in self.decoders:
            await asyncio.to_thread(decoder.close)

    async def follow_catalogue(self) -> None:
        """Start with the copy on disk; ask alerts until it answers, then again now and then."""
        current = await self._copy.stored()
        await self._use_catalogue(current)

        async def ask() -> None:
            nonlocal current
            while True:
                catalogue = await self._copy.ask()
                if catalogue != current:
                    current = catalogue
                    await self._use_catalogue(current)
                if await wait_or_stop(self._clock, self._stop, CATALOGUE_EVERY_S):
                    return

        def on_failure(error: GridwhistleError, delay_s: float) -> None:
            self._counters.count("catalogue_failures", error.reason)
            self._log.warning("catalogue", "No catalogue from alerts", error=str(error), delay_s=round(delay_s, 1))

        await supervise(ask, Backoff(0.2, 5.0, "catalogue"), self._clock, self._stop, on_failure)

    async def _use_catalogue(self, catalogue: Catalogue | None) -> None:
        listed = catalogue.cameras if catalogue is not None else ()
        # Secret cameras and forbidden places are never looked at, whatever ingest should send.
        cameras = [each for each in listed if not each.secrecy and not each.forbidden_place]
        self._known = {camera.id: camera for camera in cameras}
        self._scheduler.keep_only(self._known)
        self._set_bounds(self._clock.now())
        self.minutes.keep_only(self._known)
        if self.promoter is not None:
            self.promoter.promotions.keep_only(self._known.keys())
        self._counters.gauge("cameras_known", len(cameras))
        await self.on_pixels(self._observer.cameras, cameras)
        if catalogue is not None:
            self._catalogue_known.set()

    def _set_bounds(self, now: Instant) -> None:
        """Give each camera the freshness bound of this hour."""
        profiles = {"", *(camera.profile for camera in self._known.values())}
        bounds = {profile: self._freshness.bound_s(profile, now) for profile in profiles}
        for camera in self._known.values():
            self._scheduler.bound(camera.id, bounds[camera.profile])
        self._counters.gauge("freshness_bound_s_min", min(bounds.values()))
        self._counters.gauge("profiles_unknown", len(self._freshness.unknown))
        if self._freshness.unknown:
            names = ", ".join(sorted(self._freshness.unknown))
            self._log.warning("profiles", "Cameras name profiles that nobody has written down", profiles=names)

    async def follow_the_hour(self) -> None:
        """Every few seconds: the bounds of the hour that it is now."""
        while True:
            await self._clock.asleep(_HOUR_EVERY_S)
            self._set_bounds(self._clock.now())

    async def follow_headers(self, puller: LatestPuller) -> None:
        """Announce every waiting picture of a camera that we know and may look at."""
        # Before the catalogue is known every camera would be a stranger; the pictures wait meanwhile.
        await self._catalogue_known.wait()
        while True:
            headers = await puller.headers(limit=_HEADERS_LIMIT, wait_s=0.5)
            now = self._clock.now()
            for header in headers:
                self._counters.count("headers_received")
                if header.source_id not in self._known:
                    self._counters.count("pictures_dropped", "unknown_source")
                elif self._quarantine.holds(header.source_id, now):
                    self._counters.count("pictures_dropped", "quarantined")
                elif self._scheduler.announce(header, now):
                    self._suspected(header.source_id, header.suspicion)
            self._take_notices(puller.notices(), now)
            if headers:
                self._wake()

    def _take_notices(self, notices: list[ActivityNotice], now: Instant) -> None:
        """What ingest sees between pictures puts the next picture of a camera first."""
        for notice in notices:
            self._counters.count("notices_received", notice.suspicion or "active")
            if notice.source_id not in self._known or self._quarantine.holds(notice.source_id, now):
                continue
            if self._scheduler.notice(notice, now):
                self._suspected(notice.source_id, notice.suspicion)

    def _suspected(self, source_id: str, suspicion: Suspicion) -> None:
        if self.promoter is not None:
            self.promoter.suspected(source_id, _URGENCY_BY_SIZES, suspicion, from_last_key=True)

    async def decode_forever(self, puller: LatestPuller, index: int) -> None:
        """Supervise decoder `index`: what it cannot decode is refused; if it does not start it is tried again."""

        async def once() -> None:
            while True:
                await self._decode_next(puller, index)

        def on_failure(error: GridwhistleError, delay_s: float) -> None:
            self._counters.count("decoder_failures", error.reason)
            self._log.warning("decoder", "The decoder failed", error=str(error), delay_s=round(delay_s, 1))

        await supervise(once, Backoff(0.2, 10.0, "decoder"), self._clock, self._stop, on_failure)

    async def _decode_next(self, puller: LatestPuller, index: int) -> None:
        decoder = self.decoders[index]
        picked = self._next.pick(index, decoder.free, self._clock.now())
        if not picked:
            # Woken by a header; the time-out lets rested cameras have their turn.
            self._wakes[index].clear()
            await _wait(self._wakes[index], _HEADERS_WAIT_S if len(self._scheduler) else 1.0)
            return
        wanted = await self._next.pull(puller, picked)
        if not wanted:
            return
        ended = self._scheduler.chains.ended(index)
        try:
            fates = await asyncio.get_running_loop().run_in_executor(
                self._decoding, _decode, decoder, wanted, ended
            )
        except DecoderLost:
            self._counters.count("pictures_dropped", "decoder_lost", len(wanted))
            self._next.break_chains(picked, "decoder_lost")
            raise
        await self._take_decoded(decoder, wanted, fates)

    async def _take_decoded(self, decoder: Decoder, wanted: list[Decodable], fates: list[Fate]) -> None:
        for each, fate in zip(wanted, fates, strict=True):
            match fate:
                case Decoded():
                    self._quarantine.succeeded(fate.header.source_id)
                    self._counters.count("pictures_decoded")
                    await self._pictures.put((decoder, fate))
                case Followed():
                    self._quarantine.succeeded(fate.header.source_id)
                    self._counters.count("pictures_followed")
                case Refused() if isinstance(each, Chained):
                    self._scheduler.chains.break_off(fate.header.source_id, "chain_lost")
                    if fate.reason in _OF_THE_CHAIN:
                        self._counters.count("pictures_dropped", fate.reason)
                    else:
                        await self._refuse(fate)
                case Refused():
                    await self._refuse(fate)
        for reason, count in decoder.restarts.items():
            self._counters.count("decoder_restarts", reason, count)
        decoder.restarts.clear()

    async def _refuse(self, refused: Refused) -> None:
        source_id, now = refused.header.source_id, self._clock.now()
        sentence = f"画面无法使用 (a picture cannot be used: {refused.reason.replace('_', ' ')})"
        self._counters.refuse("pictures_refused", refused.reason, source_id, sentence)
        self._log.warning(
            f"refused {refused.reason}", "A picture was refused", source_id=source_id, reason=refused.reason
        )
        if refused.reason in _BLAMED and self._quarantine.crashed(source_id, now):
            self._counters.count("cameras_quarantined", refused.reason)
            self._scheduler.forget(source_id)
            self.outgoing.add(await self.on_pixels(self._observer.quarantined, source_id, now, refused.reason))
        elif refused.reason != "killed":
            outcome = await self.on_pixels(self._observer.refused, refused.header)
            self._follow_up(source_id, outcome)

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def detect_forever(self) -> None:
        """Supervise the detector: a picture that it cannot stand is lost and counted, never the process."""

        async def once() -> None:
            while True:
                await self._detect_next()

        def on_failure(error: GridwhistleError, delay_s: float) -> None:
            self._counters.count("pictures_dropped", f"detect_{error.reason}")
            self._log.warning("detect", "Looking at pictures failed", error=str(error), delay_s=round(delay_s, 1))

        await supervise(once, Backoff(0.1, 5.0, "detect"), self._clock, self._stop, on_failure)

    async def _detect_next(self) -> None:
        """A batch is what waits, up to `batch_max`; nothing waits for it to fill."""
        batch = await self._pictures.take(self._config.batch_max)
        now = self._clock.now()
        began_ns = self._clock.monotonic_ns()
        try:
            outcomes = await self.on_pixels(self._analyse, [decoded for _, decoded in batch], now)
        finally:
            for decoder, decoded in batch:
                decoder.release(decoded.slot)
            self._wake()
        for (_, decoded), outcome in zip(batch, outcomes, strict=True):
            self.minutes.count(decoded.header.source_id, self._clock.monotonic_ns())
            self._follow_up(decoded.header.source_id, outcome)
            await self._watch_canary(decoded.header.source_id, outcome)
        self._note(len(batch), self._clock.monotonic_ns() - began_ns)

    def _analyse(self, batch: list[Decoded], now: Instant) -> list[Outcome]:
        """In the pixel thread."""
        found = self._models.detect([decoded.picture for decoded in batch])
        if self.shadow is not None:
            behind = self._pictures.statistics().used > 0
            for decoded, each in zip(batch, found, strict=True):
                self.shadow.look(decoded.picture, each, behind=behind)
        if self.onlooker is not None:
            for decoded, each in zip(batch, found, strict=True):
                self.onlooker(decoded.picture, each)
        return [
            self._observer.look(decoded.picture, each, now) for decoded, each in zip(batch, found, strict=True)
        ]

    def _follow_up(self, source_id: str, outcome: Outcome) -> None:
        self.outgoing.add(list(outcome.records))
        if outcome.seen is not None and self.on_seen is not None:
            self.on_seen(source_id, outcome.seen)
        if outcome.burst and source_id in self._known and self.promoter is not None:
            flow = self._config.flow
            until = self.promoter.burst(source_id, flow.burst_s + _BURST_LEAD_S, flow.at_once)
            if until is not None:
                self._scheduler.burst(source_id, until)
        if outcome.urgency > 1.0 and source_id in self._known:
            now = self._clock.now()
            until = Instant(now + round(self._config.suspect_s * SECOND))
            self._scheduler.suspect(source_id, until, outcome.urgency, now)
            if self.promoter is not None:
                self.promoter.suspected(source_id, outcome.urgency, outcome.suspicion)

    async def _watch_canary(self, source_id: str, outcome: Outcome) -> None:
        """Tell the canary what came of a look; when it ends its cameras go back to the old model."""
        if self.canary is None or self.canary.ended is not None:
            return
        now, failure = self._clock.now(), self._models.failure
        verdict: RolledBack | None
        if failure is not None:
            verdict = self.canary.fail(failure, now)
        else:
            verdict = self.canary.looked(source_id, outcome.records, now)
        self._counters.gauge("canary_active", float(verdict is None))
        if verdict is None:
            return
        sentence = f"新模型已退回 (the new model was rolled back) {verdict.model}: {verdict.sentence}"
        self._counters.refuse("canary_rolled_back", verdict.reason, verdict.model, sentence)
        self._log.warning("canary", "The canary was rolled back", model=verdict.model, why=verdict.sentence)
        await self.on_pixels(self._observer.cameras, list(self._known.values()))

    def _note(self, pictures: int, took_ns: int) -> None:
        self._counters.count("pictures_analysed", n=pictures)
        self._counters.gauge("analyse_ms_per_picture", took_ns / 1e6 / pictures)

    async def watch_lateness(self) -> None:
        """Every second: late cameras become unknown, and the gauges of the wall are set."""
        dropped: dict[str, int] = {}
        while True:
            now = self._clock.now()
            self.outgoing.add(await self.on_pixels(self._observer.late, now))
            ages = sorted(await self.on_pixels(self._observer.ages_s, now))
            gauge = self._counters.gauge
            gauge("cameras_covered_60s", sum(age <= 60 for age in ages))
            gauge("age_s_p50", ages[len(ages) // 2] if ages else 0.0)
            gauge("age_s_max", ages[-1] if ages else 0.0)
            gauge("pictures_waiting", len(self._scheduler))
            gauge("cameras_overdue", self._scheduler.overdue(now))
            gauge("cameras_promoted", len(self._scheduler.chains))
            gauge("cameras_promoted_max", self._config.promotion.places)
            gauge("cameras_in_quarantine", len(self._quarantine))
            gauge("records_waiting", len(self.outgoing))
            for reason, total in self._scheduler.dropped.items():
                self._counters.count("pictures_dropped", reason, total - dropped.get(reason, 0))
                dropped[reason] = total
            await self._clock.asleep(1.0)


def _decode(decoder: Decoder, wanted: list[Decodable], ended: list[str]) -> list[Fate]:
    """In the decoding thread."""
    decoder.end_chains(ended)
    return decoder.decode(wanted)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
