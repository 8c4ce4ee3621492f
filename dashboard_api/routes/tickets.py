"""Tickets (工单): the list, one with its moves, its pictures."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from dashboard_api import queries
from dashboard_api.openapi import json_response, refuses, returns
from dashboard_api.queries import Page
from dashboard_api.routes.examples import TICKET
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
from dashboard_api.ticket_views import TicketDetail, TicketView, ticket_detail, ticket_view

router = APIRouter(prefix="/api/v1/tickets", tags=["tickets 工单"])


@router.get(
    "",
    summary="List tickets",
    responses=returns(Page[TicketView], example={"items": [TICKET], "next": None, "seq": 4711}),
)
async def list_tickets(
    api: Api,
    state: State = None,
    level: Levels = None,
    type_: Types = None,
    grid: GridPrefix = None,
    exercise: Exercise = None,
    incident_id: str | None = None,
    sort: Sort = "opened_at",
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Response:
    """Tickets that match every filter given; page with `cursor`."""
    where = queries.cases_where(
        states=state,
        open_states=queries.OPEN_TICKET_STATES,
        levels=level,
        types=type_,
        grid=grid,
        exercise=exercise,
    )
    where.equals("incident_id", incident_id)
    directory, rows = api.snapshots.directory, min(limit, api.config.page_size_max)
    page = await api.reader.read(
        lambda connection: queries.read_page(
            connection,
            "tickets",
            where,
            sort=sort,
            cursor=cursor,
            limit=rows,
            view=lambda body, seq: ticket_view(queries.decode_ticket(body), seq, directory),
        )
    )
    return json_response(page)


@router.get(
    "/{ticket_id}",
    summary="One ticket with all its moves",
    responses={**returns(TicketDetail), **refuses(s404="No such ticket")},
)
async def get_ticket(api: Api, ticket_id: Id) -> Response:
    """The ticket by its id or its case number, with the chain of its moves."""
    directory = api.snapshots.directory

    def read(connection: queries.Connection) -> TicketDetail:
        ticket, seq = queries.find_ticket(connection, ticket_id)
        return ticket_detail(ticket, seq, queries.ticket_events(connection, ticket.id), directory)

    return json_response(await api.reader.read(read))


@router.get(
    "/{ticket_id}/evidence/{sha256}",
    summary="A pixelated picture of a ticket",
    responses={
        200: {"description": "The picture", "content": {"image/jpeg": {}}},
        **refuses(s404="Not registered with this ticket", s410="Deleted, or altered and therefore not shown"),
    },
    response_class=Response,
)
async def get_ticket_evidence(api: Api, asker: Asker, request: Request, ticket_id: Id, sha256: Sha256) -> Response:
    """The picture behind `sha256`, entered in the access register."""
    ticket, _ = await api.reader.read(lambda connection: queries.find_ticket(connection, ticket_id))
    return await picture_response(api, asker, request, f"ticket/{ticket.id}", ticket.evidence, sha256)
