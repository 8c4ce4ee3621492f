"""Health: what every service says of itself, what was refused and why, and whether anybody still listens."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from contracts import wire
from contracts.errors import MalformedMessage, StoreError
from contracts.instant import MINUTE, SECOND, Instant, to_rfc3339
from contracts.source import HealthReport
from dashboard_api import queries
from dashboard_api.names import REASONS, SERVICES, Name, name_of
from dashboard_api.openapi import json_response, refuses, returns
from dashboard_api.problem import DatabaseAbsent
from dashboard_api.services import Api, Services
from dashboard_api.views import Coded, coded

router = APIRouter(prefix="/api/v1/health", tags=["health 健康"])

SILENT_AFTER_NS: Final = 10 * SECOND
FORGET_AFTER_NS: Final = 10 * MINUTE
"""An instance that another of the same service replaced is no longer shown after this."""
REFUSALS_MAX: Final = 200
DISK_FULL_BYTES: Final = 1024 * 1024
"""With less than this left, nothing can be committed for long."""


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `silent`: no report for over 10 s, or one from so far ahead that the clock was set back since.
    Counters are totals since it started."""

    service: str
    name: Name
    instance: str
    at: str
    age_s: float
    uptime_s: float
    silent: bool
    counters: dict[str, int]
    gauges: dict[str, float]


class RefusalView(msgspec.Struct, frozen=True, kw_only=True):
    """Input that was refused, by reason and source, with the last sentence."""

    reason: Coded
    source_id: str
    total: int
    last_at: str
    last_text: str


class HealthView(msgspec.Struct, frozen=True, kw_only=True):
    """`status`: `ok`; `degraded` (a service is silent, deliveries are dead, or tickets live on the reserve of a
    full disk); `waiting` (no database yet); `down` (alerts is silent, the disk is full to the end, or the database
    cannot be read). `message` says it in words.
    """

    status: str
    message: str
    at: str
    services: tuple[ServiceView, ...]
    refusals: tuple[RefusalView, ...]
    refused_total: int
    deliveries: dict[str, int]
    seq: int
    walls: int
    counters: dict[str, int]


class _Stored(msgspec.Struct, frozen=True):
    services: tuple[ServiceView, ...]
    refusals: tuple[RefusalView, ...]
    refused_total: int
    deliveries: dict[str, int]
    seq: int
    free_bytes: int


_NOTHING: Final = _Stored((), (), 0, {}, 0, 0)


@router.get("", summary="The state of the whole installation", responses=returns(HealthView))
async def get_health(api: Api) -> Response:
    """Always answered with 200 while the API itself works; read `status`."""
    now = api.clock.now()
    try:
        stored = await api.reader.read(lambda connection: _read(connection, now, api.site.state_dir))
        status, message = _judge(stored)
    except DatabaseAbsent as error:
        stored, status, message = _NOTHING, "waiting", str(error)
    except StoreError as error:
        stored, status, message = _NOTHING, "down", str(error)
    return json_response(_view(api, now, stored, status, message))


@router.get("/live", summary="This process runs", status_code=204, response_class=Response)
async def get_live() -> Response:
    """For a supervisor's liveness probe; needs no token."""
    return Response(status_code=204)


@router.get(
    "/ready",
    summary="This process can answer",
    status_code=204,
    response_class=Response,
    responses=refuses(s503="The database of alerts is not there yet"),
)
async def get_ready(api: Api) -> Response:
    """204 once the database of alerts can be read."""
    await api.reader.read(queries.latest_sequence)
    return Response(status_code=204)


def _view(api: Services, now: Instant, stored: _Stored, status: str, message: str) -> HealthView:
    own = api.counters.report(api.site.id, "api", now, api.started_at)
    return HealthView(
        status=status,
        message=message,
        at=to_rfc3339(now),
        services=stored.services,
        refusals=stored.refusals,
        refused_total=stored.refused_total,
        deliveries=stored.deliveries,
        seq=stored.seq,
        walls=api.feed.walls,
        counters=dict(own.counters),
    )


