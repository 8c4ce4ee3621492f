"""The embedded MQTT 3.1.1 broker for trying out: amqtt on 127.0.0.1, made to keep what it acknowledged.

amqtt 0.12.1 as it comes loses messages of persistent sessions; each of these was seen and is put right here:

* what is queued for a client that is away is dropped when the client has no user name, and is delivered with the
  retain flag when it has one (MQTT-3.1.2-5, MQTT-3.3.1-9 say otherwise);
* a message that its subscriber does not acknowledge within 5 s, or before it disconnects, is forgotten instead of
  being sent again (MQTT-4.4.0-1): a subscriber that acknowledges after its own commit loses it when it is killed;
* a publisher gets its PUBACK before the message is routed; what waits when it disconnects is dropped;
* a publication of QoS 0 is raised to the subscription's QoS 1 (MQTT-3.8.4-6 takes the lower one);
* a client that takes its session over is marked as disconnected when the old connection ends;
* a connection is ended by cancelling its reader, which Python 3.11 swallows when data has just come (wait_for,
  bpo-37658), and then waited for without a limit: a take-over or a shutdown under load hangs;
* the socket of a client that leaves before its CONNECT stays open;
* a client that is gone when it is answered (a browser, a port scan) is told as an unhandled exception.

Limits that stay: sessions live in memory and end with the process; MQTT 3.1.1 only, no MQTT 5; QoS 2 is granted as
QoS 1; no limit on the size of a message; no TLS, no passwords: it serves the loopback address alone. A site runs
Mosquitto or EMQX.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from amqtt.broker import Broker, Server
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import AMQTTError, BrokerError, MQTTError, NoDataError
from amqtt.mqtt.constants import QOS_0, QOS_1
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import INCOMING, OutgoingApplicationMessage, Session

from contracts.errors import ConfigError
from runtime.log import get_log

if TYPE_CHECKING:
    from amqtt.adapters import ReaderAdapter, WriterAdapter
    from amqtt.session import ApplicationMessage, IncomingApplicationMessage

WINDOW = 100
"""Unacknowledged messages on their way to one client."""
WAITING_MAX = 100_000
"""Messages that wait for one client; newer ones are dropped and counted."""
WAITING_BYTES_MAX = 512 << 20
CLOSE_S = 2.0
"""Time for the last bytes to a client that is disconnected."""
_WAITING = "gridwhistle.waiting"


class LoopbackOnly(BaseAuthPlugin):  # type: ignore[misc]
    """Lets every client of this machine in, with or without a user name, and nobody else."""

    async def authenticate(self, *, session: Session) -> bool | None:
        """Whether the client's address is a loopback address."""
        try:
            return ipaddress.ip_address(session.remote_address or "").is_loopback
        except ValueError:
            return False


class _Waiting:
    """What waits for one session, oldest first."""

    def __init__(self) -> None:
        self.messages: deque[OutgoingApplicationMessage] = deque()
        self.size = 0

    def add(self, message: OutgoingApplicationMessage) -> bool:
        """False when there is no room."""
        if len(self.messages) >= WAITING_MAX or self.size + len(message.data) > WAITING_BYTES_MAX:
            return False
        self.messages.append(message)
        self.size += len(message.data)
        return True

    def take(self) -> OutgoingApplicationMessage:
        """The oldest."""
        message = self.messages.popleft()
        self.size -= len(message.data)
        return message


def _waiting(session: Session) -> _Waiting:
    found: _Waiting = session.attributes.setdefault(_WAITING, _Waiting())
    return found


class _KeepingHandler(BrokerProtocolHandler):  # type: ignore[misc]
    """One connection. QoS 1 messages stay in the session until the client's PUBACK."""

    def __init__(self, broker: _KeepingBroker) -> None:
        super().__init__(broker.plugins_manager)
        self.superseded = False
        self._broker = broker
        self._pump: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """End the connection; what is unacknowledged stays in the session."""
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError, AMQTTError):
                await self._pump
        await self._end_connection()
        await super().stop()

    async def _end_connection(self) -> None:
        if self.writer is not None:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self.writer.close()
            self.writer._writer.transport.abort()

    async def mqtt_publish(
        self, topic: str, data: bytes, qos: int | None, retain: bool, ack_timeout: int | None = None
    ) -> Any:
        """Hand a message to the client; QoS 1 through the session's queue."""
        if not qos:
            return await super().mqtt_publish(topic, data, QOS_0, retain, ack_timeout)
        message = OutgoingApplicationMessage(None, topic, QOS_1, data, retain)
        if not _waiting(self.session).add(message):
            self._broker.drop(self.session)
        self.wake()
        return message

    def wake(self) -> None:
        """Send what waits, as far as the window allows."""
        if self._pump is None or self._pump.done():
            self._pump = asyncio.ensure_future(self._send_waiting())

    async def handle_puback(self, puback: PubackPacket) -> None:
        """The client has the message."""
        if self.session is not None and puback.variable_header is not None:
            self.session.inflight_out.pop(puback.variable_header.packet_id, None)
            self.wake()

    async def _retry_deliveries(self) -> None:
        """After a reconnect: the unacknowledged ones again, marked DUP, then what waited meanwhile."""
        for message in list(self.session.inflight_out.values()):
            await self._send_packet(message.build_publish_packet(dup=True))
        self.wake()

    async def _send_waiting(self) -> None:
        session = self.session
        waiting = _waiting(session)
        while waiting.messages and len(session.inflight_out) < WINDOW:
            message = waiting.take()
            message.packet_id = session.next_packet_id
            session.inflight_out[message.packet_id] = message
            await self._send_packet(message.build_publish_packet())

    async def _handle_message_flow(self, app_message: ApplicationMessage) -> None:
        """An incoming message is routed before it is acknowledged."""
        if app_message.direction != INCOMING or app_message.qos not in (QOS_0, QOS_1):
            await super()._handle_message_flow(app_message)
            return
        if not await self._broker.accept(self.session, app_message):
            await self.handle_connection_closed()
        elif app_message.qos == QOS_1:
            await self._send_packet(PubackPacket.build(app_message.packet_id))


