"""Deliveries (送达) to outside systems, and mutes (静音)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from dashboard_api import queries
from dashboard_api.delivery_views import DeliveryView, MuteView, delivery_view, mute_view
from dashboard_api.openapi import json_response, returns
from dashboard_api.queries import Page, Where
from dashboard_api.routes.parameters import CursorText, Limit
from dashboard_api.services import Api

router = APIRouter(prefix="/api/v1", tags=["deliveries and mutes 送达与静音"])

DeliveryStates = Annotated[
    list[str] | None, Query(alias="state", max_length=5, description="pending, delivered, retrying, dead")
]


@router.get("/deliveries", summary="List deliveries", responses=returns(Page[DeliveryView]))
async def list_deliveries(
    api: Api,
    state: DeliveryStates = None,
    ticket_id: str | None = None,
    target: str | None = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Response:
    """The newest first; `dead` ones wait for a person (command `resend_delivery`)."""
    where = Where()
    where.any_of("state", state or ())
    where.equals("ticket_id", ticket_id)
    where.equals("target", target)
    rows = min(limit, api.config.page_size_max)
    page = await api.reader.read(
        lambda connection: queries.read_page(
            connection,
            "deliveries",
            where,
            sort="updated_at",
            cursor=cursor,
            limit=rows,
            view=lambda body, seq: delivery_view(queries.decode_delivery(body), seq),
        )
    )
    return json_response(page)


@router.get("/mutes", summary="List mutes", responses=returns(Page[MuteView]))
async def list_mutes(
    api: Api, active: bool | None = None, cursor: CursorText = None, limit: Limit = 50
) -> Response:
    """The newest first; `active=true` leaves out those that have ended."""
    now, where, directory = api.clock.now(), Where(), api.snapshots.directory
    if active is not None:
        where.compare("expires_at > ?" if active else "expires_at <= ?", int(now))
    rows = min(limit, api.config.page_size_max)
    page = await api.reader.read(
        lambda connection: queries.read_page(
            connection,
            "mutes",
            where,
            sort="created_at",
            cursor=cursor,
            limit=rows,
            view=lambda body, seq: mute_view(queries.decode_mute(body), seq, now, directory),
        )
    )
    return json_response(page)
