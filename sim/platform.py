"""A stand-in for the linked command platform (联动指挥平台): it receives ticket changes as a webhook.

It checks the signature `X-Gridwhistle-Signature: t=<unix>,v1=<hex HMAC-SHA256(secret, t + "." + body)>`, takes
CloudEvents 1.0 in structured or binary mode, keeps each event once (by source and id) as a line of a JSONL file
and answers 202. GET answers with the counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.instant import SECOND

if TYPE_CHECKING:
    from runtime.clock import Clock

HEAD_MAX = 32 * 1024
BODY_MAX = 4 << 20
SIGNATURE_AGE_MAX_S = 300
SIGNATURE_HEADER = "x-gridwhistle-signature"
_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    405: "Method Not Allowed",
    413: "Content Too Large",
    503: "Service Unavailable",
}


@dataclass
class Tally:
    """What came in. `received` = `kept` + `duplicates`; `refused` by signature or shape; `failed` on purpose."""

    received: int = 0
    kept: int = 0
    duplicates: int = 0
    refused: int = 0
    failed: int = 0


def sign(secret: str, unix_s: int, body: bytes) -> str:
    """The value of the signature header."""
    return f"t={unix_s},v1={_mac(secret, str(unix_s), body)}"


def _mac(secret: str, stamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def signature_fits(secret: str, header: str, body: bytes, now_s: int) -> bool:
    """Whether a signature is ours and at most five minutes old."""
    fields = dict(part.strip().partition("=")[::2] for part in header.split(","))
    stamp = fields.get("t", "")
    if not stamp.isascii() or not stamp.isdigit() or abs(now_s - int(stamp[:12])) > SIGNATURE_AGE_MAX_S:
        return False
    return hmac.compare_digest(_mac(secret, stamp, body), fields.get("v1", ""))


class PlatformReceiver:
    """The HTTP server. Port 0 takes a free one. Set `fail_next` to answer so many deliveries with 503.

    Events of an earlier run in `file` are remembered.
    """

    def __init__(self, host: str, port: int, secret: str, file: Path, clock: Clock) -> None:
        self.port = port
        self.tally = Tally()
        self.fail_next = 0
        self._host = host
        self._secret = secret
        self._file = file
        self._clock = clock
        self._seen: set[tuple[str, str]] = set()
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                event = json.loads(line)
                self._seen.add((event["source"], event["id"]))
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=HEAD_MAX)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._clients):
                writer.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            self.tally.refused += 1
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when the connection ends."""
        first = await reader.read(1)
        if not first:
            return False
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method = head[0].split(" ")[0]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > BODY_MAX:
            self.tally.refused += 1
            await _answer(writer, 413, {"error": f"at most {BODY_MAX} bytes"}, close=True)
            return False
        body = await reader.readexactly(int(length))
        close = headers.get("connection", "").lower() == "close"
        code, content = self._judge(method, headers, body)
        await _answer(writer, code, content, close=close)
        return not close

    def _judge(self, method: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, object]]:
        if method == "GET":
            return 200, asdict(self.tally)
        if method != "POST":
            return 405, {"error": "POST an event, or GET the counts"}
        if self.fail_next > 0:
            self.fail_next -= 1
            self.tally.failed += 1
            return 503, {"error": "out of order on purpose"}
        if not signature_fits(self._secret, headers.get(SIGNATURE_HEADER, ""), body, self._clock.now() // SECOND):
            self.tally.refused += 1
            return 401, {"error": "the signature does not fit the body, or is over five minutes old"}
        event = parse_cloud_event(headers, body)
        if event is None:
            self.tally.refused += 1
            return 400, {"error": "no CloudEvents 1.0 event"}
        return 202, self._keep(event)

    def _keep(self, event: dict[str, object]) -> dict[str, object]:
        self.tally.received += 1
        key = (str(event["source"]), str(event["id"]))
        if key in self._seen:
            self.tally.duplicates += 1
            return {"accepted": True, "duplicate": True}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._seen.add(key)
        self.tally.kept += 1
        return {"accepted": True, "duplicate": False}


def parse_cloud_event(headers: Mapping[str, str], body: bytes) -> dict[str, object] | None:
    """The event of a request in structured or binary mode; None when a required attribute is missing."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if headers.get("content-type", "").startswith("application/cloudevents+json"):
        event = content
    else:
        event = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
        event["data"] = content
    if not isinstance(event, dict) or event.get("specversion") != "1.0":
        return None
    named = (event.get(name) for name in ("id", "source", "type"))
    return event if all(isinstance(value, str) and value for value in named) else None


async def _answer(writer: asyncio.StreamWriter, code: int, content: dict[str, object], *, close: bool) -> None:
    body = json.dumps(content).encode()
    writer.write(
        f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n".encode()
        + body
    )
    await writer.drain()
