"""The PyAV baseline: one thread per camera that opens, demuxes and decodes everything, in one process.

`python -m bench.load.pyav_threads TEMPLATE STREAMS`; asked like the other helper processes.
"""

from __future__ import annotations

import asyncio
import sys
import threading

import av
import msgspec

from bench.load.lines import answer_lines


class AskDecoded(msgspec.Struct, frozen=True, tag="decoded", tag_field="do"):
    """Answer with a Decoded."""


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures decoded so far, over all cameras, and cameras that ended."""

    pictures: int
    ended: int


class Camera(threading.Thread):
    """Decodes one camera until the process ends."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.pictures = 0
        self.ended = False

    def run(self) -> None:
        """Open and decode."""
        try:
            with av.open(self._url, options={"rtsp_transport": "tcp"}, timeout=20.0) as container:
                for _ in container.decode(video=0):
                    self.pictures += 1
        except av.FFmpegError as error:
            print(f"{self._url}: {error}", file=sys.stderr)
        self.ended = True


async def decode(template: str, streams: int) -> None:
    """Decode until standard input ends."""
    cameras = [Camera(template.replace("{i}", str(number))) for number in range(streams)]
    for camera in cameras:
        camera.start()

    def decoded(line: bytes) -> Decoded:
        msgspec.json.decode(line, type=AskDecoded)
        return Decoded(
            pictures=sum(camera.pictures for camera in cameras), ended=sum(camera.ended for camera in cameras)
        )

    await answer_lines(decoded, [])


if __name__ == "__main__":
    asyncio.run(decode(sys.argv[1], int(sys.argv[2])))
