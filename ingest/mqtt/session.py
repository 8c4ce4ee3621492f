"""The connection to an MQTT broker: persistent session, QoS 1, acknowledged by hand after commit.

paho-mqtt's blocking network loop runs in a thread of its own; messages cross into the event loop through a bounded
queue. A full queue stops the reading (and with it the broker); nothing is ever dropped here.
"""

from __future__ import annotations

import asyncio
import queue
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from contracts.errors import ProtocolViolation, SourceError, SourceRefused, SourceUnreachable
from contracts.instant import Instant

if TYPE_CHECKING:
    from ingest.config import MqttConfig
    from ingest.rtsp.credentials import Credentials
    from runtime.clock import Clock

_CONNECT_S: Final = 10.0
_TRY_VERSION_S: Final = 3.0
_PUT_SLICE_S: Final = 0.2
_VARIABLE_HEADER_MAX: Final = 70_000
_DISCARD_CHUNK: Final = 65_536
_REFUSED: Final = frozenset({"Bad user name or password", "Not authorized", "Banned", "Bad authentication method"})


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """One message as it came. `arrival` is our clock; `life` names the connection that must acknowledge it."""

    topic: str
    payload: bytes
    qos: int
    retained: bool
    duplicate: bool
    arrival: Instant
    packet_id: int
    life: object


class BoundedClient(Client):
    """paho's client that keeps at most `packet_bytes_max` of any packet in memory.

    paho collects a packet whole before anybody can look at it. Of a larger one the end is read and thrown away;
    what is left is still over the payload's bound, and the message is refused, counted and acknowledged as such.
    """

    packet_bytes_max: int = 1 << 20

    def _sock_recv(self, bufsize: int) -> bytes:
        packet = self._in_packet
        if not packet["have_remaining"] or len(packet["packet"]) < self.packet_bytes_max:
            return super()._sock_recv(min(bufsize, _DISCARD_CHUNK))
        for _ in range(16):
            if packet["to_process"] <= 1:
                return super()._sock_recv(1)
            thrown = super()._sock_recv(min(packet["to_process"] - 1, _DISCARD_CHUNK))
            if not thrown:
                return thrown
            packet["to_process"] -= len(thrown)
        raise BlockingIOError


class MqttSession:
    """One broker. `run_once` is one connection, `take` and `acknowledge` are the other side's."""

    def __init__(
        self,
        config: MqttConfig,
        *,
        client_id: str,
        subscriptions: Sequence[str],
        clock: Clock,
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
        self._queue: queue.Queue[MqttMessage] = queue.Queue(config.inflight_max + 1)
        self._arrived = asyncio.Event()
        self._life: _Life | None = None
        self._version: MQTTProtocolVersion | None = None
        self.connected_since: Instant | None = None

    @property
    def waiting(self) -> int:
        """Messages that crossed over and were not taken yet."""
        return self._queue.qsize()

    async def take(self, limit: int) -> list[MqttMessage]:
        """The messages that wait, at most `limit`, in order of arrival; waits for the first."""
        while True:
            taken: list[MqttMessage] = []
            with suppress(queue.Empty):
                while len(taken) < limit:
                    taken.append(self._queue.get_nowait())
            if taken:
                return taken
            self._arrived.clear()
            if self._queue.empty():
                await self._arrived.wait()

    def acknowledge(self, messages: Sequence[MqttMessage]) -> int:
        """Tell the broker, in order; those of an earlier connection come again by themselves. Returns how many."""
        life = self._life
        done = 0
        for message in messages:
            if life is not None and message.life is life and message.qos:
                life.client.ack(message.packet_id, message.qos)
                done += 1
        return done

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
        self._life = life
        self._version = version
        self.connected_since = self._clock.now()

    def _leave(self) -> None:
        self._life = None
        self.connected_since = None


class _Life:
    """One connection; callbacks run in paho's thread and only cross over."""

    def __init__(self, session: MqttSession, version: MQTTProtocolVersion, reply_s: float) -> None:
        self._session = session
        self._reply_s = reply_s
        self._version = version
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._subscribed: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self.client = self._make()

    def _make(self) -> BoundedClient:
        config = self._session._config
        client = BoundedClient(
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
        client.on_message = self._on_message
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
            self._closing = True
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
            self._loop.call_soon_threadsafe(_settle, future, error)

    def _on_connect(
        self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not reason.is_failure:
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

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        session = self._session
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\ufffd"
        crossing = MqttMessage(
            topic=topic,
            payload=bytes(message.payload),
            qos=message.qos,
            retained=message.retain,
            duplicate=message.dup,
            arrival=session._clock.now(),
            packet_id=message.mid,
            life=self,
        )
        while not self._closing:
            try:
                session._queue.put(crossing, timeout=_PUT_SLICE_S)
            except queue.Full:
                continue
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(session._arrived.set)
            return


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
