"""Sessions and meta: how a browser shows the token once, and what this installation is."""

from __future__ import annotations

import sqlite3
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import wire
from contracts.errors import StoreError
from contracts.instant import to_rfc3339
from contracts.principal import SYSTEM
from dashboard_api.auth import COOKIE
from dashboard_api.names import FALSE_ALARM_REASONS
from dashboard_api.openapi import DOCUMENTED, json_response, refuses, returns
from dashboard_api.problem import ApiError
from dashboard_api.services import Api, Asker
from dashboard_api.views import Coded

router = APIRouter(prefix="/api/v1", tags=["session and meta 会话"])


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token, once."""

    token: str


class SiteView(msgspec.Struct, frozen=True):
    """Which county or edge box this is. `exercise`: everything here is a drill (演练)."""

    id: str
    name: str
    county: str
    exercise: bool


class PrincipalView(msgspec.Struct, frozen=True):
    """Who the asker is."""

    id: str
    name: str
    role: str
    unit: str


class MetaView(msgspec.Struct, frozen=True, kw_only=True):
    """What a client needs to know first. Versions are null until alerts handed them out. `people`: names by the
    ids that stand in records (owner, actor)."""

    site: SiteView
    principal: PrincipalView
    people: dict[str, str]
    language: str
    product: str
    version: str
    schema: int
    at: str
    started_at: str
    grids_version: int | None
    catalogue_version: int | None
    policy_version: int | None
    stored: dict[str, str]
    false_alarm_reasons: tuple[Coded, ...]


_decoder: Final = msgspec.json.Decoder(TokenRequest)


def _product_version() -> str:
    try:
        return version("gridwhistle")
    except PackageNotFoundError:
        return "0"


PRODUCT_VERSION: Final = _product_version()
"""The installed version, `0` when run from a folder that was never installed."""


@router.get("/meta", summary="What this installation is", responses=returns(MetaView))
async def get_meta(api: Api, asker: Asker) -> Response:
    """Site, asker, versions, and the reason codes that the wall offers."""
    stored: dict[str, str] = {}
    try:
        stored = await api.reader.read(_read_meta)
    except StoreError:
        api.counters.count("meta_without_database")
    directory = api.snapshots.directory
    return json_response(
        MetaView(
            site=SiteView(api.site.id, api.site.name, api.site.county, api.site.exercise),
            principal=PrincipalView(asker.id, asker.name, asker.role, asker.unit),
            people={
                each.id: each.name for each in (SYSTEM, api.authenticator.operator, api.authenticator.machine)
            },
            language=api.config.language,
            product="gridwhistle 吹哨",
            version=PRODUCT_VERSION,
            schema=wire.SCHEMA_VERSION,
            at=to_rfc3339(api.clock.now()),
            started_at=to_rfc3339(api.started_at),
            grids_version=directory.grids_version,
            catalogue_version=directory.catalogue_version,
            policy_version=directory.policy_version,
            stored=stored,
            false_alarm_reasons=tuple(Coded(code, *pair) for code, pair in FALSE_ALARM_REASONS.items()),
        )
    )


@router.post(
    "/session",
    summary="Open a browser session with the token",
    status_code=204,
    response_class=Response,
    responses=refuses(s401="Not the token", s422="The body does not fit"),
    openapi_extra=DOCUMENTED.body(TokenRequest, {"token": {"value": {"token": "(the secret of the site)"}}}),
)
async def post_session(api: Api, request: Request) -> Response:
    """Sets an HttpOnly, SameSite=Strict cookie."""
    try:
        wish = _decoder.decode(await request.body())
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ApiError(422, "session_body", '内容应为 {"token": "..."} (the body does not fit)') from None
    if not api.authenticator.token_fits(wish.token):
        api.counters.count("sessions_refused")
        raise ApiError(401, "token_wrong", "令牌不正确 (this is not the token)")
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        api.authenticator.open_session(),
        max_age=round(api.config.session_hours * 3600),
        path="/",
        secure=api.config.secure_cookie,
        httponly=True,
        samesite="strict",
    )
    return response


@router.delete("/session", summary="End this browser's session", status_code=204, response_class=Response)
async def delete_session(api: Api, request: Request) -> Response:
    """Forgets the session here and in the browser."""
    api.authenticator.end_session(request.headers.get("cookie", ""))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


def _read_meta(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM meta ORDER BY key").fetchall())
