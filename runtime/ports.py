"""TCP ports that a start needs: asked for before any process is started, so that the refusal is one sentence."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from contracts.errors import ConfigError


@dataclass(frozen=True, slots=True)
class NeededPort:
    """A port that one of our processes will listen on, and the key that sets it, e.g. `[api].port`."""

    host: str
    port: int
    key: str


def check_free(needed: Iterable[NeededPort]) -> None:
    """Bind each port for a moment, all at once, without listening; port 0 (any) is passed over.

    Raises ConfigError when one is taken, by another program or by another of `needed`, or cannot be bound.
    """
    with ExitStack() as held:
        for each in needed:
            if each.port:
                held.enter_context(_bound(each))


def _bound(needed: NeededPort) -> socket.socket:
    try:
        found = socket.getaddrinfo(needed.host.strip("[]") or None, needed.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        probe = socket.socket(family, kind, protocol)
        try:
            # As our servers do it: connections of an earlier run that still close are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # With SO_REUSEADDR two may bind the same port, but only one may listen on it.
            probe.listen(1)
        except OSError:
            probe.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"端口 {needed.port} 已被占用或无法监听 (port on {needed.host}: {error.strerror or error}); "
            f"请先停止另一个运行, 或更换 {needed.key} (stop the other run, or change {needed.key})"
        ) from None
    return probe
