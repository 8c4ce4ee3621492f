from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.errors import StoreFull
from contracts.observation import EvidenceRef
from contracts.principal import SYSTEM
from dashboard_api.audit import AccessRegister
from dashboard_api.evidence import find_reference, read_picture
from dashboard_api.problem import ApiError
from runtime.clock import SimClock
from tests.dashboard_api.county_records import make_pair
from tests.dashboard_api.running_api import RunningApi

NOW = SimClock().now()


def reference(path: str, data: bytes = b"picture", **changes: Any) -> EvidenceRef:
    ref = EvidenceRef(
        sha256=hashlib.sha256(data).hexdigest(),
        path=path,
        media_type="image/jpeg",
        width=640,
        height=360,
        size=len(data),
        event_time=NOW,
        source_id="cam",
    )
    return msgspec.structs.replace(ref, **changes)


async def seen_incident(client: httpx.AsyncClient) -> dict[str, Any]:
    items = (await client.get("incidents")).json()["items"]
    found: dict[str, Any] = next(item for item in items if item["evidence"])
    return found


async def test_picture_is_served_and_its_view_registered(api: RunningApi, client: httpx.AsyncClient) -> None:
    incident = await seen_incident(client)
    url = incident["evidence"][0]["url"]
    answer = await client.get(f"{api.url}{url}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert hashlib.sha256(answer.content).hexdigest() == incident["evidence"][0]["sha256"]
    rows = await asyncio.to_thread(_rows, api)
    assert [row[:2] for row in rows] == [("local-operator", "view_evidence")]
    assert incident["id"] in rows[0][2]
    assert rows[0][3] == "shown"


async def test_ticket_serves_the_same_picture(api: RunningApi, client: httpx.AsyncClient) -> None:
    items = (await client.get("tickets")).json()["items"]
    url = next(item for item in items if item["evidence"])["evidence"][0]["url"]
    assert url.startswith("/api/v1/tickets/")
    assert (await client.get(f"{api.url}{url}")).status_code == 200


def _rows(api: RunningApi) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(api.site.state_dir / "access.sqlite")
    try:
        return connection.execute("SELECT principal_id, action, target, outcome FROM access").fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["0" * 64, "..%2f..%2fgridwhistle.sqlite", "x", "%00", "A" * 64])
async def test_unregistered_picture_is_not_found(client: httpx.AsyncClient, name: str) -> None:
    incident = await seen_incident(client)
    answer = await client.get(f"incidents/{incident['id']}/evidence/{name}")
    assert answer.status_code in (404, 422)


async def test_picture_of_another_incident_is_not_found_here(client: httpx.AsyncClient) -> None:
    seen = await seen_incident(client)
    items = (await client.get("incidents")).json()["items"]
    other = next(item for item in items if item["id"] != seen["id"])
    answer = await client.get(f"incidents/{other['id']}/evidence/{seen['evidence'][0]['sha256']}")
    assert answer.status_code == 404


async def test_deleted_and_altered_pictures_are_gone_and_said_so(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    incident = await seen_incident(client)
    evidence = incident["evidence"][0]
    path = next(api.site.evidence_dir.rglob(f"{evidence['sha256']}.jpg"))
    await asyncio.to_thread(path.write_bytes, b"another picture")
    answer = await client.get(f"{api.url}{evidence['url']}")
    assert (answer.status_code, answer.json()["reason"]) == (410, "evidence_altered")
    await asyncio.to_thread(path.unlink)
    answer = await client.get(f"{api.url}{evidence['url']}")
    assert (answer.status_code, answer.json()["reason"]) == (410, "evidence_deleted")
    assert [row[3] for row in await asyncio.to_thread(_rows, api)] == ["evidence_altered", "evidence_deleted"]


async def test_without_a_register_no_picture_is_shown(api: RunningApi, client: httpx.AsyncClient) -> None:
    await asyncio.to_thread((api.site.state_dir / "access.sqlite").mkdir)
    incident = await seen_incident(client)
    answer = await client.get(f"{api.url}{incident['evidence'][0]['url']}")
    assert (answer.status_code, answer.json()["reason"]) == (503, "register_unavailable")


@pytest.mark.parametrize("path", ["../secret.jpg", "a/../../secret.jpg", "/etc/passwd", "", ".", "link.jpg"])
def test_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"picture")
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(ApiError) as refused:
        read_picture(folder, reference(path))
    assert refused.value.reason == "evidence_path"


def test_type_that_a_browser_would_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.svg").write_bytes(b"picture")
    with pytest.raises(ApiError, match="type is not served"):
        read_picture(tmp_path, reference("x.svg", media_type="image/svg+xml"))


def test_a_pipe_in_the_folder_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ApiError):
        read_picture(tmp_path, reference("pipe.jpg"))


def test_reference_needs_the_whole_hash() -> None:
    ref = reference("a.jpg")
    assert find_reference([ref], ref.sha256) is ref
    for wrong in (ref.sha256[:63], ref.sha256.upper() + "x", ""):
        with pytest.raises(ApiError):
            find_reference([ref], wrong)


async def test_register_only_grows(tmp_path: Path) -> None:
    register = AccessRegister(tmp_path / "access.sqlite")
    for number in range(3):
        await register.append(
            at=NOW, principal=SYSTEM, action="look", target=str(number), reason="r", outcome="o", peer="p"
        )
    await register.close()
    connection = sqlite3.connect(tmp_path / "access.sqlite")
    for statement in ("UPDATE access SET target = 'x'", "DELETE FROM access"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    assert [row[0] for row in connection.execute("SELECT target FROM access ORDER BY seq")] == ["0", "1", "2"]
    connection.close()
    assert (tmp_path / "access.sqlite").stat().st_mode & 0o077 == 0


async def test_register_recovers_when_space_is_back(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    path.mkdir()
    register = AccessRegister(path)
    entry = {"action": "look", "target": "x", "reason": "r", "outcome": "o", "peer": "p"}
    with pytest.raises(StoreFull, match="cannot be written"):
        await register.append(at=NOW, principal=SYSTEM, **entry)
    path.rmdir()
    await register.append(at=NOW, principal=SYSTEM, **entry)
    await register.close()


def test_records_hold_no_field_for_a_face_or_plate() -> None:
    incident, ticket = make_pair(0, NOW)
    text = (msgspec.json.encode(incident) + msgspec.json.encode(ticket)).lower()
    for word in (b"face", b"plate", b"gender", b"embedding"):
        assert word not in text
