"""Incidents (告警): the list, one with its decisions, its pictures."""

from __future__ import annotations

import sqlite3

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts.filmstrip import Filmstrip
from contracts.incident import Incident
from contracts.observation import EvidenceRef
from dashboard_api import queries
from dashboard_api.filmstrip_views import FilmstripList, filmstrip_evidence, filmstrip_view, read_filmstrips
from dashboard_api.incident_views import IncidentDetail, IncidentView, incident_detail, incident_view
from dashboard_api.openapi import json_response, refuses, returns
from dashboard_api.queries import Page
from dashboard_api.routes.examples import FILMSTRIPS, INCIDENT
from dashboard_api.routes.parameters import (
    CursorText,
    Exercise,
    GridPrefix,
    Id,
    Levels,
    Limit,
    Sha256,
    Sort,
    State,
    Types,
)
from dashboard_api.routes.pictures import picture_response
from dashboard_api.services import Api, Asker

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents 告警"])


@router.get(
    "",
    summary="List incidents",
    responses=returns(Page[IncidentView], example={"items": [INCIDENT], "next": None, "seq": 4711}),
)
async def list_incidents(
    api: Api,
    state: State = None,
    level: Levels = None,
    type_: Types = None,
    grid: GridPrefix = None,
    exercise: Exercise = None,
    operations: bool | None = None,
    sort: Sort = "opened_at",
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Response:
    """Incidents that match every filter given; page with `cursor`."""
    where = queries.cases_where(
        states=state,
        open_states=queries.OPEN_INCIDENT_STATES,
        levels=level,
        types=type_,
        grid=grid,
        exercise=exercise,
    )
    where.equals("operations", operations)
    directory, rows = api.snapshots.directory, min(limit, api.config.page_size_max)
    page = await api.reader.read(
        lambda connection: queries.read_page(
            connection,
            "incidents",
            where,
            sort=sort,
            cursor=cursor,
            limit=rows,
            view=lambda body, seq: incident_view(queries.decode_incident(body), seq, directory),
        )
    )
    return json_response(page)


@router.get(
    "/{incident_id}",
    summary="One incident with all its decisions",
    responses={**returns(IncidentDetail), **refuses(s404="No such incident")},
)
async def get_incident(api: Api, incident_id: Id) -> Response:
    """The incident, and why everything about it was decided."""
    incident, seq = await api.reader.read(lambda connection: queries.find_incident(connection, incident_id))
    return json_response(incident_detail(incident, seq, api.snapshots.directory))


@router.get(
    "/{incident_id}/filmstrips",
    summary="Pictures from before to after the moment of an incident",
    responses={**returns(FilmstripList, example=FILMSTRIPS), **refuses(s404="No such incident")},
)
async def get_incident_filmstrips(api: Api, incident_id: Id) -> Response:
    """What its cameras showed, and of which time nothing is shown; each picture is asked for as evidence."""

    def read(connection: sqlite3.Connection) -> list[tuple[Filmstrip, int]]:
        return read_filmstrips(connection, queries.find_incident(connection, incident_id)[0])

    directory, strips = api.snapshots.directory, await api.reader.read(read)
    return json_response(FilmstripList(tuple(filmstrip_view(strip, seq, directory) for strip, seq in strips)))


@router.get(
    "/{incident_id}/evidence/{sha256}",
    summary="A pixelated picture of an incident",
    responses={
        200: {"description": "The picture", "content": {"image/jpeg": {}}},
        **refuses(s404="Not registered with this incident", s410="Deleted, or altered and therefore not shown"),
    },
    response_class=Response,
)
async def get_incident_evidence(
    api: Api, asker: Asker, request: Request, incident_id: Id, sha256: Sha256
) -> Response:
    """The picture behind `sha256`, entered in the access register."""

    def read(connection: sqlite3.Connection) -> tuple[Incident, list[EvidenceRef]]:
        incident, _ = queries.find_incident(connection, incident_id)
        return incident, [*incident.evidence, *filmstrip_evidence(connection, incident)]

    incident, evidence = await api.reader.read(read)
    return await picture_response(api, asker, request, f"incident/{incident.id}", evidence, sha256)
