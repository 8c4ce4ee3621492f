from __future__ import annotations

import asyncio

import pytest

from alerts.delivery.outbox import Outcome
from alerts.inbox import Inbox, Taken
from contracts.command import CommandAnswer, CommandKind
from contracts.delivery import DeliveryState
from contracts.errors import GridwhistleError, LinkClosed
from runtime.clock import SystemClock
from runtime.log_link import LogEntry
from tests.alerts.county import command
from tests.alerts.records import T0

CLOCK = SystemClock()


def entries(first: int, number: int) -> list[LogEntry]:
    return [LogEntry("p", 1, sequence, b"") for sequence in range(first, first + number)]


def confirm(id_: str) -> CommandAnswer:
    return CommandAnswer(command_id=id_, accepted=True)


async def settle_down() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await CLOCK.asleep(0)


async def test_entries_come_out_in_order_and_at_most_as_many_as_asked(inbox: Inbox) -> None:
    await inbox.put_entries(entries(1, 3))
    first = await inbox.take(2, 0.0)
    rest = await inbox.take(2, 0.0)
    assert [entry.sequence for entry in (*first.entries, *rest.entries)] == [1, 2, 3]
    assert len(await inbox.take(2, 0.01)) == 0


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(4)


async def test_full_inbox_makes_the_reader_of_the_link_wait(inbox: Inbox) -> None:
    await inbox.put_entries(entries(1, 4))
    blocked = asyncio.create_task(inbox.put_entries(entries(5, 1)))
    await settle_down()
    assert not blocked.done()
    assert inbox.depth == 4
    await inbox.take(1, 0.0)
    await asyncio.wait_for(blocked, 5)
    assert inbox.depth == 4


async def test_take_waits_for_work_and_wakes_at_once(inbox: Inbox) -> None:
    taking = asyncio.create_task(inbox.take(10, 30.0))
    await settle_down()
    await inbox.put_entries(entries(1, 1))
    assert len(await asyncio.wait_for(taking, 5)) == 1


async def test_what_is_put_back_comes_first_again(inbox: Inbox) -> None:
    await inbox.put_entries(entries(1, 3))
    taken = await inbox.take(2, 0.0)
    inbox.put_back(taken)
    again = await inbox.take(10, 0.0)
    assert [entry.sequence for entry in again.entries] == [1, 2, 3]


async def test_same_command_asked_twice_is_one_command_with_one_answer(inbox: Inbox) -> None:
    asked = command(CommandKind.CONFIRM, T0, id="c-1", target_id="i")
    asks = [asyncio.create_task(inbox.ask(asked)) for _ in range(3)]
    await settle_down()
    taken = await inbox.take(10, 0.0)
    assert [each.id for each in taken.commands] == ["c-1"]
    inbox.settle(taken, [confirm("c-1")])
    assert await asyncio.gather(*asks) == [confirm("c-1")] * 3


async def test_asker_who_leaves_does_not_take_the_answer_from_the_others(inbox: Inbox) -> None:
    asked = command(CommandKind.CONFIRM, T0, id="c-1", target_id="i")
    leaver, stayer = (asyncio.create_task(inbox.ask(asked)) for _ in range(2))
    await settle_down()
    leaver.cancel()
    await settle_down()
    inbox.settle(await inbox.take(10, 0.0), [confirm("c-1")])
    assert await stayer == confirm("c-1")


async def test_command_without_an_answer_is_refused_not_left_hanging(inbox: Inbox) -> None:
    asking = asyncio.create_task(inbox.ask(command(CommandKind.CONFIRM, T0, id="c-1", target_id="i")))
    await settle_down()
    inbox.settle(await inbox.take(10, 0.0), [])
    with pytest.raises(GridwhistleError, match="c-1"):
        await asking


async def test_outcome_is_recorded_when_its_commit_is_settled(inbox: Inbox) -> None:
    outcome = Outcome(id="d-1", state=DeliveryState.DELIVERED, at=T0)
    recording = asyncio.create_task(inbox.record(outcome))
    await settle_down()
    taken = await inbox.take(10, 0.0)
    assert taken.outcomes == [outcome]
    assert not recording.done()
    inbox.settle(taken, [])
    await asyncio.wait_for(recording, 5)


async def test_everybody_who_waits_hears_of_the_end(inbox: Inbox) -> None:
    asking = asyncio.create_task(inbox.ask(command(CommandKind.CONFIRM, T0, id="c-1", target_id="i")))
    recording = asyncio.create_task(inbox.record(Outcome(id="d-1", state=DeliveryState.DEAD, at=T0)))
    await settle_down()
    inbox.close()
    for task in (asking, recording):
        with pytest.raises(LinkClosed):
            await task


async def test_what_is_taken_alone_is_one_command_or_one_entry(inbox: Inbox) -> None:
    await inbox.put_entries(entries(1, 2))
    asked = asyncio.create_task(inbox.ask(command(CommandKind.CONFIRM, T0, id="c-1")))
    await settle_down()
    taken = [await inbox.take(10, 0.0, alone=True) for _ in range(3)]
    assert [(len(each.entries), len(each.commands)) for each in taken] == [(0, 1), (1, 0), (1, 0)]
    asked.cancel()


def test_taken_counts_all_kinds() -> None:
    outcome = Outcome(id="d", state=DeliveryState.DEAD, at=T0)
    asked = command(CommandKind.MUTE, T0, id="c")
    assert len(Taken(entries=entries(1, 2), commands=[asked], outcomes=[outcome])) == 4
