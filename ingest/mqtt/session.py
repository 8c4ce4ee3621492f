"""The connection to an MQTT broker: persistent session, QoS 1, acknowledged by hand after commit.

paho-mqtt's blocking network loop runs in a thread of its own; messages cross into the event loop through a bounded
queue. A full queue stops the reading (and with it the broker); nothing is ever dropped here.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from paho.mqtt.client import Client, ConnectFlags, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from contracts.errors import ProtocolViolation, SourceError, SourceRefused, SourceUnreachable
from contracts.instant import SECOND, Instant
from ingest.mqtt.client import BrokerClient
from ingest.mqtt.packets import Publication

if TYPE_CHECKING:
    from ingest.config import MqttConfig
    from ingest.mqtt.redelivery import HeardBook
    from ingest.rtsp.credentials import Credentials
    from runtime.clock import Clock

_CONNECT_S: Final = 10.0
_TRY_VERSION_S: Final = 3.0
_PUT_SLICE_S: Final = 0.2
_VARIABLE_HEADER_MAX: Final = 70_000
_PING_NS: Final = SECOND
"""How often a PINGREQ is sent behind PUBACKs, to learn that they arrived."""
_REFUSED: Final = frozenset({"Bad user name or password", "Not authorized", "Banned", "Bad authentication method"})


class MqttMessage(msgspec.Struct, frozen=True):
    """One message as it came. `arrival` is our clock; `life` names the connection that must acknowledge it.

    `heard_at` is the arrival of this message, or of its first copy when the broker sends it again; `taken`: this
    very process took that first copy already, so that it needs to be acknowledged and nothing else.
    """

    topic: str
    payload: bytes
    qos: int
    retained: bool
    duplicate: bool
    arrival: Instant
    packet_id: int
    life: object
    heard_at: Instant
    taken: bool = False


class MqttSession:
    """One broker. `run_once` is one connection, `take` and `acknowledge` are the other side's."""

    def __init__(
        self,
        config: MqttConfig,
        *,
        client_id: str,
        subscriptions: Sequence[str],
        clock: Clock,
        book: HeardBook,
        credentials: Credentials | None = None,
    ) -> None:
        parts = urlsplit(config.url)
        self._host = parts.hostname or ""
        self._port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._tls = parts.scheme == "mqtts"
        self._config = config
        self._client_id = client_id
        self._subscriptions = list(subscriptions)
        self._clock = clock
        self._credentials = credentials
        self._book = book
        self._queue: deque[MqttMessage] = deque()
        self._capacity = config.inflight_max + 1
        self._room = threading.Event()
        self._arrived = asyncio.Event()
        self._woken = False
        self._ping_due_ns = 0
        self._life: _Life | None = None
        self._version: MQTTProtocolVersion | None = None
        self.connected_since: Instant | None = None

    @property
    def waiting(self) -> int:
        """Messages that crossed over and were not taken yet."""
        return len(self._queue)

    async def take(self, limit: int) -> list[MqttMessage]:
        """The messages that wait, at most `limit`, in order of arrival; waits for the first."""
        while True:
            # Before the look, so that whatever comes after it wakes us again.
            self._woken = False
            taken = [self._known(self._queue.popleft()) for _ in range(min(limit, len(self._queue)))]
            if taken:
                self._room.set()
                return taken
            self._arrived.clear()
            if not self._queue:
                await self._arrived.wait()

    def _known(self, message: MqttMessage) -> MqttMessage:
        if not message.qos:
            return message
        heard_at, taken = self._book.heard(
            message.packet_id, message.topic, message.payload, message.arrival, duplicate=message.duplicate
        )
        if heard_at == message.arrival and not taken:
            return message
        return msgspec.structs.replace(message, heard_at=heard_at, taken=taken)

    def acknowledge(self, messages: Sequence[MqttMessage]) -> int:
        """Tell the broker, in order; those of an earlier connection come again by themselves. Returns how many."""
        life = self._life
        if life is None:
            return 0
        packet_ids = [message.packet_id for message in messages if message.life is life and message.qos]
        for packet_id in packet_ids:
            self._book.acknowledged(packet_id)
        life.client.acknowledge(packet_ids)
        now_ns = self._clock.monotonic_ns()
        if packet_ids and now_ns >= self._ping_due_ns and life.client.ping():
            self._ping_due_ns = now_ns + _PING_NS
            life.pinged_at = self._book.sent
        return len(packet_ids)

    def _put(self, message: MqttMessage, life: _Life) -> None:
        """From paho's thread. A full queue stops the reading, and with it the broker."""
        while len(self._queue) >= self._capacity and not life.closing:
            self._room.clear()
            if len(self._queue) >= self._capacity:
                self._room.wait(_PUT_SLICE_S)
        if life.closing:
            return
        self._queue.append(message)
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):
                life.loop.call_soon_threadsafe(self._arrived.set)

    async def run_once(self) -> None:
        """Connect, subscribe and receive until the connection ends. Raises the SourceError that ended it."""
        versions = {
            "auto": [self._version] if self._version is not None else [MQTTv5, MQTTv311],
            "5": [MQTTv5],
            "3.1.1": [MQTTv311],
        }[self._config.protocol]
        for index, version in enumerate(versions):
            last = index + 1 == len(versions)
            try:
                await _Life(self, version, _CONNECT_S if last else _TRY_VERSION_S).run()
            except ProtocolViolation as error:
                self._version = None
                if error.reason != "protocol_version" or last:
                    raise

    def _enter(self, life: _Life, version: MQTTProtocolVersion) -> None:
        if not life.session_present:
            self._book.forget()
        self._life = life
        self._version = version
        self.connected_since = self._clock.now()

    def _leave(self) -> None:
        self._life = None
        self._book.unsure()
        self.connected_since = None


