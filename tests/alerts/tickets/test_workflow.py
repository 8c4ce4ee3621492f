"""The life of a ticket: every pair of states, every guard, and the chain of its events."""

from __future__ import annotations

import contextlib
import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.tickets import chain, workflow
from alerts.tickets.ticket_file import CLOSED_STATES, OPEN_STATES, Ask, TicketFile
from alerts.tickets.transitions import PAIRS, TABLE, Transition, allowed
from contracts.errors import CommandRefused
from contracts.incident import Level
from contracts.instant import DAY, SECOND, Instant
from contracts.place import Place
from contracts.principal import SYSTEM, Principal, Role
from contracts.ticket import Origin, SlaClass, Ticket, TicketEvent, TicketState

S = TicketState
T0 = Instant(1_790_000_000 * SECOND)


def person(role: Role, name: str = "甲") -> Principal:
    return Principal(id=f"{role.value}-{name}", name=name, role=role)


OPERATOR, LEAD = person(Role.OPERATOR), person(Role.SHIFT_LEAD)
WORKER, DEPARTMENT = person(Role.GRID_WORKER), person(Role.DEPARTMENT)


def opened(state: TicketState = S.REPORTED, **fields: object) -> tuple[TicketFile, list[TicketEvent]]:
    ticket = Ticket(
        id="t-1",
        site="bayan",
        case_number="1529212026092100001",
        idempotency_key="inc-1",
        type="fire.smoke_sensor",
        code="23004",
        title="感烟报警",
        state=S.REPORTED,
        level=Level.ORANGE,
        sla=SlaClass.P2,
        origin=Origin.PROACTIVE,
        place=Place(105.7, 38.8, "152921001001001"),
        grid_code="152921001001001",
        opened_at=T0,
        updated_at=T0,
        version=1,
        lead="消防",
    )
    file, event = workflow.open_file(ticket, "152921", SYSTEM)
    file.ticket = msgspec.structs.replace(file.ticket, state=state, **fields)
    return file, [event]


def ask(by: Principal, reason: str = "理由", note: str = "说明", at: Instant = T0) -> Ask:
    return Ask(by=by, at=at, reason=reason, note=note)


NUMBERS = {
    (10, 15): "T02", (15, 10): "T02", (10, 20): "T03", (10, 91): "T04", (15, 91): "T04", (20, 91): "T04",
    (30, 91): "T04", (10, 93): "T05", (20, 93): "T05", (30, 93): "T05", (20, 30): "T06", (30, 40): "T07",
    (40, 50): "T08", (40, 30): "T09", (50, 45): "T11", (30, 45): "T11", (45, 50): "T12", (50, 55): "T13",
    (55, 50): "T14", (50, 60): "T15", (60, 50): "T16", (60, 70): "T17", (70, 90): "T18", (70, 50): "T19",
    (90, 50): "T20",
}  # fmt: skip
EXPECTED = {
    **NUMBERS,
    **{(int(state.value), 94): "T21" for state in OPEN_STATES},
    **{(int(state.value), 92): "T22" for state in OPEN_STATES},
}


def test_check_23_every_pair_of_states_is_a_transition_of_the_table_or_illegal() -> None:
    """Domain check 23: the transitions of 3.3, and every other pair refused."""
    assert set(PAIRS) == set(itertools.product(TicketState, TicketState))
    legal = {(int(a.value), int(b.value)): rows[0].number for (a, b), rows in PAIRS.items() if rows}
    assert legal == EXPECTED


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.number}-{row.source.value}-{row.target.value}")
def test_check_23_every_transition_works_for_its_roles_and_no_other(row: Transition) -> None:
    for role in Role:
        file, _ = opened(row.source, suspected=True, unreviewed=True, closed_at=T0)
        file.returns = 1 if row.number == "T10" else 0
        wish = ask(person(role), note="152921001001002")
        if role in row.roles or (row.by_system and role is Role.SYSTEM):
            event = workflow.move(file, row.target, wish)
            assert event is not None
            assert (event.transition, event.to_state, file.ticket.state) == (row.number, row.target, row.target)
        else:
            with pytest.raises(CommandRefused) as caught:
                workflow.move(file, row.target, wish)
            assert caught.value.reason in ("role", "guard")
            assert file.ticket.state is row.source


