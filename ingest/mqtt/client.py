"""paho's client, made for thousands of messages a second and for a peer that sends anything.

paho (its blocking network loop, reconnection apart) does the handshakes and keeps the connection alive. What it
does for each message costs more than judging the reading; that part is ours: bytes are read in large pieces, a
PUBLISH is parsed without paho's objects, PUBACKs leave many at a time.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Final

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MQTTException

from contracts.errors import MalformedMessage
from ingest.mqtt.packets import PUBACK, Publication, decode_publication, encode_pubacks

_CHUNK: Final = 65_536
_NOT_MQTT: Final = (
    MalformedMessage,
    MQTTException,
    struct.error,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
)
"""What paho raises from the bytes of a broker that does not speak MQTT."""


class BrokerClient(Client):
    """One connection. `on_publication` and `on_pong` are called in paho's thread.

    At most `packet_bytes_max` of any packet are kept in memory: paho collects a packet whole before anybody can
    look at it. Of a larger one the end is read and thrown away; what is left is still over the payload's bound,
    and the message is refused, counted and acknowledged as such.
    """

    packet_bytes_max: int = 1 << 20
    on_publication: Callable[[Publication], None]
    on_pong: Callable[[], None]
    _buffer: bytes = b""
    _at: int = 0
    _may_refill: bool = True
    _pongs: int = 0

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACKs in this order, in one write."""
        if packet_ids:
            self._packet_queue(PUBACK, encode_pubacks(packet_ids), 0, 0)

    def ping(self) -> bool:
        """Ask for a PINGRESP behind what was sent so far; False while an earlier one is outstanding."""
        if self._ping_t:
            return False
        self._send_pingreq()
        return True

    def _send_pingreq(self) -> MQTTErrorCode:
        """As paho's, from any thread.

        paho notes that a PINGRESP is due only after it sent the PINGREQ, so one that comes at once, in the other
        thread, would be waited for until the connection is given up.
        """
        before = self._pongs
        code = super()._send_pingreq()
        if self._pongs != before:
            self._ping_t = 0.0
        return code

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle what one look at the socket gave, however many packets; then what is written gets its turn."""
        try:
            while True:
                code = super().loop_read(max_packets)
                # The socket will not tell of what is already in our buffer.
                if code or self._at >= len(self._buffer):
                    return code
                self._may_refill = False
        finally:
            self._may_refill = True

    def _sock_recv(self, bufsize: int) -> bytes:
        packet = self._in_packet
        if not packet["have_remaining"] or len(packet["packet"]) < self.packet_bytes_max:
            return self._buffered(bufsize)
        for _ in range(16):
            if packet["to_process"] <= 1:
                return self._buffered(1)
            thrown = self._buffered(packet["to_process"] - 1)
            if not thrown:
                return thrown
            packet["to_process"] -= len(thrown)
        raise BlockingIOError

    def _buffered(self, size: int) -> bytes:
        if self._at >= len(self._buffer):
            if not self._may_refill:
                raise BlockingIOError
            self._buffer, self._at = super()._sock_recv(_CHUNK), 0
        found = self._buffer[self._at : self._at + size]
        self._at += len(found)
        return found

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """As paho's, but a connection that fails to be trusted is closed at once, not left to the collector."""
        assert self._ssl_context is not None
        secure = self._ssl_context.wrap_socket(tcp_sock, server_hostname=self._host, do_handshake_on_connect=False)
        try:
            secure.settimeout(self._connect_timeout)
            secure.do_handshake()
        except BaseException:
            secure.close()
            raise
        return secure

    def _packet_handle(self) -> MQTTErrorCode:
        try:
            return super()._packet_handle()
        except _NOT_MQTT:
            # Left to paho this would end its thread, and nobody would hear of the connection again.
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet
        version_5 = self._protocol == MQTTv5
        self.on_publication(decode_publication(packet["command"], packet["packet"], version_5=version_5))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pingresp(self) -> MQTTErrorCode:
        self._pongs += 1
        code = super()._handle_pingresp()
        self.on_pong()
        return code
