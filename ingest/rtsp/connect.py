"""Opening the TCP connection of a session."""

from __future__ import annotations

import asyncio
import socket

from contracts.errors import SourceUnreachable


async def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """A connected non-blocking TCP socket. Raises SourceUnreachable within `timeout_s`."""
    loop = asyncio.get_running_loop()
    cause = "no address"
    try:
        async with asyncio.timeout(timeout_s):
            for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                attempt = socket.socket(family, kind, protocol)
                try:
                    attempt.setblocking(False)
                    attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    await loop.sock_connect(attempt, address)
                except OSError as error:
                    attempt.close()
                    cause = error.strerror or str(error)
                except BaseException:
                    attempt.close()
                    raise
                else:
                    return attempt
    except TimeoutError:
        cause = f"no answer within {timeout_s:g} s"
    except OSError as error:
        cause = error.strerror or str(error)
    raise SourceUnreachable(f"无法连接 {host}:{port} (cannot connect): {cause}", reason="unreachable")
