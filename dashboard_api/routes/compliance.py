"""Compliance (合规): what the law and the owners of the cameras ask, counted over the catalogue in force."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from contracts.source import Catalogue
from dashboard_api.compliance import Compliance, compliance, filing_csv
from dashboard_api.openapi import json_response, refuses, returns
from dashboard_api.problem import DatabaseAbsent
from dashboard_api.services import Api

router = APIRouter(prefix="/api/v1/compliance", tags=["compliance 合规"])


@router.get(
    "",
    summary="Compliance report",
    responses={**returns(Compliance), **refuses(s503="alerts has not handed out the catalogue yet")},
)
async def get_compliance(api: Api) -> Response:
    """Counts by duty, by owner and by share grant. Secret cameras and forbidden places are a number alone."""
    return json_response(await asyncio.to_thread(compliance, _catalogue(api), api.clock.now()))


@router.get(
    "/filing.csv",
    summary="Filing export (国令第799号, Art. 14)",
    responses={
        200: {"description": "CSV, UTF-8 with a mark", "content": {"text/csv": {}}},
        **refuses(s503="alerts has not handed out the catalogue yet"),
    },
    response_class=Response,
)
async def get_filing(api: Api) -> Response:
    """One row a camera of a system of Art. 7, for the police of the county."""
    body = await asyncio.to_thread(filing_csv, _catalogue(api))
    headers = {"Content-Disposition": 'attachment; filename="filing.csv"', "Cache-Control": "private, no-store"}
    return Response(body, headers=headers, media_type="text/csv; charset=utf-8")


def _catalogue(api: Api) -> Catalogue:
    catalogue = api.snapshots.directory.catalogue
    if catalogue is None:
        raise DatabaseAbsent("等待告警服务提供目录 (waiting for the catalogue from the alerts service)")
    return catalogue
