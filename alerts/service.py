"""How the brain is connected: files in, log link and requests in, one transaction per step, changes out.

The order that everything rests on: step -> commit -> acknowledge, answer, publish. What is not on the disk was
never said; what was said is on the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import Connection

from alerts.config import WebhookConfig
from alerts.delivery.sender import Sender
from alerts.delivery.webhook import NAME as WEBHOOK
from alerts.delivery.webhook import Webhook
from alerts.given import Given, load_given, report_gaps
from alerts.inbox import Inbox
from alerts.stepper import Stepper
from alerts.store import journal as journals
from alerts.store import lease as leases
from alerts.store import policies, tables
from alerts.store.database import Database
from alerts.store.journal import Journal
from alerts.store.lease import HolderLock, Lease
from alerts.store.recovery import Recovered, recover
from alerts.store.reserve import Reserve
from alerts.store.upsert import upsert
from alerts.store.writer import Writer
from contracts import topics, wire
from contracts.command import Command
from contracts.errors import MalformedMessage, StoreFull
from contracts.policy import Policy
from runtime.config import read_secret
from runtime.log import get_log
from runtime.metrics import StageCounters
from runtime.shutdown import Shutdown
from runtime.supervise import wait_or_stop
from runtime.zmq_log import ZmqLogReceiver
from runtime.zmq_request import ZmqChangePublisher, ZmqRequestServer

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
    targets = (WEBHOOK,) if webhook.url else ()
    secret = read_secret(site.state_dir / webhook.secret_file, "[webhook] secret_file") if targets else b""
    reserve = Reserve(site.state_dir / "reserve.bin", config.reserve_mib * _MIB)
    counters = StageCounters("alerts")
    async with Shutdown(10.0) as on_stop:
        lock = HolderLock(site.state_dir / "alerts.lock")
        on_stop("give the lock back", partial(asyncio.to_thread, lock.close))
        database = Database(site.database_file, busy_timeout_s=config.busy_timeout_s)
        on_stop("close the database", partial(asyncio.to_thread, database.close))
        lease = await stand_by(lock, database, reserve, config.lease_s, clock, stop)
        if lease is None:
            return
        _note(database, lease, given, clock.now())
        recovered = _recovered(database, site, given.policy, counters)
        journal = Journal(database, lease, targets)
        writer = Writer(database, lease, journal, reserve, clock, counters, stop)
        on_stop("finish the commit in work", partial(asyncio.to_thread, writer.close))
        inbox = Inbox(config.inbox_records)
        receiver = ZmqLogReceiver(site.endpoint(topics.LOG), clock)
        on_stop("close the log link", receiver.close)
        with database.read() as connection:
            receiver.restore(journals.restore_positions(connection))
        publisher = ZmqChangePublisher(site.endpoint(topics.CHANGES))
        on_stop("close the link of changes", publisher.close)
        senders: list[Sender] = []
        if targets:
            target = Webhook(webhook, secret, clock)
            on_stop("close the webhook", target.close)
            senders.append(Sender(target, webhook, database, inbox.record, clock, counters))
        stepper = Stepper(
            site.id,
            config,
            clock,
            counters,
            inbox,
            recovered.engine,
            recovered.now,
            lambda: recover(database, site.id, site.county, given.policy).engine,
            given.places(),
        )
        server = ZmqRequestServer(site.endpoint(topics.COMMAND), clock)
        stepping = asyncio.create_task(
            stepper.run(writer, receiver, publisher, lambda: _wake(senders), stop), name="step loop"
        )
        others = [
            asyncio.create_task(_intake(receiver, inbox, config.batch_records), name="intake"),
            asyncio.create_task(server.serve(_handler(given, inbox, database)), name="requests"),
            *(asyncio.create_task(sender.run(), name="sender") for sender in senders),
        ]
        get_log().info("Alerts are watched", step=recovered.step, replayed=recovered.replayed, epoch=lease.epoch)
        try:
            await _until_one_ends(stepping, others)
        except StoreFull as error:
            get_log().warning("Stopped on a full disk; what is not committed comes again", error=str(error))
        finally:
            inbox.close()
            for task in (stepping, *others):
                task.cancel()
            await asyncio.gather(stepping, *others, return_exceptions=True)
        await writer.release_lease(clock.now())


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
                "catalogue_version": str(given.catalogue.version),
                "policy_version": str(given.policy.version),
                "epoch": str(lease.epoch),
            },
        )


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


def _handler(given: Given, inbox: Inbox, database: Database) -> RequestHandler:
    """Commands are answered after commit, snapshots of what the site was given at once."""
    snapshots = {
        topics.REQUEST_CATALOGUE: wire.encode(given.catalogue),
        topics.REQUEST_GRIDS: wire.encode(given.grids),
        topics.REQUEST_POLICY: wire.encode(given.policy),
    }

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


async def _until_one_ends(stepping: asyncio.Task[None], others: list[asyncio.Task[None]]) -> None:
    """Wait for the step loop's orderly end, or for the first failure of anything."""
    done, _ = await asyncio.wait({stepping, *others}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _wake(senders: list[Sender]) -> None:
    for sender in senders:
        sender.wake()
