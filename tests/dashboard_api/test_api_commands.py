from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.command import CommandKind
from contracts.principal import Role
from dashboard_api.config import ApiConfig
from tests.dashboard_api.running_api import RunningApi, running_api

KEY = {"Idempotency-Key": "test-key-0001"}


async def first_incident(client: httpx.AsyncClient, state: str = "A2") -> str:
    answer = await client.get("incidents", params={"state": state, "limit": 1})
    id_: str = answer.json()["items"][0]["id"]
    return id_


def register(api: RunningApi) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(api.site.state_dir / "access.sqlite")
    try:
        rows = connection.execute("SELECT principal_id, action, target, reason, outcome FROM access ORDER BY seq")
        return rows.fetchall()
    finally:
        connection.close()


async def test_confirm_reaches_alerts_and_leaves_a_register_row(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    target = await first_incident(client)
    answer = await client.post(
        "commands", json={"kind": "confirm", "target_id": target, "note": "已电话核实"}, headers=KEY
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] is True
    command = api.alerts.commands[0]
    assert (command.id, command.kind, command.target_id) == ("test-key-0001", CommandKind.CONFIRM, target)
    assert (command.principal.id, command.principal.role) == ("local-operator", Role.OPERATOR)
    assert command.site == api.site.id
    assert (await client.get(f"incidents/{target}")).json()["state"]["code"] == "A3"
    rows = await asyncio.to_thread(register, api)
    assert rows == [("local-operator", "command.confirm", target, "已电话核实", "accepted")]


async def test_same_key_twice_is_done_once_and_answered_the_same(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    body = {"kind": "confirm", "target_id": await first_incident(client)}
    first = await client.post("commands", json=body, headers=KEY)
    second = await client.post("commands", json=body, headers=KEY)
    assert first.json() == second.json()
    assert len(api.alerts.commands) == 1


async def test_refusal_by_answer_is_409_with_reason(api: RunningApi, client: httpx.AsyncClient) -> None:
    answer = await client.post("commands", json={"kind": "confirm", "target_id": "inc-none"}, headers=KEY)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "unknown_target"
    assert (await asyncio.to_thread(register, api))[0][-1] == "unknown_target"


async def test_illegal_move_is_409_with_the_allowed_list(client: httpx.AsyncClient) -> None:
    body = {"kind": "ticket_move", "target_id": "tkt-1", "argument": "90"}
    answer = await client.post("commands", json=body, headers=KEY)
    assert answer.status_code == 409
    assert answer.json()["allowed"] == ["20", "91", "93"]
    assert answer.json()["detail"].startswith("不允许")


async def test_alerts_away_is_503_and_the_same_key_works_later(short_dir: Path) -> None:
    config = ApiConfig(port=0, command_timeout_s=0.2)
    async with running_api(short_dir, config, pairs=2) as api, httpx.AsyncClient() as client:
        url = f"{api.url}/api/v1/commands"
        listed = await client.get(f"{api.url}/api/v1/incidents?state=A2")
        body = {"kind": "acknowledge", "target_id": listed.json()["items"][0]["id"]}
        api.alerts.pause()
        answer = await client.post(url, json=body, headers=KEY)
        assert (answer.status_code, answer.json()["reason"]) == (503, "link_closed")
        assert answer.headers["retry-after"] == "2"
        api.alerts.resume()
        assert (await client.post(url, json=body, headers=KEY)).status_code == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "command_body"),
        (b"\xff\xfe", "command_body"),
        (b'{"kind":"explode"}', "command_body"),
        (b'{"kind":"confirm","target_id":"x","face":"y"}', "command_body"),
        (b'{"kind":"confirm"}', "command_target"),
        (b'{"kind":"false_alarm","target_id":"x"}', "command_reason"),
        (b'{"kind":"mute","reason":"x"}', "command_mute"),
        (b'{"kind":"mute","reason":"x","until":"2026-11-22T10:00:00+08:00","matcher":{}}', "command_mute"),
        (b'{"kind":"mute","reason":"x","until":"tomorrow","matcher":{"type":"y"}}', "malformed"),
        (b'{"kind":"confirm","target_id":"' + b"x" * 300 + b'"}', "command_body"),
    ],
)
async def test_bad_body_is_422_and_never_reaches_alerts(
    api: RunningApi, client: httpx.AsyncClient, body: bytes, reason: str
) -> None:
    answer = await client.post("commands", content=body, headers={**KEY, "Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert api.alerts.commands == []


@pytest.mark.parametrize("key", ["", "short", "has space in it", "x" * 129, "../../etc/passwd"])
async def test_bad_idempotency_key_is_400(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post(
        "commands", json={"kind": "confirm", "target_id": "x"}, headers={"Idempotency-Key": key}
    )
    assert (answer.status_code, answer.json()["reason"]) == (400, "idempotency_key")


async def test_form_post_is_415(client: httpx.AsyncClient) -> None:
    answer = await client.post("commands", data={"kind": "confirm"}, headers=KEY)
    assert answer.status_code == 415


async def test_mute_carries_matcher_and_end(api: RunningApi, client: httpx.AsyncClient) -> None:
    body = {
        "kind": "mute",
        "reason": "检修",
        "until": "2026-11-22T10:00:00Z",
        "matcher": {"source_id": "S-1", "type": "fire.smoke_sensor"},
    }
    assert (await client.post("commands", json=body, headers=KEY)).status_code == 200
    command = api.alerts.commands[0]
    assert command.until == 1_795_341_600 * 10**9
    assert command.matcher is not None
    assert (command.matcher.source_id, command.matcher.grid_prefix) == ("S-1", None)


async def test_register_that_cannot_be_written_does_not_stop_a_command(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    await asyncio.to_thread((api.site.state_dir / "access.sqlite").mkdir)
    target = await first_incident(client)
    answer = await client.post("commands", json={"kind": "confirm", "target_id": target}, headers=KEY)
    assert answer.status_code == 200
    assert api.services.counters.total("register_entries_lost", "register_unavailable") == 1


async def test_drill_site_marks_its_commands(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=2, exercise=True) as api, httpx.AsyncClient() as client:
        url = f"{api.url}/api/v1"
        target = (await client.get(f"{url}/incidents?state=A2")).json()["items"][0]["id"]
        await client.post(f"{url}/commands", json={"kind": "confirm", "target_id": target}, headers=KEY)
        assert api.alerts.commands[0].exercise
        assert (await client.get(f"{url}/meta")).json()["site"]["exercise"]


@pytest.mark.parametrize("version", [-1, 2**64])
async def test_version_that_no_record_can_have_is_refused(
    api: RunningApi, client: httpx.AsyncClient, version: int
) -> None:
    wish = {"kind": "confirm", "target_id": "inc-x", "expected_version": version}
    answer = await client.post("commands", json=wish, headers=KEY)
    assert (answer.status_code, answer.json()["reason"]) == (422, "command_body")
    assert api.alerts.commands == []
