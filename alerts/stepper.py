"""The step loop: take what waits, let the engine judge it, commit, and only then tell others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from alerts.core.batch import EMPTY, Batch
from alerts.core.words import NAMING, SOURCE_NAME
from alerts.inbox import Taken
from alerts.store.journal import Step, Work
from alerts.store.refusals import Refusal
from alerts.store.snapshot import Snapshot
from alerts.store.writer import observe
from alerts.timeline import Timeline
from contracts import wire
from contracts.command import CommandAnswer, CommandKind
from contracts.coverage import CoverageReport
from contracts.errors import MalformedMessage
from contracts.filmstrip import Filmstrip
from contracts.instant import SECOND, Instant
from contracts.observation import Observation, Phase
from contracts.read_schema import ChangeKind
from contracts.source import HealthReport, SourceChange
from contracts.storm import StormReport
from runtime.log import get_log
from runtime.log_link import LogEntry, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerts.config import AlertsConfig
    from alerts.core.effects import Effect
    from alerts.core.engine import Engine
    from alerts.filmstrips import FilmstripDesk
    from alerts.inbox import Inbox
    from alerts.store.journal import Committed
    from alerts.store.writer import Writer
    from alerts.store.writing import Report
    from contracts.place import Place
    from runtime.clock import Clock
    from runtime.log_link import LogReceiver
    from runtime.metrics import StageCounters
    from runtime.request_link import ChangePublisher

_REPORT_NS: Final = 2 * SECOND
_RESERVE_NS: Final = 60 * SECOND


class Stepper:
    """Owns the engine, and the time that it is given."""

    def __init__(
        self,
        site: str,
        config: AlertsConfig,
        clock: Clock,
        counters: StageCounters,
        inbox: Inbox,
        engine: Engine,
        last: Instant,
        recover: Callable[[], Engine],
        places: Mapping[str, Place],
        names: Mapping[str, str],
        desk: FilmstripDesk,
    ) -> None:
        self._site = site
        self._config = config
        self._clock = clock
        self._counters = counters
        self._inbox = inbox
        self._engine = engine
        self._time = Timeline(clock, last)
        self._recover = recover
        self._places = places
        self._names = names
        self._desk = desk
        self._started_at = clock.now()
        self._report_due_ns = clock.monotonic_ns()
        self._reserve_due_ns = clock.monotonic_ns()
        self._snapshot_due_ns = clock.monotonic_ns() + round(config.snapshot_s * SECOND)
        self._snapshot_step = 0
        self._snapshot_records = 0
        self._careful = 0

    def use(self, places: Mapping[str, Place], names: Mapping[str, str]) -> None:
        """Go by another version of the catalogue from the next record on."""
        self._places, self._names = places, names

    async def run(
        self,
        writer: Writer,
        receiver: LogReceiver,
        publisher: ChangePublisher,
        wake_senders: Callable[[], None],
        stop: asyncio.Event,
    ) -> None:
        """Step until `stop`, then keep a last snapshot. Raises LeaseLost and StoreError."""
        self._snapshot_step = writer.step
        while not stop.is_set():
            await self._hold_reserve(writer)
            alone = self._careful > 0
            taken = await self._inbox.take(self._config.batch_records, self._wait_s(), alone=alone)
            work = self._work(taken)
            if work is None:
                continue
            committed = await writer.commit(work)
            await self._tell(taken, committed, receiver, publisher)
            if committed.deliveries_changed:
                wake_senders()
            if self._snapshot_is_due(writer):
                await self._save_snapshot(writer)
        await self._save_snapshot(writer)

    def _wait_s(self) -> float:
        due = self._engine.next_due()
        if due is None:
            return self._config.idle_s
        return min(self._config.idle_s, max(0.0, (due - self._time.now()) / SECOND))

    def _work(self, taken: Taken) -> Work | None:
        """Let the engine judge what was taken; None when there is nothing to commit."""
        now = self._time.now()
        reports: list[Report] = []
        refusals: list[Refusal] = []
        strips: list[Filmstrip] = []
        batch = self._batch(taken, reports, strips, refusals)
        due = self._engine.next_due()
        step = None
        wanted: list[Filmstrip] = []
        if batch.observations or batch.source_changes or batch.commands or (due is not None and due <= now):
            began_ns = self._clock.monotonic_ns()
            try:
                effects: Sequence[Effect] = self._engine.step(batch, now)
            except Exception as defect:  # noqa: BLE001 - one message must never end the county's alerts
                return self._after_defect(taken, batch, now, defect)
            observe(self._counters, "step_ms", self._clock.monotonic_ns() - began_ns)
            step = Step(batch=batch, now=now, policy_version=self._engine.policy.version, effects=effects)
            self._count(batch, effects)
            wanted = self._desk.wanted(effects, now)
        self._careful = max(0, self._careful - 1)
        resends = [each for each in taken.commands if each.kind is CommandKind.RESEND_DELIVERY]
        if self._clock.monotonic_ns() >= self._report_due_ns:
            reports.append(self._report())
        work = Work(
            now=now,
            step=step,
            positions=_positions(taken.entries),
            reports=reports,
            refusals=refusals,
            outcomes=taken.outcomes,
            resends=resends,
            filmstrips_wanted=wanted,
            filmstrips=[*strips, *taken.filmstrips],
        )
        return work if step is not None or reports or len(taken) else None

    def _batch(
        self, taken: Taken, reports: list[Report], strips: list[Filmstrip], refusals: list[Refusal]
    ) -> Batch:
        observations: list[Observation] = []
        source_changes: list[SourceChange] = []
        for entry in taken.entries:
            try:
                record = wire.decode_log_record(entry.payload)
            except MalformedMessage as error:
                refusals.append(Refusal(error.reason, f"link:{entry.producer}", str(error)))
                self._counters.count("records_refused", error.reason)
                continue
            match record:
                case Observation():
                    observations.append(self._named(record))
                case SourceChange():
                    source_changes.append(self._placed(record))
                case Filmstrip() if record.site == self._site:
                    strips.append(record)
                case HealthReport() if record.site == self._site:
                    reports.append(record)
                    refusals += [Refusal(n.reason, n.source_id, n.text, n.n) for n in record.refused]
                case CoverageReport() | StormReport() if record.site == self._site:
                    reports.append(record)
                case HealthReport() | CoverageReport() | StormReport() | Filmstrip():
                    refusals.append(
                        Refusal("wrong_site", f"link:{entry.producer}", f"属于站点 {record.site} (another site's)")
                    )
        commands = (each for each in taken.commands if each.kind is not CommandKind.RESEND_DELIVERY)
        return Batch(tuple(observations), tuple(source_changes), tuple(commands))

    def _placed(self, change: SourceChange) -> SourceChange:
        place = self._places.get(change.source_id)
        if change.place is not None or place is None:
            return change
        return msgspec.structs.replace(change, place=place)

    def _named(self, observation: Observation) -> Observation:
        """With the name of its source, for the sentences: the engine has no catalogue. Samples come too often and
        say too little."""
        name = self._names.get(observation.source_id)
        if name is None or observation.phase is Phase.SAMPLE or any(k in NAMING for k, _ in observation.detail):
            return observation
        return msgspec.structs.replace(observation, detail=(*observation.detail, (SOURCE_NAME, name)))

    def _after_defect(self, taken: Taken, batch: Batch, now: Instant, defect: Exception) -> Work | None:
        """The rules failed on something. Go back to the committed state and find out on what, one by one.

        Raises the defect when it is not in what was taken but in what was due: nothing may be refused for it.
        """
        single = len(taken.entries) + len(taken.commands)
        get_log().error("The engine failed; its state is restored", error=repr(defect), records=single)
        self._counters.count("engine_defects")
        self._engine = self._recover()
        if single > 1:
            self._careful = single
            self._inbox.put_back(taken)
            return None
        if single == 0:
            raise defect
        self._engine.step(EMPTY, now)
        self._engine = self._recover()
        text = f"处理时程序出错 (a defect of the rules): {type(defect).__name__}: {defect}"
        records: tuple[Observation | SourceChange, ...] = (*batch.observations, *batch.source_changes)
        source = records[0].source_id if records else "command"
        for command in taken.commands:
            answer = CommandAnswer(command_id=command.id, accepted=False, reason="bug", message=text)
            self._inbox.settle(Taken(commands=[command]), [answer])
        return Work(
            now=now,
            positions=_positions(taken.entries),
            refusals=[Refusal("bug", source, text)],
            outcomes=taken.outcomes,
            filmstrips=taken.filmstrips,
        )

    def _count(self, batch: Batch, effects: Sequence[Effect]) -> None:
        self._snapshot_records += len(batch.observations) + len(batch.source_changes) + len(batch.commands)
        self._counters.count("steps")
        self._counters.count("observations_received", n=len(batch.observations))
        self._counters.count("source_changes_received", n=len(batch.source_changes))
        self._counters.count("commands_received", n=len(batch.commands))
        for effect in effects:
            self._counters.count("effects", type(effect).__name__)

    def _report(self) -> HealthReport:
        self._report_due_ns = self._clock.monotonic_ns() + _REPORT_NS
        self._counters.gauge("inbox_depth", float(self._inbox.depth))
        self._counters.gauge("clock_behind_s", self._time.ahead_ns / SECOND)
        for name, total in self._engine.counters().items():
            self._counters.gauge(f"engine_{name}", float(total))
        # By the machine's clock, as those who judge its age go by: a dead engine must not look alive.
        return self._counters.report(self._site, "0", self._clock.now(), self._started_at)

    async def _tell(
        self, taken: Taken, committed: Committed, receiver: LogReceiver, publisher: ChangePublisher
    ) -> None:
        """Acknowledge, answer, publish: the commit stands, so nothing of this may be undone."""
        await receiver.commit(_positions(taken.entries))
        self._inbox.settle(taken, committed.answers)
        for change in committed.changes:
            if change.kind == ChangeKind.FILMSTRIP:
                self._desk.committed(wire.decode(change.body, Filmstrip))
            await publisher.publish(change.seq, change.kind, change.body)

    def _snapshot_is_due(self, writer: Writer) -> bool:
        steps = writer.step - self._snapshot_step
        late = self._clock.monotonic_ns() >= self._snapshot_due_ns
        many = self._snapshot_records >= self._config.snapshot_records
        return steps >= self._config.snapshot_steps or (steps > 0 and (late or many))

    async def _save_snapshot(self, writer: Writer) -> None:
        if writer.step == self._snapshot_step:
            return
        self._snapshot_due_ns = self._clock.monotonic_ns() + round(self._config.snapshot_s * SECOND)
        self._snapshot_records = 0
        snapshot = Snapshot(
            step=writer.step,
            now=self._time.last,
            policy_version=self._engine.policy.version,
            state=self._engine.snapshot(),
        )
        if await writer.save_snapshot(snapshot, changes_kept=self._config.changes_kept):
            self._snapshot_step = snapshot.step

    async def _hold_reserve(self, writer: Writer) -> None:
        if self._clock.monotonic_ns() >= self._reserve_due_ns:
            self._reserve_due_ns = self._clock.monotonic_ns() + _RESERVE_NS
            await writer.hold_reserve()


def _positions(entries: Sequence[LogEntry]) -> list[Position]:
    """The last entry of each producer's life, in order; what a transaction stores and an acknowledgement names."""
    last = {(entry.producer, entry.incarnation): entry.sequence for entry in entries}
    return [Position(producer, incarnation, sequence) for (producer, incarnation), sequence in last.items()]