def _judge(stored: _Stored) -> tuple[str, str]:
    speaking = {view.service for view in stored.services if not view.silent}
    silent = sorted({view.service for view in stored.services} - speaking)
    if stored.services and stored.free_bytes < DISK_FULL_BYTES:
        return "down", (
            "磁盘已满: 新告警等待写入, 不会丢失; 请立即清理 (the disk is full: new alerts wait and none is lost; "
            "free space now)"
        )
    if "alerts" not in speaking:
        return "down", "告警服务无响应: 屏上内容可能已过时 (alerts is silent; what is shown may be out of date)"
    if silent:
        return "degraded", _named("服务无响应", "silent", silent)
    if any(view.service == "alerts" and _on_reserve(view) for view in stored.services):
        return "degraded", (
            "磁盘空间不足: 工单正在使用预留空间, 请清理 (the disk is nearly full: tickets live on the reserve; "
            "free space)"
        )
    half = sorted(view.service for view in stored.services if view.silent)
    if half:
        return "degraded", _named("部分实例无响应", "some instances are silent", half)
    if stored.deliveries.get("dead"):
        return "degraded", f"{stored.deliveries['dead']} 条工单变更被外部系统拒收 (deliveries were rejected)"
    return "ok", "运行正常 (all services report)"


def _named(zh: str, en: str, services: list[str]) -> str:
    names = [name_of(SERVICES, service) for service in services]
    return f"{zh}: {', '.join(name.zh for name in names)} ({en}: {', '.join(name.en for name in names)})"


def _on_reserve(alerts: ServiceView) -> bool:
    """Whether the space held back was given up and could not be taken again."""
    released = alerts.counters.get("reserve_released", 0) > 0
    return bool(released and not alerts.gauges.get("store_reserve_bytes"))


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _read(connection: sqlite3.Connection, now: Instant, state_dir: Path) -> _Stored:
    refusals = connection.execute(
        "SELECT reason, source_id, total, last_at, last_text FROM refusals ORDER BY last_at DESC LIMIT ?",
        (REFUSALS_MAX,),
    )
    return _Stored(
        services=tuple(_service(report, now) for report in latest_reports(connection, now)),
        refusals=tuple(
            RefusalView(
                reason=coded(name_of(REASONS, row[0]), row[0]),
                source_id=row[1],
                total=row[2],
                last_at=to_rfc3339(row[3]),
                last_text=row[4],
            )
            for row in refusals
        ),
        refused_total=connection.execute("SELECT coalesce(sum(total), 0) FROM refusals").fetchone()[0],
        deliveries=dict(connection.execute("SELECT state, count(*) FROM deliveries GROUP BY state").fetchall()),
        seq=queries.latest_sequence(connection),
        free_bytes=_free_bytes(state_dir),
    )


def latest_reports(connection: sqlite3.Connection, now: Instant) -> tuple[HealthReport, ...]:
    """The newest report of every instance, without those that another instance replaced long ago."""
    reports: list[HealthReport] = []
    for row in connection.execute("SELECT body FROM health ORDER BY service, instance"):
        try:
            reports.append(wire.decode(row[0], HealthReport))
        except MalformedMessage:
            continue
    newest = {report.service: report.at for report in sorted(reports, key=lambda report: report.at)}
    return tuple(
        report for report in reports if report.at == newest[report.service] or now - report.at <= FORGET_AFTER_NS
    )


def _service(report: HealthReport, now: Instant) -> ServiceView:
    age_ns = now - report.at
    return ServiceView(
        service=report.service,
        name=name_of(SERVICES, report.service),
        instance=report.instance,
        at=to_rfc3339(report.at),
        age_s=round(max(0, age_ns) / SECOND, 1),
        uptime_s=round((report.at - report.started_at) / SECOND, 1),
        silent=abs(age_ns) > SILENT_AFTER_NS,
        counters=dict(report.counters),
        gauges=dict(report.gauges),
    )
