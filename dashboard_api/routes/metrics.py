"""Metrics: what every service counts and measures, for Prometheus to scrape."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from dashboard_api.openapi import refuses
from dashboard_api.problem import DatabaseAbsent
from dashboard_api.routes.health import latest_reports
from dashboard_api.services import Api
from runtime.metrics import prometheus_text

router = APIRouter(tags=["health 健康"])

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    summary="Counters and gauges of all services, as Prometheus text",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **refuses(s503="The database cannot be read")},
)
async def get_metrics(api: Api) -> Response:
    """The services' last reports, and this process's numbers of now: these alone while alerts is absent."""
    now = api.clock.now()
    try:
        await api.coverage.now()
        reports = await api.reader.read(lambda connection: latest_reports(connection, now))
    except DatabaseAbsent:
        reports = ()
    own = api.counters.report(api.site.id, "api", now, api.started_at)
    others = [each for each in reports if (each.service, each.instance) != (own.service, own.instance)]
    return Response(prometheus_text([*others, own], now), media_type=CONTENT_TYPE)
