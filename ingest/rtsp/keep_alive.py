"""Showing a server that we live (RFC 2326, 10.8 and 12.37), and what an end has to do with it.

A server that takes our sign of life amiss, or does not count it as one, ends the session without a word. Both look
like a broken connection; only when it broke tells them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.errors import SourceUnreachable
from contracts.instant import SECOND
from ingest.rtsp.quirks import Quirk

if TYPE_CHECKING:
    from ingest.rtsp.dialogue import Dialogue

_INTERVAL_MAX_S: Final = 30.0
_ENDED_BY_THE_SERVER: Final = frozenset({"closed", "broken", "session_gone", "server_teardown", "rtcp_bye"})


class KeepAlive:
    """One session's signs of life: every half of its time-out, every 30 s at least.

    `methods`, the best first: the next one is taken when the server refuses one; of the last one even a refusal
    shows that we live.
    """

    __slots__ = ("_began_ns", "_dialogue", "_due_ns", "_interval_ns", "_methods", "_timeout_ns", "_uri")

    def __init__(
        self, dialogue: Dialogue, uri: str, methods: tuple[str, ...], timeout_s: float, now_ns: int
    ) -> None:
        self._dialogue = dialogue
        self._uri = uri
        self._methods = methods
        self._timeout_ns = round(timeout_s * SECOND)
        self._interval_ns = round(min(_INTERVAL_MAX_S, timeout_s / 2) * SECOND)
        self._began_ns = now_ns
        self._due_ns = now_ns + self._interval_ns

    def check(self, now_ns: int) -> None:
        """The sweep's call: say it when it is due, again with a new nonce, or at once in the next way."""
        dialogue = self._dialogue
        if dialogue.keep_alive_refused:
            dialogue.keep_alive_refused = False
            if len(self._methods) > 1:
                self._methods = self._methods[1:]
                self._due_ns = now_ns
        if now_ns >= self._due_ns or dialogue.nonce_renewed:
            dialogue.nonce_renewed = False
            self._due_ns = now_ns + self._interval_ns
            dialogue.keep_alive(self._methods[0], self._uri)

    def explain(self, error: SourceUnreachable, now_ns: int) -> SourceUnreachable:
        """The error that ended the session, or, where a policy would have kept it, one that names the policy."""
        method = self._methods[0]
        if error.reason not in _ENDED_BY_THE_SERVER:
            return error
        if method != "OPTIONS" and self._dialogue.keep_alive_open:
            return SourceUnreachable(
                f"服务器收到心跳 {method} 后结束了会话 (it ended the session at our keep-alive); 请在 "
                f"[ingest.rtsp_policies] 中启用 {Quirk.KEEP_ALIVE_OPTIONS} (switch that policy on)",
                reason="keep_alive_fatal",
            )
        age_ns = now_ns - self._began_ns
        if method == "OPTIONS" and 0.9 * self._timeout_ns <= age_ns <= 1.5 * self._timeout_ns:
            return SourceUnreachable(
                f"会话在其超时 {self._timeout_ns / SECOND:g} 秒后结束 (it timed out in spite of OPTIONS); "
                f"请在 [ingest.rtsp_policies] 中启用 {Quirk.KEEP_ALIVE_PARAMETER} (switch that policy on)",
                reason="session_timed_out",
            )
        return error
