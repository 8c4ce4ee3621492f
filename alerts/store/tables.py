"""The tables of alerts: those it publishes for reading (contracts.read_schema) and its own books.

Written for SQLite and PostgreSQL alike. `body` columns hold records as contracts.wire.encode writes them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text

_BIG = BigInteger().with_variant(Integer, "sqlite")
"""64 bits; INTEGER on SQLite, where a BIGINT key would not be the row id itself."""


def _text(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=null)


def _big(name: str, *, key: bool = False, null: bool = False) -> Column[int]:
    return Column(name, _BIG, primary_key=key, nullable=null, autoincrement=False)


def _body() -> Column[bytes]:
    return Column("body", LargeBinary, nullable=False)


metadata: Final = MetaData()

incidents: Final = Table(
    "incidents",
    metadata,
    _text("id", key=True),
    _text("site"),
    _text("type"),
    _text("state"),
    Column("level", Integer, nullable=False),
    _text("grid_code", null=True),
    Column("operations", Boolean, nullable=False),
    Column("exercise", Boolean, nullable=False),
    _big("opened_at"),
    _big("updated_at"),
    _big("seq"),
    _body(),
    Index("incidents_by_seq", "seq"),
    Index("incidents_by_grid", "grid_code"),
    Index("incidents_by_opening", "opened_at", "id"),
    Index("incidents_by_severity", "state", "level", "opened_at"),
    Index("incidents_by_state", "state", "opened_at"),
)

tickets: Final = Table(
    "tickets",
    metadata,
    _text("id", key=True),
    _text("site"),
    _text("case_number"),
    _text("idempotency_key"),
    _text("incident_id", null=True),
    _text("type"),
    _text("state"),
    Column("level", Integer, nullable=False),
    _text("grid_code", null=True),
    Column("exercise", Boolean, nullable=False),
    _big("opened_at"),
    _big("updated_at"),
    _big("seq"),
    _body(),
    Index("tickets_by_seq", "seq"),
    Index("tickets_by_case_number", "case_number"),
    Index("tickets_by_opening", "opened_at", "id"),
    Index("tickets_by_state", "state", "opened_at"),
    Index("tickets_by_incident", "incident_id"),
    Index("tickets_by_key", "idempotency_key"),
)

ticket_events: Final = Table(
    "ticket_events",
    metadata,
    _text("ticket_id", key=True),
    _big("seq", key=True),
    _big("at"),
    _text("actor"),
    _text("transition"),
    _text("from_state"),
    _text("to_state"),
    _body(),
)
"""`seq` is the event's own place in the ticket's hash chain."""

sources: Final = Table(
    "sources",
    metadata,
    _text("id", key=True),
    _text("kind"),
    _text("state"),
    _text("reason"),
    _text("detail"),
    _big("at"),
    _big("seq"),
    _body(),
    Index("sources_by_seq", "seq"),
)

deliveries: Final = Table(
    "deliveries",
    metadata,
    _text("id", key=True),
    _text("target"),
    _text("ticket_id"),
    _text("state"),
    Column("attempts", Integer, nullable=False),
    _text("last_error"),
    _big("updated_at"),
    _big("seq"),
    _body(),
    Index("deliveries_by_seq", "seq"),
    Index("deliveries_by_ticket", "ticket_id"),
    Index("deliveries_by_state", "state", "updated_at"),
)

filmstrips: Final = Table(
    "filmstrips",
    metadata,
    _text("id", key=True),
    _text("incident_id"),
    _text("source_id"),
    _text("state"),
    _big("updated_at"),
    _big("seq"),
    _body(),
    Index("filmstrips_by_incident", "incident_id"),
    Index("filmstrips_by_state", "state"),
)

mutes: Final = Table(
    "mutes",
    metadata,
    _text("id", key=True),
    _text("owner"),
    _text("reason"),
    _big("created_at"),
    _big("expires_at"),
    _big("seq"),
    _body(),
)

health: Final = Table(
    "health", metadata, _text("service", key=True), _text("instance", key=True), _big("at"), _body()
)

coverage: Final = Table(
    "coverage", metadata, _text("service", key=True), _text("instance", key=True), _big("at"), _body()
)
"""The newest report of each process, as in `health`."""

storms: Final = Table(
    "storms",
    metadata,
    _text("id", key=True),
    _big("began_at"),
    _big("at"),
    _body(),
    Index("storms_by_beginning", "began_at"),
)
"""Storms as they were told last; the newest few hundred."""

refusals: Final = Table(
    "refusals",
    metadata,
    _text("reason", key=True),
    _text("source_id", key=True),
    _big("total"),
    _big("last_at"),
    _text("last_text"),
)

changes: Final = Table("changes", metadata, _big("seq", key=True), _big("at"), _text("kind"), _text("id"), _body())
"""The newest changes, for readers that missed some; older ones are pruned with the journal."""

source_names: Final = Table("source_names", metadata, _text("id", key=True), _text("name"))
"""What people call the sources of the catalogue, for explaining what was written with their ids. A source that
left the catalogue keeps its name."""

meta: Final = Table("meta", metadata, _text("key", key=True), _text("value"))

journal: Final = Table(
    "journal",
    metadata,
    _big("step", key=True),
    _big("now"),
    Column("policy_version", Integer, nullable=False),
    Column("effects_digest", LargeBinary, nullable=False),
    Column("input", LargeBinary, nullable=False),
)
"""One row per step: all that Engine.step was given, and a digest of what it answered."""

snapshots: Final = Table(
    "snapshots",
    metadata,
    _big("step", key=True),
    _big("now"),
    Column("policy_version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
)
"""The engine's state after `step`; `digest` is SHA-256 over `state`."""

policies: Final = Table("policies", metadata, Column("version", Integer, primary_key=True), _big("at"), _body())
"""Every policy that ever judged, so that old journal rows replay under their own rules."""

positions: Final = Table("positions", metadata, _text("producer", key=True), _big("incarnation"), _big("sequence"))

lease: Final = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _big("epoch"),
    _text("holder"),
    _big("expires"),
    _big("commits"),
)
"""One row. `epoch` grows with each holder; `commits` with each transaction, so that none is applied twice."""

outbox: Final = Table(
    "outbox",
    metadata,
    _text("id", key=True),
    _big("ordinal"),
    _text("target"),
    _text("ticket_id"),
    _text("state"),
    _big("next_attempt_at"),
    _big("created_at"),
    Column("payload", LargeBinary, nullable=False),
    Index("outbox_by_ticket", "target", "ticket_id", "ordinal"),
    Index("outbox_by_due", "target", "state", "next_attempt_at", "ordinal"),
    Index("outbox_by_order", "target", "ordinal"),
)
"""What is still to be handed on (pending, retrying) or was refused for good (dead). Delivered rows leave.

`ordinal` is the sequence number of the ticket's change; per target and ticket it is the order of delivery.
`payload` is the exact body that every attempt sends.
"""

answers: Final = Table(
    "answers", metadata, _text("command_id", key=True), _big("at"), _body(), Index("answers_by_at", "at")
)
"""Answers to commands by idempotency key: asked again, answered the same."""
