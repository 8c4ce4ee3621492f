"""The first tables.

Revision: 0001, after nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "answers",
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("at", _BIG, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("command_id"),
    )
    op.create_index("answers_by_at", "answers", ["at"])
    op.create_table(
        "changes",
        sa.Column("seq", _BIG, autoincrement=False, nullable=False),
        sa.Column("at", _BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("updated_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("seq", _BIG, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("deliveries_by_seq", "deliveries", ["seq"])
    op.create_index("deliveries_by_state", "deliveries", ["state", "updated_at"])
    op.create_index("deliveries_by_ticket", "deliveries", ["ticket_id"])
    op.create_table(
        "health",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("at", _BIG, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("service", "instance"),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("grid_code", sa.Text(), nullable=True),
        sa.Column("operations", sa.Boolean(), nullable=False),
        sa.Column("exercise", sa.Boolean(), nullable=False),
        sa.Column("opened_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("updated_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("seq", _BIG, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("incidents_by_grid", "incidents", ["grid_code"])
    op.create_index("incidents_by_opening", "incidents", ["opened_at", "id"])
    op.create_index("incidents_by_seq", "incidents", ["seq"])
    op.create_index("incidents_by_severity", "incidents", ["state", "level", "opened_at"])
    op.create_index("incidents_by_state", "incidents", ["state", "opened_at"])
    op.create_table(
        "journal",
        sa.Column("step", _BIG, autoincrement=False, nullable=False),
        sa.Column("now", _BIG, autoincrement=False, nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("effects_digest", sa.LargeBinary(), nullable=False),
        sa.Column("input", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("step"),
    )
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", _BIG, autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires", _BIG, autoincrement=False, nullable=False),
        sa.Column("commits", _BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "mutes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("expires_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("seq", _BIG, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("ordinal", _BIG, autoincrement=False, nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_attempt_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("created_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("outbox_by_due", "outbox", ["target", "state", "next_attempt_at", "ordinal"])
    op.create_index("outbox_by_order", "outbox", ["target", "ordinal"])
    op.create_index("outbox_by_ticket", "outbox", ["target", "ticket_id", "ordinal"])
    op.create_table(
        "policies",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", _BIG, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "positions",
        sa.Column("producer", sa.Text(), nullable=False),
        sa.Column("incarnation", _BIG, autoincrement=False, nullable=False),
        sa.Column("sequence", _BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("producer"),
    )
    op.create_table(
        "refusals",
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("total", _BIG, autoincrement=False, nullable=False),
        sa.Column("last_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("last_text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("reason", "source_id"),
    )
    op.create_table(
        "snapshots",
        sa.Column("step", _BIG, autoincrement=False, nullable=False),
        sa.Column("now", _BIG, autoincrement=False, nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("step"),
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", _BIG, autoincrement=False, nullable=False),
        sa.Column("seq", _BIG, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sources_by_seq", "sources", ["seq"])
    op.create_table(
        "ticket_events",
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("seq", _BIG, autoincrement=False, nullable=False),
        sa.Column("at", _BIG, autoincrement=False, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("transition", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ticket_id", "seq"),
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("case_number", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("grid_code", sa.Text(), nullable=True),
        sa.Column("exercise", sa.Boolean(), nullable=False),
        sa.Column("opened_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("updated_at", _BIG, autoincrement=False, nullable=False),
        sa.Column("seq", _BIG, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tickets_by_case_number", "tickets", ["case_number"])
    op.create_index("tickets_by_incident", "tickets", ["incident_id"])
    op.create_index("tickets_by_key", "tickets", ["idempotency_key"])
    op.create_index("tickets_by_opening", "tickets", ["opened_at", "id"])
    op.create_index("tickets_by_seq", "tickets", ["seq"])
    op.create_index("tickets_by_state", "tickets", ["state", "opened_at"])
