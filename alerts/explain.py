"""Explain: the story of one incident, in words, from what was decided and stored at the time.

Nothing is judged again: a policy that changed since does not change an old explanation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, or_, select

from alerts.core.words import LEVELS
from alerts.store import tables
from alerts.store.database import Reader
from alerts.tickets.ticket_file import NAMES_ZH
from contracts import wire
from contracts.delivery import Delivery, DeliveryState
from contracts.errors import CommandRefused
from contracts.incident import Action, Decision, Incident, IncidentState
from contracts.instant import Instant, to_rfc3339
from contracts.ticket import Ticket, TicketEvent, TicketState

_STATES: Final = {
    IncidentState.CANDIDATE: "候选",
    IncidentState.PENDING_REVIEW: "待研判",
    IncidentState.CONFIRMED: "已确认",
    IncidentState.FALSE_ALARM: "误报",
    IncidentState.MERGED: "已合并",
    IncidentState.EXPIRED: "已过期",
    IncidentState.CLEARED: "已解除",
}
_ACTIONS: Final = {
    Action.NONE: "不动作",
    Action.OPEN: "生成",
    Action.RAISE: "升级",
    Action.UPDATE: "更新",
    Action.LOWER: "降级",
    Action.CONFIRM: "确认",
    Action.CLEAR: "解除",
    Action.EXPIRE: "过期",
    Action.DROP: "丢弃",
    Action.REFUSE: "拒收",
    Action.MERGE: "合并",
    Action.MUTE: "静音",
}
_DELIVERIES: Final = {
    DeliveryState.PENDING: "待推送",
    DeliveryState.DELIVERED: "已送达",
    DeliveryState.RETRYING: "重试中",
    DeliveryState.DEAD: "死信",
}


def explain(database: Path, incident_id: str) -> str:
    """The story of the incident `incident_id`; the id of its ticket or its case number will do as well.

    Raises CommandRefused (`unknown_incident`) when there is none, StoreError when there is no database.
    """
    reader = Reader(database)
    try:
        with reader.read() as connection:
            return "\n".join(_story(connection, incident_id))
    finally:
        reader.close()


def _story(connection: Connection, asked: str) -> Iterator[str]:
    incident = _incident(connection, asked)
    names = _names(connection, incident)
    yield from _head(incident, names)
    yield ""
    yield "经过 (decisions)"
    for decision in incident.decisions:
        yield _decision(decision, names)
    tickets = connection.execute(
        select(tables.tickets.c.body).where(tables.tickets.c.incident_id == incident.id)
    ).scalars()
    for body in tickets.all():
        yield ""
        yield from _ticket(connection, wire.decode(body, Ticket))


def _incident(connection: Connection, asked: str) -> Incident:
    ticket = tables.tickets
    of_ticket = select(ticket.c.incident_id).where(or_(ticket.c.id == asked, ticket.c.case_number == asked))
    body = connection.execute(
        select(tables.incidents.c.body).where(
            or_(tables.incidents.c.id == asked, tables.incidents.c.id.in_(of_ticket))
        )
    ).scalar()
    if body is None:
        raise CommandRefused(
            f"没有告警 {asked} (no such incident); 请给出告警, 工单或案件编号 (incident, ticket or case number)",
            reason="unknown_incident",
        )
    return wire.decode(body, Incident)


def _names(connection: Connection, incident: Incident) -> dict[str, str]:
    """What people call the incident's sources; one that no catalogue named is left out."""
    table = tables.source_names
    rows = connection.execute(select(table.c.id, table.c.name).where(table.c.id.in_(incident.source_ids)))
    return {row.id: row.name for row in rows}


def _with_names(text: str, names: Mapping[str, str]) -> str:
    """Whole ids of sources replaced by their names."""
    if not names:
        return text
    ids = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{ids})(?![\w-])", lambda found: names[found[0]], text)


