"""What the routes share: one object per running API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from contracts.instant import Instant
from contracts.principal import Principal
from dashboard_api.audit import AccessRegister
from dashboard_api.auth import Authenticator
from dashboard_api.config import ApiConfig
from dashboard_api.coverage_board import CoverageBoard
from dashboard_api.database import DatabaseReader
from dashboard_api.live import ChangeFeed
from dashboard_api.problem import ApiError
from dashboard_api.snapshots import Snapshots
from runtime.clock import Clock
from runtime.metrics import StageCounters
from runtime.request_link import RequestClient
from runtime.site import Site


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the API, made by `create_app`'s caller and given to every route."""

    site: Site
    config: ApiConfig
    clock: Clock
    started_at: Instant
    reader: DatabaseReader
    client: RequestClient
    snapshots: Snapshots
    feed: ChangeFeed
    coverage: CoverageBoard
    register: AccessRegister
    authenticator: Authenticator
    counters: StageCounters


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


def _asker(connection: HTTPConnection) -> Principal:
    principal: Principal | None = connection.state.principal
    if principal is None:
        raise ApiError(401, "token_required", "请提供访问令牌 (show the token)")
    return principal


def peer(connection: HTTPConnection) -> str:
    """The address that asks, for the register."""
    return connection.client.host if connection.client else ""


Api = Annotated[Services, Depends(_services)]
"""A route's access to the services."""
Asker = Annotated[Principal, Depends(_asker)]
"""Who asks; never absent behind the guard."""
