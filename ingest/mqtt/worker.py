"""The sensor role of ingest: a process of its own, so that a smoke alarm never waits behind video.

A message is acknowledged to the broker only after alerts has committed what it claims. Until then the broker keeps
it and sends it again, and its claims have the same ids again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from contracts import topics
from contracts.errors import GridwhistleError, LinkError
from contracts.source import Catalogue
from ingest.catalogue import CatalogueCopy
from ingest.health import ChangeBoard
from ingest.mqtt.mapping import TopicTable
from ingest.mqtt.receive import SensorReceiver
from ingest.mqtt.redelivery import HeardBook
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
    from runtime.log_link import LogWindow
    from runtime.site import Site

_STALE_EVERY_S: Final = 2.0
_STOP_S: Final = 5.0
_BACKOFF_S: Final = (0.5, 30.0)
_AGAIN_S: Final = 0.5


class Pump:
    """Messages to claims to alerts, then the acknowledgement; `BATCHES` batches are on their way at a time.

    Two tasks: one judges and hands over, the other acknowledges what alerts has committed, in the same order.
    """

    BATCHES: Final = 4

    def __init__(
        self,
        session: MqttSession,
        receiver: SensorReceiver,
        sender: LogWindow,
        counters: StageCounters,
        clock: Clock,
        batch_max: int,
    ) -> None:
        self._session = session
        self._receiver = receiver
        self._sender = sender
        self._counters = counters
        self._clock = clock
        self._batch_max = batch_max
        self._entered: asyncio.Queue[tuple[int, list[MqttMessage]]] = asyncio.Queue(self.BATCHES)

    async def hand_over(self) -> None:
        """Batch after batch until cancelled. An alarm is never given up: it waits as long as it takes."""
        number = 0
        while True:
            messages = await self._session.take(self._batch_max)
            payloads = self._receiver.observe(messages)
            if payloads:
                number = await self._enter(payloads)
            await self._entered.put((number, messages))

    async def _enter(self, payloads: list[bytes]) -> int:
        while True:
            try:
                number = await self._sender.enter(payloads)
            except LinkError as error:
                self._counters.count("observations_not_sent", error.reason)
                await self._clock.asleep(_AGAIN_S)
            else:
                self._counters.count("observations_sent", n=len(payloads))
                return number

    async def acknowledge(self) -> None:
        """Acknowledge what is committed until cancelled; nothing before what came before it."""
        while True:
            number, messages = await self._entered.get()
            await self._committed(number)
            self._counters.count("messages_acknowledged", n=self._session.acknowledge(messages))
            self._counters.gauge("messages_waiting", self._session.waiting)

    async def _committed(self, number: int) -> None:
        while True:
            try:
                await self._sender.committed(number)
            except LinkError as error:
                self._counters.count("observations_not_sent", error.reason)
                await self._clock.asleep(_AGAIN_S)
            else:
                return


def read_broker_credentials(config: MqttConfig, site: Site) -> Credentials | None:
    """Our login at the broker, None when none is configured. Raises ConfigError."""
    secrets = read_site_credentials(config.secrets, site)
    return find_credentials(secrets, config.credentials or None, "mqtt.credentials")


def _client_id(config: MqttConfig, site: Site) -> str:
    """The name of our session at the broker: the same after a restart, another one for each instance."""
    name = config.client_id or f"gridwhistle-{site.id}-{site.state_name}"
    return f"{name}-{config.instance}" if config.instance else name


async def run(site: Site, config: MqttConfig, clock: Clock, stop: asyncio.Event) -> None:
    """Receive the site's sensors until `stop`. Raises ConfigError for unusable credentials."""
    credentials = read_broker_credentials(config, site)
    counters = StageCounters("ingest-sensors")
    log = CountedLog(clock)
    instance = f"sensors-{config.instance}"
    table = TopicTable(config.mapping)
    async with Shutdown(_STOP_S) as on_stop:
        client = ZmqRequestClient(site.endpoint(topics.COMMAND), clock)
        on_stop("close the request link", client.close)
        copy = CatalogueCopy(client, site.state_dir / f"{instance}-catalogue.bin", site.id, clock)
        sender = ZmqLogSender(site.endpoint(topics.LOG), instance, clock)
        on_stop("close the log link", sender.close)
        board = ChangeBoard()
        receiver = SensorReceiver(site.id, config, table, board, counters, log)
        crew = Crew()
        on_stop("end the tasks", crew.close)
        crew.add("send changes", send_changes(board, sender, counters, clock))
        crew.add("report health", report_forever(counters, sender, site.id, instance, clock))
        catalogue = await copy.first(stop)
        if catalogue is None:
            return
        receiver.apply(catalogue)
        client_id = _client_id(config, site)
        book = HeardBook(site.state_dir / f"{instance}-heard.bin", f"{config.url} {client_id}")
        on_stop("close the book of what was heard", partial(asyncio.to_thread, book.close))
        session = MqttSession(
            config,
            client_id=client_id,
            subscriptions=table.subscriptions(config.shared_group),
            clock=clock,
            book=book,
            credentials=credentials,
        )

        def on_failure(error: GridwhistleError, delay_s: float) -> None:
            counters.count("broker_lost", error.reason)
            log.warning("broker", "The MQTT broker was lost", error=str(error), retry_s=round(delay_s, 1))

        # By instance: a group of workers that lost its broker does not come back all at once.
        backoff = Backoff(*_BACKOFF_S, seed=client_id)
        crew.add("connect", supervise(session.run_once, backoff, clock, stop, on_failure))
        pump = Pump(session, receiver, sender, counters, clock, config.batch_max)
        crew.add("hand over", pump.hand_over())
        crew.add("acknowledge", pump.acknowledge())
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
