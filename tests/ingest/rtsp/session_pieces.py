"""What the tests of a session and of its connection share."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from contracts.instant import SECOND
from ingest.rtsp.credentials import Credentials
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.received import ReceivedPicture, StreamInfo
from ingest.rtsp.session import RtspSession, SessionLimits
from runtime.clock import SystemClock


@asynccontextmanager
async def receiving() -> AsyncIterator[ReceivePool]:
    pool = ReceivePool(SystemClock(), sweep_s=0.02)
    sweep = asyncio.create_task(pool.sweep_forever())
    yield pool
    sweep.cancel()
    with suppress(asyncio.CancelledError):
        await sweep
    assert len(pool) == 0, "every connection is given back"


def sender_report(wall_ns: int, rtp_time: int) -> bytes:
    seconds, rest = divmod(wall_ns, SECOND)
    return struct.pack(
        "!BBHIIIIII", 0x80, 200, 6, 0x1234ABCD, seconds + 2_208_988_800, (rest << 32) // SECOND, rtp_time, 9, 9
    )


class Watcher:
    """Takes what a session gives."""

    def __init__(self) -> None:
        self.pictures: list[ReceivedPicture] = []
        self.infos: list[StreamInfo] = []
        self.changed = asyncio.Event()

    def playing(self, info: StreamInfo) -> None:
        self.infos.append(info)
        self.changed.set()

    def picture(self, picture: ReceivedPicture) -> None:
        self.pictures.append(picture)
        self.changed.set()

    async def until_pictures(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.pictures) < count:
                self.changed.clear()
                await self.changed.wait()


def session(
    pool: ReceivePool,
    url: str,
    watcher: Watcher,
    *,
    password: str | None = None,
    stall_s: float = 10.0,
    reply_s: float = 5.0,
) -> RtspSession:
    return RtspSession(
        url,
        source_id="cam-1",
        clock=SystemClock(),
        pool=pool,
        receiver=watcher,
        credentials=Credentials("admin", password) if password is not None else None,
        limits=SessionLimits(connect_s=2.0, reply_s=reply_s, stall_s=stall_s),
    )
