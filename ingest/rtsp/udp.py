"""RTP and RTCP over UDP (RFC 3550, 11), for servers that refuse TCP: two ports, packets put in order.

Only datagrams of the server's addresses are taken. A packet that comes early waits in a small buffer, at most 64
packets and 100 ms; then the gap is loss. What comes after its turn is counted and dropped.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from contracts.errors import SourceUnreachable
from contracts.instant import SECOND
from ingest.names import is_address
from ingest.rtsp.connect import OUT_OF_FILES, out_of_files
from ingest.rtsp.rtp import RTP, RTP_HEADER_BYTES, payload_bounds

if TYPE_CHECKING:
    from ingest.rtsp.assembly import Octets
    from ingest.rtsp.depacketize import Depacketizer
    from ingest.rtsp.pool import ReceivePool

_HELD_MAX: Final = 64
_HELD_NS: Final = SECOND // 10
_DATAGRAMS_PER_WAKE_UP: Final = 128
_RECEIVE_BUFFER_BYTES: Final = 1 << 20
_STALE_PACKETS: Final = 16
_HALF: Final = 0x8000
_PUNCH: Final = b"\x80\x00" + bytes(10)
_RTCP_PUNCH: Final = b"\x80\xc9\x00\x01" + bytes(4)


class UdpPorts:
    """Pairs of an even port for RTP and the odd one above it for RTCP, out of `first` to `last`."""

    def __init__(self, first: int = 20_000, last: int = 29_999) -> None:
        """Raises ValueError when there is no pair in the range."""
        self._first = first + first % 2
        self._pairs = (last + 1 - self._first) // 2
        if not 1024 <= first <= last <= 65_535 or self._pairs < 1:
            raise ValueError(f"UDP 端口范围 {first}-{last} 无效 (it must hold a pair within 1024 and 65535)")
        self._next = 0

    def open(self, address: str) -> tuple[socket.socket, socket.socket]:
        """Two bound sockets. Raises SourceUnreachable, `udp_ports_exhausted`, when all pairs are taken."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for _ in range(self._pairs):
            port = self._first + 2 * self._next
            self._next = (self._next + 1) % self._pairs
            pair: list[socket.socket] = []
            try:
                for offset in (0, 1):
                    pair.append(socket.socket(family, socket.SOCK_DGRAM))
                    pair[offset].setblocking(False)
                    pair[offset].bind((address, port + offset))
                pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            except OSError as error:
                for each in pair:
                    each.close()
                if error.errno in OUT_OF_FILES:
                    raise out_of_files() from None
                continue
            return pair[0], pair[1]
        raise SourceUnreachable(
            "UDP 端口已用尽 (no free pair of UDP ports); 请扩大 udp_port 范围", reason="udp_ports_exhausted"
        )


class Reorder:
    """Packets by sequence number: `take(data, start, end, now_ns)` in any order, `deliver(data, start, end)` in
    order.

    `late`: packets that came after their turn, duplicates included. Bounded by `_HELD_MAX` packets and `_HELD_NS`.
    """

    def __init__(self, deliver: Callable[[Octets, int, int], None]) -> None:
        self.late = 0
        self._deliver = deliver
        self._expected = -1
        self._held: dict[int, bytes] = {}
        self._since_ns = 0
        self._stale = 0
        self._stale_next = -1

    def take(self, data: Octets, start: int, end: int, now_ns: int) -> None:
        """One RTP packet of at least 12 bytes."""
        sequence = data[start + 2] << 8 | data[start + 3]
        ahead = (sequence - self._expected) & 0xFFFF if self._expected >= 0 else 0
        if ahead >= _HALF and not self._begins_anew(sequence):
            self.late += 1
            return
        if ahead >= _HALF or not ahead:
            if ahead >= _HALF:
                self._release_all()
            self._stale = 0
            self._expected = (sequence + 1) & 0xFFFF
            self._deliver(data, start, end)
            if self._held:
                self._release(now_ns)
            return
        if sequence in self._held:
            self.late += 1
            return
        if not self._held:
            self._since_ns = now_ns
        self._held[sequence] = bytes(data[start:end])
        if len(self._held) > _HELD_MAX:
            self._skip(now_ns)

    def check(self, now_ns: int) -> None:
        """Give up on gaps that were not filled in time."""
        while self._held and now_ns - self._since_ns > _HELD_NS:
            self._skip(now_ns)

    def _begins_anew(self, sequence: int) -> bool:
        """Several late packets in a row, in order: the sender counts anew."""
        self._stale = self._stale + 1 if sequence == self._stale_next else 1
        self._stale_next = (sequence + 1) & 0xFFFF
        return self._stale >= _STALE_PACKETS

    def _skip(self, now_ns: int) -> None:
        """The gap in front of the earliest packet is loss."""
        self._expected = min(self._held, key=lambda each: (each - self._expected) & 0xFFFF)
        self._release(now_ns)

    def _release(self, now_ns: int) -> None:
        while (packet := self._held.pop(self._expected, None)) is not None:
            self._expected = (self._expected + 1) & 0xFFFF
            self._deliver(packet, 0, len(packet))
        # Another gap waits its own time from here.
        self._since_ns = now_ns

    def _release_all(self) -> None:
        for sequence in sorted(self._held, key=lambda each: (each - self._expected) & 0xFFFF):
            packet = self._held[sequence]
            self._deliver(packet, 0, len(packet))
        self._held.clear()