class _Life:
    """One connection; callbacks run in paho's thread and only cross over."""

    def __init__(self, session: MqttSession, version: MQTTProtocolVersion, reply_s: float) -> None:
        self._session = session
        self._reply_s = reply_s
        self._version = version
        self.loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self.loop.create_future()
        self._subscribed: asyncio.Future[None] = self.loop.create_future()
        self._ended: asyncio.Future[None] = self.loop.create_future()
        self.closing = False
        self.session_present = False
        self.pinged_at: int | None = None
        self.client = self._make()

    def _make(self) -> BrokerClient:
        config = self._session._config
        client = BrokerClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._session._client_id,
            clean_session=False if self._version == MQTTv311 else None,
            protocol=self._version,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.packet_bytes_max = config.max_payload_bytes + _VARIABLE_HEADER_MAX
        client.connect_timeout = _CONNECT_S
        credentials = self._session._credentials
        if credentials is not None:
            client.username_pw_set(credentials.user, credentials.password)
        if self._session._tls:
            client.tls_set_context(ssl.create_default_context(cafile=config.ca_file or None))
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publication = self._on_publication
        client.on_pong = self._on_pong
        return client

    async def run(self) -> None:
        session = self._session
        try:
            await self._open()
            session._enter(self, self._version)
            self._subscribe()
            await self._within(self._subscribed, "SUBSCRIBE")
            await asyncio.wait({self._ended})
            self._ended.result()
        finally:
            self.closing = True
            session._leave()
            await asyncio.shield(asyncio.to_thread(self._close))
            for future in (self._connected, self._subscribed, self._ended):
                _settle(future, None)

    async def _open(self) -> None:
        session, config = self._session, self._session._config
        properties: Properties | None = None
        more: dict[str, Any] = {}
        if self._version == MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = config.session_expiry_s
            properties.ReceiveMaximum = config.inflight_max
            more = {"clean_start": False}
        try:
            await asyncio.to_thread(
                self.client.connect,
                session._host,
                session._port,
                config.keepalive_s,
                properties=properties,
                **more,
            )
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SourceUnreachable(
                f"无法连接 MQTT 服务器 {session._host}:{session._port} (cannot connect): {cause}"
            ) from None
        self.client.loop_start()
        await self._within(self._connected, "CONNECT")

    async def _within(self, future: asyncio.Future[None], what: str) -> None:
        waiting: set[asyncio.Future[None]] = {future, self._ended}
        await asyncio.wait(waiting, timeout=self._reply_s, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            future.result()
        elif self._ended.done():
            self._ended.result()
        elif future is self._connected and self._version == MQTTv5:
            # A broker of 3.1.1 alone may also read the longer CONNECT of version 5 wrongly, and say nothing.
            raise _version_refused(self._session._host)
        else:
            raise SourceUnreachable(f"MQTT 服务器未应答 {what} (no reply in {self._reply_s:g} s)", reason="stall")

    def _subscribe(self) -> None:
        topics: list[Any]
        if self._version == MQTTv5:
            topics = [(each, SubscribeOptions(qos=1)) for each in self._session._subscriptions]
        else:
            topics = [(each, 1) for each in self._session._subscriptions]
        self.client.subscribe(topics)

    def _close(self) -> None:
        """Leave in order; the broker keeps the session. Runs in a thread: it joins paho's."""
        with suppress(OSError, ValueError):
            self.client.disconnect()
        self.client.loop_stop()

    def _cross(self, future: asyncio.Future[None], error: SourceError | None) -> None:
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_settle, future, error)

    def _on_connect(
        self, _client: Client, _data: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            self.session_present = flags.session_present
            self._cross(self._connected, None)
            return
        name = reason.getName()
        host = self._session._host
        error: SourceError
        if name in _REFUSED:
            error = SourceRefused(
                f"MQTT 服务器 {host} 拒绝登录 ({name}); 请检查 mqtt.credentials 与密钥文件 (secrets file)"
            )
        elif name == "Unsupported protocol version":
            error = _version_refused(host)
        else:
            error = SourceUnreachable(f"MQTT 服务器 {host} 拒绝连接 ({name})", reason="refused")
        self._cross(self._connected, error)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._cross(self._connected, SourceUnreachable(f"无法连接 MQTT 服务器 {self._session._host}"))

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not self._connected.done() and self._version == MQTTv5:
            # Brokers of MQTT 3.1.1 alone just hang up, or answer in a form that version 5 cannot read.
            self._cross(self._connected, _version_refused(self._session._host))
        sentence = f"与 MQTT 服务器 {self._session._host} 的连接结束 (the connection ended): {reason.getName()}"
        self._cross(self._ended, SourceUnreachable(sentence, reason="closed"))

    def _on_subscribe(
        self,
        _client: Client,
        _data: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refused = [
            topic for topic, each in zip(self._session._subscriptions, reasons, strict=False) if each.is_failure
        ]
        error = None
        if refused:
            error = SourceRefused(
                f"MQTT 服务器 {self._session._host} 拒绝订阅 {', '.join(refused)} (subscription refused); "
                "请检查账号的主题权限 (the account's rights)"
            )
        self._cross(self._subscribed, error)

    def _on_publication(self, publication: Publication) -> None:
        arrival = self._session._clock.now()
        message = MqttMessage(
            topic=publication.topic,
            payload=publication.payload,
            qos=publication.qos,
            retained=publication.retained,
            duplicate=publication.duplicate,
            arrival=arrival,
            packet_id=publication.packet_id,
            life=self,
            heard_at=arrival,
        )
        self._session._put(message, self)

    def _on_pong(self) -> None:
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle_pinged)

    def _settle_pinged(self) -> None:
        if self.pinged_at is not None and self._session._life is self:
            self._session._book.settle(self.pinged_at)
        self.pinged_at = None


def _version_refused(host: str) -> ProtocolViolation:
    return ProtocolViolation(
        f'MQTT 服务器 {host} 不支持此协议版本 (protocol version refused); 请设 mqtt.protocol = "3.1.1"',
        reason="protocol_version",
    )


def _settle(future: asyncio.Future[None], error: SourceError | None) -> None:
    """Give a future its outcome once; an error that nobody asks for any more is no complaint."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()
