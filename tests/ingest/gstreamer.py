"""GStreamer's RTSP server (an outside implementation) in a process of its own, for tests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.ingest.mosquitto import answering, free_port

SYSTEM_PYTHON = "/usr/bin/python3"

_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstRtsp", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
Gst.init(None)
port, user, password, codec, protocols = sys.argv[1:6]
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
coders = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=300 ! rtph264pay",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=300 ! rtph265pay",
}
factory.set_launch(
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 "
    f"! {coders[codec]} name=pay0 pt=96 config-interval=1 )"
)
factory.set_shared(True)
if protocols == "udp":
    factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
if user:
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_digest(user, password, token)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
    server.set_auth(auth)
# On a busy machine its queue per client fills up: it waits instead of dropping packets.
server.connect("client-connected", lambda _server, client: client.set_property("drop-backlog", False))
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
GLib.MainLoop().run()
"""


def available() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    check = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('Gst', '1.0');"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
        "assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay');"
        "assert Gst.ElementFactory.find('x265enc') and Gst.ElementFactory.find('rtph265pay')"
    )
    return subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, timeout=30).returncode == 0


@asynccontextmanager
async def gstreamer(
    user: str = "", password: str = "", *, codec: str = "h264", protocols: str = "all"
) -> AsyncIterator[str]:
    """The URL of a running server's stream; `protocols` "udp" makes it refuse TCP with 461."""
    if not await asyncio.to_thread(available):
        pytest.skip("GStreamer's RTSP server with python3-gi and x264enc is not installed")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        SYSTEM_PYTHON, "-c", _SERVER, str(port), user, password, codec, protocols, stdout=sys.stderr
    )
    try:
        await answering(port)
        yield f"rtsp://127.0.0.1:{port}/cam"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
