from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from dashboard_api.auth import SESSIONS_MAX, Authenticator
from dashboard_api.config import ApiConfig
from dashboard_api.headers import SECURITY_HEADERS
from runtime.clock import SimClock
from tests.dashboard_api.running_api import RunningApi, running_api

TOKEN = "correct-horse-battery-staple-0123456789"
KEY = {"Idempotency-Key": "test-key-0001"}
CONFIRM = {"kind": "confirm", "target_id": "inc-x"}


@pytest.fixture
async def guarded(short_dir: Path) -> AsyncIterator[RunningApi]:
    """An API that asks for the token, as one that other machines reach."""
    state = short_dir / "state"
    state.mkdir()
    (state / "api-token").write_text(TOKEN)
    (state / "api-token").chmod(0o600)
    config = ApiConfig(port=0, token_file="api-token", require_token=True)
    async with running_api(short_dir, config, pairs=2) as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/wall/wall.js", "/api/v1/incidents", "/api/v1/nothing", "/wall/../app.py"])
async def test_every_answer_carries_the_security_headers(api: RunningApi, path: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{api.url}{path}")
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "[", ""]
)
async def test_foreign_host_is_misdirected(api: RunningApi, host: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{api.url}/api/v1/incidents", headers={"Host": host})
    assert answer.status_code in (400, 421)
    assert "items" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "[::1]:8600", "127.0.0.1"])
async def test_loopback_names_are_served(api: RunningApi, host: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{api.url}/api/v1/incidents", headers={"Host": host})
    assert answer.status_code == 200


async def test_configured_host_is_served(short_dir: Path) -> None:
    config = ApiConfig(port=0, allowed_hosts=("Wall.County.Example",))
    async with running_api(short_dir, config, pairs=1) as api, httpx.AsyncClient() as client:
        answer = await client.get(f"{api.url}/api/v1/meta", headers={"Host": "wall.county.example:8600"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_command_from_another_site_is_refused(api: RunningApi, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{api.url}/api/v1/commands", json=CONFIRM, headers={**KEY, **headers})
    assert (answer.status_code, answer.json()["reason"]) == (403, "origin")
    assert api.alerts.commands == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_page_of_somebody_else_cannot_even_read(api: RunningApi, site: str) -> None:
    async with httpx.AsyncClient(headers={"Sec-Fetch-Site": site}) as client:
        assert (await client.get(f"{api.url}/api/v1/incidents")).status_code == 403
        assert (await client.get(f"{api.url}/")).status_code == 200


async def test_command_from_our_own_page_passes(api: RunningApi) -> None:
    async with httpx.AsyncClient() as client:
        headers = {**KEY, "Origin": api.url, "Sec-Fetch-Site": "same-origin"}
        answer = await client.post(f"{api.url}/api/v1/commands", json=CONFIRM, headers=headers)
    assert answer.json()["reason"] == "unknown_target"


async def test_oversized_body_is_refused_by_length_and_by_count(api: RunningApi) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 1024

    async with httpx.AsyncClient() as client:
        url = f"{api.url}/api/v1/commands"
        by_length = await client.post(url, content=b"x" * 70_000, headers=KEY)
        assert (by_length.status_code, by_length.json()["reason"]) == (413, "too_large")
        by_count = await client.post(url, content=endless(), headers={**KEY, "Content-Type": "application/json"})
        assert (by_count.status_code, by_count.json()["reason"]) == (413, "too_large")
    assert api.services.counters.total("requests_refused", "413") == 1


async def test_without_token_nothing_but_the_page_is_shown(guarded: RunningApi) -> None:
    async with httpx.AsyncClient(base_url=guarded.url) as client:
        for path in ("incidents", "tickets", "sources", "grids", "health", "meta", "openapi.json", "deliveries"):
            answer = await client.get(f"/api/v1/{path}")
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await client.post("/api/v1/commands", json=CONFIRM, headers=KEY)).status_code == 401
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/wall/wall.js")).status_code == 200
        assert (await client.get("/api/v1/health/live")).status_code == 204
    with pytest.raises(InvalidStatus):
        async with connect(guarded.ws_url, proxy=None):
            pass


async def test_token_makes_a_machine_client(guarded: RunningApi) -> None:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        meta = (await client.get(f"{guarded.url}/api/v1/meta")).json()
    assert meta["principal"]["role"] == "machine"


async def test_wrong_token_is_not_taken_for_the_local_operator(api: RunningApi) -> None:
    async with httpx.AsyncClient(headers={"Authorization": "Bearer wrong"}) as client:
        assert (await client.get(f"{api.url}/api/v1/meta")).status_code == 401


async def test_browser_session_opens_with_the_token_and_ends(guarded: RunningApi) -> None:
    async with httpx.AsyncClient(base_url=f"{guarded.url}/api/v1") as client:
        assert (await client.post("/session", json={"token": "wrong"})).json()["reason"] == "token_wrong"
        assert (await client.post("/session", content=b"\xff")).status_code == 422
        opened = await client.post("/session", json={"token": TOKEN})
        assert opened.status_code == 204
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert (await client.get("/meta")).json()["principal"]["role"] == "operator"
        headers = {"Cookie": cookie.partition(";")[0]}
        async with connect(guarded.ws_url, proxy=None, additional_headers=headers, max_size=None) as socket:
            assert "snapshot" in str(await socket.recv())[:30]
        await client.delete("/session")
        assert (await client.get("/meta", headers=headers)).status_code == 401


def test_session_ends_after_its_hours() -> None:
    clock = SimClock()
    config = ApiConfig(token_file="t", require_token=True, session_hours=1.0)
    authenticator = Authenticator(config, TOKEN, clock)
    cookie = f"gridwhistle_session={authenticator.open_session()}"
    assert authenticator.principal("", cookie) is not None
    clock.advance(3_601)
    assert authenticator.principal("", cookie) is None


def test_sessions_are_bounded_and_the_oldest_goes() -> None:
    config = ApiConfig(token_file="t", require_token=True)
    authenticator = Authenticator(config, TOKEN, SimClock())
    first = authenticator.open_session()
    for _ in range(SESSIONS_MAX):
        last = authenticator.open_session()
    assert authenticator.principal("", f"gridwhistle_session={first}") is None
    assert authenticator.principal("", f"gridwhistle_session={last}") is not None


@pytest.mark.parametrize("cookie", ["", "gridwhistle_session=", "gridwhistle_session=x", 'a="', ";;;", "\ud800=x"])
def test_malformed_cookie_is_nobody(cookie: str) -> None:
    config = ApiConfig(token_file="t", require_token=True)
    assert Authenticator(config, TOKEN, SimClock()).principal("", cookie) is None
