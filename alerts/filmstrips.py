"""Filmstrips: which cameras are asked when an incident comes onto the wall, and asking until there is an answer.

    engine's effects ─▶ wanted ─▶ (one transaction with the incident) ─▶ asked of inference ─▶ Filmstrip records

A strip that is wanted stands in the database with its incident, so a restart of alerts asks on. One that inference
accepted and did not finish, because it was restarted, is asked for again; what it then cannot gather any more is
missing, and says so. The engine knows nothing of this: pictures decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from alerts.core.effects import Effect, IncidentChanged
from alerts.witnesses import Arrivals, Witnesses
from contracts import topics, wire
from contracts.control import FilmstripAnswer, FilmstripRequest
from contracts.errors import CommandRefused, GridwhistleError
from contracts.filmstrip import Filmstrip, FilmstripGap, FilmstripState, filmstrip_id
from contracts.incident import Incident
from contracts.instant import SECOND, Instant

if TYPE_CHECKING:
    from alerts.config import FilmstripConfig
    from contracts.source import Camera
    from runtime.clock import Clock
    from runtime.metrics import StageCounters
    from runtime.request_link import RequestClient

_EVERY_S: Final = 0.25
_ASK_TIMEOUT_S: Final = 2.0
_RETRY_NS: Final = 2 * SECOND
_FINAL: Final = frozenset({"unknown_source", "evidence_off", "bad_span", "unknown_request"})
"""Refusals that asking again does not change."""


@dataclass(slots=True)
class _Open:
    """A strip that is not complete: when to ask (again), and what was last said."""

    strip: Filmstrip
    ask_at: Instant
    reason: str = "unanswered"


class FilmstripDesk:
    """Chooses and asks. For one event loop; `note` hands a strip that is given up to the next commit."""

    def __init__(
        self,
        site: str,
        config: FilmstripConfig,
        witnesses: Witnesses,
        clock: Clock,
        counters: StageCounters,
        note: Callable[[Filmstrip], None],
    ) -> None:
        self._site = site
        self._config = config
        self._witnesses = witnesses
        self._clock = clock
        self._counters = counters
        self._note = note
        self._open: dict[str, _Open] = {}
        self._arrivals = Arrivals()

    def __len__(self) -> int:
        """Strips that are not complete."""
        return len(self._open)

    def restore(self, strips: Iterable[Filmstrip]) -> None:
        """Go on with what was not complete when the last engine ended."""
        for strip in strips:
            self._open[strip.id] = _Open(strip, self._clock.now())

    def wanted(self, effects: Sequence[Effect], now: Instant) -> list[Filmstrip]:
        """The strips of incidents that came onto the wall with these effects, to be committed together with them.

        Beyond `open_max` strips at once an incident's strip is born complete and empty: missing, `busy`.
        """
        strips: list[Filmstrip] = []
        for effect in effects:
            match effect:
                case IncidentChanged(incident=incident) if self._comes_onto_the_wall(incident):
                    strips += [self._born(incident, camera, now) for camera in self._chosen(incident)]
        room = self._config.open_max - len(self._open)
        return [strip if place < room else given_up(strip, "busy") for place, strip in enumerate(strips)]

    def committed(self, strip: Filmstrip) -> None:
        """A strip is on the disk."""
        if strip.state is FilmstripState.COMPLETE:
            self._open.pop(strip.id, None)
            self._counters.count("filmstrips_complete", "pictures" if strip.pictures else "missing")
        elif (known := self._open.get(strip.id)) is not None:
            known.strip = strip
        else:
            self._open[strip.id] = _Open(strip, self._clock.now())

    async def ask_forever(self, client: RequestClient) -> None:
        """Ask for every strip that is due, until cancelled."""
        while True:
            now = self._clock.now()
            self._counters.gauge("filmstrips_open", len(self._open))
            for each in [each for each in self._open.values() if each.ask_at <= now]:
                if now > each.strip.end + round(self._config.give_up_s * SECOND):
                    self._give_up(each, each.reason)
                elif not await self._ask(client, each):
                    break
            await self._clock.asleep(_EVERY_S)

    async def _ask(self, client: RequestClient, one: _Open) -> bool:
        """Ask once; False when nobody answers, so that the others need not wait for that, too."""
        strip = one.strip
        wish = FilmstripRequest(
            id=strip.id,
            incident_id=strip.incident_id,
            source_id=strip.source_id,
            begin=strip.begin,
            at=strip.at,
            end=strip.end,
            pictures=self._config.pictures,
            exercise=strip.exercise,
        )
        one.ask_at = Instant(self._clock.now() + _RETRY_NS)
        try:
            reply = await client.request(topics.REQUEST_FILMSTRIP, wire.encode(wish), timeout_s=_ASK_TIMEOUT_S)
            answer = wire.decode(reply, FilmstripAnswer)
        except CommandRefused as refused:
            answer = FilmstripAnswer(id=strip.id, accepted=False, reason=refused.reason)
        except GridwhistleError:
            one.reason = "no_link"
            self._counters.count("filmstrips_not_asked", "no_link")
            return False
        if answer.accepted:
            self._counters.count("filmstrips_asked")
            done_by = max(self._clock.now(), strip.end) + round(self._config.answer_s * SECOND)
            one.ask_at, one.reason = Instant(done_by), "unanswered"
        else:
            one.reason = answer.reason
            self._counters.count("filmstrips_not_asked", answer.reason)
            if answer.reason in _FINAL:
                self._give_up(one, answer.reason)
        return True

    def _give_up(self, one: _Open, reason: str) -> None:
        # Once, until the commit takes it off the list.
        one.ask_at = Instant(one.strip.end + 3600 * SECOND)
        self._note(given_up(one.strip, reason))

    def _comes_onto_the_wall(self, incident: Incident) -> bool:
        return bool(self._config.cameras_max) and self._arrivals.is_first(incident)

    def _chosen(self, incident: Incident) -> list[Camera]:
        """The cameras that claim it; when none does, those around it."""
        most = self._config.cameras_max
        return self._witnesses.own(incident, most) or self._witnesses.around(
            incident.place, most, self._config.near_m
        )

    def _born(self, incident: Incident, camera: Camera, now: Instant) -> Filmstrip:
        # What put it onto the wall: for alarms their own time, for a hold the sample that met it.
        at = min(incident.last_event_time, now)
        return Filmstrip(
            id=filmstrip_id(incident.id, camera.id),
            site=self._site,
            incident_id=incident.id,
            source_id=camera.id,
            begin=Instant(at - round(self._config.before_s * SECOND)),
            at=at,
            end=Instant(at + round(self._config.after_s * SECOND)),
            state=FilmstripState.WANTED,
            exercise=incident.exercise,
        )


def given_up(strip: Filmstrip, reason: str) -> Filmstrip:
    """The strip as it stays: what is not told of it is missing for this reason."""
    told = [strip.begin, *(p.evidence.event_time for p in strip.pictures), *(gap.end for gap in strip.gaps)]
    gaps = strip.gaps
    if max(told) < strip.end:
        gaps = (*gaps, FilmstripGap(begin=max(told), end=strip.end, reason=reason))
    return msgspec.structs.replace(strip, state=FilmstripState.COMPLETE, gaps=gaps)
