"""The tables that alerts publishes for reading: column names are a contract between alerts and the API.

alerts.store creates them (and may add columns and tables of its own); dashboard_api reads them, never writes.
`body` columns hold the record as `contracts.wire.encode` writes it; the other columns are for filters and paging.
Times are Instants (INTEGER nanoseconds). `seq` is the sequence number of the change that wrote the row, so a
reader that knows sequence s asks for `seq > s` and misses nothing.
"""

from __future__ import annotations

from typing import Final

READ_TABLES: Final[dict[str, tuple[str, ...]]] = {
    "incidents": (
        "id",
        "site",
        "type",
        "state",
        "level",
        "grid_code",
        "operations",
        "exercise",
        "opened_at",
        "updated_at",
        "seq",
        "body",
    ),
    "tickets": (
        "id",
        "site",
        "case_number",
        "incident_id",
        "type",
        "state",
        "level",
        "grid_code",
        "exercise",
        "opened_at",
        "updated_at",
        "seq",
        "body",
    ),
    "ticket_events": ("ticket_id", "seq", "at", "actor", "transition", "from_state", "to_state", "body"),
    "sources": ("id", "kind", "state", "reason", "detail", "at", "seq", "body"),
    "deliveries": (
        "id",
        "target",
        "ticket_id",
        "state",
        "attempts",
        "last_error",
        "updated_at",
        "seq",
        "body",
    ),
    "filmstrips": ("id", "incident_id", "source_id", "state", "updated_at", "seq", "body"),
    "mutes": ("id", "owner", "reason", "created_at", "expires_at", "seq", "body"),
    "health": ("service", "instance", "at", "body"),
    "coverage": ("service", "instance", "at", "body"),
    "storms": ("id", "began_at", "at", "body"),
    "refusals": ("reason", "source_id", "total", "last_at", "last_text"),
    "changes": ("seq", "at", "kind", "id", "body"),
    "meta": ("key", "value"),
}
"""`changes.kind` is incident | ticket | source | delivery | mute | filmstrip; `changes.body` the record after it.
`refusals` counts refused observations by reason and source. `meta` holds `grids_version`, `catalogue_version`,
`policy_version`, `epoch`, each as text."""


class ChangeKind:
    """Values of `changes.kind`."""

    INCIDENT: Final = "incident"
    TICKET: Final = "ticket"
    SOURCE: Final = "source"
    DELIVERY: Final = "delivery"
    MUTE: Final = "mute"
    FILMSTRIP: Final = "filmstrip"