class UdpTrack:
    """The two sockets of one track. Attributes are totals, as those of Connection.

    `foreign`: datagrams of another address; `packets_late`: after their turn. Use `start` once SETUP is answered.
    """

    def __init__(
        self,
        pool: ReceivePool,
        ports: UdpPorts,
        local: str,
        depacketizer: Depacketizer,
        on_rtcp: Callable[[Octets, int, int], None],
    ) -> None:
        """Raises SourceUnreachable when no ports are free."""
        self._pool = pool
        self._depacketizer = depacketizer
        self._on_rtcp = on_rtcp
        self._loop = asyncio.get_running_loop()
        self._rtp, self._rtcp = ports.open(local)
        self.port: int = self._rtp.getsockname()[1]
        self._peers: dict[str, str] = {}
        self._heard = False
        self._server_port: int | None = None
        self._rtcp_to: tuple[str, int] | None = None
        self._reorder = Reorder(self._packet)
        self.last_read_ns = pool.clock.monotonic_ns()
        self.bytes_received = 0
        self.packets_malformed = 0
        self.foreign = 0
        self._closed = False

    @property
    def packets_late(self) -> int:
        """Packets that came after their turn, duplicates included."""
        return self._reorder.late

    def start(self, peer: str, server_port: int | None, source: str = "") -> None:
        """Receive from `peer`, whom we are connected to, and from `source`, where SETUP said that RTP comes from.

        A few bytes go to their ports first, so that NAT and firewalls let packets in. A recorder behind NAT names
        its inner address, hence both. A source by name is not looked up: that would stop the event loop.
        """
        self._peers = {_plain(each): each for each in (peer, source) if each == peer or is_address(each)}
        self._server_port = server_port
        if server_port is not None:
            for each in self._peers.values():
                self._rtcp_to = (each, server_port + 1)
                for where, port, data in (
                    (self._rtp, server_port, _PUNCH),
                    (self._rtcp, server_port + 1, _RTCP_PUNCH),
                ):
                    with suppress(OSError):
                        where.sendto(data, (each, port))
        self._loop.add_reader(self._rtp.fileno(), self._read_rtp)
        self._loop.add_reader(self._rtcp.fileno(), self._read_rtcp)

    def send_rtcp(self, body: bytes) -> None:
        """Send a compound packet; UDP promises nothing, so failures are none."""
        if self._rtcp_to is not None and not self._closed:
            with suppress(OSError):
                self._rtcp.sendto(body, self._rtcp_to)

    def check(self, now_ns: int) -> None:
        """The sweep's call."""
        self._reorder.check(now_ns)

    def close(self) -> None:
        """Give the ports back; harmless when done twice."""
        if self._closed:
            return
        self._closed = True
        for each in (self._rtp, self._rtcp):
            self._loop.remove_reader(each.fileno())
            each.close()

    def _read_rtp(self) -> None:
        """All that waits, up to a bound: the loop has other sockets."""
        view = self._pool.view
        now_ns = self._pool.clock.monotonic_ns()
        for _ in range(_DATAGRAMS_PER_WAKE_UP):
            count = self._receive(self._rtp)
            if count < 0:
                break
            if count < RTP_HEADER_BYTES or view[0] >> 6 != 2:
                # Empty ones open firewalls; they are no error.
                self.packets_malformed += 1 if count else 0
                continue
            self.last_read_ns = now_ns
            self._reorder.take(view, 0, count, now_ns)
        self._reorder.check(now_ns)

    def _read_rtcp(self) -> None:
        for _ in range(_DATAGRAMS_PER_WAKE_UP):
            count = self._receive(self._rtcp)
            if count < 0:
                break
            if count and not self._closed:
                self._on_rtcp(self._pool.view, 0, count)

    def _receive(self, where: socket.socket) -> int:
        """Bytes of the next datagram in the pool's buffer, 0 for one that is not for us, -1 when none waits."""
        if self._closed:
            return -1
        try:
            count, address = where.recvfrom_into(self._pool.view)
        except (BlockingIOError, InterruptedError):
            return -1
        except OSError:
            # An ICMP error of an earlier packet: the server's stall is found by the session.
            return 0
        self.bytes_received += count
        if _plain(address[0]) not in self._peers:
            self.foreign += 1
            return 0
        if where is self._rtcp and self._rtcp_to is None:
            self._rtcp_to = (address[0], address[1])
        elif where is self._rtp and not self._heard:
            self._heard = True
            if self._server_port is not None:
                self._rtcp_to = (address[0], self._server_port + 1)
        return count

    def _packet(self, data: Octets, start: int, end: int) -> None:
        flags, kind, sequence, timestamp = RTP.unpack_from(data, start)
        bounds = payload_bounds(data, start, end, flags)
        if bounds is None:
            self.packets_malformed += 1
            bounds = (end, end)
        self._depacketizer.packet(data, *bounds, sequence, timestamp, kind >= 0x80)


def _plain(address: str) -> str:
    """The address without a zone, and IPv4 as such when it is mapped into IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
