"""Answers to 401: Basic (RFC 7617) and Digest (RFC 7616; MD5, SHA-256, SHA-512-256 and their session variants)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ingest.rtsp.credentials import Credentials

_SCHEME: Final = re.compile(r"(?:^|,)\s*(Digest|Basic)(?=\s|$|,)", re.IGNORECASE)
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_PARAMETER: Final = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha512_256(text: str) -> str:
    return hashlib.new("sha512_256", text.encode()).hexdigest()


_HASHES: Final[dict[str, tuple[int, Callable[[str], str]]]] = {"MD5": (1, _md5), "SHA-256": (2, _sha256)}
if "sha512_256" in hashlib.algorithms_available:
    _HASHES["SHA-512-256"] = (3, _sha512_256)


@dataclass(frozen=True, slots=True)
class _Challenge:
    scheme: str
    parameters: dict[str, str]
    strength: int


class Authenticator:
    """Remembers the server's challenge and signs each request. Picks the strongest offer it understands."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._challenge: _Challenge | None = None
        self._count = 0
        self._accepted = False

    def accepted(self) -> None:
        """The last signed request was let through: a later 401 means an old nonce, not a wrong password."""
        self._accepted = self._challenge is not None

    def challenge(self, headers: list[str]) -> bool:
        """Learn from the WWW-Authenticate headers of a 401; True when another try can help.

        False: no scheme that we know, or the same challenge again although we answered it (the password is
        wrong), unless the nonce is stale or was accepted before.
        """
        offers = [offer for text in headers for each in _split(text) if (offer := _parse(each)) is not None]
        if not offers:
            return False
        best = max(offers, key=lambda offer: offer.strength)
        answered = self._challenge is not None
        stale = best.parameters.get("stale", "").lower() == "true"
        self._challenge = best
        self._count = 0
        again = not answered or stale or self._accepted
        self._accepted = False
        return again

    def header(self, method: str, uri: str) -> str | None:
        """The Authorization header of a request, None before the first challenge."""
        challenge = self._challenge
        if challenge is None:
            return None
        user, password = self._credentials.user, self._credentials.password
        if challenge.scheme == "basic":
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        return self._digest(challenge.parameters, method, uri, user, password)

    def _digest(self, offer: dict[str, str], method: str, uri: str, user: str, password: str) -> str:
        algorithm = offer.get("algorithm", "MD5").upper()
        hashed = _HASHES[algorithm.removesuffix("-SESS")][1]
        realm, nonce = offer.get("realm", ""), offer.get("nonce", "")
        self._count += 1
        # Derived, not random: the server's nonce already makes each session's answers different. One per nonce:
        # the session key of the -sess variants is that of the first request (RFC 7616, 3.4.2).
        client_nonce = _sha256(f"{nonce}:{user}")[:16]
        secret = hashed(f"{user}:{realm}:{password}")
        if algorithm.endswith("-SESS"):
            secret = hashed(f"{secret}:{nonce}:{client_nonce}")
        request = hashed(f"{method}:{uri}")
        name = user.replace("\\", "\\\\").replace('"', '\\"')
        parts = [f'username="{name}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
        if "auth" in [each.strip() for each in offer.get("qop", "").lower().split(",")]:
            count = f"{self._count:08x}"
            response = hashed(f"{secret}:{nonce}:{count}:{client_nonce}:auth:{request}")
            parts += ["qop=auth", f"nc={count}", f'cnonce="{client_nonce}"']
        else:
            response = hashed(f"{secret}:{nonce}:{request}")
            if algorithm.endswith("-SESS"):
                parts.append(f'cnonce="{client_nonce}"')
        parts.append(f'response="{response}"')
        if "algorithm" in offer:
            parts.append(f"algorithm={offer['algorithm']}")
        if "opaque" in offer:
            parts.append(f'opaque="{offer["opaque"]}"')
        return "Digest " + ", ".join(parts)


def _split(text: str) -> list[str]:
    """The challenges of one header: RFC 7235 lets several stand in one, divided by commas as their parts are."""
    plain = _QUOTED.sub(lambda match: "x" * len(match[0]), text)
    starts = [match.start(1) for match in _SCHEME.finditer(plain)]
    return [text[start:end].strip(" ,") for start, end in pairwise([*starts, len(text)])]


def _parse(text: str) -> _Challenge | None:
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() == "basic":
        return _Challenge("basic", {}, 0)
    parameters = {
        match[1].lower(): match[2] if match[2] is not None else match[3] for match in _PARAMETER.finditer(rest)
    }
    name = parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")
    if name not in _HASHES or not parameters.get("nonce"):
        return None
    qop = parameters.get("qop", "")
    if qop and "auth" not in [each.strip() for each in qop.lower().split(",")]:
        return None
    return _Challenge("digest", parameters, _HASHES[name][0])
