"""Grids (网格): the map, as GeoJSON."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from dashboard_api.openapi import refuses
from dashboard_api.problem import DatabaseAbsent
from dashboard_api.services import Api

router = APIRouter(prefix="/api/v1/grids", tags=["grids 网格"])

_EXAMPLE = {
    "type": "FeatureCollection",
    "site": "152921",
    "county": "152921",
    "version": 1,
    "crs_note": "CGCS2000 lon,lat",
    "features": [
        {
            "type": "Feature",
            "id": "152921001001001",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[[[105.6, 38.8], [105.7, 38.8], [105.7, 38.9], [105.6, 38.8]]]],
            },
            "properties": {
                "code": "152921001001001",
                "name": "第一网格",
                "level": "grid",
                "parent": "152921001001",
            },
        }
    ],
}


@router.get(
    "",
    summary="The grid tree as GeoJSON (RFC 7946)",
    responses={
        200: {"description": "A FeatureCollection", "content": {"application/geo+json": {"example": _EXAMPLE}}},
        304: {"description": "Not changed since the ETag in If-None-Match"},
        **refuses(s503="alerts has not handed out the grids yet"),
    },
    response_class=Response,
)
async def get_grids(api: Api, request: Request) -> Response:
    """Areas and names; changes only with a new version of the grids, so send If-None-Match."""
    body, etag = api.snapshots.map_geojson, api.snapshots.map_etag
    if body is None:
        raise DatabaseAbsent("等待告警服务提供网格 (waiting for the grids from the alerts service)")
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/geo+json")
