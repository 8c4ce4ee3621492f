"""The API and the wall as one ASGI application, and the service that runs it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Final

import uvicorn
from fastapi import FastAPI

from contracts import topics
from contracts.errors import ConfigError
from dashboard_api import openapi, problem
from dashboard_api.audit import AccessRegister
from dashboard_api.auth import Authenticator
from dashboard_api.config import ApiConfig, read_token
from dashboard_api.coverage_board import CoverageBoard
from dashboard_api.database import DatabaseReader
from dashboard_api.live import ChangeFeed
from dashboard_api.look_desk import LookDesk
from dashboard_api.page import Page
from dashboard_api.routes import (
    commands,
    compliance,
    coverage,
    deliveries,
    grids,
    health,
    incidents,
    live,
    looks,
    metrics,
    session,
    sources,
    tickets,
)
from dashboard_api.security import Guard
from dashboard_api.services import Services
from dashboard_api.snapshots import Snapshots
from runtime.clock import Clock
from runtime.crew import Crew
from runtime.health import report_forever
from runtime.log import get_log
from runtime.metrics import StageCounters
from runtime.request_link import RequestClient
from runtime.shutdown import Shutdown
from runtime.site import Site
from runtime.zmq_log import ZmqLogSender
from runtime.zmq_request import ZmqChangeSubscriber, ZmqRequestClient

STALLED_PEER_MS: Final = 30_000
"""The kernel gives up a connection whose peer takes nothing for this long (TCP_USER_TIMEOUT, RFC 5482)."""
CONNECTIONS_MAX: Final = 1_000


def make_services(
    site: Site,
    config: ApiConfig,
    clock: Clock,
    client: RequestClient,
    looker: RequestClient,
    counters: StageCounters,
) -> Services:
    """The parts of the API over a site's files. Raises ConfigError when the token file is wrong.

    `client` asks alerts, `looker` asks inference.
    """
    authenticator = Authenticator(config, read_token(config, site.state_dir), clock)
    reader = DatabaseReader(site.database_file, config.readers)
    snapshots = Snapshots(site.state_dir, reader, client, clock)
    return Services(
        site=site,
        config=config,
        clock=clock,
        started_at=clock.now(),
        reader=reader,
        client=client,
        snapshots=snapshots,
        feed=ChangeFeed(reader, lambda: snapshots.directory, config, clock, counters),
        coverage=CoverageBoard(reader, lambda: snapshots.directory, clock, counters),
        register=AccessRegister(site.state_dir / "access.sqlite"),
        authenticator=authenticator,
        counters=counters,
        looks=LookDesk(looker, config, clock, counters),
    )


def create_app(services: Services) -> FastAPI:
    """The application; it starts no tasks of its own (`run` does)."""
    app = FastAPI(
        title="gridwhistle 吹哨",
        version=session.PRODUCT_VERSION,
        description=(
            "社会治理联动指挥中心的告警、工单与来源. 等级均为内部告警等级, 不是政府发布的预警. "
            "Incidents, tickets and sources of a county's linked command centre. Levels are internal levels, "
            "never published warnings. Errors are RFC 9457 problems; times are RFC 3339 with +08:00."
        ),
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        responses=openapi.refuses(
            s401="Token required", s422="Parameters do not fit", s503="The database of alerts is not there yet"
        ),
    )
    app.state.services = services
    for module in (
        incidents,
        tickets,
        sources,
        coverage,
        compliance,
        grids,
        deliveries,
        commands,
        health,
        metrics,
        session,
        live,
        looks,
    ):
        app.include_router(module.router)

    app.include_router(Page().router())
    problem.install(app)
    openapi.install(app)
    app.add_middleware(
        Guard, config=services.config, authenticator=services.authenticator, counters=services.counters
    )
    return app


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the process that calls `run` decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def listen(config: ApiConfig) -> socket.socket:
    """The listening socket. Raises ConfigError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_PEER_MS)
        listening.bind((config.host.strip("[]"), config.port))
        listening.listen(512)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"无法监听 {config.host}:{config.port} (cannot listen: {error}); change api.host or api.port, "
            "or stop the process that holds the port"
        ) from None
    return listening


async def serve(services: Services, listening: socket.socket, stop: asyncio.Event) -> None:
    """Serve on a listening socket until `stop`; walls are told to come back (close code 1012)."""
    server = _Server(
        uvicorn.Config(
            create_app(services),
            ws="websockets-sansio",
            ws_max_size=65_536,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            lifespan="off",
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        services.feed.close()
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()


async def run(site: Site, config: ApiConfig, clock: Clock, stop: asyncio.Event) -> None:
    """Run the API until `stop` is set. Raises ConfigError when it may not or cannot start."""
    site.state_dir.mkdir(parents=True, exist_ok=True)
    counters = StageCounters("api")
    async with Shutdown(5.0) as on_stop:
        client = ZmqRequestClient(site.endpoint(topics.COMMAND), clock)
        on_stop("close the command link", client.close)
        looker = ZmqRequestClient(site.endpoint(topics.CONTROL_INFERENCE), clock)
        on_stop("close the link to inference", looker.close)
        services = make_services(site, config, clock, client, looker, counters)
        on_stop("close the access register", services.register.close)
        on_stop("close the database", services.reader.close)
        listening = listen(config)
        # The server closes it at its end; when it never begins, or is cancelled, nobody would.
        on_stop("close the listening socket", partial(asyncio.to_thread, listening.close))
        subscriber = ZmqChangeSubscriber(site.endpoint(topics.CHANGES), clock)
        on_stop("close the link of changes", subscriber.close)
        sender = ZmqLogSender(site.endpoint(topics.LOG), "api", clock)
        on_stop("close the log link", sender.close)
        await services.snapshots.load_copies()
        crew = Crew()
        on_stop("stop the tasks", crew.close)
        crew.add("follow the changes", services.feed.run(subscriber, stop))
        crew.add("keep the snapshots fresh", services.snapshots.keep_fresh(stop))
        crew.add("report health", report_forever(counters, sender, site.id, "api", clock))
        get_log().info("The API listens", host=config.host, port=listening.getsockname()[1])
        await crew.work(serve(services, listening, stop), stop)
