"""The secrets file: users and passwords of sources, named by the catalogue, never logged."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from contracts.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password of a source; printing it hides the password."""

    user: str
    password: str = field(repr=False)


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user: str
    password: str


def read_credentials(path: Path) -> dict[str, Credentials]:
    """All entries of a secrets file, by name.

    Raises ConfigError when the file is missing, readable by others than its owner (mode 600 is wanted), or holds
    anything but tables with `user` and `password`; no message repeats a secret.
    """
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: 密钥文件无法读取 (secrets file): {type(error).__name__}") from None
    if mode & 0o077:
        raise ConfigError(
            f"{path}: 密钥文件他人可读 (mode {mode:03o}, others may read it); 请执行 chmod 600 {path}"
        )
    try:
        entries = msgspec.convert(tomllib.loads(text), dict[str, _Entry])
    except tomllib.TOMLDecodeError as error:
        place = str(error).rpartition("(")[2].rstrip(")")
        raise ConfigError(f"{path}: TOML 语法错误 (syntax) {place}") from None
    except msgspec.ValidationError:
        raise ConfigError(
            f"{path}: 密钥文件的每一节只能有 user 与 password (each table: user and password, both text)"
        ) from None
    return {name: Credentials(entry.user, entry.password) for name, entry in entries.items()}


def find_credentials(known: dict[str, Credentials], name: str | None, who: str) -> Credentials | None:
    """The entry of this name, None when none is asked for.

    Raises ConfigError with reason `no_credentials` when the file has no such entry.
    """
    if not name:
        return None
    if name not in known:
        raise ConfigError(
            f"{who}: 密钥文件中没有 [{name}] (the secrets file has no such entry); 请补充",
            reason="no_credentials",
        )
    return known[name]
