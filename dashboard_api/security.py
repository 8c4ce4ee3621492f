"""The guard in front of every route: host, origin, size, who asks; and the headers behind every answer.

Against DNS rebinding (Host), cross-site requests and cross-site WebSocket hijacking (Origin), oversized bodies,
and script from anywhere but this server (Content-Security-Policy).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import TooLarge
from dashboard_api.auth import Authenticator
from dashboard_api.config import ApiConfig, is_loopback
from dashboard_api.headers import SECURITY_HEADERS
from dashboard_api.problem import problem_response
from runtime.metrics import StageCounters

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS: Final = frozenset({"/", "/api/v1/session", "/api/v1/health/live", "/favicon.ico"})
"""Reachable without a principal: the page itself, which then asks for the token, and the liveness probe."""
OPEN_PREFIX: Final = "/wall/"
_WILDCARD_HOSTS: Final = frozenset({"0.0.0.0", "::", ""})
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Guard:
    """ASGI middleware; see the module."""

    def __init__(
        self, app: ASGIApp, config: ApiConfig, authenticator: Authenticator, counters: StageCounters
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._counters = counters
        self._body_bytes_max = config.body_bytes_max
        self._hosts = {host.lower() for host in config.allowed_hosts}
        if config.host not in _WILDCARD_HOSTS:
            self._hosts.add(config.host.lower().strip("[]"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, self._bounded(receive), _with_headers(send))
            return
        self._counters.count("requests_refused", str(refusal.status_code))
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not self._host_allowed(host):
            detail = f"不接受主机名 {host[:100]!r} (not a host of this server); add it to api.allowed_hosts"
            return problem_response(421, "host", detail, instance=path)
        unsafe = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        # Reading is an act too: a view of a picture leaves an entry in the register.
        foreign = path.startswith("/api/") and not _same_site(headers)
        if foreign or (unsafe and not _same_origin(headers, host)):
            detail = "请求来自其他网站, 已拒绝 (this request came from another site)"
            return problem_response(403, "origin", detail, instance=path)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._body_bytes_max:
            detail = f"请求体超过 {self._body_bytes_max} 字节 (the body is over the bound)"
            return problem_response(413, "too_large", detail, instance=path)
        principal = self._authenticator.principal(headers.get("authorization", ""), headers.get("cookie", ""))
        scope.setdefault("state", {})["principal"] = principal
        if principal is None and path not in OPEN_PATHS and not path.startswith(OPEN_PREFIX):
            detail = "请提供访问令牌 (show the token: Authorization: Bearer ..., or open a session on the page)"
            return problem_response(401, "token_required", detail, instance=path)
        return None

    def _host_allowed(self, host: str) -> bool:
        name = _host_name(host)
        return bool(name) and (is_loopback(name) or name in self._hosts)

    def _bounded(self, receive: Receive) -> Receive:
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > self._body_bytes_max:
                    raise TooLarge(f"请求体超过 {self._body_bytes_max} 字节 (the body is over the bound)")
            return message

        return bounded


def _host_name(host: str) -> str:
    """The name of a Host header or authority, lower case, without port and brackets; "" when malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "") if host else ""
    except ValueError:
        return ""


def _same_origin(headers: Headers, host: str) -> bool:
    """Browsers state their origin on every unsafe request; programs state none and carry no ambient rights."""
    if not _same_site(headers):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None:
        return False
    return _with_port(parts.netloc.lower(), default) == _with_port(host.lower(), default)


def _same_site(headers: Headers) -> bool:
    """Not asked for by a page of somebody else, as far as the browser says (Fetch Metadata)."""
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _with_port(authority: str, default: str) -> str:
    bare = authority.rpartition("]")[2] if authority.startswith("[") else authority
    return authority if ":" in bare else f"{authority}:{default}"


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            if "cache-control" not in headers:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return sending
