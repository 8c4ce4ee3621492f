"""Where the streams of a load server are asked for: all at one address, or spread over many of this machine."""

from __future__ import annotations

from typing import Final

_HOSTS_A_NET: Final = 250


def loopback(number: int) -> str:
    """An address of this machine (127.0.0.0/8), another for each number up to 62,500."""
    return f"127.0.{1 + number // _HOSTS_A_NET % _HOSTS_A_NET}.{1 + number % _HOSTS_A_NET}"


def server_template(port: int, hosts: int) -> str:
    """The URL of our load server's streams, with `{i}`, and with `{host}` when there are several hosts."""
    return f"rtsp://{'127.0.0.1' if hosts == 1 else '{host}'}:{port}/cam/{{i}}"


def stream_url(template: str, number: int, hosts: int = 1) -> str:
    """The URL of one stream; the streams take turns at the hosts."""
    return template.replace("{i}", str(number)).replace("{host}", loopback(number % hosts))
