"""Names of hosts: told from addresses, and looked up in threads of their own.

A resolver that is silent keeps a thread for half a minute. In the event loop's own threads such names would hold
up everything that waits for one, and cameras that are named by address need none at all.
"""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

RESOLVERS: Final = ThreadPoolExecutor(16, thread_name_prefix="names")
"""Begins no thread before the first name."""


def is_address(host: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, with or without a zone, and not a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def look_up(host: str, port: int | None = None) -> Future[list[Any]]:
    """As getaddrinfo for TCP, elsewhere; its outcome may be an OSError or, for what is no name, a UnicodeError."""
    return RESOLVERS.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
