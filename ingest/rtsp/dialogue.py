"""What is said in an RTSP session: requests, replies, logins, and requests of the server (RFC 2326, 10)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from contracts.errors import ProtocolViolation, SourceMissing, SourceRefused, SourceUnreachable
from ingest.rtsp.auth import Authenticator
from ingest.rtsp.message import RtspReply, RtspRequest, format_request
from ingest.rtsp.quirks import Quirk, QuirkPolicies

if TYPE_CHECKING:
    from ingest.rtsp.credentials import Credentials
    from ingest.rtsp.receive import Connection

_TRIES_PER_REQUEST: Final = 3
_LAST_WORDS_S: Final = 1.0


class Redirected(Exception):
    """The server wants us elsewhere; an answer rather than an error. `proxy`: the same URL through that server."""

    def __init__(self, location: str, *, proxy: bool = False) -> None:
        super().__init__(location)
        self.location = location
        self.proxy = proxy


class Dialogue:
    """One connection's requests and replies; set `connection` before the first request.

    `session_id` goes with every request once it is known. `nonce_renewed`: the server refused a keep-alive for an
    old nonce and gave a new one, so it should be said again. `keep_alive_refused`: it refused the method.
    `base_uri` is the URL of DESCRIBE, for servers whose digests are made over it.
    """

    def __init__(
        self, host: str, credentials: Credentials | None, reply_s: float, quirks: QuirkPolicies | None = None
    ) -> None:
        self.connection: Connection | None = None
        self.session_id = ""
        self.base_uri = ""
        self.nonce_renewed = False
        self.keep_alive_refused = False
        self._keep_alive: int | None = None
        self._quirks = quirks or QuirkPolicies()
        self._host = host
        self._reply_s = reply_s
        self._authenticator = Authenticator(credentials) if credentials is not None else None
        self._cseq = 0
        self._replies: dict[int, asyncio.Future[RtspReply]] = {}

    async def request(self, method: str, uri: str, headers: dict[str, str] | None = None) -> RtspReply:
        """Ask and wait; answers 401 with the credentials. Raises a SourceError by status."""
        return self.judge(method, await self.ask(method, uri, headers))

    async def ask(self, method: str, uri: str, headers: dict[str, str] | None = None) -> RtspReply:
        """As `request`, but whatever the status is, the reply is given, except 401: that raises SourceRefused."""
        for _ in range(_TRIES_PER_REQUEST):
            reply = await self._exchange(method, uri, headers or {})
            if reply.status != 401:
                if self._authenticator is not None:
                    self._authenticator.accepted()
                return reply
            if self._authenticator is None:
                raise SourceRefused(
                    f"{self._host} 要求登录 (401: asks for credentials); "
                    "请在目录中为该摄像机填写 credentials (name an entry of the secrets file)"
                )
            if not self._authenticator.challenge(reply.all_headers("www-authenticate")):
                raise SourceRefused(
                    f"{self._host} 拒绝了用户名或密码 (401: user or password refused); "
                    "请检查密钥文件 (check the secrets file); "
                    f"若密码无误, 可试策略 (else try a policy) {Quirk.DIGEST_URI_PATH} / {Quirk.DIGEST_URI_BASE}"
                )
        raise SourceRefused(f"{self._host} 反复要求登录 (401 again and again)")

    def judge(self, method: str, reply: RtspReply) -> RtspReply:
        """The reply when it says 2xx. Raises the SourceError of its status, or Redirected."""
        status = reply.status
        if 200 <= status < 300:
            return reply
        said = f"{method}: {status} {reply.phrase[:80]}"
        if status in (300, 301, 302, 303, 305):
            location = reply.header("location")
            if location:
                raise Redirected(location, proxy=status == 305)
        if status in (401, 403):
            raise SourceRefused(f"{self._host} 拒绝访问 ({said}); 请检查权限 (check the account's rights)")
        if status in (404, 410):
            raise SourceMissing(f"{self._host} 上没有此流 ({said}); 请检查地址的路径 (check the URL's path)")
        if status == 461:
            raise ProtocolViolation(
                f"{self._host} 不支持所要求的传输方式 ({said}); 请检查 transport (tcp or udp)",
                reason="transport_refused",
            )
        if status == 454:
            raise SourceUnreachable(f"{self._host} 的会话已失效 ({said})", reason="session_gone")
        if status in (453, 503) or status >= 500:
            raise SourceUnreachable(f"{self._host} 暂不可用 ({said})", reason=f"status_{status}")
        raise ProtocolViolation(f"{self._host} 的应答无法使用 ({said})", reason=f"status_{status}")

    async def _exchange(self, method: str, uri: str, headers: dict[str, str]) -> RtspReply:
        connection = self.connection
        assert connection is not None
        answer = self._expect(self.send(method, uri, headers))
        try:
            waiting: set[asyncio.Future[Any]] = {answer, connection.ended}
            await asyncio.wait(waiting, timeout=self._reply_s, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if connection.ended.done():
                connection.ended.result()
            raise SourceUnreachable(
                f"{self._host} 在 {self._reply_s:g} 秒内未应答 {method} (no reply)", reason="stall"
            )
        finally:
            answer.cancel()

    def _expect(self, cseq: int) -> asyncio.Future[RtspReply]:
        future: asyncio.Future[RtspReply] = asyncio.get_running_loop().create_future()
        self._replies = {cseq: future}
        return future

    def send(self, method: str, uri: str, headers: dict[str, str] | None = None) -> int:
        """Ask without waiting for the reply; returns its number."""
        assert self.connection is not None
        self._cseq += 1
        fields = dict(headers or {})
        if self.session_id:
            fields["Session"] = self.session_id
        signature = None
        if self._authenticator is not None:
            signature = self._authenticator.header(method, self._digest_uri(uri))
        if signature is not None:
            fields["Authorization"] = signature
        self.connection.send(format_request(method, uri, self._cseq, fields), reply_due=True)
        return self._cseq

    def _digest_uri(self, uri: str) -> str:
        if self.base_uri not in ("", uri) and self._quirks.use(Quirk.DIGEST_URI_BASE):
            uri = self.base_uri
        if self._quirks.use(Quirk.DIGEST_URI_PATH):
            parts = urlsplit(uri)
            return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return uri

    def keep_alive(self, method: str, uri: str) -> None:
        """Show that we live, without waiting; a refusal is told by `keep_alive_refused`."""
        self._keep_alive = self.send(method, uri)

    @property
    def keep_alive_open(self) -> bool:
        """Whether the last keep-alive is not answered yet."""
        return self._keep_alive is not None

    def on_message(self, message: RtspReply | RtspRequest) -> None:
        """What the server said. Raises ProtocolViolation for what a policy would take that is switched off."""
        if isinstance(message, RtspRequest):
            self._on_request(message)
        elif message.status >= 200:
            self._on_reply(message)

    def _on_request(self, message: RtspRequest) -> None:
        connection = self.connection
        assert connection is not None
        location = message.header("location")
        known = message.method in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "TEARDOWN")
        known = known or (message.method == "REDIRECT" and location is not None)
        line = "RTSP/1.0 200 OK" if known else "RTSP/1.0 501 Not Implemented"
        connection.send(f"{line}\r\nCSeq: {message.header('cseq') or '0'}\r\n\r\n".encode())
        if message.method == "TEARDOWN":
            connection.fail(
                SourceUnreachable("服务器结束了会话 (the server ended the session)", reason="server_teardown")
            )
        elif message.method == "REDIRECT" and location is not None:
            connection.fail(Redirected(location))

    def _on_reply(self, message: RtspReply) -> None:
        connection = self.connection
        assert connection is not None
        of_keep_alive = message.cseq == self._keep_alive
        future = self._replies.pop(message.cseq, None)
        if future is None and not of_keep_alive and self._replies:
            # With one question open there is only one that this can answer.
            self._unnumbered(message)
            _, future = self._replies.popitem()
        if future is not None:
            if not future.done():
                future.set_result(message)
        elif message.status == 401 and self._authenticator is not None:
            # A keep-alive whose nonce grew old: learn the new one and ask again.
            self._keep_alive = None
            if self._authenticator.challenge(message.all_headers("www-authenticate")):
                self.nonce_renewed = True
        elif message.status == 454:
            connection.fail(SourceUnreachable("会话已失效 (454: the session is gone)", reason="session_gone"))
        elif self._keep_alive is not None:
            # Only keep-alives are open now: whatever number it bears, this is about one of them.
            if not of_keep_alive:
                self._unnumbered(message)
            self._keep_alive = None
            if message.status < 300 and self._authenticator is not None:
                self._authenticator.accepted()
            if message.status >= 400:
                self._quirks.require(
                    Quirk.KEEP_ALIVE_REFUSED,
                    f"心跳被拒 {message.status}",
                    f"the keep-alive is answered with {message.status}",
                )
                self.keep_alive_refused = True

    def _unnumbered(self, message: RtspReply) -> None:
        self._quirks.require(
            Quirk.UNNUMBERED_REPLY,
            f"应答的 CSeq {message.header('cseq')!r} 与请求不符",
            "the CSeq of a reply is not that of our request",
        )

    async def last_words(self, method: str, uri: str) -> None:
        """Tell the server, and read on until it has heard: closing with unread bytes would reset the connection
        and could destroy the message on its way."""
        connection = self.connection
        if connection is None or connection.closed:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                # Twice where the nonce grew old since we last spoke.
                while await self._last_word(connection, method, uri):
                    pass

    async def _last_word(self, connection: Connection, method: str, uri: str) -> bool:
        """Say it, and wait for the answer or the end; True when it has to be said again, signed anew."""
        answer = self._expect(self.send(method, uri))
        if connection.unreadable:
            # Its answer cannot be told from the garbage around it: the server's end of the connection is one.
            connection.end_sending()
        waiting: set[asyncio.Future[Any]] = {answer, connection.gone}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() or connection.closed or answer.result().status != 401:
                return False
            signs = self._authenticator
            return signs is not None and signs.challenge(answer.result().all_headers("www-authenticate"))
        finally:
            answer.cancel()