class _KeepingBroker(Broker):  # type: ignore[misc]
    """amqtt's broker with the handler above and a routing that loses nothing of a persistent session."""

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self.dropped = 0
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """A client came; however its connection ends, its socket is closed."""
        self._connections[writer] = asyncio.current_task()
        try:
            await super().stream_connected(reader, writer, listener_name)
        except (OSError, RuntimeError, AMQTTError, MQTTError, NoDataError) as error:
            # It left in the middle of our answer, or never spoke MQTT; asyncio would print a traceback.
            get_log().debug("A client of the embedded broker went away", error=repr(error))
        finally:
            del self._connections[writer]
            writer.close()

    async def end_connections(self) -> None:
        """After a shutdown: those that never said who they are, too."""
        tasks = [task for task in self._connections.values() if task is not None]
        for writer in self._connections:
            writer.transport.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)

    async def accept(self, session: Session, message: IncomingApplicationMessage) -> bool:
        """Route a publication; False when its topic is not allowed."""
        topic = message.topic
        if not topic or "#" in topic or "+" in topic or topic.startswith("$"):
            return False
        await self._route(topic, message.data, message.qos)
        if message.publish_packet is not None and message.publish_packet.retain_flag:
            await self.retain_message(session, topic, message.data, message.qos)
        return True

    def drop(self, session: Session) -> None:
        """Count a message for which there was no room."""
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:
            get_log().warning(
                "The embedded broker dropped messages", client=session.client_id, dropped=self.dropped
            )

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        """Grant at most QoS 1."""
        granted: int = await super().add_subscription((subscription[0], min(subscription[1], QOS_1)), session)
        return granted

    async def _route(self, topic: str, data: bytes | bytearray, qos: int | None) -> None:
        for topic_filter, subscriptions in list(self._subscriptions.items()):
            if not self._matches(topic, topic_filter):
                continue
            for session, granted in list(subscriptions):
                handler = self._get_handler(session)
                level = min(QOS_1 if qos is None else qos, granted)
                if session.transitions.is_connected() and handler is not None:
                    await handler.mqtt_publish(topic, data, level, retain=False)
                elif level and not session.clean_session:
                    message = OutgoingApplicationMessage(None, topic, QOS_1, data, False)
                    if not _waiting(session).add(message):
                        self.drop(session)

    async def _broadcast_message(
        self,
        session: Session | None,  # noqa: ARG002 - the signature is amqtt's
        topic: str | None,
        data: bytes | bytearray | None,
        force_qos: int | None = None,
    ) -> None:
        """Wills and what else amqtt itself sends."""
        if topic is not None:
            await self._route(topic, data or b"", force_qos)

    async def _handle_client_session(
        self,
        reader: ReaderAdapter,
        writer: WriterAdapter,
        client_session: Session,
        handler: BrokerProtocolHandler,  # noqa: ARG002 - replaced before anything is attached to it
        server: Server,
        listener_name: str,
    ) -> None:
        old = self._sessions.get(client_session.client_id)
        if old is not None and isinstance(old[1], _KeepingHandler) and client_session.transitions.is_connected():
            old[1].superseded = True
        kept = _KeepingHandler(self)
        await super()._handle_client_session(reader, writer, client_session, kept, server, listener_name)

    async def _handle_disconnect(
        self, client_session: Session, handler: BrokerProtocolHandler, disconnect_waiter: asyncio.Future[Any]
    ) -> None:
        if isinstance(handler, _KeepingHandler) and handler.superseded:
            await self._stop_handler(handler)
            return
        await super()._handle_disconnect(client_session, handler, disconnect_waiter)

    async def _publish_session_retained_messages(self, session: Session) -> None:
        """Nothing: what waited is sent by the handler when it starts."""

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Only for filters that the session itself subscribed to."""
        if any(mine is session for mine, _ in self._subscriptions.get(subscription[0], ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)


class EmbeddedBroker:
    """The broker on 127.0.0.1. Port 0 takes a free one; `port` holds it after `start`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._broker: _KeepingBroker | None = None

    @property
    def dropped(self) -> int:
        """Messages for which there was no room."""
        return self._broker.dropped if self._broker is not None else 0

    async def start(self) -> None:
        """Listen. Raises ConfigError when the port is taken."""
        config = BrokerConfig(
            listeners={"default": ListenerConfig(bind=f"127.0.0.1:{self.port}")},
            plugins={"sim.broker.LoopbackOnly": {}},
        )
        self._broker = _KeepingBroker(config)
        try:
            await self._broker.start()
        except BrokerError as error:
            self._broker = None
            raise ConfigError(
                f"端口 {self.port} 无法监听 (the embedded MQTT broker cannot listen: {error}); "
                "set sim.mqtt_port to a free port, or to 0 and sim.broker to an outside broker"
            ) from error
        listener = self._broker._servers["default"].instance
        self.port = listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Disconnect everybody; sessions end."""
        if self._broker is not None:
            servers = self._broker._servers.values()
            listeners = [server.instance for server in servers if server.instance is not None]
            try:
                # amqtt waits without a bound for clients that are half gone.
                async with asyncio.timeout(CLOSE_S):
                    await self._broker.shutdown()
            except (AMQTTError, MQTTError, TimeoutError) as error:
                get_log().warning("The embedded broker did not end in order", error=repr(error))
            await self._broker.end_connections()
            for listener in listeners:
                listener.close()
            self._broker = None
