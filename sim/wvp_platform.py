"""A WVP-GB28181-pro as its REST interface shows it: envelope, login with MD5 and token, paging, play, playback.

A real HTTP server over its own device table; what streams it names is up to the test (a real RTSP server's).
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from runtime.clock import SystemClock

USER, PASSWORD = "gridwhistle", "s3cret-of-the-platform"


class WvpPlatform:
    """Its state, which tests read and change at any time."""

    def __init__(self) -> None:
        self.devices: dict[str, dict[str, Any]] = {}
        self.channels: dict[str, list[dict[str, Any]]] = {}
        self.stream_url = "rtsp://127.0.0.1:1/{device}/{channel}"
        self.tokens: set[str] = set()
        self.logins = 0
        self.password = PASSWORD
        self.requests: list[str] = []
        self.fails: dict[str, tuple[int, dict[str, Any] | None]] = {}
        """Path to HTTP status and body instead of the answer."""
        self.unplayable: set[str] = set()
        self.url = ""
        self.port = 0

    def add(self, device: str, count: int, **more: Any) -> None:
        """A device with `count` camera channels."""
        self.devices[device] = device_json(device, count)
        self.channels[device] = [
            channel_json(f"{device[:10]}132{device[13]}{serial:06d}", device, serial, **more)
            for serial in range(1, count + 1)
        ]

    def count(self, part: str) -> int:
        """Requests so far whose path contains this."""
        return sum(part in each for each in self.requests)

    def app(self) -> FastAPI:
        """Its REST interface, for a server."""
        app = FastAPI()

        @app.middleware("http")
        async def gate(request: Request, call_next: Any) -> Any:
            path = request.url.path
            self.requests.append(path)
            if path in self.fails:
                status, body = self.fails[path]
                return JSONResponse(body, status) if body is not None else JSONResponse("<html>", status)
            if path != "/api/user/login" and request.headers.get("access-token") not in self.tokens:
                return JSONResponse({"code": 401, "msg": "请登录后重新请求"}, 401)
            return await call_next(request)

        @app.get("/api/user/login")
        async def login(username: str, password: str) -> Any:
            if (username, password) != (USER, hashlib.md5(self.password.encode()).hexdigest()):
                return {"code": 100, "msg": "用户名或密码错误", "data": None}
            self.logins += 1
            token = f"token-{self.logins}"
            self.tokens.add(token)
            return success({"accessToken": token, "serverId": "000000", "username": username})

        @app.get("/api/device/query/devices")
        async def devices(page: int, count: int) -> Any:
            return success(page_info(list(self.devices.values()), page, count))

        @app.get("/api/device/query/devices/{device}/channels")
        async def channels(device: str, page: int, count: int) -> Any:
            return success(page_info(self.channels[device], page, count))

        @app.get("/api/play/start/{device}/{channel}")
        async def play(device: str, channel: str) -> Any:
            if channel in self.unplayable:
                return {"code": -1, "msg": "信令超时", "data": None}
            return success(self._stream(device, channel, ""))

        @app.get("/api/play/stop/{device}/{channel}")
        async def stop(device: str, channel: str) -> Any:
            return success({"deviceId": device, "channelId": channel})

        @app.get("/api/playback/start/{device}/{channel}")
        async def playback(device: str, channel: str, startTime: str, endTime: str) -> Any:  # noqa: N803
            self.requests.append(f"{startTime} - {endTime}")
            return success(self._stream(device, channel, "_playback"))

        @app.get("/api/playback/stop/{_device}/{_channel}/{_stream}")
        async def playback_stop(_device: str, _channel: str, _stream: str) -> Any:
            return success(None)

        return app

    def _stream(self, device: str, channel: str, suffix: str) -> dict[str, Any]:
        stream = f"{device}_{channel}{suffix}"
        return {
            "app": "rtp",
            "stream": stream,
            "ip": "127.0.0.1",
            "flv": f"http://127.0.0.1:1/rtp/{stream}.live.flv",
            "rtsp": self.stream_url.format(device=device, channel=channel),
            "rtmp": None,
            "mediaServerId": "zlm-1",
            "progress": 0.0,
        }


def success(data: Any) -> dict[str, Any]:
    """WVP's envelope of an answer."""
    return {"code": 0, "msg": "成功", "data": data}


def page_info(rows: list[Any], page: int, count: int) -> dict[str, Any]:
    """PageHelper's: a page beyond the end is empty."""
    part = rows[(page - 1) * count : page * count]
    pages = -(-len(rows) // count)
    return {
        "total": len(rows),
        "list": part,
        "pageNum": page,
        "pageSize": count,
        "size": len(part),
        "pages": pages,
        "hasNextPage": page < pages,
    }


def device_json(device: str, channels: int) -> dict[str, Any]:
    """A recorder as WVP lists it, its password included, which nobody may read."""
    return {
        "id": 1,
        "deviceId": device,
        "name": "录像机",
        "manufacturer": "Hikvision",
        "transport": "UDP",
        "streamMode": "TCP-PASSIVE",
        "ip": "10.0.0.9",
        "port": 5060,
        "onLine": True,
        "channelCount": channels,
        "charset": "GB2312",
        "geoCoordSys": "WGS84",
        "password": "never-read-this",
    }


def channel_json(channel: str, device: str, serial: int, **more: Any) -> dict[str, Any]:
    """A camera channel as WVP lists it; `more` overrides its fields."""
    return {
        "id": serial,
        "deviceId": channel,
        "name": f"广场{serial}号",
        "manufacturer": "Hikvision",
        "owner": "Owner",
        "civilCode": "152921",
        "address": "广场",
        "parental": 0,
        "parentId": device,
        "secrecy": 0,
        "status": "ON",
        "longitude": round(105.701 + (serial % 100) * 1e-4, 6),
        "latitude": round(38.801 + (serial // 100) * 1e-4, 6),
        "password": "never-read-this",
        "gbLongitude": None,
        "gbSecrecy": None,
        "streamId": None,
        "hasAudio": False,
    } | more


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(platform: WvpPlatform) -> AsyncIterator[WvpPlatform]:
    """Serve on a free port of this machine, the same one again when served a second time."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", platform.port))
    platform.port = listening.getsockname()[1]
    platform.url = f"http://127.0.0.1:{platform.port}"
    server = _Server(
        uvicorn.Config(
            platform.app(), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await SystemClock().asleep(0.01)
        yield platform
    finally:
        server.should_exit = True
        await task
        listening.close()