def test_illegal_move_names_what_is_allowed() -> None:
    file, _ = opened(S.DISPATCHED)
    with pytest.raises(CommandRefused, match="40 待接单") as caught:
        workflow.move(file, S.CLOSED, ask(WORKER))
    assert caught.value.allowed == allowed(S.DISPATCHED, Role.GRID_WORKER) == ("30", "50")


def walk(file: TicketFile, *moves: tuple[TicketState, Principal]) -> list[TicketEvent | None]:
    return [workflow.move(file, to, ask(by)) for to, by in moves]


def refused(file: TicketFile, to: TicketState, wish: Ask, sentence: str) -> None:
    before = msgspec.msgpack.encode(file)
    with pytest.raises(CommandRefused, match=sentence) as caught:
        workflow.move(file, to, wish)
    assert caught.value.reason == "guard"
    assert msgspec.msgpack.encode(file) == before


@pytest.mark.parametrize(
    ("state", "to", "by"),
    [
        (S.REPORTED, S.REJECTED, OPERATOR),
        (S.DISPATCHED, S.REGISTERED, WORKER),
        (S.RESOLVED, S.IN_PROGRESS, OPERATOR),
        (S.IN_PROGRESS, S.CANCELLED, LEAD),
    ],
)
def test_move_that_needs_a_reason_is_refused_without_one(
    state: TicketState, to: TicketState, by: Principal
) -> None:
    refused(opened(state)[0], to, ask(by, reason=" "), "理由")


@pytest.mark.parametrize(
    ("state", "to", "by"),
    [
        (S.IN_PROGRESS, S.RESOLVED, WORKER),
        (S.WHISTLED, S.IN_PROGRESS, OPERATOR),
        (S.REPORTED, S.TRANSFERRED, OPERATOR),
        (S.REPORTED, S.MERGED, OPERATOR),
    ],
)
def test_move_that_needs_a_note_is_refused_without_one(state: TicketState, to: TicketState, by: Principal) -> None:
    refused(opened(state)[0], to, ask(by, note=""), "note is required")


def test_check_26_return_once_with_a_reason_then_designation_that_cannot_be_returned() -> None:
    """Domain check 26: second 退单 refused; after 指定 refused."""
    file, _ = opened(S.DISPATCHED)
    walk(file, (S.REGISTERED, WORKER))
    with pytest.raises(CommandRefused, match=r"无权|退单"):
        workflow.move(file, S.DISPATCHED, ask(OPERATOR))
    [event] = walk(file, (S.DISPATCHED, LEAD))
    assert event is not None
    assert event.transition == "T10"
    refused(file, S.REGISTERED, ask(WORKER), "指定派单不可退单")


def test_check_30_the_handler_may_not_check_the_own_ticket() -> None:
    """Domain check 30: another one must; a failed check counts a rework."""
    handler = person(Role.OPERATOR, "乙")
    file, _ = opened(S.RESOLVED)
    file.handler = handler.id
    refused(file, S.VERIFIED, ask(handler), "处置人不能核查")
    walk(file, (S.IN_PROGRESS, OPERATOR))
    assert file.reworks == 1


def test_suspension_is_twice_at_most_and_never_for_p1() -> None:
    file, _ = opened(S.IN_PROGRESS)
    walk(file, (S.SUSPENDED, LEAD), (S.IN_PROGRESS, LEAD), (S.SUSPENDED, LEAD), (S.IN_PROGRESS, LEAD))
    refused(file, S.SUSPENDED, ask(LEAD), "两次")
    refused(opened(S.IN_PROGRESS, sla=SlaClass.P1)[0], S.SUSPENDED, ask(LEAD), "特急")


def test_second_handling_happens_once() -> None:
    file, _ = opened(S.VERIFIED)
    walk(file, (S.IN_PROGRESS, OPERATOR), (S.RESOLVED, WORKER), (S.VERIFIED, OPERATOR))
    refused(file, S.IN_PROGRESS, ask(OPERATOR), "二次办理")


