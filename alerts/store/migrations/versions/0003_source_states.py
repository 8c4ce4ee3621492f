"""States of sources by their names of today; the API reads the column as text.

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_RENAMED = {
    "idle": "off",
    "stalled": "stale",
    "backoff": "faulted",
    "refused": "faulted",
    "quarantined": "blind",
}


def upgrade() -> None:
    """Rename them; `body` keeps its bytes, whose reader knows the old names."""
    sources = sa.table("sources", sa.column("state", sa.Text()))
    for before, after in _RENAMED.items():
        op.execute(sources.update().where(sources.c.state == before).values(state=after))
