from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from alerts.config import WebhookConfig
from alerts.core.effects import TicketChanged
from alerts.delivery import outbox
from alerts.delivery.outbox import Outcome
from alerts.delivery.sender import Sender
from alerts.delivery.webhook import Webhook
from alerts.store.journal import Work
from contracts.command import Command, CommandAnswer, CommandKind
from contracts.delivery import Delivery, DeliveryState
from contracts.instant import DAY, HOUR, after
from contracts.principal import SYSTEM, Principal, Role
from contracts.wire import decode
from runtime.clock import SystemClock
from runtime.metrics import StageCounters
from tests.alerts.delivery.receiver import Receiver, receiver
from tests.alerts.records import SITE, T0, ticket
from tests.alerts.store.books import Books, work

CLOCK = SystemClock()


@dataclass
class Office:
    """The one writer and the sender beside it, as the service connects them."""

    books: Books
    sender: Sender
    counters: StageCounters
    settled: asyncio.Condition

    async def open(self, *tickets: tuple[int, int]) -> None:
        """Commit changes of tickets, each (number, version)."""
        for number, version in tickets:
            change = TicketChanged(ticket(number, version=version), (), "opened" if version == 1 else "updated")
            self.books.journal.commit(work(change, now=CLOCK.now()))
        self.sender.wake()

    async def record(self, outcome: Outcome) -> None:
        async with self.settled:
            self.books.journal.commit(Work(now=CLOCK.now(), outcomes=[outcome]))
            self.settled.notify_all()

    def resend(self, delivery_id: str, principal: Principal = SYSTEM) -> CommandAnswer:
        command = Command(
            id=f"resend-{delivery_id}",
            site=SITE,
            kind=CommandKind.RESEND_DELIVERY,
            principal=principal,
            at=CLOCK.now(),
            target_id=delivery_id,
        )
        [answer] = self.books.journal.commit(Work(now=CLOCK.now(), resends=[command])).answers
        self.sender.wake()
        return answer

    def deliveries(self) -> list[Delivery]:
        return [decode(row["body"], Delivery) for row in self.books.rows("deliveries")]  # type: ignore[arg-type]

    async def until(self, *states: DeliveryState) -> list[Delivery]:
        def reached() -> bool:
            return sorted(each.state for each in self.deliveries()) == sorted(states)

        async with self.settled:
            await asyncio.wait_for(self.settled.wait_for(reached), 20)
        return self.deliveries()


@asynccontextmanager
async def office(folder: Path, platform: Receiver, *, give_up_s: float = 0.0) -> AsyncIterator[Office]:
    config = WebhookConfig(
        url=platform.url,
        secret_file="s",
        timeout_s=0.5,
        retry_first_s=0.02,
        retry_max_s=0.1,
        in_flight=4,
        give_up_s=give_up_s,
    )
    books = Books.open(folder / "a.sqlite", now=CLOCK.now())
    target = Webhook(config, b"secret", CLOCK)
    counters = StageCounters("alerts")
    opened: Office

    async def record(outcome: Outcome) -> None:
        await opened.record(outcome)

    sender = Sender(target, config, books.database, record, CLOCK, counters)
    opened = Office(books, sender, counters, asyncio.Condition())
    task = asyncio.create_task(sender.run())
    try:
        yield opened
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await target.close()
        books.close()


DELIVERED, DEAD, PENDING = DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.PENDING


async def test_platform_fails_twice_then_ticket_arrives_once_with_three_attempts(tmp_path: Path) -> None:
    async with receiver((500, {}), (503, {})) as platform, office(tmp_path, platform) as desk:
        await desk.open((1, 1))
        [delivery] = await desk.until(DELIVERED)
        assert delivery.attempts == 3
        assert delivery.last_error == ""
        assert len({request.event["id"] for request in platform.requests}) == 1
        assert desk.books.rows("outbox") == []


async def test_platform_times_out_then_the_same_event_is_sent_again(tmp_path: Path) -> None:
    async with receiver((0, {})) as platform, office(tmp_path, platform) as desk:
        await desk.open((1, 1))
        [delivery] = await desk.until(DELIVERED)
        assert delivery.attempts == 2
        first, second = platform.requests
        assert first.body == second.body


async def test_rate_limit_is_respected_before_the_next_attempt(tmp_path: Path) -> None:
    async with receiver((429, {"Retry-After": "1"})) as platform, office(tmp_path, platform) as desk:
        await desk.open((1, 1))
        await platform.got(1)
        [delivery] = await desk.until(DeliveryState.RETRYING)
        assert delivery.next_attempt_at is not None
        assert delivery.next_attempt_at - delivery.updated_at >= 1_000_000_000
        await desk.until(DELIVERED)


