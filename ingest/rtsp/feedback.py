"""What we tell a sender by RTCP, and what its own reports tell us (RFC 3550, 6).

Jitter is sampled at key pictures, not at every packet: those are the only packets of which the loop that steps
over thousands of others knows the time. The other numbers are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.errors import SourceUnreachable
from contracts.ids import derive_id
from contracts.instant import SECOND
from ingest.rtsp.assembly import Octets
from ingest.rtsp.rtcp import SenderReport, find_sender_report, goodbyes, is_well_formed, receiver_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.instant import Instant
    from ingest.rtsp.depacketize import Depacketizer
    from runtime.clock import Clock

_INTERVAL_NS: Final = 10 * SECOND
_WRAP: Final = 1 << 16
_ACTIVE: Final = 1 << 31


class ReceptionFeedback:
    """One stream's RTCP. `send` takes the bytes of a compound packet, `fail` the error that a BYE means.

    `clock_offset_ns`: camera clock minus ours by its last sender report, None while unknown. `malformed`: packets
    that were refused.
    """

    def __init__(
        self,
        source_id: str,
        clock: Clock,
        depacketizer: Depacketizer,
        send: Callable[[bytes], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.clock_offset_ns: int | None = None
        self.malformed = 0
        self.clock_rate = 90_000
        self.ssrc: int | None = None
        """The video's source as SETUP or a sender report named it."""
        self._clock = clock
        self._depacketizer = depacketizer
        self._send = send
        self._fail = fail
        self._ours = int.from_bytes(derive_id("ssrc", source_id).encode()[5:9], "big")
        self._report: SenderReport | None = None
        self._report_ns = 0
        self._sent_ns = clock.monotonic_ns()
        self._reported = (0, 0)
        self._highest = -1
        self._jitter = 0.0
        self._transit: int | None = None

    def receive(self, data: Octets, start: int, end: int) -> None:
        """A compound packet `data[start:end]`; one that is malformed is counted and its whole parts are used."""
        if not is_well_formed(data, start, end):
            self.malformed += 1
        report = find_sender_report(data, start, end)
        if report is not None:
            self._report = report
            self._report_ns = self._clock.monotonic_ns()
            self.ssrc = report.ssrc
            if report.wall is not None:
                self.clock_offset_ns = report.wall - self._clock.now()
            self._answer(self._report_ns)
        gone = goodbyes(data, start, end)
        # A BYE of another source on the channel is not ours.
        if gone and (self.ssrc is None or self.ssrc in gone):
            self._fail(
                SourceUnreachable("摄像机结束了码流 (RTCP BYE: the camera ended the stream)", reason="rtcp_bye")
            )

    def key_picture(self, timestamp: int, arrival: Instant) -> None:
        """A key picture with this RTP timestamp was complete (6.4.1, A.8)."""
        transit = (arrival * self.clock_rate // SECOND - timestamp) & 0xFFFFFFFF
        if self._transit is not None:
            change = (transit - self._transit) & 0xFFFFFFFF
            change = min(change, (1 << 32) - change)
            if change < _ACTIVE >> 4:
                self._jitter += (change - self._jitter) / 16
        self._transit = transit

    def check(self, now_ns: int) -> None:
        """Report without being asked to, where no sender report came for a while."""
        if now_ns - self._sent_ns >= _INTERVAL_NS and self._depacketizer.packets:
            self._answer(now_ns)

    def _answer(self, now_ns: int) -> None:
        self._sent_ns = now_ns
        packets, lost = self._depacketizer.packets, self._depacketizer.packets_lost
        new, new_lost = packets - self._reported[0], lost - self._reported[1]
        self._reported = (packets, lost)
        report = self._report
        self._send(
            receiver_report(
                self._ours,
                self.ssrc or 0,
                lost=lost,
                fraction=min(255, max(0, new_lost) * 256 // max(1, new + new_lost)),
                highest=self._extended(new + new_lost),
                lsr=report.ntp_middle if report is not None else 0,
                delay_ns=now_ns - self._report_ns if report is not None else 0,
                jitter=round(self._jitter),
            )
        )

    def _extended(self, expected: int) -> int:
        """The extended highest sequence number (A.1): wraps are told by how many packets were expected since."""
        if self._depacketizer.next_sequence < 0:
            return 0
        highest = (self._depacketizer.next_sequence - 1) % _WRAP
        if self._highest < 0:
            further = max(expected - 1, 0)
            self._highest = (highest - further) % _WRAP + further
        else:
            step = (highest - self._highest) % _WRAP
            step += max(0, round((expected - step) / _WRAP)) * _WRAP
            self._highest += step
        return self._highest
