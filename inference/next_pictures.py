"""NextPictures: what a decoder works on next: chosen by the scheduler, pulled over the link, ready to decode."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.frame import FrameHeader
from contracts.instant import Instant
from inference.chain_book import Chained
from inference.config import InferenceConfig
from inference.decode import Decodable
from inference.schedule import Scheduler
from runtime.latest import LatestPuller
from runtime.metrics import StageCounters


@dataclass(frozen=True, slots=True)
class Picked:
    """A picture to pull: one that decodes alone and is looked at, or the next of a chain."""

    header: FrameHeader
    look: bool = True
    chained: bool = False


class NextPictures:
    """For one event loop; the scheduler is shared by all decoders."""

    def __init__(self, config: InferenceConfig, scheduler: Scheduler, counters: StageCounters) -> None:
        self._config = config
        self._scheduler = scheduler
        self._counters = counters

    def pick(self, decoder: int, free: int, now: Instant) -> list[Picked]:
        """Chains of this decoder in order first, then pictures that decode alone; at most `free` in all.

        Looks at chains and at others share `pull_max` places: what one gets the other does not.
        """
        looks_max = min(self._config.pull_max, free)
        followed = self._scheduler.follow(
            min(self._config.promotion.decode_max, free), looks_max, now, decoder=decoder
        )
        looks = sum(look for _, look in followed)
        limit = min(looks_max - looks, free - len(followed))
        alone = self._scheduler.pick(limit, now) if limit > 0 else []
        chained = [Picked(header, look, chained=True) for header, look in followed]
        return chained + [Picked(header) for header in alone]

    async def pull(self, puller: LatestPuller, picked: list[Picked]) -> list[Decodable]:
        """Their bytes, in the same order; one that was overtaken is counted, and breaks its chain."""
        frames = await puller.pull([(each.header.source_id, each.header.sequence) for each in picked])
        came = {(frame.header.source_id, frame.header.sequence): frame for frame in frames}
        wanted: list[Decodable] = []
        for each in picked:
            frame = came.get((each.header.source_id, each.header.sequence))
            if frame is not None:
                wanted.append(Chained(frame, each.look) if each.chained else frame)
                continue
            self._counters.count("pictures_dropped", "overtaken")
            self.break_chains([each], "overtaken")
        self._counters.count("pictures_pulled", n=len(wanted))
        return wanted

    def break_chains(self, picked: Iterable[Picked], reason: str) -> None:
        """The decoder will not have these: their chains go on with the next key pictures."""
        for each in picked:
            if each.chained:
                self._scheduler.chains.break_off(each.header.source_id, reason)
