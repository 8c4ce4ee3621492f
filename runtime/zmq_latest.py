"""The Latest link over ZeroMQ: the publisher binds a ROUTER, each puller connects a DEALER to every publisher.

Puller to publisher: [b"H", incarnation, limit] asks for headers (answered when there are some, one question open
per puller), [b"P", request id, wants] asks for pictures. Publisher to puller: [b"H", headers, notices],
[b"P", request id, header, data, header, data...]. Headers travel in batches, notices with them; bytes only when
wanted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import zmq
import zmq.asyncio

from contracts.frame import ActivityNotice, Frame, FrameHeader
from contracts.instant import SECOND
from contracts.wire import DOES_NOT_PARSE
from runtime.latest import LatestStore
from runtime.listener import Listener
from runtime.zmq_socket import close_socket, open_socket, receive, receive_now, send_now

if TYPE_CHECKING:
    from runtime.clock import Clock

_headers_decoder = msgspec.msgpack.Decoder(list[FrameHeader])
_notices_decoder = msgspec.msgpack.Decoder(list[ActivityNotice])
_header_decoder = msgspec.msgpack.Decoder(FrameHeader)
_wants_decoder = msgspec.msgpack.Decoder(list[tuple[str, int]])
_encoder = msgspec.msgpack.Encoder()
_GATHER_S = 0.02
_ASK_AGAIN_NS = 2 * SECOND
_PULL_TIMEOUT_S = 2.0


class ZmqLatestPublisher:
    """Ingest's end. Made inside the running event loop."""

    def __init__(self, endpoint: str, store: LatestStore, clock: Clock) -> None:
        self._clock = clock
        self._store = store
        self._credit: dict[bytes, int] = {}
        self._lives: dict[bytes, bytes] = {}
        self.malformed = 0
        self._socket = open_socket(zmq.ROUTER, endpoint, bind=True, hwm=1_000)

    def offer(self, header: FrameHeader, data: bytes) -> None:
        """See LatestPublisher."""
        self._store.put(header, data)

    def notice(self, notice: ActivityNotice) -> None:
        """See LatestPublisher."""
        self._store.put_notice(notice)

    def forget(self, source_id: str) -> None:
        """See LatestPublisher."""
        self._store.forget(source_id)

    async def serve(self) -> None:
        """See LatestPublisher. Headers are gathered for 20 ms, so a thousand cameras make few messages."""
        try:
            while True:
                parts = await receive(self._socket, _GATHER_S)
                while parts is not None:
                    self._answer(parts)
                    parts = receive_now(self._socket)
                self._announce()
        finally:
            close_socket(self._socket)

    def _answer(self, parts: list[bytes]) -> None:
        match parts:
            case [puller, b"H", life, limit]:
                if self._lives.get(puller) != life:
                    if len(self._lives) > 100:
                        self._lives.clear()
                    self._lives[puller] = life
                    # Older questions may be a dead puller's, whose end the socket has not noticed yet: an answer
                    # would be lost with its pipe, and the new puller never hear of those pictures. Who lives asks
                    # again.
                    self._credit.clear()
                    self._store.announce_all_again()
                self._credit[puller] = int.from_bytes(limit, "big")
            case [puller, b"P", request, wants]:
                self._hand_over(puller, request, wants)
            case _:
                self.malformed += 1

    def _hand_over(self, puller: bytes, request: bytes, wants: bytes) -> None:
        try:
            names = _wants_decoder.decode(wants)
        except DOES_NOT_PARSE:
            self.malformed += 1
            return
        message = [puller, b"P", request]
        frames = [frame for name in names if (frame := self._store.get(*name)) is not None]
        for frame in frames:
            message += [_encoder.encode(frame.header), frame.data]
        if not send_now(self._socket, message):
            for frame in frames:
                self._store.give_back(frame)

    def _announce(self) -> None:
        for puller in list(self._credit):
            headers = self._store.take_headers(self._credit[puller])
            notices = self._store.take_notices(self._credit[puller])
            if headers or notices:
                del self._credit[puller]
                if not send_now(self._socket, [puller, b"H", _encoder.encode(headers), _encoder.encode(notices)]):
                    # A puller that was killed leaves its question behind; its successor must hear of these.
                    self._store.put_back(headers)
                    for notice in notices:
                        self._store.put_notice(notice)


