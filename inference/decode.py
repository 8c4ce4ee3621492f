"""Decode: access units become pictures in a child process, through shared memory, and no picture can end us.

A child that dies is started again. If a picture killed it (a crash signal, or silence past the time-out) its
camera is remembered; twice, and the camera is quarantined. A child that somebody else killed blames nobody.

A `Frame` is decoded alone. A `Chained` one goes to the decoder that the child keeps for its camera, which has all
pictures since the key picture before; without them it is refused as `chain_lost`, and a child that dies takes all
its chains along: each goes on with its next key picture.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.errors import GridwhistleError
from contracts.frame import Frame, FrameHeader
from inference.access_unit import Status
from inference.chain_book import ChainBook, Chained, fingerprint
from inference.decode_child import CODECS, NOTE, NOTE_BYTES, REPLY, REQUEST, Step
from inference.picture import Picture
from runtime.child import child_environment, module_command

START_TIMEOUT_S: Final = 30.0
ORPHAN_MARGIN_S: Final = 5.0
"""So much longer than our time-out a child goes on with a picture before it ends itself: we may be dead."""


class DecoderLost(GridwhistleError):
    """The child does not start; tried again with back-off."""

    retriable = True
    reason = "decoder_lost"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture in a slot of the ring; give the slot back with `release` when nobody looks at it any more."""

    header: FrameHeader
    picture: Picture
    slot: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An access unit that gave no picture. `reason`: a Status in lower case, `access_unit_size`, `crash`, `hung`,
    `killed` or `chain_lost` (the last two blame nobody)."""

    header: FrameHeader
    reason: str


@dataclass(frozen=True, slots=True)
class Followed:
    """A picture of a chain that was decoded and that nobody wanted to see, or that comes out later."""

    header: FrameHeader


Decodable = Frame | Chained
Fate = Decoded | Refused | Followed


class Decoder:
    """One child and its ring of slots. `decode` is for one thread at a time; `release` for any."""

    def __init__(self, *, slots: int, pixels_max: int, access_unit_max: int, timeout_s: float) -> None:
        """`slots` pictures at most are alive at once; the memory for them is taken here."""
        self._timeout_s = timeout_s
        self._access_unit_max = access_unit_max
        self._pixels_max = pixels_max
        self._slots = slots
        page = mmap.PAGESIZE
        self._slot_bytes = -(-max(pixels_max * 3, access_unit_max) // page) * page
        self._memory_fd = os.memfd_create("gridwhistle-pictures")
        os.ftruncate(self._memory_fd, NOTE_BYTES + slots * self._slot_bytes)
        self._memory = mmap.mmap(self._memory_fd, NOTE_BYTES + slots * self._slot_bytes)
        self._free = list(range(slots))
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._number = 0
        self._chains = ChainBook()
        self.restarts: dict[str, int] = {}
        """Children lost so far, by reason: `crash`, `hung`, `killed`."""

    @property
    def free(self) -> int:
        """Slots that wait for a picture."""
        with self._lock:
            return len(self._free)

    @property
    def child_pid(self) -> int | None:
        """The process that decodes now, None before the first picture and after `close`."""
        return self._child.pid if self._child is not None else None

    @property
    def noted(self) -> int:
        """The number of the request that the child is decoding, 0 between two."""
        return int(NOTE.unpack_from(self._memory, 0)[0])

    def release(self, slot: int) -> None:
        """Nobody looks at the picture in this slot any more."""
        with self._lock:
            self._free.append(slot)

    @property
    def chains(self) -> int:
        """Cameras whose pictures the child decodes in order."""
        return len(self._chains)

    def decode(self, frames: Sequence[Decodable]) -> list[Fate]:
        """What became of each frame, in order. At most `free` frames at once.

        Raises DecoderLost when the child does not start; the frames are then not decoded, no slot is taken.
        """
        outcomes: dict[int, Fate] = {}
        waiting: dict[int, tuple[int, Decodable]] = {}
        for index, each in enumerate(frames):
            frame = _frame(each)
            if 0 < len(frame.data) <= self._access_unit_max:
                waiting[index] = (self._take_slot(), each)
            else:
                outcomes[index] = Refused(frame.header, "access_unit_size")
                self._chains.lost(frame.header.source_id)
        try:
            while waiting:
                self._exchange(waiting, outcomes)
        except BaseException:
            for slot, _ in waiting.values():
                self.release(slot)
            for outcome in outcomes.values():
                if isinstance(outcome, Decoded):
                    self.release(outcome.slot)
            raise
        return [outcomes[index] for index in range(len(frames))]

    def end_chains(self, source_ids: Sequence[str]) -> None:
        """These cameras' chains are over; their decoders are closed before the next picture. Like `decode`."""
        for source_id in source_ids:
            self._chains.end(source_id)

    def close(self) -> None:
        """End the child and give the memory back (as soon as the last picture is forgotten)."""
        self._bury(patience_s=0.0)
        if self._memory_fd >= 0:
            os.close(self._memory_fd)
            self._memory_fd = -1

    def _exchange(self, waiting: dict[int, tuple[int, Decodable]], outcomes: dict[int, Fate]) -> None:
        """Ask the child for everything that waits and collect; a lost child leaves the innocent waiting."""
        link = self._link if self._link is not None else self._start()
        numbers: dict[int, int] = {}
        asked = bytearray()
        closing = self._chains.take_ended()
        for chain in closing:
            asked += REQUEST.pack(0, 0, 0, 0, chain, Step.END)
        for index, (slot, each) in list(waiting.items()):
            frame, chain, step = _frame(each), 0, Step(0)
            self._number = self._number % 0xFFFFFFFF + 1
            if isinstance(each, Chained):
                asks = self._chains.step(frame.header, each.look)
                if asks is None:
                    del waiting[index]
                    self.release(slot)
                    outcomes[index] = Refused(frame.header, "chain_lost")
                    continue
                chain, step = asks
                if each.look:
                    self._chains.sent(self._number, frame)
            numbers[self._number] = index
            start = NOTE_BYTES + slot * self._slot_bytes
            self._memory[start : start + len(frame.data)] = frame.data
            codec = CODECS.index(frame.header.codec)
            asked += REQUEST.pack(self._number, len(frame.data), slot, codec, chain, step)
        lost = ""
        try:
            link.sendall(asked)
            for _ in range(len(closing) + len(numbers)):
                number, status, width, height, shown = REPLY.unpack(_receive(link, REPLY.size))
                if number:
                    index = numbers.pop(number)
                    slot, each = waiting.pop(index)
                    outcomes[index] = self._outcome(each, slot, Status(status), (width, height), shown)
        except TimeoutError:
            lost = "hung"
        except (OSError, EOFError):
            lost = "lost"
        if lost:
            self._on_lost(lost, numbers, waiting, outcomes)

    def _outcome(self, each: Decodable, slot: int, status: Status, size: tuple[int, int], shown: int) -> Fate:
        frame = _frame(each)
        header, print_of = frame.header, 0
        seen = status is Status.OK
        if isinstance(each, Chained):
            if status not in (Status.OK, Status.FOLLOWED):
                self._chains.lost(header.source_id)
            named = self._chains.shown(header.source_id, shown) if seen else None
            if named is None and status in (Status.OK, Status.FOLLOWED):
                self.release(slot)
                return Followed(header)
            header, print_of = named if named is not None else (header, 0)
        elif seen:
            print_of = fingerprint(frame.data)
        if not seen:
            self.release(slot)
            return Refused(header, status.name.lower())
        width, height = size
        start = NOTE_BYTES + slot * self._slot_bytes
        pixels = np.frombuffer(self._memory, np.uint8, width * height * 3, start).reshape(height, width, 3)
        picture = Picture(
            header.source_id, pixels, header.event_time, header.arrival_time, print_of, header.activity
        )
        return Decoded(header, picture, slot)

    def _on_lost(
        self,
        how: str,
        numbers: dict[int, int],
        waiting: dict[int, tuple[int, Decodable]],
        outcomes: dict[int, Fate],
    ) -> None:
        noted = self.noted
        self._chains.child_lost()
        code = self._bury(patience_s=0.0 if how == "hung" else 1.0)
        by_somebody = code in (-signal.SIGKILL, -signal.SIGTERM)
        reason = "hung" if how == "hung" else "killed" if by_somebody else "crash"
        self.restarts[reason] = self.restarts.get(reason, 0) + 1
        if noted not in numbers and how == "hung" and numbers:
            # It hangs outside of any decode: whoever stands first would wait for ever.
            noted = min(numbers)
            reason = "killed"
        if noted in numbers:
            index = numbers[noted]
            slot, each = waiting.pop(index)
            self.release(slot)
            outcomes[index] = Refused(_frame(each).header, reason)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(START_TIMEOUT_S)
        NOTE.pack_into(self._memory, 0, 0)
        numbers = (theirs.fileno(), self._memory_fd, self._slots, self._slot_bytes, self._pixels_max)
        arguments = (*numbers, self._timeout_s + ORPHAN_MARGIN_S)
        with theirs:
            self._child = subprocess.Popen(
                module_command("inference.decode_child", *arguments),
                pass_fds=(theirs.fileno(), self._memory_fd),
                stdin=subprocess.DEVNULL,
                env=child_environment(),
            )
        self._link = ours
        try:
            _receive(ours, REPLY.size)
        except (OSError, EOFError):
            code = self._bury(patience_s=1.0)
            raise DecoderLost(
                f"解码子进程无法启动 (the decoder does not start, exit code {code}); see its message on stderr"
            ) from None
        ours.settimeout(self._timeout_s)
        return ours

    def _bury(self, *, patience_s: float) -> int | None:
        """End the child. Its exit code (negative: a signal) if it ended by itself within `patience_s`, or None."""
        if self._link is not None:
            self._link.close()
            self._link = None
        child, self._child = self._child, None
        if child is None:
            return None
        try:
            return child.wait(patience_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return None

    def _take_slot(self) -> int:
        with self._lock:
            if not self._free:
                raise ValueError("decode() was given more frames than slots are free")
            return self._free.pop()


def _frame(each: Decodable) -> Frame:
    return each.frame if isinstance(each, Chained) else each


def _receive(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
