from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from alerts.config import WebhookConfig
from alerts.core.effects import TicketChanged
from alerts.delivery import cloudevent
from alerts.delivery.outbox import OutboxRow
from alerts.delivery.webhook import Webhook
from contracts.errors import DeliveryRejected, DeliveryUnavailable
from contracts.instant import SECOND, from_rfc3339
from contracts.observation import EvidenceRef
from runtime.clock import SimClock
from tests.alerts.delivery.receiver import Receiver, receiver
from tests.alerts.records import GRID, T0, at, ticket

SECRET = b"a shared secret of the county"
EVIDENCE = EvidenceRef(
    sha256="00" * 32,
    path="a/b.jpg",
    media_type="image/jpeg",
    width=640,
    height=360,
    size=9,
    event_time=T0,
    source_id="C",
)


def row(change: TicketChanged | None = None) -> OutboxRow:
    change = change or TicketChanged(msgspec.structs.replace(ticket(), evidence=(EVIDENCE,)), (), "opened")
    id_ = cloudevent.event_id(change.ticket, "webhook")
    return OutboxRow(
        id=id_,
        ordinal=1,
        target="webhook",
        ticket_id=change.ticket.id,
        payload=cloudevent.render(change, id_, at(1)),
    )


@asynccontextmanager
async def webhook(platform: Receiver, *, timeout_s: float = 10.0) -> AsyncIterator[Webhook]:
    config = WebhookConfig(url=platform.url, secret_file="s", timeout_s=timeout_s)
    opened = Webhook(config, SECRET, SimClock(T0))
    yield opened
    await opened.close()


async def test_platform_gets_a_cloudevent_with_the_whole_ticket() -> None:
    async with receiver() as platform, webhook(platform) as target:
        await target.send(row())
    [request] = platform.requests
    assert request.headers["content-type"].startswith("application/cloudevents+json")
    event = request.event
    assert event["specversion"] == "1.0"
    assert event["source"] == "urn:gridwhistle:site:152921"
    assert event["type"] == "cn.gridwhistle.ticket.opened.v1"
    assert event["subject"] == ticket().id
    assert event["time"].endswith("+08:00")
    assert from_rfc3339(event["time"]) == at(1)
    assert event["datacontenttype"] == "application/json"
    assert event["partitionkey"] == GRID
    assert event["exercise"] is False
    assert event["data"]["case_number"] == ticket().case_number
    assert from_rfc3339(event["data"]["opened_at"]) == T0
    assert event["data"]["closed_at"] is None
    assert from_rfc3339(event["data"]["evidence"][0]["event_time"]) == T0


async def test_signature_proves_body_and_time_with_the_shared_secret() -> None:
    async with receiver() as platform, webhook(platform) as target:
        await target.send(row())
    [request] = platform.requests
    parts = dict(part.split("=") for part in request.headers["x-gridwhistle-signature"].split(","))
    assert int(parts["t"]) == T0 // SECOND
    wanted = hmac.new(SECRET, parts["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(parts["v1"], wanted)


async def test_every_attempt_carries_the_same_id_and_body() -> None:
    async with receiver((500, {})) as platform, webhook(platform) as target:
        with pytest.raises(DeliveryUnavailable):
            await target.send(row())
        await target.send(row())
    first, second = platform.requests
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == first.event["id"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_answers_of_the_moment_are_tried_again(status: int) -> None:
    async with receiver((status, {})) as platform, webhook(platform) as target:
        with pytest.raises(DeliveryUnavailable, match=str(status)):
            await target.send(row())


@pytest.mark.parametrize("status", [301, 400, 401, 404, 409, 422])
async def test_refusals_and_redirects_are_final(status: int) -> None:
    async with (
        receiver((status, {"Location": "http://elsewhere.example/"})) as platform,
        webhook(platform) as target,
    ):
        with pytest.raises(DeliveryRejected, match=str(status)):
            await target.send(row())
    assert len(platform.requests) == 1


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("7", 7.0), ("Mon, 21 Sep 2026 14:13:30 GMT", 10.0), ("999999999", 3600.0), ("soon", None), ("", None)],
)
async def test_retry_after_is_read_in_both_forms(value: str, wanted: float | None) -> None:
    assert from_rfc3339("2026-09-21T14:13:20Z") == T0
    async with receiver((429, {"Retry-After": value})) as platform, webhook(platform) as target:
        with pytest.raises(DeliveryUnavailable) as failure:
            await target.send(row())
    assert failure.value.retry_after_s == wanted


async def test_platform_that_never_answers_is_given_up_in_time() -> None:
    async with receiver((0, {})) as platform, webhook(platform, timeout_s=0.2) as target:
        with pytest.raises(DeliveryUnavailable):
            await target.send(row())


async def test_platform_that_is_not_there_is_unavailable() -> None:
    async with receiver() as platform:
        pass
    async with webhook(platform) as target:
        with pytest.raises(DeliveryUnavailable, match="not reached"):
            await target.send(row())


def test_drill_says_so_in_the_event() -> None:
    change = TicketChanged(msgspec.structs.replace(ticket(), exercise=True), (), "closed")
    event = msgspec.json.decode(row(change).payload)
    assert event["exercise"] is True
    assert event["type"] == "cn.gridwhistle.ticket.closed.v1"


def test_id_differs_by_version_and_target_only() -> None:
    ids = {cloudevent.event_id(ticket(version=v), target) for v in (1, 2) for target in ("webhook", "kafka")}
    assert len(ids) == 4
    assert cloudevent.event_id(ticket(when=at(5)), "webhook") in ids


async def test_key_in_the_query_of_the_url_stays_out_of_what_people_read() -> None:
    config = WebhookConfig(url="http://127.0.0.1:9/hook?key=geheim", secret_file="s", timeout_s=1.0)
    target = Webhook(config, SECRET, SimClock(T0))
    with pytest.raises(DeliveryUnavailable, match="hook") as caught:
        await target.send(row())
    await target.close()
    assert "geheim" not in str(caught.value)
