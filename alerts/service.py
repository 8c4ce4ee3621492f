"""How the brain is connected: files in, log link and requests in, one transaction per step, changes out.

The order that everything rests on: step -> commit -> acknowledge, answer, publish. What is not on the disk was
never said; what was said is on the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import Connection

from alerts.config import WebhookConfig, read_signing_secret
from alerts.delivery.sender import Sender
from alerts.delivery.webhook import NAME as WEBHOOK
from alerts.delivery.webhook import Webhook
from alerts.filmstrips import FilmstripDesk
from alerts.follow import CatalogueFollower
from alerts.given import Given, load_given, report_gaps
from alerts.inbox import Inbox
from alerts.looks import LookDesk
from alerts.stepper import Stepper
from alerts.store import filmstrips, policies, tables
from alerts.store import journal as journals
from alerts.store import lease as leases
from alerts.store.database import Database
from alerts.store.journal import Journal
from alerts.store.lease import HolderLock, Lease
from alerts.store.recovery import Recovered, recover
from alerts.store.reserve import Reserve
from alerts.store.upsert import upsert
from alerts.store.writer import Writer
from alerts.witnesses import Witnesses
from contracts import topics, wire
from contracts.command import Command
from contracts.errors import MalformedMessage, StoreBusy, StoreFull
from contracts.policy import Policy
from runtime.crew import Crew
from runtime.log import get_log
from runtime.metrics import StageCounters
from runtime.shutdown import Shutdown
from runtime.supervise import wait_or_stop
from runtime.zmq_log import ZmqLogReceiver
from runtime.zmq_request import ZmqChangePublisher, ZmqRequestClient, ZmqRequestServer

if TYPE_CHECKING:
    from alerts.config import AlertsConfig
    from contracts.instant import Instant
    from runtime.clock import Clock
    from runtime.request_link import RequestHandler
    from runtime.site import Site

_STAND_BY_S: Final = 0.5
_MIB: Final = 1024 * 1024


async def run(
    site: Site,
    config: AlertsConfig,
    clock: Clock,
    stop: asyncio.Event,
    *,
    webhook: WebhookConfig = WebhookConfig(),  # noqa: B008 - frozen
) -> None:
    """Be the county's one writer until `stop`.

    Stands by while another engine holds the lease. Raises ConfigError for wrong files, LeaseLost when another
    engine took over, StoreError when the database cannot be used.
    """
    given = load_given(site, config)
    report_gaps(given.grids)
    secret = read_signing_secret(webhook, site.state_dir)
    reserve = Reserve(site.state_dir / "reserve.bin", config.reserve_mib * _MIB)
    async with Shutdown(10.0) as on_stop:
        lock = HolderLock(site.state_dir / "alerts.lock")
        on_stop("give the lock back", partial(asyncio.to_thread, lock.close))
        database = Database(site.database_file, busy_timeout_s=config.busy_timeout_s)
        on_stop("close the database", partial(asyncio.to_thread, database.close))
        lease = await stand_by(lock, database, reserve, config.lease_s, clock, stop)
        if lease is not None:
            _note(database, lease, given, clock.now())
            one = _OneWriter(site, config, webhook, secret, clock, stop, given, database, lease, reserve)
            await one.work(on_stop)


@dataclass(frozen=True, slots=True)
class _OneWriter:
    """Everything that writing needs, once the lease is ours."""

    site: Site
    config: AlertsConfig
    webhook: WebhookConfig
    secret: bytes
    clock: Clock
    stop: asyncio.Event
    given: Given
    database: Database
    lease: Lease
    reserve: Reserve
    counters: StageCounters = field(default_factory=lambda: StageCounters("alerts"))

    async def work(self, on_stop: Shutdown) -> None:
        """Recover, open the links, and step until `stop`."""
        site, clock, counters = self.site, self.clock, self.counters
        recovered = _recovered(self.database, site, self.given.policy, counters)
        journal = Journal(
            self.database, self.lease, (WEBHOOK,) if self.webhook.url else (), exercises=self.webhook.exercises
        )
        writer = Writer(self.database, self.lease, journal, self.reserve, clock, counters, self.stop)
        on_stop("finish the commit in work", partial(asyncio.to_thread, writer.close))
        inbox = Inbox(self.config.inbox_records)
        receiver = ZmqLogReceiver(site.endpoint(topics.LOG), clock)
        on_stop("close the log link", receiver.close)
        with self.database.read() as connection:
            receiver.restore(journals.restore_positions(connection))
        publisher = ZmqChangePublisher(site.endpoint(topics.CHANGES))
        on_stop("close the link of changes", publisher.close)
        senders = self._senders(inbox, on_stop)
        witnesses = Witnesses(self.given.catalogue.cameras)
        desk = FilmstripDesk(site.id, self.config.filmstrip, witnesses, clock, counters, inbox.note)
        looks = LookDesk(site.id, self.config.look, witnesses, clock, counters, inbox.ask)
        with self.database.read() as connection:
            desk.restore(filmstrips.incomplete(connection, self.config.filmstrip.open_max))
        inference = ZmqRequestClient(site.endpoint(topics.CONTROL_INFERENCE), clock)
        on_stop("close the link to inference", inference.close)
        stepper = Stepper(
            site.id,
            self.config,
            clock,
            counters,
            inbox,
            recovered.engine,
            recovered.now,
            lambda: recover(self.database, site.id, site.county, self.given.policy).engine,
            self.given.places(),
            self.given.names(),
            desk,
            looks,
        )
        server = ZmqRequestServer(site.endpoint(topics.COMMAND), clock)
        snapshots = _snapshots(self.given)
        follower = CatalogueFollower(site, self.given, clock, counters)

        async def use(given: Given) -> None:
            await writer.note(partial(_note_catalogue, given=given))
            stepper.use(given.places(), given.names())
            witnesses.use(given.catalogue.cameras)
            snapshots.update(_snapshots(given))

        crew = Crew()
        crew.add("take records in", _intake(receiver, inbox, self.config.batch_records))
        crew.add("answer requests", server.serve(_handler(snapshots, inbox, self.database)))
        crew.add("follow the catalogue file", follower.run(use))
        crew.add("ask for filmstrips", desk.ask_forever(inference))
        crew.add("ask for looks", looks.ask_forever(inference))
        for sender in senders:
            crew.add("deliver", sender.run())
        stepping = stepper.run(writer, receiver, publisher, lambda: _wake(senders), self.stop)
        get_log().info(
            "Alerts are watched", step=recovered.step, replayed=recovered.replayed, epoch=self.lease.epoch
        )
        try:
            try:
                await crew.work(stepping, self.stop)
            finally:
                await crew.close()
            await writer.release_lease(clock.now())
        except (StoreFull, StoreBusy) as error:
            if not self.stop.is_set():
                raise
            get_log().warning("Stopped while the store was full or busy; the rest comes again", error=str(error))
        finally:
            inbox.close()

    def _senders(self, inbox: Inbox, on_stop: Shutdown) -> list[Sender]:
        if not self.webhook.url:
            return []
        target = Webhook(self.webhook, self.secret, self.clock)
        on_stop("close the webhook", target.close)
        return [Sender(target, self.webhook, self.database, inbox.record, self.clock, self.counters)]


async def stand_by(
    lock: HolderLock, database: Database, reserve: Reserve, lease_s: float, clock: Clock, stop: asyncio.Event
) -> Lease | None:
    """Wait for the right to write; None when stopped before."""
    waiting = False
    while not stop.is_set():
        try:
            sole = lock.acquire()
            lease = await asyncio.to_thread(leases.acquire, database, clock.now(), duration_s=lease_s, sole=sole)
        except StoreFull as error:
            get_log().warning("The disk is full at start", error=str(error), reserve=reserve.release())
            lease = None
        if lease is not None:
            return lease
        if not waiting:
            get_log().info("Standing by: another engine holds the lease")
            waiting = True
        await wait_or_stop(clock, stop, _STAND_BY_S)
    return None


def _note(database: Database, lease: Lease, given: Given, now: Instant) -> None:
    """Write down the versions that this engine goes by. Raises ConfigError for a policy without a new version."""
    with database.write() as connection:
        policies.record(connection, given.policy, now, str(given.policy_file))
        _note_meta(
            connection,
            {
                "grids_version": str(given.grids.version),
                "policy_version": str(given.policy.version),
                "epoch": str(lease.epoch),
            },
        )
        _note_catalogue(connection, given)


def _note_catalogue(connection: Connection, given: Given) -> None:
    _note_meta(connection, {"catalogue_version": str(given.catalogue.version)})
    names = [{"id": id_, "name": name} for id_, name in given.names().items()]
    if names:
        connection.execute(upsert(tables.source_names, connection.dialect.name), names)


def _note_meta(connection: Connection, values: Mapping[str, str]) -> None:
    rows = [{"key": key, "value": value} for key, value in values.items()]
    connection.execute(upsert(tables.meta, connection.dialect.name), rows)


def _recovered(database: Database, site: Site, policy: Policy, counters: StageCounters) -> Recovered:
    recovered = recover(database, site.id, site.county, policy)
    counters.gauge("replayed_steps", float(recovered.replayed))
    counters.gauge("replay_differing_steps", float(recovered.differing))
    counters.gauge("snapshots_unreadable", float(recovered.snapshots_unreadable))
    if recovered.differing or recovered.snapshots_unreadable:
        get_log().warning(
            "The replay differs from what was recorded",
            differing=recovered.differing,
            snapshots_unreadable=recovered.snapshots_unreadable,
        )
    return recovered


def _snapshots(given: Given) -> dict[str, bytes]:
    """What the site was given, as it is handed out."""
    return {
        topics.REQUEST_CATALOGUE: wire.encode(given.catalogue),
        topics.REQUEST_GRIDS: wire.encode(given.grids),
        topics.REQUEST_POLICY: wire.encode(given.policy),
    }


def _handler(snapshots: Mapping[str, bytes], inbox: Inbox, database: Database) -> RequestHandler:
    """Commands are answered after commit, snapshots of what the site was given at once."""

    async def answer(kind: str, body: bytes) -> bytes:
        if kind in snapshots:
            return snapshots[kind]
        if kind != topics.REQUEST_COMMAND:
            raise MalformedMessage(f"未知请求 {kind!r} (unknown request); known: {', '.join(snapshots)}, command")
        command = wire.decode(body, Command)
        given_before = await asyncio.to_thread(_answer_given, database, command.id)
        return wire.encode(given_before or await inbox.ask(command))

    return answer


def _answer_given(database: Database, command_id: str) -> msgspec.Struct | None:
    with database.read() as connection:
        return journals.answer_given(connection, command_id)


async def _intake(receiver: ZmqLogReceiver, inbox: Inbox, limit: int) -> None:
    while True:
        await inbox.put_entries(await receiver.receive(limit=limit, wait_s=1.0))


def _wake(senders: list[Sender]) -> None:
    for sender in senders:
        sender.wake()
