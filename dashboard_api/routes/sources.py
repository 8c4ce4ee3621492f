"""Sources: who is watched, who is not and why, and the coverage."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from dashboard_api import queries
from dashboard_api.openapi import json_response, refuses, returns
from dashboard_api.problem import ApiError
from dashboard_api.queries import Page
from dashboard_api.routes.parameters import CursorText, GridPrefix, Id, Limit
from dashboard_api.services import Api
from dashboard_api.source_views import (
    SourceSummary,
    SourceView,
    is_unseeing,
    read_rows,
    source_view,
    summary,
)

router = APIRouter(prefix="/api/v1/sources", tags=["sources 来源"])

SourceStates = Annotated[
    list[str] | None,
    Query(
        alias="state",
        max_length=20,
        description="State codes, repeatable; `unseeing` stands for every state of an expected but mute source: "
        "stale, blind, faulted, of sensors suspect too.",
    ),
]
Kind = Annotated[Literal["camera", "sensor"] | None, Query(description="Only cameras, or only sensors.")]
Owner = Annotated[
    str | None,
    Query(max_length=200, description="Owner department (权属单位), its whole name as in the catalogue."),
]


@router.get("", summary="List sources", responses=returns(Page[SourceView]))
async def list_sources(
    api: Api,
    state: SourceStates = None,
    kind: Kind = None,
    grid: GridPrefix = None,
    owner: Owner = None,
    expected: bool | None = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Response:
    """Sources in the order of their ids: the catalogue joined with the states that alerts stored."""
    directory = api.snapshots.directory
    wanted = set(state or ())
    rows_max = min(limit, api.config.page_size_max)
    after = queries.decode_cursor(cursor, "id").id if cursor else ""

    def read(connection: sqlite3.Connection) -> Page[SourceView]:
        rows = read_rows(connection)
        found: list[SourceView] = []
        for source_id in sorted((directory.sources.keys() | rows.keys()) - directory.withheld):
            if source_id <= after:
                continue
            view = source_view(directory.sources.get(source_id), rows.get(source_id), directory)
            if _fits(view, wanted, kind, grid, expected) and owner in (None, view.owner):
                found.append(view)
                if len(found) > rows_max:
                    break
        following = None
        if len(found) > rows_max:
            found.pop()
            following = queries.encode_cursor(queries.Cursor("id", 0, found[-1].id))
        return Page(tuple(found), following, queries.latest_sequence(connection))

    return json_response(await api.reader.read(read))


def _fits(view: SourceView, states: set[str], kind: str | None, grid: str | None, expected: bool | None) -> bool:
    return (
        (
            not states
            or view.state.code in states
            or ("unseeing" in states and is_unseeing(view.kind, view.state.code))
        )
        and (kind is None or view.kind == kind)
        and (grid is None or (view.grid_code or "").startswith(grid))
        and (expected is None or view.expected == expected)
    )


@router.get("/summary", summary="Counts by state, and coverage", responses=returns(SourceSummary))
async def get_summary(api: Api) -> Response:
    """How many sources are expected, live and unseeing."""
    directory = api.snapshots.directory
    return json_response(await api.reader.read(lambda connection: summary(read_rows(connection), directory)))


@router.get(
    "/{source_id}",
    summary="One source",
    responses={**returns(SourceView), **refuses(s404="No such source")},
)
async def get_source(api: Api, source_id: Id) -> Response:
    """A camera or sensor with its state and its reason."""
    directory = api.snapshots.directory
    rows = await api.reader.read(read_rows)
    entry, row = directory.sources.get(source_id), rows.get(source_id)
    if (entry is None and row is None) or source_id in directory.withheld:
        raise ApiError(404, "source_not_found", "没有这个来源 (there is no such source)")
    return json_response(msgspec.to_builtins(source_view(entry, row, directory)))
