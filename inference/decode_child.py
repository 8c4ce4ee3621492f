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

from contracts.frame import Codec
from inference.access_unit import Status, decode_access_unit
from inference.chain_decode import ChainDecode

REQUEST: Final = struct.Struct("<IIHBHB")
"""Number of the request (from 1), bytes of the access unit, slot, index into CODECS, chain (0: none), Step."""
REPLY: Final = struct.Struct("<IBHHI")
"""Number of the request (0: the child is ready), Status, width and height of the picture in the slot, and whose
it is: the number of the request that brought its access unit."""
NOTE: Final = struct.Struct("<I")
NOTE_BYTES: Final = 4096
"""The slots begin behind the page of the note."""
CODECS: Final = tuple(Codec)
MEMORY_MAX: Final = 3 << 30
"""Address space of the child: a stream that asks for more gets an error, and the machine keeps its memory."""


class Step(enum.IntFlag):
    """What a request of a chain asks for."""

    KEY = 1
    """A key picture: if the decoder was lost, it begins anew here."""
    BEGIN = 2
    """A key picture behind a gap: whatever the decoder held is thrown away."""
    LOOK = 4
    """The picture is wanted."""
    END = 8
    """No access unit: the decoder is closed."""


class Child:
    """The loop of the child, with the decoders of its chains."""

    def __init__(self, memory: mmap.mmap, slots: int, slot_bytes: int, pixels_max: int) -> None:
        self._memory = memory
        self._slots = slots
        self._slot_bytes = slot_bytes
        self._pixels_max = pixels_max
        self._chains: dict[int, ChainDecode] = {}

    def serve(self, link: socket.socket, decode_max_s: float) -> None:
        """Answer requests in order until the parent closes its end.

        A decode of over `decode_max_s` seconds ends the process by SIGALRM. The parent ends a child that hangs
        sooner than that; when the parent was killed nobody does, and native code would spin on for ever.
        """
        link.sendall(REPLY.pack(0, Status.OK, 0, 0, 0))
        while (request := _receive(link, REQUEST.size)) is not None:
            number, size, slot, codec, chain, step = REQUEST.unpack(request)
            if slot >= self._slots or size > self._slot_bytes or codec >= len(CODECS):
                raise SystemExit(f"a request of the parent makes no sense: {number=} {size=} {slot=} {codec=}")
            start = NOTE_BYTES + slot * self._slot_bytes
            NOTE.pack_into(self._memory, 0, number)
            signal.setitimer(signal.ITIMER_REAL, decode_max_s)
            data = self._memory[start : start + size]
            if chain:
                status, picture, shown = self._follow(chain, Step(step), CODECS[codec], number, data)
            else:
                status, picture = decode_access_unit(CODECS[codec], data, self._pixels_max)
                shown = number
            width = height = 0
            if picture is not None:
                height, width = picture.shape[:2]
                if picture.nbytes > self._slot_bytes:
                    status, width, height = Status.TOO_LARGE, 0, 0
                else:
                    out = np.frombuffer(self._memory, np.uint8, picture.nbytes, start)
                    np.copyto(out.reshape(picture.shape), picture)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            NOTE.pack_into(self._memory, 0, 0)
            link.sendall(REPLY.pack(number, status, width, height, shown))

    def _follow(
        self, chain: int, step: Step, codec: Codec, number: int, data: bytes
    ) -> tuple[Status, npt.NDArray[np.uint8] | None, int]:
        if step & (Step.BEGIN | Step.END):
            self._chains.pop(chain, None)
        if step & Step.END:
            return Status.FOLLOWED, None, number
        if step & (Step.BEGIN | Step.KEY) and chain not in self._chains:
            self._chains[chain] = ChainDecode(codec, self._pixels_max)
        decoder = self._chains.get(chain)
        if decoder is None:
            return Status.CHAIN_LOST, None, number
        status, picture, shown = decoder.feed(number, data, bool(step & Step.LOOK))
        if status not in (Status.OK, Status.FOLLOWED):
            del self._chains[chain]
        return status, picture, shown


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
        Child(memory, slots, slot_bytes, pixels_max).serve(link, decode_max_s)
    except (BrokenPipeError, ConnectionResetError):
        # The parent went away; there is nobody left to answer.
        return


if __name__ == "__main__":
    main(sys.argv[1:])
