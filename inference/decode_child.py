"""The child process that decodes. Native decoders of foreign bytes crash, hang and leak; here that costs a child.

Run as `python -m inference.decode_child SOCKET_FD MEMORY_FD SLOTS SLOT_BYTES PIXELS_MAX DECODE_MAX_S` by
inference.decode.
Requests and replies are small and of fixed size; encoded bytes come in, and pictures go out, in slots of shared
memory. Before each decode the child notes the request's number at the start of that memory, after it 0, so that
whoever buries the child knows which picture killed it.
"""

from __future__ import annotations

import enum
import mmap
import resource
import signal
import socket
import struct
import sys
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from contracts.frame import Codec
from inference.picture import kept_size

REQUEST: Final = struct.Struct("<IIHB")
"""Number of the request (from 1), bytes of the access unit, slot, index into CODECS."""
REPLY: Final = struct.Struct("<IBHH")
"""Number of the request (0: the child is ready), Status, width, height of the picture in the slot."""
NOTE: Final = struct.Struct("<I")
NOTE_BYTES: Final = 4096
"""The slots begin behind the page of the note."""
CODECS: Final = tuple(Codec)
SOURCE_PIXELS_MAX: Final = 40_000_000
"""Pictures that claim more pixels (8K has 33 million) are not decoded."""
MEMORY_MAX: Final = 3 << 30
"""Address space of the child: a stream that asks for more gets an error, and the machine keeps its memory."""


class Status(enum.IntEnum):
    """What became of a request; the names in lower case are reasons of counters."""

    OK = 0
    UNDECODABLE = 1
    """The decoder refuses the bytes."""
    NO_PICTURE = 2
    """The decoder took the bytes and gave nothing."""
    CORRUPT = 3
    """A picture with parts missing: truncated or damaged."""
    TOO_LARGE = 4


def decode_access_unit(codec: Codec, data: bytes, pixels_max: int) -> tuple[Status, npt.NDArray[np.uint8] | None]:
    """One picture of one access unit (parameter sets inside), as BGR of at most `pixels_max` pixels.

    The loop filter is left out: the picture is scaled down anyway, and it costs a fifth of the time.
    """
    context = CodecContext.create(codec.value, "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.options = {"skip_loop_filter": "all", "max_pixels": str(SOURCE_PIXELS_MAX)}
    try:
        frames = context.decode(av.Packet(data)) or context.decode(None)
    except MemoryError:
        return Status.TOO_LARGE, None
    except av.error.FFmpegError:
        return Status.UNDECODABLE, None
    if not frames:
        return Status.NO_PICTURE, None
    if frames[0].is_corrupt:
        return Status.CORRUPT, None
    return Status.OK, to_bgr(frames[0], pixels_max)


def to_bgr(frame: VideoFrame, pixels_max: int) -> npt.NDArray[np.uint8]:
    """A decoded frame as uint8 (height, width, 3), scaled down to at most `pixels_max` pixels."""
    width, height = kept_size(frame.width, frame.height, pixels_max)
    scaled = frame.reformat(width=width, height=height, format="bgr24", interpolation=Interpolation.BILINEAR)
    return np.asarray(scaled.to_ndarray(), np.uint8)


def serve(
    link: socket.socket, memory: mmap.mmap, slots: int, slot_bytes: int, pixels_max: int, decode_max_s: float
) -> None:
    """Answer requests in order until the parent closes its end.

    A decode of over `decode_max_s` seconds ends the process by SIGALRM. The parent ends a child that hangs sooner
    than that; when the parent was killed nobody does, and native code would spin on for ever.
    """
    link.sendall(REPLY.pack(0, Status.OK, 0, 0))
    while (request := _receive(link, REQUEST.size)) is not None:
        number, size, slot, codec = REQUEST.unpack(request)
        if slot >= slots or size > slot_bytes or codec >= len(CODECS):
            raise SystemExit(f"a request of the parent makes no sense: {number=} {size=} {slot=} {codec=}")
        start = NOTE_BYTES + slot * slot_bytes
        NOTE.pack_into(memory, 0, number)
        signal.setitimer(signal.ITIMER_REAL, decode_max_s)
        status, picture = decode_access_unit(CODECS[codec], memory[start : start + size], pixels_max)
        width = height = 0
        if picture is not None:
            height, width = picture.shape[:2]
            if picture.nbytes > slot_bytes:
                status, width, height = Status.TOO_LARGE, 0, 0
            else:
                out = np.frombuffer(memory, np.uint8, picture.nbytes, start)
                np.copyto(out.reshape(picture.shape), picture)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        NOTE.pack_into(memory, 0, 0)
        link.sendall(REPLY.pack(number, status, width, height))


def _receive(link: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            return None
        data += part
    return data


def main(arguments: list[str]) -> None:
    """Entry point of the child."""
    link_fd, memory_fd, slots, slot_bytes, pixels_max = (int(text) for text in arguments[:5])
    decode_max_s = float(arguments[5])
    # Ctrl-C goes to the whole group; the parent ends its children in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The kernel's own action, since Python's handlers wait for native code to return; both may be inherited.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(av.logging.PANIC)
    link = socket.socket(fileno=link_fd)
    memory = mmap.mmap(memory_fd, NOTE_BYTES + slots * slot_bytes)
    try:
        serve(link, memory, slots, slot_bytes, pixels_max, decode_max_s)
    except (BrokenPipeError, ConnectionResetError):
        # The parent went away; there is nobody left to answer.
        return


if __name__ == "__main__":
    main(sys.argv[1:])
