"""Every policy that ever judged is kept, so that an old journal row replays under its own rules."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select

from alerts.store import tables
from contracts import wire
from contracts.errors import ConfigError, StoreCorrupt
from contracts.instant import Instant
from contracts.policy import Policy


def record(connection: Connection, policy: Policy, now: Instant, origin: str) -> None:
    """Keep `policy`, read from `origin`, if it is new.

    Raises ConfigError when its version was used for other rules, or is older than the newest.
    """
    table = tables.policies
    same = select(table.c.body).where(table.c.version == policy.version)
    known = connection.execute(same).scalar_one_or_none()
    newest: int | None = connection.execute(select(func.max(table.c.version))).scalar_one()
    if known is not None and wire.decode(known, Policy) != policy:
        raise ConfigError(
            f"{origin}: version = {policy.version} 的规则已改动 (these rules differ from those used "
            f"under the same version); set version = {(newest or policy.version) + 1}"
        )
    if newest is not None and policy.version < newest:
        raise ConfigError(
            f"{origin}: version = {policy.version} 低于已使用的 {newest} (older than the version in use); "
            f"set version = {newest + 1}"
        )
    if known is None:
        connection.execute(insert(table).values(version=policy.version, at=now, body=wire.encode(policy)))


def load(connection: Connection, version: int) -> Policy:
    """The policy of that version. Raises StoreCorrupt when it was never recorded."""
    body = connection.execute(
        select(tables.policies.c.body).where(tables.policies.c.version == version)
    ).scalar_one_or_none()
    if body is None:
        raise StoreCorrupt(
            f"数据库中没有第 {version} 版规则 (the journal names policy {version}, which "
            "the database does not hold); restore the database from a backup"
        )
    return wire.decode(body, Policy)


def newest(connection: Connection) -> Policy:
    """The policy of the newest version. Raises StoreCorrupt when there is none."""
    version = connection.execute(select(func.max(tables.policies.c.version))).scalar_one()
    return load(connection, version or 0)
