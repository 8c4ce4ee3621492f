"""The REST interface of WVP-GB28181-pro: logging in, its envelope, and being gentle with one that is down.

As its sources have it (controllers of `/api`, 2026-08): every answer is `{"code": 0, "msg": ..., "data": ...}`,
refusals often with HTTP 200; `/api/user/login` (GET alone, in spite of its annotations) takes the MD5 of the
password in hexadecimal and gives an `accessToken`, which goes into the header `access-token`; an expired one is
answered with 401.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from contracts.errors import ProtocolViolation, SourceMissing, SourceRefused, SourceUnreachable
from contracts.instant import SECOND
from contracts.wire import DOES_NOT_PARSE
from runtime.log import get_log
from runtime.supervise import Backoff

if TYPE_CHECKING:
    from ingest.rtsp.credentials import Credentials
    from runtime.clock import Clock

_TOKEN_HEADER: Final = "access-token"
_REPLY_S: Final = 15.0
"""WVP itself waits 10 s for a device before it answers."""
_REQUESTS_MAX: Final = 16
_BODY_MAX: Final = 16 << 20
_UNAUTHORISED: Final = 401
_NOT_FOUND: Final = 404


class _Envelope(msgspec.Struct, frozen=True):
    code: int
    msg: str | None = None
    data: Any = None


class WvpSession:
    """One platform. Requests run at most sixteen at a time.

    While the platform does not answer, one request in a while tries it and all others fail at once: two thousand
    cameras that come back together are not two thousand connections to a server that starts. The log tells once
    that it went and once that it is back.
    """

    def __init__(
        self,
        platform_id: str,
        base_url: str,
        credentials: Credentials | None,
        clock: Clock,
        *,
        reply_s: float = _REPLY_S,
    ) -> None:
        self._id = platform_id
        self._credentials = credentials
        self._clock = clock
        # A platform stands on the county's own network: no proxy of the environment.
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"), timeout=httpx.Timeout(reply_s, connect=5.0), trust_env=False
        )
        self._places = asyncio.Semaphore(_REQUESTS_MAX)
        self._logging_in = asyncio.Lock()
        self._token = ""
        self._backoff = Backoff(1.0, 30.0, platform_id)
        self._down = ""
        self._trying = False
        self._again_ns = 0
        self.logins = 0

    @property
    def down(self) -> bool:
        """Whether the platform did not answer the last time."""
        return bool(self._down)

    async def get(self, path: str, **query: str | int) -> Any:
        """`data` of the answer to a GET. Logs in first, and once again when the token is refused.

        Raises SourceUnreachable with reason `platform_unreachable` (no answer, 5xx) or `stream_unavailable` (the
        platform answers that it cannot), SourceRefused with reason `platform_refused`, SourceMissing with reason
        `platform_not_found`, ProtocolViolation with reason `platform_protocol`.
        """
        async with self._places:
            self._check_down()
            token = await self._valid_token("")
            answer = await self._ask(path, query, token)
            if answer.status_code == _UNAUTHORISED or self._code(answer) == _UNAUTHORISED:
                answer = await self._ask(path, query, await self._valid_token(token))
        return self._data(answer, path)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def _valid_token(self, refused: str) -> str:
        """The token to use; another one than `refused`. Many callers at once log in once."""
        if self._credentials is None:
            return ""
        async with self._logging_in:
            if self._token and self._token != refused:
                return self._token
            self._token = ""
            digest = hashlib.md5(self._credentials.password.encode(), usedforsecurity=False).hexdigest()
            answer = await self._ask(
                "/api/user/login", {"username": self._credentials.user, "password": digest}, ""
            )
            envelope = _envelope(answer)
            token = envelope.data.get("accessToken") if envelope and isinstance(envelope.data, dict) else None
            if not isinstance(token, str) or not token:
                raise SourceRefused(
                    f"平台 {self._id} 拒绝登录 (the platform refuses the login: {_said(envelope, answer)}); "
                    "请核对密钥文件 (check the secrets file)",
                    reason="platform_refused",
                )
            self.logins += 1
            self._token = token
            return token

    async def _ask(self, path: str, query: dict[str, str | int], token: str) -> httpx.Response:
        headers = {_TOKEN_HEADER: token} if token else {}
        if self._http.is_closed:
            raise SourceUnreachable(
                f"平台 {self._id} 已不在目录中 (it left the catalogue)", reason="platform_removed"
            )
        try:
            async with self._http.stream("GET", path, params=query, headers=headers) as answer:
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > _BODY_MAX:
                        raise ProtocolViolation(
                            f"平台 {self._id} 的应答超过 {_BODY_MAX >> 20} MiB (answer too large)",
                            reason="platform_protocol",
                        )
            whole = httpx.Response(answer.status_code, content=bytes(body))
        except httpx.HTTPError as error:
            # Never the text of the error: it may hold the address with its query, and so the login.
            raise self._went_down(type(error).__name__) from None
        if whole.status_code >= 500 and self._code(whole) is None:
            raise self._went_down(f"HTTP {whole.status_code}")
        self._came_back()
        return whole

    def _code(self, answer: httpx.Response) -> int | None:
        envelope = _envelope(answer)
        return envelope.code if envelope is not None else None

    def _data(self, answer: httpx.Response, path: str) -> Any:
        envelope = _envelope(answer)
        said = _said(envelope, answer)
        if answer.status_code in (_UNAUTHORISED, 403) or (envelope and envelope.code in (_UNAUTHORISED, 403)):
            raise SourceRefused(
                f"平台 {self._id} 拒绝访问 {path} (it refuses us: {said}); 请核对账号权限 (check the account)",
                reason="platform_refused",
            )
        if answer.status_code == _NOT_FOUND or (envelope and envelope.code == _NOT_FOUND):
            raise SourceMissing(f"平台 {self._id} 没有 {path} (not found: {said})", reason="platform_not_found")
        if envelope is None:
            raise ProtocolViolation(
                f"平台 {self._id} 的应答不是 WVP 的格式 (not an answer of WVP: {said}); 请核对 base_url",
                reason="platform_protocol",
            )
        if envelope.code != 0:
            raise SourceUnreachable(f"平台 {self._id}: {said} ({path})", reason="stream_unavailable")
        return envelope.data

    def _check_down(self) -> None:
        if not self._down:
            return
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._again_ns:
            raise self._unreachable()
        # The one that tries; those behind it fail at once until it has its answer.
        self._again_ns = now_ns + round(_REPLY_S * SECOND)
        self._trying = True

    def _went_down(self, cause: str) -> SourceUnreachable:
        if not self._down:
            get_log().warning("A platform does not answer", platform=self._id, cause=cause)
        # Sixteen requests that were under way fail together: one failure, not sixteen.
        if not self._down or self._trying:
            self._again_ns = self._clock.monotonic_ns() + round(self._backoff.failed() * SECOND)
        self._down, self._trying = cause, False
        return self._unreachable()

    def _came_back(self) -> None:
        if self._down:
            get_log().info("A platform answers again", platform=self._id)
        self._down, self._trying = "", False
        self._backoff.succeeded()

    def _unreachable(self) -> SourceUnreachable:
        return SourceUnreachable(
            f"平台 {self._id} 无应答 (the platform does not answer: {self._down}); 恢复后自动重连 (we try again)",
            reason="platform_unreachable",
        )


def _envelope(answer: httpx.Response) -> _Envelope | None:
    try:
        return msgspec.json.decode(answer.content, type=_Envelope)
    except DOES_NOT_PARSE:
        return None


def _said(envelope: _Envelope | None, answer: httpx.Response) -> str:
    """What the platform itself says of it, bounded."""
    if envelope is None:
        return f"HTTP {answer.status_code}"
    return f"code {envelope.code}: {(envelope.msg or '')[:120]}"
