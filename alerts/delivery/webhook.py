"""The webhook: one signed HTTP POST per change (CloudEvents 1.0, HTTP binding, structured mode).

`X-Gridwhistle-Signature: t=<unix seconds>,v1=<hex>` where v1 = HMAC-SHA256(secret, "<t>." + body). The receiver
computes the same, compares in constant time and refuses a `t` that is more than some minutes off.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import httpx

from alerts.delivery import cloudevent
from alerts.delivery.target import RETRY_AFTER_MAX_S
from contracts.errors import DeliveryRejected, DeliveryUnavailable
from contracts.instant import SECOND

if TYPE_CHECKING:
    from alerts.config import WebhookConfig
    from alerts.delivery.outbox import OutboxRow
    from contracts.instant import Instant
    from runtime.clock import Clock

NAME: Final = "webhook"
_AGAIN: Final = frozenset({408, 425, 429})
"""4xx answers that speak of the moment, not of the message."""
_EXCERPT: Final = 200


def signature(secret: bytes, at: Instant, body: bytes) -> str:
    """The value of X-Gridwhistle-Signature."""
    t = str(at // SECOND)
    code = hmac.new(secret, t.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={t},v1={code}"


class Webhook:
    """See Target. Redirects are not followed: a signed ticket goes only where the configuration says."""

    name = NAME

    def __init__(self, config: WebhookConfig, secret: bytes, clock: Clock) -> None:
        self._url = config.url
        # A platform may hold its key in the query: it stays out of sentences, which go to the log and the wall.
        self._shown = config.url.partition("?")[0]
        self._timeout_s = config.timeout_s
        self._response_bytes_max = config.response_bytes_max
        self._secret = secret
        self._clock = clock
        self._client = httpx.AsyncClient(
            timeout=config.timeout_s,
            limits=httpx.Limits(
                max_connections=config.in_flight, max_keepalive_connections=config.in_flight, keepalive_expiry=30.0
            ),
            follow_redirects=False,
            trust_env=False,
        )

    async def send(self, row: OutboxRow) -> None:
        """See Target."""
        now = self._clock.now()
        headers = {
            "Content-Type": cloudevent.CONTENT_TYPE,
            "Idempotency-Key": row.id,
            "X-Gridwhistle-Signature": signature(self._secret, now, row.payload),
        }
        try:
            # One bound for the whole attempt: httpx bounds each read, so a trickling answer would never end.
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=row.payload, headers=headers) as response,
            ):
                text = await self._excerpt(response)
        except httpx.HTTPError as error:
            cause = str(error) or type(error).__name__
            raise DeliveryUnavailable(f"{self._shown} 无法送达 (not reached: {cause}); is it running?") from None
        except TimeoutError:
            raise DeliveryUnavailable(f"{self._shown} 超过 {self._timeout_s:g} 秒未回应 (timed out)") from None
        self._judge(response, text, now)

    async def close(self) -> None:
        """See Target."""
        await self._client.aclose()

    async def _excerpt(self, response: httpx.Response) -> str:
        """The beginning of the answer, for people; the rest is not read."""
        read = b""
        async for chunk in response.aiter_raw():
            read += chunk
            if len(read) >= self._response_bytes_max:
                break
        return read[:_EXCERPT].decode("utf-8", "replace")

    def _judge(self, response: httpx.Response, text: str, now: Instant) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        answered = f"{self._shown} 回应 {status} (answered {status}: {text!r})"
        if status >= 500 or status in _AGAIN:
            raise DeliveryUnavailable(answered, retry_after_s=_retry_after_s(response, now))
        if 300 <= status < 400:
            raise DeliveryRejected(f"{answered}; 不跟随重定向, 请将 [webhook] url 改为最终地址 (final URL)")
        raise DeliveryRejected(f"{answered}; 请与平台方核对后重发 (settle it with the platform, then send again)")


def _retry_after_s(response: httpx.Response, now: Instant) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3: seconds or a date); None when absent or unreadable."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait_s = (moment - datetime.fromtimestamp(now / SECOND, UTC)).total_seconds()
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)
