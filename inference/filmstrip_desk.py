"""Gathering filmstrips: the past from ingest, the time after from the pictures as they are looked at.

    FilmstripRequest ─▶ history (ring or recording) ─▶ decode ─▶ detect ─▶ hide ─▶ evidence ─▶ Filmstrip GATHERING
                    └─▶ the camera preferred until the end, its pictures taken along ───────▶ Filmstrip COMPLETE

Bounded: so many strips at once, more are refused as busy; the past is decoded one picture after the other in a
child process of its own, so that it never delays what happens now. Nothing survives a restart but the evidence:
alerts asks again, and what cannot be had any more is missing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from contracts import topics, wire
from contracts.control import FilmstripAnswer, FilmstripRequest, HistoryAnswer, HistoryOrigin, HistoryRequest
from contracts.errors import CommandRefused, GridwhistleError
from contracts.filmstrip import PICTURES_MAX, Filmstrip, FilmstripOrigin, FilmstripState
from contracts.instant import SECOND, Instant
from inference.decode import Decoded, Decoder, DecoderLost
from inference.filmstrip import Strip
from runtime.log import CountedLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.detection import Detections
    from contracts.frame import Frame
    from inference.config import InferenceConfig
    from inference.detector import Detector
    from inference.evidence import EvidenceStore
    from inference.picture import Picture
    from runtime.clock import Clock
    from runtime.metrics import StageCounters
    from runtime.request_link import RequestClient

T = TypeVar("T")

_SPAN_MAX_NS: Final = 20 * 60 * SECOND
_SETTLE_S: Final = 4.0
"""After the end, for the last key picture to come, be decoded and looked at."""
_HISTORY_TIMEOUT_S: Final = 50.0
"""A recorder that plays no faster than it happened needs half a minute for half a minute."""
_GAPS_ASKED_MAX: Final = 4
_REMEMBERED_MAX: Final = 256
_PREFERRED: Final = 3.0
"""How much sooner a camera is looked at while its strip is gathered."""
_ORIGINS: Final = {HistoryOrigin.RING: FilmstripOrigin.RING, HistoryOrigin.RECORDING: FilmstripOrigin.RECORDING}


class Eyes(Protocol):
    """What a desk needs of the pipeline."""

    def knows(self, source_id: str) -> bool:
        """Whether this camera is in the catalogue and may be looked at."""

    def prefer(self, source_id: str, until: Instant, weight: float) -> None:
        """Look at this camera sooner until then."""

    def tell(self, strip: Filmstrip) -> None:
        """Send a record to alerts."""

    def on_pixels(self, function: Callable[..., T], *arguments: object) -> Awaitable[T]:
        """Run in the thread that owns the detector."""


class FilmstripDesk:
    """Filmstrips of this process. For one event loop; `see` is called in the pixel thread."""

    def __init__(
        self,
        site: str,
        config: InferenceConfig,
        clock: Clock,
        counters: StageCounters,
        detector: Detector,
        evidence: EvidenceStore | None,
        eyes: Eyes,
        ingest: Sequence[RequestClient],
    ) -> None:
        """`evidence` None: no picture is ever kept, so no strip is made. `ingest`: a client per camera worker."""
        self._site = site
        self._config = config
        self._clock = clock
        self._counters = counters
        self._detector = detector
        self._evidence = evidence
        self._eyes = eyes
        self._ingest = ingest
        self._log = CountedLog(clock)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._done: OrderedDict[str, Filmstrip] = OrderedDict()
        self._watched: dict[str, tuple[Strip, ...]] = {}
        self._decoder: Decoder | None = None
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="filmstrips")
        self._turn = asyncio.Lock()

    def answer(self, wish: FilmstripRequest) -> FilmstripAnswer:
        """Begin, or say why not. The same strip asked again is not made again: it is sent again."""
        reason = ""
        done = self._done.get(wish.id)
        if done is not None:
            self._eyes.tell(done)
        elif wish.id in self._tasks:
            pass
        elif self._evidence is None:
            reason = "evidence_off"
        elif not self._eyes.knows(wish.source_id):
            reason = "unknown_source"
        elif not (wish.begin <= wish.at <= wish.end <= wish.begin + _SPAN_MAX_NS) or not (
            1 <= wish.pictures <= PICTURES_MAX
        ):
            reason = "bad_span"
        elif len(self._tasks) >= self._config.filmstrip.at_once:
            reason = "busy"
        else:
            self._begin(wish)
        self._counters.count("filmstrips_refused" if reason else "filmstrips_accepted", reason)
        return FilmstripAnswer(id=wish.id, accepted=not reason, reason=reason)

    def see(self, picture: Picture, found: Detections) -> None:
        """A picture was looked at; taken along by the strips of its camera."""
        for strip in self._watched.get(picture.source_id, ()):
            self._add(strip, picture, found, FilmstripOrigin.LIVE)

    async def close(self) -> None:
        """Give up what is in work (alerts asks again), and end the decoder."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.to_thread(self._decoding.shutdown, wait=True, cancel_futures=True)
        if self._decoder is not None:
            await asyncio.to_thread(self._decoder.close)

    def _begin(self, wish: FilmstripRequest) -> None:
        task = asyncio.create_task(self._work(Strip(wish, self._site)), name=f"filmstrip {wish.id}")
        self._tasks[wish.id] = task
        task.add_done_callback(lambda _: self._ended(wish.id))
        self._counters.gauge("filmstrips_in_work", len(self._tasks))

    def _ended(self, id_: str) -> None:
        self._tasks.pop(id_, None)
        self._counters.gauge("filmstrips_in_work", len(self._tasks))

    async def _work(self, strip: Strip) -> None:
        """One strip from beginning to end; whatever fails leaves a gap with its reason."""
        wish = strip.wish
        try:
            await self._gather(strip)
            done: Filmstrip = await self._eyes.on_pixels(strip.told, FilmstripState.COMPLETE, wish.end)
        except GridwhistleError as error:
            self._log.warning("filmstrip", "A filmstrip could not be made", id=wish.id, error=str(error))
            self._counters.count("filmstrips_failed", error.reason)
            return
        finally:
            self._unwatch(strip)
        self._done[wish.id] = done
        while len(self._done) > _REMEMBERED_MAX:
            self._done.popitem(last=False)
        self._eyes.tell(done)
        self._counters.count("filmstrips_made")
        for picture in done.pictures:
            self._counters.count("filmstrip_pictures", picture.origin)

    async def _gather(self, strip: Strip) -> None:
        wish, now = strip.wish, self._clock.now()
        if now < wish.end:
            # Watched before the past is asked for, so that nothing falls between the two.
            self._watched[wish.source_id] = (*self._watched.get(wish.source_id, ()), strip)
            self._eyes.prefer(wish.source_id, wish.end, _PREFERRED)
        await self._past(strip, wish.begin, min(now, wish.end))
        if now >= wish.end:
            return
        self._eyes.tell(
            await self._eyes.on_pixels(strip.told, FilmstripState.GATHERING, max(min(now, wish.end), wish.at))
        )
        await self._clock.asleep(max(0.0, (wish.end - self._clock.now()) / SECOND) + _SETTLE_S)
        self._unwatch(strip)
        gaps: list[tuple[Instant, Instant]] = await self._eyes.on_pixels(strip.gaps, wish.end)
        for begin, end in [gap for gap in gaps if gap[1] > now][:_GAPS_ASKED_MAX]:
            # Not looked at as it came, by a busy scheduler or a late key picture; ingest may still have it.
            await self._past(strip, max(begin, now), end, reason="no_picture")

    async def _past(self, strip: Strip, begin: Instant, end: Instant, *, reason: str = "") -> None:
        """Add what ingest has of this time; `reason` instead of its own when it has nothing."""
        wish = strip.wish
        share = max(1, -(-wish.pictures * (end - begin) // max(wish.end - wish.begin, 1)))
        answer = await self._history(
            HistoryRequest(source_id=wish.source_id, begin=begin, end=end, pictures_max=share + 1)
        )
        await self._eyes.on_pixels(strip.miss, begin, end, reason or answer.reason or "no_picture")
        if answer.origin is HistoryOrigin.RECORDING and not reason:
            # Why it ended holds for what follows its last picture; what is not there before was not recorded.
            await self._eyes.on_pixels(strip.miss, begin, answer.frames[-1].header.event_time, "recording_empty")
        origin = _ORIGINS.get(answer.origin)
        if origin is None:
            return
        first = answer.frames[0].header.event_time
        if answer.origin is HistoryOrigin.RING and first - begin > strip.gap_ns:
            # The ring begins with the suspicion; what was before may be in a recording. Older pictures first.
            await self._past(strip, begin, Instant(first - 1), reason=reason)
        async with self._turn:
            for frame in answer.frames:
                part = await self._eyes.on_pixels(strip.part, frame.header.event_time)
                if part is not None and frame.header.key:
                    await self._decode(strip, frame, origin)

    async def _history(self, wish: HistoryRequest) -> HistoryAnswer:
        """Ask every camera worker; the one that has the camera answers for it."""
        best = HistoryAnswer(source_id=wish.source_id, origin=HistoryOrigin.MISSING, reason="no_link")
        for reply in await asyncio.gather(*(self._ask(client, wish) for client in self._ingest)):
            if reply is not None and (reply.frames or best.reason in ("no_link", "unknown_source")):
                best = reply
        return best

    async def _ask(self, client: RequestClient, wish: HistoryRequest) -> HistoryAnswer | None:
        try:
            body = await client.request(topics.REQUEST_HISTORY, wire.encode(wish), timeout_s=_HISTORY_TIMEOUT_S)
            return wire.decode(body, HistoryAnswer)
        except CommandRefused as refused:
            return HistoryAnswer(source_id=wish.source_id, origin=HistoryOrigin.MISSING, reason=refused.reason)
        except GridwhistleError as error:
            self._counters.count("histories_failed", error.reason)
            return None

    async def _decode(self, strip: Strip, frame: Frame, origin: FilmstripOrigin) -> None:
        at = frame.header.event_time
        try:
            [fate] = await asyncio.get_running_loop().run_in_executor(self._decoding, self._decoded, frame)
        except DecoderLost:
            await self._eyes.on_pixels(strip.miss, at, at, "decoder_lost")
            return
        if not isinstance(fate, Decoded):
            await self._eyes.on_pixels(strip.miss, at, at, "undecodable")
            return
        try:
            await self._eyes.on_pixels(self._add_past, strip, fate.picture, origin)
        finally:
            if self._decoder is not None:
                self._decoder.release(fate.slot)

    def _decoded(self, frame: Frame) -> Sequence[object]:
        """In the decoding thread. The child is started with the first strip: a quiet county needs none."""
        if self._decoder is None:
            config = self._config
            self._decoder = Decoder(
                slots=2,
                pixels_max=config.picture_pixels_max,
                access_unit_max=config.access_unit_max_kb * 1024,
                timeout_s=config.decode_timeout_s,
            )
        return self._decoder.decode([frame])

    def _add_past(self, strip: Strip, picture: Picture, origin: FilmstripOrigin) -> None:
        [found] = self._detector.detect([picture.bgr])
        self._add(strip, picture, found, origin)

    def _add(self, strip: Strip, picture: Picture, found: Detections, origin: FilmstripOrigin) -> None:
        if self._evidence is not None:
            width_max = self._config.filmstrip.width_max
            strip.add(picture, found, origin, self._evidence, self._config.blind, width_max)

    def _unwatch(self, strip: Strip) -> None:
        source_id = strip.wish.source_id
        rest = tuple(each for each in self._watched.get(source_id, ()) if each is not strip)
        if rest:
            self._watched[source_id] = rest
        else:
            self._watched.pop(source_id, None)
