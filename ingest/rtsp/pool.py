"""What the connections of one event loop share: one receive buffer, and the sweep over all of them.

The sweep reads what low-water marks hide from the kernel's wake-ups, see ingest.rtsp.receive, and is the tick by
which each session finds its stalls and says its keep-alives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.instant import SECOND
from ingest.rtsp.message import MESSAGE_BYTES_MAX

if TYPE_CHECKING:
    from ingest.rtsp.receive import Connection
    from runtime.clock import Clock

_VISITS: Final = 2
"""A sweep looks at each socket so often, and reads those that were not read for as long as a sweep takes."""
_PARTS: Final = 8
"""Each visit takes the sockets in so many parts, so that none keeps the loop for long."""


class ReceivePool:
    """The buffer and the sweep that all connections of one event loop share.

    `sweep_s`: a socket that was not read for so long is read within half as long again. `low_water_bytes_max`: 0
    switches the marks off.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        buffer_bytes: int = 256 * 1024,
        sweep_s: float = 0.25,
        low_water_bytes_max: int = 16 * 1024,
    ) -> None:
        if buffer_bytes < 2 * (MESSAGE_BYTES_MAX + 4):
            raise ValueError("the receive buffer must hold at least two messages of 64 KiB")
        self.clock = clock
        self.buffer = bytearray(buffer_bytes)
        self.view = memoryview(self.buffer)
        self.low_water_bytes_max = low_water_bytes_max
        self._sweep_s = sweep_s
        self._connections: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        """Take part in the sweep."""
        self._connections[connection] = None

    def discard(self, connection: Connection) -> None:
        """Leave the sweep."""
        self._connections.pop(connection, None)

    async def sweep_forever(self) -> None:
        """Read what the marks hide, and let each session check itself once a sweep, until cancelled."""
        step_s = self._sweep_s / (_VISITS * _PARTS)
        due_ns = round(self._sweep_s * SECOND)
        step = 0
        while True:
            await self.clock.asleep(step_s)
            now_ns = self.clock.monotonic_ns()
            visit, part = divmod(step, _PARTS)
            checks = (visit + part) % _VISITS == 0
            for connection in list(self._connections)[part::_PARTS]:
                if now_ns - connection.last_read_ns >= due_ns:
                    connection.read()
                if checks:
                    self._check(connection, now_ns)
            step = (step + 1) % (_VISITS * _PARTS)

    @staticmethod
    def _check(connection: Connection, now_ns: int) -> None:
        try:
            connection.check(now_ns)
        except Exception as defect:  # noqa: BLE001 - one session's error must not end the sweep of all
            connection.fail_by_defect(defect)
