"""Looks (看一眼): what a camera, or the cameras of a place, show at this moment."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts.place import Place
from contracts.principal import Principal
from contracts.source import SourceKind
from dashboard_api.look_desk import Looked
from dashboard_api.look_views import LookView, cameras_in, cameras_near, look_view
from dashboard_api.openapi import DOCUMENTED, json_response, refuses, returns
from dashboard_api.problem import ApiError
from dashboard_api.routes.examples import LOOKS
from dashboard_api.routes.parameters import Id, Sha256
from dashboard_api.routes.pictures import picture_response
from dashboard_api.services import Api, Asker, Services, peer
from dashboard_api.source_views import read_rows

router = APIRouter(prefix="/api/v1/looks", tags=["looks 看一眼"])

ShortText = Annotated[str, msgspec.Meta(max_length=200)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Radius = Annotated[float, msgspec.Meta(gt=0, le=2_000)]
Grid = Annotated[str, msgspec.Meta(pattern=r"^\d{1,15}$")]


class NearRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place: degrees (CGCS2000), and the radius in metres within which cameras are asked."""

    lon: Longitude
    lat: Latitude
    radius_m: Radius = 150.0


class LookWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Exactly one of `source_id`, `near`, `grid`. `kind`: the incident type whose classes count as seen, "" for
    any; `zone_id`: only there (with `source_id`). `reason`: why, in the asker's words, for the access register.
    """

    source_id: ShortText = ""
    near: NearRequest | None = None
    grid: Grid | None = None
    kind: ShortText = ""
    zone_id: ShortText = ""
    reason: ShortText = ""


_decoder: Final = msgspec.json.Decoder(LookWish)


@router.post(
    "",
    summary="Look at a camera, or at a place, now",
    responses={
        **returns(LookView, description="The answer of every camera asked, with blind and no answer among them"),
        **refuses(
            s404="No such camera, or none near the place",
            s413="Body too large",
            s415="Not application/json",
            s422="The body does not fit",
            s429="Too many looks; Retry-After says how many seconds to wait",
        ),
    },
    openapi_extra=DOCUMENTED.body(LookWish, LOOKS),
)
async def post_look(api: Api, asker: Asker, request: Request) -> Response:
    """Waits for a fresh picture, `look_within_s` at most; of a camera whose key pictures come more rarely, 30 s at
    most. Entered in the access register: no entry, no answer."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "content_type", "请求体须为 application/json (send JSON)")
    try:
        wish = _decoder.decode(await request.body())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ApiError(422, "look_body", f"查看请求有误 (the look does not fit: {error})") from None
    if sum((bool(wish.source_id), wish.near is not None, wish.grid is not None)) != 1:
        raise ApiError(422, "look_body", "须且仅须指定 source_id, near, grid 之一 (name exactly one of them)")
    if wish.zone_id and not wish.source_id:
        raise ApiError(422, "look_body", "zone_id 须与 source_id 同用 (zone_id goes with source_id)")
    target = _target(wish)
    try:
        source_ids, left_out = _whom(api, wish, asker.grid_prefix)
        sources = api.snapshots.directory.sources
        off = frozenset(each for each in source_ids if not sources[each].expected)
        looked = await api.looks.look(
            asker.id,
            source_ids,
            wish.kind,
            wish.zone_id,
            off=off,
            left_out=left_out,
            key_intervals_s={each: sources[each].key_interval_s or 0.0 for each in source_ids},
        )
    except ApiError as error:
        await _enter(api, asker, request, target, wish, error.reason)
        raise
    outcomes = " ".join(f"{each.answer.source_id}:{each.answer.outcome}" for each in looked.looks)
    await _enter(api, asker, request, target, wish, outcomes)
    return await _answer(api, looked)


@router.get(
    "/{look_id}",
    summary="A look of the last hour",
    responses={**returns(LookView), **refuses(s404="No such look, or an hour has passed")},
)
async def get_look(api: Api, asker: Asker, look_id: Id) -> Response:
    """What the asker was answered then; it is not looked again."""
    return await _answer(api, api.looks.find(look_id, asker.id))


@router.get(
    "/{look_id}/evidence/{sha256}",
    summary="The pixelated picture of a look",
    responses={
        200: {"description": "The picture", "content": {"image/jpeg": {}}},
        **refuses(s404="Not of this look", s410="Deleted, or altered and therefore not shown"),
    },
    response_class=Response,
)
async def get_look_evidence(api: Api, asker: Asker, request: Request, look_id: Id, sha256: Sha256) -> Response:
    """The picture behind `sha256`, entered in the access register."""
    looked = api.looks.find(look_id, asker.id)
    evidence = [ref for look in looked.looks for ref in look.answer.evidence]
    return await picture_response(api, asker, request, f"look/{looked.id}", evidence, sha256)


def _target(wish: LookWish) -> str:
    """What is asked for, as the access register names it."""
    if wish.near is not None:
        return f"{wish.near.lon:.6f},{wish.near.lat:.6f},{wish.near.radius_m:g}m"
    return wish.source_id or f"grid/{wish.grid}"


def _whom(api: Services, wish: LookWish, subtree: str) -> tuple[tuple[str, ...], int]:
    """The cameras to ask, and how many more there are.

    Cameras outside of the asker's `subtree` of grids do not exist for the asker. Raises ApiError 404.
    """
    directory = api.snapshots.directory
    if wish.source_id:
        entry = directory.sources.get(wish.source_id)
        if entry is None or entry.kind is not SourceKind.CAMERA or not (entry.grid_code or "").startswith(subtree):
            raise ApiError(404, "source_not_found", "没有这路摄像机 (there is no such camera)")
        return (wish.source_id,), 0
    if wish.near is not None:
        near = wish.near
        found = cameras_near(directory, Place(lon=near.lon, lat=near.lat), near.radius_m)
    else:
        found = cameras_in(directory, wish.grid or "")
    live = [entry for entry in found if entry.expected and (entry.grid_code or "").startswith(subtree)]
    if not live:
        raise ApiError(
            404, "no_camera_near", "该处没有启用的摄像机 (no camera that is switched on sees that place)"
        )
    asked = live[: api.config.look_cameras_max]
    return tuple(entry.id for entry in asked), len(live) - len(asked)


async def _answer(api: Services, looked: Looked) -> Response:
    rows = await api.reader.read(read_rows)
    return json_response(look_view(looked, rows, api.snapshots.directory))


async def _enter(
    api: Services, asker: Principal, request: Request, target: str, wish: LookWish, outcome: str
) -> None:
    await api.register.append(
        at=api.clock.now(),
        principal=asker,
        action="look",
        target=target,
        reason=" ".join(part for part in (wish.kind, wish.zone_id, wish.reason) if part),
        outcome=outcome,
        peer=peer(request),
    )
