"""Who asks. Until accounts exist: the operator at this machine, or whoever shows the token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final

from contracts.instant import HOUR
from contracts.principal import Principal, Role
from dashboard_api.config import ApiConfig
from runtime.clock import Clock

COOKIE: Final = "gridwhistle_session"
SESSIONS_MAX: Final = 1_000


class Authenticator:
    """Turns a request's credentials into a Principal; default deny where a token is required."""

    def __init__(self, config: ApiConfig, token: str | None, clock: Clock) -> None:
        self._token = _digest(token) if token is not None else None
        self._open_here = not config.needs_token
        self._clock = clock
        self._lifetime_ns = round(config.session_hours * HOUR)
        self._sessions: dict[bytes, int] = {}
        self.operator = Principal(
            id=config.operator_id, name=config.operator_name, role=Role.OPERATOR, unit=config.operator_unit
        )
        self.machine = Principal(id="api-token", name="接口客户端", role=Role.MACHINE)

    def principal(self, authorization: str, cookie: str) -> Principal | None:
        """Who asks, or None. A wrong token is never quietly taken for the local operator."""
        if authorization:
            scheme, _, token = authorization.partition(" ")
            return self.machine if scheme.lower() == "bearer" and self.token_fits(token.strip()) else None
        if self._open_here or self._session_lives(_cookie_value(cookie)):
            return self.operator
        return None

    def token_fits(self, token: str) -> bool:
        """Whether this is the token; takes the same time for every wrong one."""
        return self._token is not None and hmac.compare_digest(self._token, _digest(token))

    def open_session(self) -> str:
        """The secret of a new browser session; the oldest one ends when there are too many."""
        secret = secrets.token_urlsafe(32)
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_digest(secret)] = self._clock.monotonic_ns() + self._lifetime_ns
        return secret

    def end_session(self, cookie: str) -> None:
        """Forget the session behind a Cookie header."""
        self._sessions.pop(_digest(_cookie_value(cookie)), None)

    def _session_lives(self, secret: str) -> bool:
        if not secret:
            return False
        key = _digest(secret)
        ends_ns = self._sessions.get(key)
        if ends_ns is not None and self._clock.monotonic_ns() >= ends_ns:
            del self._sessions[key]
            return False
        return ends_ns is not None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _cookie_value(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
