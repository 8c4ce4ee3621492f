"""GStreamer's RTSP server with moving test patterns as cameras, H.264 with a key picture every 50 pictures.

Run by the system's Python, which has gst-rtsp-server: `/usr/bin/python3 gstreamer_streams.py PORT`.
"""

from __future__ import annotations

import sys
from typing import Final

PATTERNS: Final = {"/gate": "smpte", "/square": "circular", "/road": "zone-plate"}
"""Path and picture of each stream."""
WIDTH, HEIGHT, RATE, KEY_EVERY = 640, 360, 25, 50


def launch(pattern: str) -> str:
    """The pipeline of one stream."""
    return (
        f"( videotestsrc is-live=true pattern={pattern} horizontal-speed=2 kx2=20 ky2=20 "
        f"! video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={RATE}/1 "
        f"! x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={KEY_EVERY} bitrate=600 "
        "! rtph264pay name=pay0 pt=96 config-interval=1 )"
    )


def main(port: str) -> None:
    """Serve all streams until killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    for path, pattern in PATTERNS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch(pattern))
        factory.set_shared(True)
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(sys.argv[1])
