from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, event

from alerts.core.batch import Batch
from alerts.core.effects import (
    Answered,
    Effect,
    IncidentChanged,
    MuteChanged,
    Refused,
    SourceChanged,
    TicketChanged,
)
from alerts.store import journal as journals
from alerts.store.database import Database
from alerts.store.journal import Work
from alerts.store.refusals import Refusal, Refusals
from contracts import wire
from contracts.command import CommandAnswer, MuteMatcher
from contracts.delivery import Delivery
from contracts.errors import StoreError
from contracts.incident import Incident, Reason
from contracts.policy import Mute
from contracts.source import HealthReport, SourceChange, SourceKind, SourceState
from contracts.ticket import Ticket, TicketState
from runtime.log_link import Position
from tests.alerts.records import SITE, T0, at, incident, move, smoke, ticket
from tests.alerts.store.books import Books, work


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    opened = Books.open(tmp_path / "a.sqlite")
    yield opened
    opened.close()


def mute(number: int = 1) -> Mute:
    return Mute(
        id=f"mute-{number}",
        matcher=MuteMatcher(source_id="S-1"),
        owner="u-1",
        reason="施工",
        created_at=T0,
        expires_at=at(3600),
    )


def source_change(state: SourceState = SourceState.STALE) -> SourceChange:
    return SourceChange(
        id="sc-1", site=SITE, source_id="C-1", kind=SourceKind.CAMERA, state=state, at=T0, reason="stall"
    )


def everything() -> list[Effect]:
    """One effect of every kind."""
    return [
        IncidentChanged(incident()),
        TicketChanged(ticket(), (move(ticket()),), "opened"),
        SourceChanged(source_change()),
        MuteChanged(mute(), removed=False),
        Refused("obs-9", "S-9", Reason.TOO_LATE, "迟到 300 秒"),
        Answered(CommandAnswer(command_id="cmd-1", accepted=True)),
    ]


def test_step_with_every_effect_is_in_every_table_after_commit(books: Books) -> None:
    batch = Batch(observations=(smoke(1),))
    committed = books.journal.commit(work(*everything(), batch=batch))

    [row] = books.rows("incidents")
    assert (row["state"], row["level"], row["seq"]) == ("A3", 3, 1)
    assert wire.decode(row["body"], Incident) == incident()  # type: ignore[arg-type]
    [row] = books.rows("tickets")
    assert wire.decode(row["body"], Ticket) == ticket()  # type: ignore[arg-type]
    [row] = books.rows("ticket_events")
    assert (row["seq"], row["to_state"]) == (1, "40")
    [row] = books.rows("deliveries")
    assert wire.decode(row["body"], Delivery).ticket_version == 1  # type: ignore[arg-type]
    assert [row["state"] for row in books.rows("outbox")] == ["pending"]
    assert [row["state"] for row in books.rows("sources")] == ["stale"]
    assert [row["id"] for row in books.rows("mutes")] == ["mute-1"]
    assert [(row["reason"], row["total"]) for row in books.rows("refusals")] == [("too_late", 1)]
    [row] = books.rows("journal")
    assert wire.decode(row["input"], Batch) == batch  # type: ignore[arg-type]
    assert [change.kind for change in committed.changes] == ["incident", "ticket", "delivery", "source", "mute"]


def test_changes_are_numbered_one_by_one_across_commits_and_restarts(books: Books, tmp_path: Path) -> None:
    first = books.journal.commit(work(*everything()))
    second = books.journal.commit(work(IncidentChanged(incident(2))))
    books.close()
    again = Books.open(tmp_path / "a.sqlite")
    third = again.journal.commit(work(IncidentChanged(incident(3))))
    numbers = [change.seq for part in (first, second, third) for change in part.changes]
    assert numbers == list(range(1, 8))
    assert [row["step"] for row in again.rows("journal")] == [1, 2, 3]
    again.close()


def test_answers_carry_the_last_change_and_are_found_again(books: Books) -> None:
    committed = books.journal.commit(work(*everything()))
    assert [answer.sequence for answer in committed.answers] == [5]
    with books.database.read() as connection:
        assert journals.answer_given(connection, "cmd-1") == committed.answers[0]
        assert journals.answer_given(connection, "cmd-2") is None


def test_same_incident_twice_in_one_commit_keeps_the_last(books: Books) -> None:
    books.journal.commit(work(IncidentChanged(incident(version=1)), IncidentChanged(incident(version=2))))
    [row] = books.rows("incidents")
    assert wire.decode(row["body"], Incident).version == 2  # type: ignore[arg-type]
    assert row["seq"] == 2
    assert len(books.rows("changes")) == 2


def test_removed_mute_leaves_and_the_change_says_that_it_expired(books: Books) -> None:
    books.journal.commit(work(MuteChanged(mute(), removed=False)))
    committed = books.journal.commit(work(MuteChanged(mute(), removed=True), now=at(60)))
    assert books.rows("mutes") == []
    assert wire.decode(committed.changes[0].body, Mute).expires_at == at(60)


def test_positions_and_reports_are_stored_without_a_step(books: Books) -> None:
    report = HealthReport(id="h", site=SITE, service="ingest-cameras", instance="0", at=T0, started_at=T0)
    newer = msgspec.structs.replace(report, at=at(2))
    books.journal.commit(
        Work(now=T0, positions=[Position("ingest-0", 7, 3), Position("ingest-0", 7, 4)], reports=[report, newer])
    )
    with books.database.read() as connection:
        assert journals.restore_positions(connection) == {"ingest-0": Position("ingest-0", 7, 4)}
    assert [row["at"] for row in books.rows("health")] == [at(2)]
    assert books.rows("journal") == []