async def test_rejected_ticket_is_dead_and_a_person_sends_it_again(tmp_path: Path) -> None:
    async with receiver((404, {})) as platform, office(tmp_path, platform) as desk:
        await desk.open((1, 1))
        [dead] = await desk.until(DEAD)
        assert "404" in dead.last_error
        with desk.books.database.read() as connection:
            assert outbox.depth(connection, "webhook") == (0, 1)
        onlooker = Principal(id="u-9", name="督查", role=Role.SUPERVISOR)
        assert desk.resend(dead.id, onlooker).reason == "role"
        answer = desk.resend(dead.id)
        assert answer.accepted
        [delivery] = await desk.until(DELIVERED)
        assert delivery.attempts == 2
        refused = desk.resend(dead.id)
        assert (refused.accepted, refused.reason) == (False, "delivery_not_dead")
        assert desk.resend("evt-nothing").reason == "unknown_delivery"


async def test_changes_of_one_ticket_arrive_in_order_though_the_first_fails(tmp_path: Path) -> None:
    async with receiver((500, {}), (500, {})) as platform, office(tmp_path, platform) as desk:
        await desk.open((1, 1), (1, 2), (1, 3))
        await desk.until(DELIVERED, DELIVERED, DELIVERED)
        versions = [request.event["data"]["version"] for request in platform.requests]
        assert versions == [1, 1, 1, 2, 3]


async def test_one_slow_ticket_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with receiver((0, {})) as platform, office(tmp_path, platform) as desk:
        await desk.open((1, 1))
        await platform.got(1)
        await desk.open((2, 1), (3, 1))
        requests = await platform.got(3)
        assert {request.event["subject"] for request in requests[1:3]} == {ticket(2).id, ticket(3).id}
        await desk.until(DELIVERED, DELIVERED, DELIVERED)


async def test_dead_change_does_not_hold_up_later_changes_of_its_ticket(tmp_path: Path) -> None:
    async with receiver((422, {})) as platform, office(tmp_path, platform) as desk:
        await desk.open((1, 1), (1, 2))
        await desk.until(DEAD, DELIVERED)
        assert [request.event["data"]["version"] for request in platform.requests] == [1, 2]


async def test_sender_killed_after_the_platform_took_it_sends_the_same_id_again(tmp_path: Path) -> None:
    async with receiver((204, {}), (204, {})) as platform:
        async with office(tmp_path, platform) as desk:
            release = asyncio.Event()

            async def never(outcome: Outcome) -> None:
                await release.wait()

            desk.sender._record = never
            await desk.open((1, 1))
            await platform.got(1)
        async with office(tmp_path, platform) as desk:
            await desk.until(DELIVERED)
        first, second = platform.requests
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
        assert first.body == second.body


async def test_platform_down_is_probed_one_at_a_time_and_all_arrive_when_it_is_back(tmp_path: Path) -> None:
    async with receiver(*[(503, {})] * 8) as platform, office(tmp_path, platform) as desk:
        await desk.open(*[(number, 1) for number in range(1, 13)])
        await desk.until(*[DELIVERED] * 12)
        delivered = {request.event["subject"] for request in platform.requests[8:]}
        assert len(delivered) == 12
        assert len(platform.requests) == 20


async def test_change_older_than_the_limit_is_given_up_as_dead(tmp_path: Path) -> None:
    async with receiver(*[(503, {})] * 50) as platform, office(tmp_path, platform, give_up_s=0.05) as desk:
        await desk.open((1, 1))
        [delivery] = await desk.until(DEAD)
        assert "given up" in delivery.last_error


async def test_clock_set_back_after_the_writer_went_by_it_delays_no_ticket(tmp_path: Path) -> None:
    async with receiver() as platform, office(tmp_path, platform) as here:
        ahead = after(CLOCK.now(), HOUR)
        here.books.journal.commit(work(TicketChanged(ticket(), (), "opened"), now=ahead))
        here.sender.wake()
        [delivery] = await here.until(DELIVERED)
        assert delivery.attempts == 1


def test_retry_put_off_by_a_clock_that_was_a_year_ahead_is_due(tmp_path: Path) -> None:
    books = Books.open(tmp_path / "a.sqlite", now=T0)
    books.journal.commit(work(TicketChanged(ticket(), (), "opened")))
    [delivery] = [decode(row["body"], Delivery) for row in books.rows("deliveries")]  # type: ignore[arg-type]
    put_off = after(T0, 365 * DAY)
    outcome = Outcome(id=delivery.id, state=DeliveryState.RETRYING, at=T0, next_attempt_at=put_off, error="?")
    books.journal.commit(Work(now=T0, outcomes=[outcome]))
    with books.database.read() as connection:
        assert len(outbox.due(connection, "webhook", T0, 9, horizon=after(T0, HOUR))) == 1
        assert outbox.due(connection, "webhook", T0, 9, horizon=put_off) == []
    books.close()
