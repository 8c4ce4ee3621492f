"""Brings a database to the newest revision of its tables, at start, in one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from contracts.errors import StoreCorrupt

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Run what is missing of alerts/store/migrations.

    Raises StoreCorrupt when the database carries a revision that this release does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreCorrupt(
            f"数据库由更新的版本写成 (the database was written by a newer release: {error}); "
            "install that release again, or restore a backup"
        ) from error
