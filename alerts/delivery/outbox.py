"""The outbox: what is still to be handed on to outside systems, as rows of the same transaction as the tickets.

Per target and ticket, changes leave in the order of their sequence numbers: a row is due only when no earlier one
of its ticket waits. A dead row holds nobody up; sent again by a person, it carries an older version of the ticket
than what was delivered meanwhile, which the receiver sees in `data.version`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, and_, delete, exists, func, insert, or_, select, update

from alerts.core.effects import TicketChanged
from alerts.delivery import cloudevent
from alerts.store import tables
from contracts import wire
from contracts.command import Command, CommandAnswer
from contracts.delivery import Delivery, DeliveryState
from contracts.instant import Instant
from contracts.principal import Role

WAITING: Final = (DeliveryState.PENDING, DeliveryState.RETRYING)
_MAY_RESEND: Final = frozenset({Role.OPERATOR, Role.SHIFT_LEAD, Role.ENGINEER, Role.SYSTEM})


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one ticket on its way to one target; `payload` is the exact body that every attempt sends."""

    id: str
    ordinal: int
    target: str
    ticket_id: str
    payload: bytes


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt came to. DELIVERED and DEAD are final, RETRYING names the next attempt."""

    id: str
    state: DeliveryState
    at: Instant
    next_attempt_at: Instant | None = None
    error: str = ""


def enqueue(
    connection: Connection, change: TicketChanged, ordinal: int, targets: Sequence[str], now: Instant
) -> list[Delivery]:
    """Put a ticket's change on its way to every target; returns the deliveries that began."""
    ticket = change.ticket
    begun = [
        Delivery(
            id=cloudevent.event_id(ticket, target),
            target=target,
            ticket_id=ticket.id,
            ticket_version=ticket.version,
            state=DeliveryState.PENDING,
            attempts=0,
            updated_at=now,
            next_attempt_at=now,
            exercise=ticket.exercise,
        )
        for target in targets
    ]
    if begun:
        connection.execute(
            insert(tables.outbox),
            [
                {
                    "id": delivery.id,
                    "ordinal": ordinal,
                    "target": delivery.target,
                    "ticket_id": ticket.id,
                    "state": delivery.state.value,
                    "next_attempt_at": now,
                    "created_at": now,
                    "payload": cloudevent.render(change, delivery.id, now),
                }
                for delivery in begun
            ],
        )
    return begun


def record(connection: Connection, outcomes: Sequence[Outcome]) -> list[Delivery]:
    """Write what attempts came to; returns the deliveries as they stand now. Unknown ids are left out."""
    changed: list[Delivery] = []
    for outcome in outcomes:
        row = tables.outbox.c.id == outcome.id
        delivery = _delivery(connection, outcome.id)
        if delivery is None:
            continue
        if outcome.state is DeliveryState.DELIVERED:
            connection.execute(delete(tables.outbox).where(row))
        else:
            connection.execute(
                update(tables.outbox)
                .where(row)
                .values(state=outcome.state.value, next_attempt_at=outcome.next_attempt_at or outcome.at)
            )
        changed.append(
            msgspec.structs.replace(
                delivery,
                state=outcome.state,
                attempts=delivery.attempts + 1,
                updated_at=outcome.at,
                next_attempt_at=outcome.next_attempt_at,
                last_error=outcome.error,
            )
        )
    return changed


def resend(connection: Connection, command: Command, now: Instant) -> tuple[CommandAnswer, Delivery | None]:
    """Put a dead delivery back; refused for one that is unknown, delivered, or still on its way."""
    if command.principal.role not in _MAY_RESEND:
        return _refused(command, "role", f"角色 {command.principal.role.value} 无权重发 (role may not)"), None
    delivery = _delivery(connection, command.target_id)
    if delivery is None:
        return _refused(command, "unknown_delivery", "没有这条推送记录 (no such delivery)"), None
    if delivery.state is not DeliveryState.DEAD:
        return (
            _refused(
                command,
                "delivery_not_dead",
                f"该推送状态为 {delivery.state.value}, 只有死信可以重发 (only dead letters can)",
            ),
            None,
        )
    connection.execute(
        update(tables.outbox)
        .where(tables.outbox.c.id == delivery.id)
        .values(state=DeliveryState.PENDING.value, next_attempt_at=now, created_at=now)
    )
    again = msgspec.structs.replace(delivery, state=DeliveryState.PENDING, updated_at=now, next_attempt_at=now)
    answer = CommandAnswer(
        command_id=command.id, accepted=True, message="已重新排入推送队列 (queued again)", target_id=delivery.id
    )
    return answer, again


def due(connection: Connection, target: str, now: Instant, limit: int, *, horizon: Instant) -> list[OutboxRow]:
    """The rows that may be sent now, oldest first: due, and first of their ticket.

    What was never tried is due at once, whatever its time says: the writer's time may be ahead of the clock. What
    waits beyond `horizon` was put there by a clock that has been set back since, and is due too.
    """
    row, earlier = tables.outbox, tables.outbox.alias("earlier")
    blocked = exists().where(
        and_(
            earlier.c.target == row.c.target,
            earlier.c.ticket_id == row.c.ticket_id,
            earlier.c.ordinal < row.c.ordinal,
            earlier.c.state.in_(WAITING),
        )
    )
    found = connection.execute(
        select(row.c.id, row.c.ordinal, row.c.target, row.c.ticket_id, row.c.payload)
        .where(
            row.c.target == target,
            row.c.state.in_(WAITING),
            or_(
                row.c.state == DeliveryState.PENDING,
                row.c.next_attempt_at <= now,
                row.c.next_attempt_at > horizon,
            ),
            ~blocked,
        )
        .order_by(row.c.ordinal)
        .limit(limit)
    )
    return [OutboxRow(**row._mapping) for row in found]


def next_due(connection: Connection, target: str, now: Instant) -> Instant | None:
    """When the next row of this target falls due after `now`; None when nothing waits for its time."""
    row = tables.outbox
    at = connection.execute(
        select(func.min(row.c.next_attempt_at)).where(
            row.c.target == target, row.c.state.in_(WAITING), row.c.next_attempt_at > now
        )
    ).scalar_one()
    return None if at is None else Instant(at)


def depth(connection: Connection, target: str) -> tuple[int, int]:
    """(waiting, dead) rows of a target."""
    row = tables.outbox
    found = connection.execute(
        select(row.c.state, func.count().label("rows")).where(row.c.target == target).group_by(row.c.state)
    )
    counts: dict[str, int] = {each.state: each.rows for each in found}
    return sum(counts.get(state, 0) for state in WAITING), counts.get(DeliveryState.DEAD, 0)


def history(connection: Connection, delivery_id: str) -> tuple[int, Instant]:
    """(attempts behind it, when it was last put on its way) of a row of the outbox."""
    found = connection.execute(
        select(tables.deliveries.c.attempts, tables.outbox.c.created_at)
        .join(tables.outbox, tables.outbox.c.id == tables.deliveries.c.id)
        .where(tables.deliveries.c.id == delivery_id)
    ).one()
    return found.attempts, Instant(found.created_at)


def _delivery(connection: Connection, delivery_id: str) -> Delivery | None:
    body = connection.execute(
        select(tables.deliveries.c.body).where(tables.deliveries.c.id == delivery_id)
    ).scalar_one_or_none()
    return None if body is None else wire.decode(body, Delivery)


def _refused(command: Command, reason: str, message: str) -> CommandAnswer:
    return CommandAnswer(
        command_id=command.id, accepted=False, message=message, reason=reason, target_id=command.target_id
    )
