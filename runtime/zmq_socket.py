"""ZeroMQ sockets of one process: one context, sane options, and receiving that never loses a message."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import zmq
import zmq.asyncio

from contracts.errors import LinkError
from runtime.lock import FileLock

MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Larger messages on a link between our own processes are refused by the socket."""


def open_socket(kind: int, endpoint: str, *, bind: bool, hwm: int, identity: bytes = b"") -> zmq.asyncio.Socket:
    """An asyncio socket, bound or connected. `hwm` messages wait at most, each way and per peer.

    A message to a peer of a ROUTER that went away is refused (`send_now` says False), not dropped in silence.
    Raises LinkError when the endpoint cannot be bound (its folder is made if missing), also when another process
    has bound it: ZeroMQ itself would take a Unix socket away from its owner without a word.
    """
    socket = zmq.asyncio.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, hwm)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    if kind == zmq.ROUTER:
        # A producer that was killed comes back under its old name at once.
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    if kind == zmq.SUB:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    if identity:
        socket.setsockopt(zmq.IDENTITY, identity)
    try:
        if bind:
            if endpoint.startswith("ipc://"):
                _locks[socket.underlying] = FileLock(Path(endpoint.removeprefix("ipc://")).with_suffix(".lock"))
            socket.bind(endpoint)
        else:
            socket.connect(endpoint)
    except (zmq.ZMQError, OSError) as error:
        close_socket(socket)
        raise LinkError(f"the link {endpoint} cannot be opened ({error}); does another process use it?") from None
    return socket


async def receive(socket: zmq.asyncio.Socket, wait_s: float) -> list[bytes] | None:
    """One multipart message, or None after `wait_s`; cancelling it loses nothing."""
    parts = receive_now(socket)
    if parts is not None or wait_s <= 0:
        return parts
    if await socket.poll(max(1, round(wait_s * 1000))):
        return receive_now(socket)
    return None


def receive_now(socket: zmq.asyncio.Socket) -> list[bytes] | None:
    """What waits in the socket already, else None; never waits."""
    try:
        return zmq.Socket.recv_multipart(_plain(socket), zmq.NOBLOCK)
    except zmq.Again:
        return None


def send_now(socket: zmq.asyncio.Socket, parts: list[bytes]) -> bool:
    """Hand a message to the socket; False when it is full or the peer is gone: the caller says what then."""
    try:
        zmq.Socket.send_multipart(_plain(socket), parts, zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return False
        raise
    finally:
        # The socket's descriptor is edge-triggered and sending, refused or not, may have eaten the edge of an
        # arrival: asking for the events makes the loop look again on behalf of whoever waits in `receive`.
        socket.get(zmq.EVENTS)
    return True


def _plain(socket: zmq.asyncio.Socket) -> zmq.Socket[bytes]:
    shadow = _shadows.get(socket.underlying)
    if shadow is None:
        shadow = zmq.Socket.shadow(socket.underlying)
        _shadows[socket.underlying] = shadow
    return shadow


_shadows: dict[int, zmq.Socket[bytes]] = {}


def close_socket(socket: zmq.asyncio.Socket) -> None:
    """Close; what is not yet sent is dropped. Closing twice does nothing."""
    if socket.closed:
        return
    key = socket.underlying
    _shadows.pop(key, None)
    socket.close()
    lock = _locks.pop(key, None)
    if lock is not None:
        lock.close()


_locks: dict[int, FileLock] = {}
