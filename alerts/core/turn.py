"""Turn: one step's working table; what it touches is published once, at its end."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from alerts.core import limits
from alerts.core.effects import Effect, IncidentChanged, Refused, TicketCause, TicketChanged
from alerts.core.index import Index
from alerts.core.policy import Rule, Rules
from alerts.core.state import EngineState, LiveIncident, SourceMemory
from alerts.tickets.ticket_file import TicketFile
from contracts.incident import Action, Decision, Reason
from contracts.instant import Instant
from contracts.observation import IncidentType
from contracts.source import SourceKind
from contracts.ticket import TicketEvent


class Turn:
    """State, rules and time of one step, and the effects so far.

    Incidents and tickets get their next version when they are first touched, so that an answer given in the
    middle of the step names the version that the commit will hold.
    """

    def __init__(
        self, site: str, county: str, state: EngineState, rules: Rules, index: Index, buffered: set[str]
    ) -> None:
        self.site = site
        self.county = county
        self.state = state
        self.rules = rules
        self.index = index
        self.buffered = buffered
        self.now = state.now
        self.effects: list[Effect] = []
        self._incidents: dict[str, None] = {}
        self._tickets: dict[str, tuple[list[TicketEvent], list[TicketCause]]] = {}

    # -- telling ---------------------------------------------------------------------------------------------

    def count(self, name: str, n: int = 1) -> None:
        """Add to a running total."""
        counters = self.state.counters
        counters[name] = counters.get(name, 0) + n

    def refuse(self, observation_id: str, source_id: str, reason: Reason, text: str) -> None:
        """An observation or source change is not used."""
        self.count(f"refused:{reason.value}")
        self.effects.append(Refused(observation_id, source_id, reason, text))

    def decide(
        self,
        live: LiveIncident,
        action: Action,
        reason: Reason,
        text: str,
        *,
        observation_id: str | None = None,
        material: bool = True,
        at: Instant | None = None,
    ) -> None:
        """Keep a decision with its reason in the incident, and publish it."""
        decision = Decision(
            at=self.now if at is None else at,
            action=action,
            reason=reason,
            text=text,
            observation_id=observation_id,
        )
        live.decisions.append(decision)
        if len(live.decisions) > limits.DECISIONS_MAX:
            del live.decisions[limits.DECISIONS_HEAD]
        self.count(f"decided:{action.value}:{reason.value}")
        self.touch(live, material=material)

    def touch(self, live: LiveIncident, *, material: bool = False) -> None:
        """Publish an incident at the end of the step. `material`: people must know before they act on it."""
        if live.id not in self._incidents:
            live.version += 1
            live.updated_at = self.now
        self._incidents[live.id] = None
        if material:
            live.material_version = live.version

    def touch_ticket(self, file: TicketFile, cause: TicketCause, *events: TicketEvent) -> None:
        """Publish a ticket with its new events at the end of the step."""
        kept = self._tickets.get(file.ticket.id)
        if kept is None:
            kept = self._tickets[file.ticket.id] = ([], [])
        kept[0].extend(events)
        kept[1].append(cause)

    def is_ticket_touched(self, ticket_id: str) -> bool:
        """Whether the ticket has its next version already."""
        return ticket_id in self._tickets

    def touched(self) -> Iterator[LiveIncident]:
        """The incidents to be published, in the order in which they were first touched."""
        for id_ in tuple(self._incidents):
            live = self.state.incidents.get(id_)
            if live is not None:
                yield live

    def publish(self) -> list[Effect]:
        """All effects of the step: incidents before their tickets, each once."""
        version = self.rules.policy.version
        self.effects.extend(IncidentChanged(live.publish(self.site, version)) for live in self.touched())
        for ticket_id, (events, causes) in self._tickets.items():
            ticket = self.state.tickets[ticket_id].ticket
            self.effects.append(TicketChanged(ticket, tuple(events), _strongest(causes)))
        return self.effects

    def has_room(self) -> bool:
        """Whether the step may do more than it must: what is due can wait for the next one, input cannot."""
        said = len(self.effects) + len(self._incidents) + len(self._tickets)
        return said < self.rules.policy.effects_per_step_max

    # -- time ------------------------------------------------------------------------------------------------

    def wake_at(self, due: int, kind: str, id_: str) -> None:
        """Serve `kind` for `id_` at `due`; timers of the same instant are served in the order they were set."""
        self.state.timer_order += 1
        heappush(self.state.timers, (due, self.state.timer_order, kind, id_))

    def due(self) -> Iterator[tuple[str, str]]:
        """Timers (kind, id) that fell due, earliest first, within the limits of a step."""
        timers = self.state.timers
        for _ in range(limits.TIMERS_PER_STEP_MAX):
            if not timers or timers[0][0] > self.now or not self.has_room():
                return
            _, _, kind, id_ = heappop(timers)
            yield kind, id_

    # -- finding ---------------------------------------------------------------------------------------------

    def rule_of(self, type_: IncidentType) -> Rule | None:
        """The rule that names a type: code, words, routing."""
        return self.rules.of_type(type_)

    def source(self, source_id: str, kind: SourceKind) -> SourceMemory | None:
        """What is known of a source; None, counted, when `limits.SOURCES_MAX` are known already."""
        memory = self.state.sources.get(source_id)
        if memory is None:
            if len(self.state.sources) >= limits.SOURCES_MAX:
                self.count("sources_over_limit")
                return None
            memory = self.state.sources[source_id] = SourceMemory(kind)
        return memory


def _strongest(causes: list[TicketCause]) -> TicketCause:
    """A ticket that opened and changed in one step was opened; one that closed was closed."""
    if "closed" in causes:
        return "closed"
    return "opened" if "opened" in causes else "updated"
