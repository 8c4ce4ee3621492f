"""The live link: /api/v1/live (WebSocket)."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from dashboard_api.services import Api
from dashboard_api.wall_session import Close, WallSession

router = APIRouter()


@router.websocket("/api/v1/live")
async def live(api: Api, websocket: WebSocket) -> None:
    """Sends `snapshot` (or `resumed` for `?after=<sequence>`), then `changes` in order, and `heartbeat`s.

    Messages are JSON objects with `type`; `waiting` says that the database is not there yet. A wall that comes
    back names the last `seq` it has and misses nothing; if the changes after it are no longer stored, it gets a
    new snapshot. What a wall sends is ignored.
    """
    await websocket.accept()
    after = websocket.query_params.get("after", "")
    with suppress(WebSocketDisconnect):
        if after and not (after.isascii() and after.isdigit() and len(after) <= 18):
            await websocket.close(Close.BAD_CURSOR, "after 应为整数 (after must be a sequence number)")
            return
        if api.feed.walls >= api.config.live_clients_max:
            api.counters.count("live_walls_refused", "full")
            await websocket.close(Close.FULL, "连接数已满, 请稍后再试 (too many walls; try later)")
            return
        api.counters.count("live_walls_connected")
        session = WallSession(
            websocket, api.feed, api.config, api.clock, api.counters, int(after) if after else None
        )
        await session.run()
