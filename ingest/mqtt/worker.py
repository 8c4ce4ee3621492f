"""The sensor role of ingest: a process of its own, so that a smoke alarm never waits behind video.

A message is acknowledged to the broker only after alerts has committed what it claims. Until then the broker keeps
it and sends it again, and its claims have the same ids again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from contracts import topics
from contracts.errors import GridwhistleError, LinkError
from contracts.source import Catalogue
from ingest.catalogue import CatalogueCopy
from ingest.health import ChangeBoard
from ingest.mqtt.mapping import TopicTable
from ingest.mqtt.receive import SensorReceiver
from ingest.mqtt.session import MqttMessage, MqttSession
from ingest.rtsp.credentials import Credentials, find_credentials
from ingest.worker import read_site_credentials, send_changes
from runtime.crew import Crew
from runtime.health import report_forever
from runtime.log import CountedLog, get_log
from runtime.metrics import StageCounters
from runtime.shutdown import Shutdown
from runtime.supervise import Backoff, supervise, wait_or_stop
from runtime.zmq_log import ZmqLogSender
from runtime.zmq_request import ZmqRequestClient

if TYPE_CHECKING:
    from ingest.config import MqttConfig
    from runtime.clock import Clock
    from runtime.log_link import LogSender
    from runtime.site import Site

INSTANCE: Final = "sensors-0"
_STALE_EVERY_S: Final = 2.0
_STOP_S: Final = 5.0
_BACKOFF_S: Final = (0.5, 30.0)


async def pump(
    session: MqttSession,
    receiver: SensorReceiver,
    sender: LogSender,
    counters: StageCounters,
    clock: Clock,
    batch_max: int,
) -> None:
    """Messages to claims to alerts, then the acknowledgement; batch after batch until cancelled."""
    while True:
        messages: list[MqttMessage] = await session.take(batch_max)
        payloads = receiver.observe(messages)
        await _committed(payloads, sender, counters, clock)
        counters.count("messages_acknowledged", n=session.acknowledge(messages))
        counters.gauge("messages_waiting", session.waiting)


async def _committed(payloads: list[bytes], sender: LogSender, counters: StageCounters, clock: Clock) -> None:
    """Return once alerts has committed the records. An alarm is never given up: it waits as long as it takes."""
    while payloads:
        try:
            await sender.send(payloads)
        except LinkError as error:
            counters.count("observations_not_sent", error.reason)
            await clock.asleep(0.5)
        else:
            counters.count("observations_sent", n=len(payloads))
            return


def read_broker_credentials(config: MqttConfig, site: Site) -> Credentials | None:
    """Our login at the broker, None when none is configured. Raises ConfigError."""
    secrets = read_site_credentials(config.secrets, site)
    return find_credentials(secrets, config.credentials or None, "mqtt.credentials")


async def run(site: Site, config: MqttConfig, clock: Clock, stop: asyncio.Event) -> None:
    """Receive the site's sensors until `stop`. Raises ConfigError for unusable credentials."""
    credentials = read_broker_credentials(config, site)
    counters = StageCounters("ingest-sensors")
    log = CountedLog(clock)
    table = TopicTable(config.mapping)
    async with Shutdown(_STOP_S) as on_stop:
        client = ZmqRequestClient(site.endpoint(topics.COMMAND), clock)
        on_stop("close the request link", client.close)
        copy = CatalogueCopy(client, site.state_dir / "sensors-catalogue.bin", site.id, clock)
        sender = ZmqLogSender(site.endpoint(topics.LOG), INSTANCE, clock)
        on_stop("close the log link", sender.close)
        board = ChangeBoard()
        receiver = SensorReceiver(site.id, config, table, board, counters, log)
        crew = Crew()
        on_stop("end the tasks", crew.close)
        crew.add("send changes", send_changes(board, sender, counters, clock))
        crew.add("report health", report_forever(counters, sender, site.id, INSTANCE, clock))
        catalogue = await copy.first(stop)
        if catalogue is None:
            return
        receiver.apply(catalogue)
        session = MqttSession(
            config,
            client_id=config.client_id or f"gridwhistle-{site.id}-{site.state_name}",
            subscriptions=table.subscriptions(config.shared_group),
            clock=clock,
            credentials=credentials,
        )

        def on_failure(error: GridwhistleError, delay_s: float) -> None:
            counters.count("broker_lost", error.reason)
            log.warning("broker", "The MQTT broker was lost", error=str(error), retry_s=round(delay_s, 1))

        backoff = Backoff(*_BACKOFF_S, seed=site.id)
        crew.add("connect", supervise(session.run_once, backoff, clock, stop, on_failure))
        crew.add("pump", pump(session, receiver, sender, counters, clock, config.batch_max))
        await crew.work(_follow(catalogue, copy, receiver, session, counters, config, clock, stop), stop)


async def _follow(
    catalogue: Catalogue,
    copy: CatalogueCopy,
    receiver: SensorReceiver,
    session: MqttSession,
    counters: StageCounters,
    config: MqttConfig,
    clock: Clock,
    stop: asyncio.Event,
) -> None:
    """Look for stale sensors and newer catalogues until `stop`."""
    version = catalogue.version
    due_s = config.catalogue_poll_s
    while not await wait_or_stop(clock, stop, min(_STALE_EVERY_S, config.catalogue_poll_s)):
        receiver.find_stale(clock.now(), session.connected_since)
        counters.gauge("broker_connected", float(session.connected_since is not None))
        due_s -= _STALE_EVERY_S
        if due_s > 0:
            continue
        due_s = config.catalogue_poll_s
        asked = await copy.ask()
        if asked is not None and asked.version != version:
            version = asked.version
            receiver.apply(asked)
            get_log().info("The catalogue is in force", version=version)
