"""The receiving end of RTSP connections: one buffer for thousands of sockets, interleaved packets walked in place.

A socket is read into the one preallocated buffer of its event loop and walked at once (RFC 2326, 10.12). What is
left over is at most one incomplete message, or of a dropped picture only the number of bytes to skip.

Low-water mark (SO_RCVLOWAT): the kernel wakes us only when so many bytes wait. Bytes below it are invisible, so it
is at most half of the smallest recent key picture, 1 while a key picture is incomplete or a reply is due, and
a socket that was not read for one sweep is read within half of another, whatever the kernel thinks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from contracts.errors import GridwhistleError, ProtocolViolation, SourceError, SourceUnreachable
from contracts.instant import SECOND
from ingest.rtsp.message import MESSAGE_BYTES_MAX, RtspReply, RtspRequest, parse_message
from ingest.rtsp.quirks import Quirk, QuirkPolicies
from ingest.rtsp.resync import RESYNC_BYTES_MAX, RESYNCS_MAX, find_message
from ingest.rtsp.rtp import RTP, RTP_HEADER_BYTES, payload_bounds

if TYPE_CHECKING:
    from ingest.rtsp.depacketize import Depacketizer
    from ingest.rtsp.pool import ReceivePool

_DOLLAR: Final = 0x24
_EQUALS: Final = 0x3D
_OUTGOING_BYTES_MAX: Final = 65_536
_RECENT_KEY_PICTURES: Final = 8
_HEADS_BYTES: Final = 4 + RTP_HEADER_BYTES + 3
"""Of what is shorter it cannot be told yet whether its picture is dropped; that is soon over."""


class Connection:
    """One RTSP connection. `ended` carries the error that ended it, `gone` is done once the socket is given back;
    nothing is raised into the loop.

    `on_message(reply or request)` hears RTSP messages, `on_rtcp(buffer, start, end)` the video track's RTCP.
    `on_line(bytes)`, when set, hears lines of a session description that stand outside of messages.
    `bytes_received` counts all; `skipped_bytes` those of other channels; `resyncs` how often the framing was lost.
    """

    __slots__ = (
        "_asked_ns",
        "_closed",
        "_loop",
        "_mark",
        "_outgoing",
        "_pool",
        "_rest",
        "_seeking",
        "_sizes",
        "_skip",
        "_socket",
        "_socket_mark",
        "_writing",
        "bytes_received",
        "check",
        "depacketizer",
        "eager",
        "ended",
        "gone",
        "last_read_ns",
        "on_line",
        "on_message",
        "on_rtcp",
        "packets_malformed",
        "quirks",
        "replies_due",
        "resyncs",
        "rtp_channel",
        "skipped_bytes",
        "unreadable",
    )

    def __init__(
        self,
        pool: ReceivePool,
        connected: socket.socket,
        on_message: Callable[[RtspReply | RtspRequest], None],
        on_rtcp: Callable[[bytearray, int, int], None],
        *,
        quirks: QuirkPolicies | None = None,
    ) -> None:
        self._pool = pool
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self.on_message = on_message
        self.on_rtcp = on_rtcp
        self.on_line: Callable[[bytes], None] | None = None
        self.quirks = quirks or QuirkPolicies()
        self.resyncs = 0
        self._seeking = 0
        self.check: Callable[[int], None] = _nothing_to_check
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.depacketizer: Depacketizer | None = None
        self.eager = False
        """True while no byte may wait below the low-water mark."""
        self.unreadable = False
        """True once something came that cannot be read: what follows is thrown away."""
        self.rtp_channel = -1
        self.replies_due = 0
        self._asked_ns = 0
        self.bytes_received = 0
        self.skipped_bytes = 0
        self.packets_malformed = 0
        self.last_read_ns = pool.clock.monotonic_ns()
        self._rest = b""
        self._skip = 0
        self._mark = 1
        self._socket_mark = 1
        self._sizes: tuple[int, ...] = ()
        self._outgoing = bytearray()
        self._writing = False
        self._closed = False
        self._loop.add_reader(connected.fileno(), self.read)
        pool.add(self)

    def read(self) -> None:
        """Take what the socket has, up to one buffer, and walk it."""
        if self._closed:
            return
        pool = self._pool
        rest = self._rest
        begin = len(rest)
        if begin:
            pool.buffer[:begin] = rest
        try:
            count = self._socket.recv_into(pool.view[begin:])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(f"连接中断 (the connection broke): {error.strerror}", "broken")
            return
        if count == 0:
            self._lost("对方关闭了连接 (the server closed the connection)", "closed")
            return
        self.last_read_ns = pool.clock.monotonic_ns()
        self.bytes_received += count
        if self.unreadable:
            return
        try:
            self._walk(begin + count)
        except SourceError as error:
            # The socket stays open, deaf, for a TEARDOWN.
            self.fail(error)
            self.unreadable = True
            self._rest = b""
        except Exception as defect:  # noqa: BLE001 - no camera's bytes may end the sweep, and so the worker
            self.fail_by_defect(defect)
            self._rest = b""
        self._set_mark()

    def _walk(self, end: int) -> None:
        """All complete messages in buffer[:end]; the hot loop of ingest."""
        buffer = self._pool.buffer
        depacketizer = self.depacketizer
        at = 0
        if self._skip:
            if self._skip >= end:
                self._skip -= end
                return
            at = self._skip
            self._skip = 0
        if self._seeking:
            at = self._seek(at, end)
            if self._seeking:
                self._rest = bytes(buffer[at:end])
                return
        while end - at >= 4:
            if depacketizer is not None:
                at = depacketizer.walk(buffer, at, end, self.rtp_channel)
                if end - at < 4:
                    if at > end:
                        # The bytes that are still to come belong to a dropped picture: never looked at.
                        self._skip = at - end
                        at = end
                    break
            if buffer[at] != _DOLLAR:
                after = self._text(at, end)
                depacketizer = self.depacketizer
                stopped = after == at or self._seeking
                at = after
                if stopped:
                    break
                continue
            start = at + 4
            stop = start + (buffer[at + 2] << 8 | buffer[at + 3])
            if buffer[at + 1] != self.rtp_channel or depacketizer is None:
                if buffer[at + 1] == self.rtp_channel + 1:
                    if stop > end:
                        break
                    self.on_rtcp(buffer, start, stop)
                else:
                    self.skipped_bytes += stop - start
                    if stop > end:
                        self._skip = stop - end
                        at = end
                        break
                at = stop
                continue
            if end - start < RTP_HEADER_BYTES + 3 and stop > end:
                break
            payload = start + RTP_HEADER_BYTES
            if stop < payload:
                self.packets_malformed += 1
                at = stop
                continue
            flags, kind, sequence, timestamp = RTP.unpack_from(buffer, start)
            payload_end = stop
            if stop > end:
                if flags != 0x80 or not depacketizer.would_drop(buffer, payload, timestamp):
                    break
                self._skip = stop - end
                stop = end
            elif flags != 0x80:
                bounds = payload_bounds(buffer, start, stop, flags)
                if bounds is None:
                    self.packets_malformed += 1
                    bounds = (stop, stop)
                payload, payload_end = bounds
            depacketizer.packet(buffer, payload, payload_end, sequence, timestamp, kind >= 0x80)
            at = stop
        self._rest = bytes(buffer[at:end]) if at < end else b""

    def _text(self, at: int, end: int) -> int:
        """One RTSP message at `at`; where it ends, or `at` while it is incomplete."""
        buffer = self._pool.buffer
        if buffer[at] in b"\r\n":
            return at + 1
        if buffer[at] in b" \0":
            self.quirks.require(
                Quirk.STRAY_BYTES, "消息之间有多余的字节", "spaces or zero bytes stand between messages"
            )
            return at + 1
        if self.on_line is not None and buffer[at + 1] == _EQUALS and 0x61 <= buffer[at] <= 0x7A:
            after = buffer.find(b"\n", at, end) + 1
            if after:
                self.on_line(bytes(buffer[at:after]))
            return after or at
        try:
            message, length = parse_message(bytes(buffer[at : min(end, at + 2 * MESSAGE_BYTES_MAX)]))
        except ProtocolViolation:
            if self.depacketizer is None or self.resyncs >= RESYNCS_MAX:
                raise
            self.quirks.require(Quirk.RESYNC, "数据包之间有无法识别的字节", "bytes between packets belong to none")
            self.resyncs += 1
            self._seeking = 1
            return self._seek(at + 1, end)
        if message is None:
            return at
        if isinstance(message, RtspReply):
            self.replies_due = max(0, self.replies_due - 1)
        self.on_message(message)
        return at + length

    def _seek(self, at: int, end: int) -> int:
        """The framing is lost: skip to what looks like a packet or a reply. Raises ProtocolViolation when there is
        none for long."""
        expected = self.depacketizer.next_sequence if self.depacketizer is not None else -1
        found, certain = find_message(self._pool.buffer, at, end, self.rtp_channel, expected)
        self._seeking += found - at
        if self._seeking > RESYNC_BYTES_MAX:
            raise self._unreadable()
        if certain:
            self._seeking = 0
        return found

    def _unreadable(self) -> ProtocolViolation:
        return ProtocolViolation(
            f"RTSP 连接中的数据无法识别 ({self._seeking} bytes that are neither packets nor replies)",
            reason="garbage",
        )

    def fail_stalled(self, sentence: str) -> None:
        """End the session because nothing of use comes; what came last may have been nothing that can be read."""
        self.fail(self._unreadable() if self._seeking else SourceUnreachable(sentence, reason="stall"))

    def key_picture(self, size: int) -> None:
        """A key picture of `size` bytes was complete: the mark follows the smallest recent one."""
        self._sizes = (*self._sizes[1 - _RECENT_KEY_PICTURES :], size)
        if len(self._sizes) >= 2:
            self._mark = max(1, min(min(self._sizes) // 2, self._pool.low_water_bytes_max))

    def _set_mark(self) -> None:
        depacketizer = self.depacketizer
        low = self.replies_due or self.eager or depacketizer is None or depacketizer.assembling or self.unreadable
        # A first packet that is still incomplete and was not released as that of a dropped picture.
        low = low or len(self._rest) > _HEADS_BYTES
        mark = 1 if low else self._mark
        if mark != self._socket_mark and not self._closed:
            self._socket_mark = mark
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)

    def send(self, data: bytes, *, reply_due: bool = False) -> None:
        """Send without waiting; what the socket does not take at once is kept within 64 KiB."""
        if self._closed:
            return
        if reply_due:
            self.replies_due = min(self.replies_due + 1, 4)
            self._asked_ns = self._pool.clock.monotonic_ns()
            self._set_mark()
        self._outgoing += data
        if len(self._outgoing) > _OUTGOING_BYTES_MAX:
            self.fail(SourceUnreachable("对方不再读取 (the server does not read any more)", reason="stall"))
        elif not self._writing:
            self._flush()

    def expire_replies(self, now_ns: int, reply_s: float) -> None:
        """Wait no longer for what was not answered in time: some servers never answer a keep-alive."""
        if self.replies_due and now_ns - self._asked_ns > reply_s * SECOND:
            self.replies_due = 0
            self._set_mark()

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._outgoing)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._lost(f"发送失败 (cannot send): {error.strerror}", "broken")
            return
        del self._outgoing[:sent]
        if self._outgoing and not self._writing:
            self._writing = True
            self._loop.add_writer(self._socket.fileno(), self._flush)
        elif not self._outgoing and self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())

    def end_sending(self) -> None:
        """Nothing follows what was sent: the server closes its end when it has read that."""
        if not self._closed and not self._outgoing:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def fail(self, error: Exception) -> None:
        """End the session with this error, the first one counts; the socket stays open for a TEARDOWN."""
        if not self.ended.done():
            self.ended.set_exception(error)
            # Marks it as seen: a session that was cancelled meanwhile does not ask any more.
            self.ended.exception()

    def fail_by_defect(self, defect: Exception) -> None:
        """End the session because of an error of ours; the others go on."""
        self.fail(GridwhistleError(f"unexpected {type(defect).__name__}: {defect}", reason="bug"))
        self.unreadable = True

    def _lost(self, sentence: str, reason: str) -> None:
        self.fail(SourceUnreachable(sentence, reason=reason))
        self.close()

    def close(self) -> None:
        """Give the socket back; harmless when done twice."""
        if self._closed:
            return
        self._closed = True
        self._pool.discard(self)
        self._loop.remove_reader(self._socket.fileno())
        if self._writing:
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._rest = b""
        self.fail(SourceUnreachable("连接已关闭 (the connection was closed)", reason="closed"))
        if not self.gone.done():
            self.gone.set_result(None)

    @property
    def closed(self) -> bool:
        """True after the end, whatever the cause."""
        return self._closed


def _nothing_to_check(_now_ns: int) -> None:
    return None
