from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from dashboard_api.config import ApiConfig, is_loopback, read_token

TOKEN = "0123456789abcdef" * 2


def test_other_machines_without_token_refused() -> None:
    with pytest.raises(ValueError, match="token_file is required"):
        ApiConfig(host="0.0.0.0")


def test_other_machines_with_token_file_accepted() -> None:
    assert ApiConfig(host="0.0.0.0", token_file="api-token").needs_token


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert not ApiConfig(host=host).needs_token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "wall.example", "127.0.0.1.evil.example", ""])
def test_everything_else_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "wrong", [{"port": 70_000}, {"live_batch_max": 0}, {"require_token": True}, {"readers": -1}]
)
def test_senseless_setting_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"api\."):
        ApiConfig(**wrong)  # type: ignore[arg-type]


def test_token_file_of_mode_600_read(tmp_path: Path) -> None:
    path = tmp_path / "api-token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    assert read_token(ApiConfig(token_file="api-token"), tmp_path) == TOKEN


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0o600, "cannot be read"),
        (TOKEN, 0o640, "others may read"),
        ("short", 0o600, "at least 32"),
        (f"{TOKEN} {TOKEN}", 0o600, "at least 32"),
        ("令" * 40, 0o600, "at least 32"),
    ],
)
def test_bad_token_file_refused_with_way_out(tmp_path: Path, content: str | None, mode: int, words: str) -> None:
    if content is not None:
        (tmp_path / "api-token").write_text(content)
        (tmp_path / "api-token").chmod(mode)
    with pytest.raises(ConfigError, match=words):
        read_token(ApiConfig(token_file="api-token"), tmp_path)