def test_closed_ticket_reopens_within_30_days_and_not_later() -> None:
    file, _ = opened(S.CLOSED, closed_at=T0)
    refused(file, S.IN_PROGRESS, ask(LEAD, at=Instant(T0 + 30 * DAY + 1)), "30 天")
    workflow.move(file, S.IN_PROGRESS, ask(LEAD, at=Instant(T0 + 30 * DAY)))
    assert file.ticket.closed_at is None


def test_p1_is_cancelled_by_two_different_persons() -> None:
    file, _ = opened(S.IN_PROGRESS, sla=SlaClass.P1)
    assert workflow.move(file, S.CANCELLED, ask(LEAD)) is None
    assert workflow.move(file, S.CANCELLED, ask(LEAD)) is None
    assert file.ticket.state is S.IN_PROGRESS
    assert workflow.move(file, S.CANCELLED, ask(person(Role.SHIFT_LEAD, "乙"))) is not None
    assert file.ticket.state.value == "92"


def test_registered_ticket_that_a_person_reviewed_is_cancelled_not_rejected() -> None:
    refused(opened(S.REGISTERED, suspected=False)[0], S.REJECTED, ask(LEAD), "请作废")


def test_location_takes_a_grid_of_this_county_alone() -> None:
    file, _ = opened(S.UNLOCATED, grid_code=None)
    for code in ("", "15292100100100", "150621001001001", "152921001001000"):
        refused(file, S.REPORTED, ask(OPERATOR, note=code), "网格编码")
    workflow.move(file, S.REPORTED, ask(OPERATOR, note="152921001001003"))
    assert file.ticket.grid_code == file.ticket.place.grid_code == "152921001001003"


def test_transfer_keeps_the_receipt_number() -> None:
    file, _ = opened(S.REPORTED)
    workflow.move(file, S.TRANSFERRED, ask(OPERATOR, note=" 119-20260921-7 "))
    assert file.ticket.receipt == "119-20260921-7"


@given(
    st.lists(
        st.tuples(st.sampled_from(TicketState), st.sampled_from(Role), st.sampled_from(["", "152921001001002"])),
        max_size=40,
    )
)
def test_check_23_random_sequences_reach_defined_states_with_whole_chains(
    moves: list[tuple[TicketState, Role, str]],
) -> None:
    file, events = opened()
    for to, role, note in moves:
        before = file.ticket.state
        event = None
        with contextlib.suppress(CommandRefused):
            event = workflow.move(file, to, ask(person(role), reason=note, note=note))
        if event is None:
            assert file.ticket.state is before
        else:
            events.append(event)
            assert PAIRS[before, to]
    assert events[-1].to_state == file.ticket.state
    assert (file.ticket.closed_at is not None) is (file.ticket.state in CLOSED_STATES)
    assert chain.first_broken(events) is None
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def history() -> list[TicketEvent]:
    file, events = opened()
    moves = ((S.ACCEPTED, OPERATOR), (S.REGISTERED, LEAD), (S.DISPATCHED, OPERATOR), (S.IN_PROGRESS, WORKER))
    return events + [event for event in walk(file, *moves) if event is not None]


@pytest.mark.parametrize("field", ["actor", "role", "transition", "from_state", "to_state", "reason", "at"])
def test_changed_event_is_found_by_its_number(field: str) -> None:
    """Domain check 39, for events: verification names what was changed."""
    events = history()
    changed = Instant(T0 + 1) if field == "at" else "changed"
    events[2] = msgspec.structs.replace(events[2], **{field: changed})
    assert chain.first_broken(events) == 3


def test_removed_and_exchanged_events_are_found() -> None:
    events = history()
    assert chain.first_broken(events) is None
    assert chain.first_broken(events[:1] + events[2:]) == 3
    assert chain.first_broken([events[0], events[2], events[1], *events[3:]]) == 3


def test_event_rewritten_with_its_own_hash_breaks_the_next_one() -> None:
    events = history()
    forged = msgspec.structs.replace(events[1], actor="nobody")
    events[1] = chain.link(events[0].hash, forged)
    assert chain.first_broken(events) == 3