def test_refusals_add_up_across_commits_and_restarts(books: Books, tmp_path: Path) -> None:
    refusal = Refusal("malformed", "link:x", "no record")
    books.journal.commit(Work(now=T0, refusals=[refusal, refusal]))
    books.close()
    again = Books.open(tmp_path / "a.sqlite")
    again.journal.commit(Work(now=at(1), refusals=[refusal]))
    assert [(row["total"], row["last_at"]) for row in again.rows("refusals")] == [(3, at(1))]
    again.close()


def test_refusals_from_countless_sources_are_summed_up(books: Books) -> None:
    refusals = Refusals({}, rows_max=2)
    for number in range(5):
        refusals.count(Refusal("malformed", f"S-{number}", "?"), T0)
        refusals.settle()
    with books.database.write() as connection:
        for number in range(3):
            refusals.count(Refusal("malformed", f"S-{number}", "?"), T0)
        refusals.write(connection)
    assert {row["source_id"]: row["total"] for row in books.rows("refusals")} == {"S-0": 2, "S-1": 2, "*": 4}


class _Power:
    """Cuts the writer off at its n-th statement, or at its commit."""

    def __init__(self, database: Database, statement: int) -> None:
        self.left = statement
        event.listen(database.engine, "before_cursor_execute", self._statement)
        event.listen(database.engine, "commit", self._commit)

    def _statement(self, *_: object) -> None:
        self._count()

    def _commit(self, _: Connection) -> None:
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise sqlite3.OperationalError("disk I/O error")


def _everything_stored(books: Books) -> dict[str, list[dict[str, object]]]:
    names = ("incidents", "tickets", "ticket_events", "sources", "mutes", "refusals", "changes", "journal")
    return {name: books.rows(name) for name in (*names, "deliveries", "outbox", "answers", "positions")}


def _story(books: Books, number: int) -> None:
    """Commit number 1 opens, number 2 changes what is there; both at once name every table."""
    if number == 1:
        books.journal.commit(Work(now=T0, step=work(*everything()).step, positions=[Position("p", 1, 1)]))
    else:
        closed = ticket(version=2, state=TicketState.CLOSED)
        effects = (
            IncidentChanged(incident(version=2)),
            TicketChanged(closed, (move(closed, 2, to=TicketState.CLOSED),), "closed"),
        )
        books.journal.commit(
            Work(
                now=at(1),
                step=work(*effects, now=at(1)).step,
                positions=[Position("p", 1, 2)],
                refusals=[Refusal("malformed", "link:p", "?")],
            )
        )


def test_nth_write_fails_then_all_or_nothing_is_there_and_a_repetition_completes_it(tmp_path: Path) -> None:
    whole = Books.open(tmp_path / "whole.sqlite")
    _story(whole, 1)
    _story(whole, 2)
    wanted = _everything_stored(whole)
    whole.close()

    for nth in count(1):
        books = Books.open(tmp_path / f"cut-{nth}.sqlite")
        power = _Power(books.database, nth)
        for number in (1, 2):
            before = _everything_stored(books)
            try:
                _story(books, number)
            except (StoreError, sqlite3.Error):
                assert _everything_stored(books) == before, f"after the failure of write {nth}"
                _story(books, number)
        assert _everything_stored(books) == wanted, f"after the failure of write {nth}"
        books.close()
        if power.left > 0:
            break
    assert nth > 25, "the story must write to every table"


def test_commit_that_reached_the_disk_but_was_reported_failed_is_not_applied_twice(
    books: Books, tmp_path: Path
) -> None:
    books.journal.commit(work(IncidentChanged(incident(9))))

    def lie(connection: Connection) -> None:
        connection.connection.driver_connection.execute("COMMIT")  # type: ignore[union-attr]
        connection.connection.driver_connection.execute("BEGIN")  # type: ignore[union-attr]
        raise sqlite3.OperationalError("disk I/O error")

    event.listen(books.database.engine, "commit", lie)
    with pytest.raises(StoreError):
        books.journal.commit(work(*everything()))
    event.remove(books.database.engine, "commit", lie)

    again = books.journal.commit(work(*everything()))
    assert [change.seq for change in again.changes] == [2, 3, 4, 5, 6]
    assert [answer.command_id for answer in again.answers] == ["cmd-1"]
    after = books.journal.commit(work(Refused("o", "S-9", Reason.TOO_LATE, "?"), IncidentChanged(incident(5))))
    assert [change.seq for change in after.changes] == [7]
    assert [row["total"] for row in books.rows("refusals")] == [2]
    assert [row["step"] for row in books.rows("journal")] == [1, 2, 3]


@pytest.mark.parametrize("exercises", [False, True])
def test_exercise_leaves_for_the_platform_only_where_that_is_wanted(tmp_path: Path, exercises: bool) -> None:
    books = Books.open(tmp_path / "a.sqlite", exercises=exercises)
    drill = msgspec.structs.replace(ticket(1), exercise=True)
    books.journal.commit(work(TicketChanged(drill, (move(drill),), "opened")))
    books.journal.commit(work(TicketChanged(ticket(2), (move(ticket(2)),), "opened")))
    wanted = {drill.id, ticket(2).id} if exercises else {ticket(2).id}
    assert {row["ticket_id"] for row in books.rows("outbox")} == wanted
    assert {row["ticket_id"] for row in books.rows("deliveries")} == wanted
    assert len(books.rows("tickets")) == 2
    books.close()
