"""RTSP messages (RFC 2326): URLs, requests out, replies in. Text only; media is walked elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from contracts.errors import ConfigError, ProtocolViolation

USER_AGENT: Final = "gridwhistle"
MESSAGE_BYTES_MAX: Final = 65_536
_HEADERS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class RtspUrl:
    """An rtsp URL without credentials, split for connecting; `text` is what is asked for."""

    host: str
    port: int
    text: str


def parse_url(text: str) -> RtspUrl:
    """Check and split an rtsp:// URL.

    Raises ConfigError for another scheme, a missing host, a port out of range, or a user or password inside.
    """
    try:
        parts = urlsplit(text)
        port = parts.port or 554
    except ValueError as error:
        raise ConfigError(f"RTSP 地址无法解析 (the URL does not parse): {error}", reason="url") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"RTSP 地址不得含用户名或密码 (no credentials in the URL of {parts.hostname}); "
            "请写入密钥文件并在 credentials 中引用 (name an entry of the secrets file instead)",
            reason="password_in_url",
        )
    if parts.scheme != "rtsp" or not parts.hostname:
        raise ConfigError(
            f"'{text[:120]}' 不是 RTSP 地址 (not an RTSP URL); write rtsp://host:port/path", reason="url"
        )
    if any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise ConfigError("RTSP 地址含空格或控制字符 (white space in the URL)", reason="url")
    return RtspUrl(parts.hostname, port, text)


@dataclass(frozen=True, slots=True)
class RtspReply:
    """A reply: status, reason phrase, headers in order (names in lower case) and body."""

    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first header of this name (lower case), None when absent."""
        return next((value for key, value in self.headers if key == name), None)

    def all_headers(self, name: str) -> list[str]:
        """All headers of this name, in order."""
        return [value for key, value in self.headers if key == name]

    @property
    def cseq(self) -> int:
        """The number of the request that it answers, -1 when absent or unreadable."""
        text = self.header("cseq") or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


@dataclass(frozen=True, slots=True)
class RtspRequest:
    """A request that the server sent to us (it may: RFC 2326, 10)."""

    method: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """The first header of this name (lower case), None when absent."""
        return next((value for key, value in self.headers if key == name), None)


def format_request(method: str, uri: str, cseq: int, headers: dict[str, str]) -> bytes:
    """The bytes of a request without body."""
    lines = [f"{method} {uri} RTSP/1.0", f"CSeq: {cseq}", f"User-Agent: {USER_AGENT}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def parse_message(data: bytes) -> tuple[RtspReply | RtspRequest | None, int]:
    """One message at the start of `data` and its length in bytes; (None, 0) while it is incomplete.

    Raises ProtocolViolation when the bytes cannot begin an RTSP message or are over the bound.
    """
    end = data.find(b"\r\n\r\n")
    blank = 4
    if end < 0:
        end, blank = data.find(b"\n\n"), 2
    if end < 0:
        _refuse_early(data)
        return None, 0
    lines = data[:end].decode("utf-8", "replace").splitlines()
    headers = _headers(lines[1:])
    length = _content_length(headers)
    total = end + blank + length
    if len(data) < total:
        _refuse_early(data[:16])
        return None, 0
    first = lines[0].split(None, 2) if lines else []
    if len(first) >= 2 and first[0].startswith("RTSP/") and len(first[1]) == 3 and _is_number(first[1]):
        phrase = first[2] if len(first) > 2 else ""
        return RtspReply(int(first[1]), phrase, headers, data[end + blank : total]), total
    if len(first) == 3 and first[2].startswith("RTSP/") and first[0].isascii() and first[0].isupper():
        return RtspRequest(first[0], headers), total
    raise ProtocolViolation(
        f"对方不是 RTSP 服务器 (the peer does not speak RTSP): it sent {data[:32]!r}", reason="garbage"
    )


def _is_number(text: str) -> bool:
    """Only digits that int() reads: isdigit() alone takes superscripts, too."""
    return text.isascii() and text.isdigit()


def _refuse_early(data: bytes) -> None:
    """An incomplete message must at least begin like one, and stay within its bound."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise ProtocolViolation("RTSP 应答过长 (an RTSP message is over 64 KiB)", reason="message_too_large")
    head = data[:5]
    if head == b"RTSP/"[: len(head)]:
        return
    word = data[:20].split(b" ", 1)[0].replace(b"_", b"")
    if not word.isalpha() or not word.isupper():
        raise ProtocolViolation(
            f"对方不是 RTSP 服务器 (the peer does not speak RTSP): it sent {data[:32]!r}", reason="garbage"
        )


def _headers(lines: list[str]) -> tuple[tuple[str, str], ...]:
    headers = []
    for line in lines[:_HEADERS_MAX]:
        name, colon, value = line.partition(":")
        if colon:
            headers.append((name.strip().lower(), value.strip()))
    return tuple(headers)


def _content_length(headers: tuple[tuple[str, str], ...]) -> int:
    for name, value in headers:
        if name == "content-length":
            if not _is_number(value) or int(value[:9]) > MESSAGE_BYTES_MAX or len(value) > 9:
                raise ProtocolViolation(
                    f"RTSP Content-Length 无效 (it is {value[:20]!r}, the bound is {MESSAGE_BYTES_MAX})",
                    reason="message_too_large",
                )
            return int(value)
    return 0