class _Peer:
    """A puller's connection to one publisher."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self.socket = socket
        self.asked_ns = -_ASK_AGAIN_NS
        self.pulls: dict[bytes, asyncio.Future[list[Frame]]] = {}


class ZmqLatestPuller:
    """Inference's end, for one or more publishers. Made inside the running event loop."""

    def __init__(self, endpoints: Sequence[str], clock: Clock, *, credit: int = 256) -> None:
        self._clock = clock
        self._credit = credit
        self._life = int(clock.now()).to_bytes(8, "big")
        self._request = 0
        self._headers: OrderedDict[str | tuple[str, int], tuple[FrameHeader, _Peer]] = OrderedDict()
        self._notices: OrderedDict[str, ActivityNotice] = OrderedDict()
        self._news = False
        self._origin: dict[str, _Peer] = {}
        self._arrived = asyncio.Event()
        self.malformed = 0
        self._peers = [_Peer(open_socket(zmq.DEALER, each, bind=False, hwm=1_000)) for each in endpoints]
        self._listeners = [
            Listener(name, self._listen(peer), self._arrived.set)
            for name, peer in zip(endpoints, self._peers, strict=True)
        ]

    @property
    def open_pulls(self) -> int:
        """Questions for pictures that wait for their answer."""
        return sum(len(peer.pulls) for peer in self._peers)

    async def headers(self, *, limit: int, wait_s: float) -> list[FrameHeader]:
        """See LatestPuller."""
        if not self._headers and not self._news:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()
        self._check()
        # Once: who takes no notices must not be woken for them again and again.
        self._news = False
        taken: list[FrameHeader] = []
        while self._headers and len(taken) < limit:
            _, (header, peer) = self._headers.popitem(last=False)
            self._origin[header.source_id] = peer
            taken.append(header)
        return taken

    def notices(self) -> list[ActivityNotice]:
        """See LatestPuller."""
        taken = list(self._notices.values())
        self._notices.clear()
        return taken

    async def pull(self, wants: Sequence[tuple[str, int]]) -> list[Frame]:
        """See LatestPuller. A publisher that does not answer within 2 s counts as having nothing."""
        self._check()
        by_peer: dict[int, tuple[_Peer, list[tuple[str, int]]]] = {}
        for source_id, sequence in wants:
            peer = self._origin.get(source_id)
            if peer is not None:
                by_peer.setdefault(id(peer), (peer, []))[1].append((source_id, sequence))
        waiting: list[tuple[_Peer, bytes, asyncio.Future[list[Frame]]]] = []
        for peer, names in by_peer.values():
            self._request += 1
            request = self._request.to_bytes(8, "big")
            future: asyncio.Future[list[Frame]] = asyncio.get_running_loop().create_future()
            if send_now(peer.socket, [b"P", request, _encoder.encode(names)]):
                peer.pulls[request] = future
                waiting.append((peer, request, future))
        if not waiting:
            return []
        try:
            await asyncio.wait([future for _, _, future in waiting], timeout=_PULL_TIMEOUT_S)
        finally:
            for peer, request, _ in waiting:
                peer.pulls.pop(request, None)
        return [frame for _, _, future in waiting if future.done() for frame in future.result()]

    def _check(self) -> None:
        for listener in self._listeners:
            listener.check()

    async def _listen(self, peer: _Peer) -> None:
        while True:
            idle_ns = self._clock.monotonic_ns() - peer.asked_ns
            if idle_ns >= _ASK_AGAIN_NS and len(self._headers) < self._credit * 4:
                # Asked again after a silence too: the publisher may have been started anew meanwhile.
                peer.asked_ns = self._clock.monotonic_ns()
                send_now(peer.socket, [b"H", self._life, self._credit.to_bytes(4, "big")])
            parts = await receive(peer.socket, 0.5)
            while parts is not None:
                self._on_message(peer, parts)
                parts = receive_now(peer.socket)

    def _on_message(self, peer: _Peer, parts: list[bytes]) -> None:
        try:
            match parts:
                case [b"H", data, notices]:
                    for notice in _notices_decoder.decode(notices):
                        self._notices.pop(notice.source_id, None)
                        self._notices[notice.source_id] = notice
                        self._news = True
                    for header in _headers_decoder.decode(data):
                        # Every picture of a promoted source counts; of others the newest does.
                        key = (header.source_id, header.sequence) if header.promoted else header.source_id
                        self._headers.pop(key, None)
                        self._headers[key] = (header, peer)
                    self._arrived.set()
                    peer.asked_ns = -_ASK_AGAIN_NS
                case [b"P", request, *rest] if len(rest) % 2 == 0:
                    future = peer.pulls.get(request)
                    if future is not None and not future.done():
                        pairs = zip(rest[::2], rest[1::2], strict=True)
                        future.set_result([Frame(header=_header_decoder.decode(h), data=d) for h, d in pairs])
                case _:
                    self.malformed += 1
        except DOES_NOT_PARSE:
            self.malformed += 1

    async def close(self) -> None:
        """See LatestPuller."""
        for listener in self._listeners:
            await listener.close()
        for peer in self._peers:
            close_socket(peer.socket)
