"""What real RTSP servers do against the standards, and what we do about it: one named policy for each.

A policy acts when the behaviour is seen, not by the vendor's name, and every use is counted.
`[ingest.rtsp_policies]` names policies for a camera or a platform: `name` switches one on that cannot be found out
by itself, `-name` switches one off. Where one that is off would have to act the session ends with the reason
`rtsp_policy_off` and a sentence that names it; where one that must be configured is missing, with the reason that
its docstring says. Each has a capture of bytes in tests/ingest/rtsp/captures.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from contracts.errors import ConfigError, ProtocolViolation


class Quirk(enum.StrEnum):
    """A named policy. Each docstring says what was seen, and what is done."""

    UNNUMBERED_REPLY = "unnumbered_reply"
    """CSeq is missing in replies, 0, or one behind (HiSilicon media server, Tapo C220 after a bad keep-alive):
    with one question open, its reply is the next one that comes."""
    STRAY_BYTES = "stray_bytes"
    """Spaces and zero bytes stand between messages: skipped. Empty lines always are, as RFC 2616, 4.1 wants."""
    UNSIZED_BODY = "unsized_body"
    """The reply to DESCRIBE has no Content-Length: lines of a session description behind it are its body."""
    BASE_REPAIRED = "base_repaired"
    """Content-Base without scheme, with the scheme twice, or that does not parse (no-name cameras): the asked URL
    is the base; of a path alone, the path on the asked host."""
    BASE_ELSEWHERE = "base_elsewhere"
    """Content-Base or control names another host or port (the private address behind NAT, as Axis encoders do):
    the host and port that we are connected to stay, the path is taken. Only a redirect sends us elsewhere."""
    OPTIONS_REFUSED = "options_refused"
    """OPTIONS is refused with any status but 401: nothing special is asked for later."""
    CHANNEL_CHOSEN = "channel_chosen"
    """The reply to SETUP names other interleaved channels than asked for: those are read."""
    CHANNEL_UNNAMED = "channel_unnamed"
    """The reply to SETUP names no interleaved channels although TCP was asked for: the asked ones are read."""
    UDP_WHEN_TCP_REFUSED = "udp_when_tcp_refused"
    """SETUP for TCP is answered with 461, or accepted with a UDP transport: asked again for UDP, in the latter
    case within the session that the server has made (RFC 2326, 10.4)."""
    PLAY_TRACK = "play_track"
    """PLAY of the whole presentation is refused (459, 404, 400): the track's own URL is played."""
    CONTROL_BEFORE_QUERY = "control_before_query"
    """SETUP of `url?query/track`, as most cameras want it, is refused with 404 or 400: `url/track?query` is
    tried."""
    RANGE_REFUSED = "range_refused"
    """PLAY with a Range is refused (457): played without."""
    KEEP_ALIVE_REFUSED = "keep_alive_refused"
    """The keep-alive is refused although Public names its method (Tapo: 400 to SET_PARAMETER): the next of
    GET_PARAMETER, OPTIONS, SET_PARAMETER is used, the session goes on."""
    KEEP_ALIVE_OPTIONS = "keep_alive_options"
    """Only when configured. Keep-alive by OPTIONS from the start: for servers that end the session at
    GET_PARAMETER, so that its refusal cannot be seen (Hipcam). Without it: `keep_alive_fatal`."""
    KEEP_ALIVE_PARAMETER = "keep_alive_parameter"
    """Only when configured. Keep-alive by GET_PARAMETER although Public does not name it: for servers that do not
    count OPTIONS as a sign of life (EvoStream). Without it: `session_timed_out`."""
    DIGEST_URI_PATH = "digest_uri_path"
    """Only when configured. The digest is made over the path, not over the whole URL, for servers that compare so.
    Not tried by itself: a second guess after a wrong password may lock the account. Without it, as without the
    next: `refused_credentials`."""
    DIGEST_URI_BASE = "digest_uri_base"
    """Only when configured. Every digest is made over the URL of DESCRIBE: for servers that compare the uri
    with the presentation, not with the request."""
    RESYNC = "resync"
    """Bytes stand between interleaved packets that belong to none, or a length is wrong (live555 after a partial
    write, Canon encoders): skipped up to the next plausible packet or reply, within 64 KiB each time and 32 times
    a session."""
    PARAMETER_SETS_ODD = "parameter_sets_odd"
    """sprop-parameter-sets is missing, empty, not Base64 or holds something else (HIK Media Server, VStarcam):
    what is usable is learnt, the rest comes in band."""


ASKED_FOR: Final = frozenset(
    {
        Quirk.KEEP_ALIVE_OPTIONS,
        Quirk.KEEP_ALIVE_PARAMETER,
        Quirk.DIGEST_URI_PATH,
        Quirk.DIGEST_URI_BASE,
    }
)
"""Policies that act only when the configuration names them."""
_UNASKED: Final = frozenset(Quirk) - ASKED_FOR


class QuirkPolicies:
    """Which policies may act for a camera, and how often each acted. One object per camera."""

    def __init__(self, configured: Iterable[str] = (), on_use: Callable[[Quirk], None] | None = None) -> None:
        """`on_use` hears of each act. Raises ConfigError for a name that is no policy."""
        allowed = set(_UNASKED)
        for text in configured:
            name = text.removeprefix("-")
            try:
                quirk = Quirk(name)
            except ValueError:
                raise ConfigError(
                    f"ingest.rtsp_policies 中没有策略 '{name[:40]}' (no such policy); "
                    f"可用 (choose from): {', '.join(Quirk)}",
                    reason="unknown_rtsp_policy",
                ) from None
            if text.startswith("-"):
                allowed.discard(quirk)
            else:
                allowed.add(quirk)
        # One set for the thousands of cameras that nothing is configured for.
        self._allowed = _UNASKED if allowed == _UNASKED else frozenset(allowed)
        self._on_use = on_use
        self.seen: Counter[Quirk] = Counter()
        """How often each policy acted, over all lives of the session."""

    def on(self, quirk: Quirk) -> bool:
        """Whether this policy may act."""
        return quirk in self._allowed

    def use(self, quirk: Quirk) -> bool:
        """Whether this policy may act now; counted when it does."""
        if quirk not in self._allowed:
            return False
        self.seen[quirk] += 1
        if self._on_use is not None:
            self._on_use(quirk)
        return True

    def require(self, quirk: Quirk, zh: str, en: str) -> None:
        """This policy acts now, and is counted; `zh` and `en` say what the server did.

        Raises ProtocolViolation with reason `rtsp_policy_off` where it is switched off: a session without it can
        only guess, and the sentence names the policy that would go on.
        """
        if not self.use(quirk):
            raise policy_off(quirk, zh, en)


def policy_off(quirk: Quirk, zh: str, en: str) -> ProtocolViolation:
    """The error of a session that this policy, switched off, would have kept."""
    return ProtocolViolation(
        f"{zh}, 策略 {quirk} 已停用 ({en}, and policy {quirk} is switched off); "
        f'请在 [ingest.rtsp_policies] 中去掉 "-{quirk}" (take it out there)',
        reason="rtsp_policy_off",
    )
