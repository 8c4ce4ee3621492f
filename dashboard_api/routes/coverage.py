"""Coverage: which cameras were received and analysed in the last minute, at what rate; storms."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from dashboard_api import queries
from dashboard_api.coverage import CameraCoverage, storm_goes_on
from dashboard_api.coverage_board import read_reports, read_storms
from dashboard_api.coverage_views import (
    CameraCoverageView,
    CoverageView,
    StormView,
    camera_coverage_view,
    coverage_view,
    platform_names,
    storm_view,
)
from dashboard_api.openapi import json_response, returns
from dashboard_api.queries import Page
from dashboard_api.routes.parameters import CursorText, GridPrefix, Limit
from dashboard_api.services import Api
from dashboard_api.source_views import read_rows

router = APIRouter(prefix="/api/v1", tags=["coverage 覆盖"])

Verdicts = list[Literal["yes", "no", "unknown"]] | None
Received = Annotated[
    Verdicts,
    Query(max_length=3, description="Key pictures in the last minute (or round): yes, no, unknown; repeatable."),
]
Analysed = Annotated[
    Verdicts,
    Query(max_length=3, description="Looked at in the last minute (or round): yes, no, unknown; repeatable."),
]
OnPatrol = Annotated[bool | None, Query(description="Visited in turn (轮巡), or not.")]
Wanted = Annotated[bool | None, Query(description="false: only those that catalogue or law leave out.")]


class StormList(msgspec.Struct, frozen=True):
    """The storms that are kept, newest first."""

    items: tuple[StormView, ...]


@router.get("/coverage", summary="The last minute in numbers", responses=returns(CoverageView))
async def get_coverage(api: Api) -> Response:
    """How many of the wanted cameras were received and analysed in the last minute, at what rate, told by whom."""
    return json_response(coverage_view(await api.coverage.now(), api.snapshots.directory))


@router.get("/coverage/cameras", summary="The last minute by camera", responses=returns(Page[CameraCoverageView]))
async def list_cameras(
    api: Api,
    received: Received = None,
    analysed: Analysed = None,
    on_patrol: OnPatrol = None,
    wanted: Wanted = None,
    grid: GridPrefix = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Response:
    """Cameras of the catalogue in the order of their ids; filters of different names all hold at once."""
    directory = api.snapshots.directory
    rows_max = min(limit, api.config.page_size_max)
    after = queries.decode_cursor(cursor, "id").id if cursor else ""

    def fits(camera: CameraCoverage) -> bool:
        entry = directory.sources.get(camera.camera_id)
        return (
            camera.camera_id > after
            and (not received or camera.received.verdict in received)
            and (not analysed or camera.analysed.verdict in analysed)
            and (on_patrol is None or (camera.received.round_s is not None) == on_patrol)
            and (wanted is None or (camera.idle is None) == wanted)
            and (grid is None or ((entry and entry.grid_code) or "").startswith(grid))
        )

    known = await api.coverage.now()
    found = sorted((each for each in known.cameras.values() if fits(each)), key=lambda each: each.camera_id)
    shown = found[:rows_max]

    def read(connection: sqlite3.Connection) -> Page[CameraCoverageView]:
        rows, platforms = read_rows(connection), platform_names(directory.catalogue)
        views = tuple(camera_coverage_view(each, rows.get(each.camera_id), platforms, directory) for each in shown)
        following = None
        if len(found) > rows_max:
            following = queries.encode_cursor(queries.Cursor("id", 0, shown[-1].camera_id))
        return Page(views, following, queries.latest_sequence(connection))

    return json_response(await api.reader.read(read))


@router.get("/storms", summary="Many cameras lost at once", responses=returns(StormList))
async def list_storms(api: Api, limit: Limit = 50) -> Response:
    """The last storms, newest first, with what became of them."""
    directory, now = api.snapshots.directory, api.clock.now()

    def read(connection: sqlite3.Connection) -> StormList:
        reports = read_reports(connection)
        return StormList(
            tuple(
                storm_view(
                    storm,
                    "ended" if storm.ended_at else "on" if storm_goes_on(storm, reports, now) else "lost_sight",
                    directory,
                )
                for storm in read_storms(connection)[: min(limit, api.config.page_size_max)]
            )
        )

    return json_response(await api.reader.read(read))
