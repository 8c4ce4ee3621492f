"""RTSP 1.0 requests as a server reads them (RFC 2326), and Digest answers (RFC 2617, MD5)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from contracts.errors import MalformedMessage, TooLarge

HEAD_MAX = 16 * 1024
BODY_MAX = 64 * 1024
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Stream Not Found",
    454: "Session Not Found",
    455: "Method Not Valid In This State",
    459: "Aggregate Operation Not Allowed",
    461: "Unsupported Transport",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_PAIR = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^,\s]+))')


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are lower case; `path` is decoded and starts with a slash."""

    method: str
    url: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def take_request(buffer: bytearray) -> Request | None:
    """The first whole request in `buffer`, which it leaves; None while bytes are missing.

    Raises MalformedMessage, TooLarge.
    """
    while buffer[:2] == b"\r\n":
        del buffer[:2]
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > HEAD_MAX:
            raise TooLarge(f"an RTSP request head is over {HEAD_MAX} bytes")
        return None
    if end > HEAD_MAX:
        raise TooLarge(f"an RTSP request head is over {HEAD_MAX} bytes")
    lines = bytes(buffer[:end]).decode("utf-8", "replace").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("RTSP/"):
        raise MalformedMessage(f"{lines[0][:80]!r} is not an RTSP request line")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedMessage(f"{line[:80]!r} is not an RTSP header")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > BODY_MAX:
        raise TooLarge(f"an RTSP request announces a body of {length[:20]} bytes; at most {BODY_MAX} are read")
    total = end + 4 + int(length)
    if len(buffer) < total:
        return None
    body = bytes(buffer[end + 4 : total])
    del buffer[:total]
    try:
        path = unquote(urlsplit(parts[1]).path)
    except ValueError as error:
        raise MalformedMessage(f"{parts[1][:80]!r} is not a URL: {error}") from None
    return Request(parts[0], parts[1], path or "/", headers, body)


def response(code: int, cseq: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """An RTSP answer with its body."""
    lines = [f"RTSP/1.0 {code} {REASONS[code]}", f"CSeq: {cseq}", "Server: gridwhistle-sim"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def digest_matches(request: Request, realm: str, nonce: str, users: Mapping[str, str]) -> bool:
    """Whether the request's Authorization header proves one of `users` (name to password)."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "digest":
        return False
    given = {name: quoted or bare for name, quoted, bare in _PAIR.findall(rest)}
    password = users.get(given.get("username", ""))
    if password is None or given.get("nonce") != nonce or given.get("realm") != realm:
        return False
    secret = _md5(f"{given['username']}:{realm}:{password}")
    asked = _md5(f"{request.method}:{given.get('uri', '')}")
    return hmac.compare_digest(_md5(f"{secret}:{nonce}:{asked}"), given.get("response", ""))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