def _head(incident: Incident, names: Mapping[str, str]) -> Iterator[str]:
    marks = [
        *(["演练"] if incident.exercise else []),
        *(["疑似"] if incident.suspected else []),
        *(["未经研判"] if incident.unreviewed else []),
        *(["来源不明"] if incident.unknown else []),
        *(["运维"] if incident.operations else []),
    ]
    marked = f" [{', '.join(marks)}]" if marks else ""
    yield f"告警 (incident) {incident.id}: {incident.title or incident.type.value}{marked}"
    yield f"类型 {incident.type.value} ({incident.code}), 等级 {LEVELS[incident.level]}, 状态 {_state(incident)}"
    place = incident.place
    where = place.name or f"{place.lon:.6f}, {place.lat:.6f}"
    yield f"地点 {where}, 网格 {place.grid_code or '待定位'}" + (
        f", 防火分区 {place.fire_zone}" if place.fire_zone else ""
    )
    times = f"{_at(incident.first_event_time)} 至 {_at(incident.last_event_time)}"
    yield f"事件时间 {times}, 规则版本 {incident.policy_version}"
    sources = ", ".join(f"{names[id_]} ({id_})" if id_ in names else id_ for id_ in incident.source_ids)
    yield f"来源 {sources or '无'}; 观测 {incident.observation_total} 条"
    if incident.peak_count is not None:
        density = f", 峰值密度 {incident.peak_density:.2f} 人/㎡" if incident.peak_density is not None else ""
        yield f"峰值人数 {incident.peak_count}{density}"
    if incident.owner is not None:
        yield f"认领 {incident.owner}"
    if incident.muted_by is not None:
        yield f"静默中 (muted), 静默编号 {incident.muted_by}"
    for reference in incident.evidence:
        yield f"证据 {_at(reference.event_time)} {reference.path}"
    if incident.aliases:
        yield f"并入 {', '.join(incident.aliases)}"


def _decision(decision: Decision, names: Mapping[str, str]) -> str:
    because = f", 依据 {decision.observation_id}" if decision.observation_id else ""
    said = f": {_with_names(decision.text, names)}" if decision.text else ""
    return f"  {_at(decision.at)} {_ACTIONS[decision.action]} ({decision.reason.value}){said}{because}"


def _ticket(connection: Connection, ticket: Ticket) -> Iterator[str]:
    yield (
        f"工单 (ticket) {ticket.case_number} {ticket.title}: {_ticket_state(ticket.state.value)}, "
        f"{ticket.sla.value}, 主办 {ticket.lead or '未定'}"
        + (f", 协办 {', '.join(ticket.co)}" if ticket.co else "")
    )
    events = tables.ticket_events
    for body in connection.execute(
        select(events.c.body).where(events.c.ticket_id == ticket.id).order_by(events.c.seq)
    ).scalars():
        event = wire.decode(body, TicketEvent)
        moved = f"{_ticket_state(event.from_state)} → {_ticket_state(event.to_state)}"
        reason = f": {event.reason}" if event.reason else ""
        yield f"  {_at(event.at)} {event.transition} {moved}, {event.actor} ({event.role}){reason}"
    yield from _deliveries(connection, ticket.id)


def _deliveries(connection: Connection, ticket_id: str) -> Iterator[str]:
    table = tables.deliveries
    bodies: Sequence[bytes] = (
        connection.execute(select(table.c.body).where(table.c.ticket_id == ticket_id).order_by(table.c.seq))
        .scalars()
        .all()
    )
    for delivery in sorted((wire.decode(body, Delivery) for body in bodies), key=lambda each: each.ticket_version):
        error = f": {delivery.last_error}" if delivery.last_error else ""
        yield (
            f"  {_at(delivery.updated_at)} 推送 {delivery.target} 第 {delivery.ticket_version} 版: "
            f"{_DELIVERIES[delivery.state]}, {delivery.attempts} 次{error}"
        )


def _state(incident: Incident) -> str:
    return f"{incident.state.value} {_STATES[incident.state]}"


def _ticket_state(code: str) -> str:
    return f"{code} {NAMES_ZH[TicketState(code)]}" if code else "新建"


def _at(instant: Instant) -> str:
    return to_rfc3339(instant)[:19].replace("T", " ")
