"""`[api]`: where the wall and its API listen, who the built-in session is, and the bounds of the live link."""

from __future__ import annotations

import ipaddress
import stat
from pathlib import Path
from typing import Final, Literal

import msgspec

from contracts.errors import ConfigError

TOKEN_CHARACTERS_MIN: Final = 32


class ApiConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of dashboard_api. Until accounts exist there are two principals: the operator who sits at this
    machine (no login, loopback only) and a machine client that shows the token.
    """

    host: str = "127.0.0.1"
    """Address to listen on. Anything but a loopback address needs `token_file`."""
    port: int = 8600
    """TCP port; 0 = any free one (for tests)."""
    language: Literal["zh", "en"] = "zh"
    """Language in which the page opens; people switch it themselves."""
    token_file: str = ""
    """File with one secret of at least 32 characters, mode 600, relative to the state folder; empty = none, then
    only this machine is served."""
    require_token: bool = False
    """True: ask for the token on loopback too (needed behind a reverse proxy on the same machine)."""
    allowed_hosts: tuple[str, ...] = ()
    """Further host names under which the page is reached, e.g. `wall.county.example`; against DNS rebinding."""
    secure_cookie: bool = False
    """True: session cookies only over HTTPS (set it when a proxy ends TLS in front)."""
    operator_id: str = "local-operator"
    """Principal id of the built-in session; stands in every decision and in the register."""
    operator_name: str = "本机值班员"
    """Name of the built-in session, for people."""
    operator_unit: str = "指挥中心"
    """Unit of the built-in session, for people."""
    session_hours: float = 12.0
    """Hours until a browser that gave the token must give it again."""
    command_timeout_s: float = 5.0
    """Seconds to wait for alerts to commit a command; then 503, and the same Idempotency-Key may be tried."""
    looks_per_minute: int = 30
    """Looks at cameras that one principal may ask for in a minute; further ones are answered 429 with the wait."""
    looks_per_minute_total: int = 120
    """The same for all principals together: every look takes one place in inference's order."""
    look_cameras_max: int = 4
    """Most cameras that one look at a place asks, nearest first; inference bounds those at once, too."""
    look_within_s: float = 6.0
    """Seconds that a look waits for a fresh picture at most; the answer comes 2 s later at the latest."""
    body_bytes_max: int = 65_536
    """Largest request body, bytes."""
    page_size_max: int = 500
    """Most rows of one answer of a list."""
    snapshot_rows_max: int = 2_000
    """Most open incidents, and most open tickets, in the snapshot of the live link; the totals count all."""
    live_clients_max: int = 250
    """Most walls connected at once; further ones are refused with close code 4013."""
    live_interval_s: float = 0.05
    """Seconds between two batches of changes to the walls."""
    live_batch_max: int = 500
    """Most changes in one message."""
    live_backlog_max: int = 8_000
    """Newest changes kept in memory for the walls; what a wall missed beyond them is read from the database."""
    live_send_timeout_s: float = 10.0
    """Seconds that one message may wait for a slow wall, or that a wall may stay behind the changes kept in
    memory, before it is dropped with close code 4008 and a reason."""
    readers: int = 3
    """Threads that read the database."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"api.port is {self.port}; write a TCP port, 1 to 65535")
        if not is_loopback(self.host) and not self.token_file:
            raise ValueError(
                f"api.host {self.host} is reachable from other machines, so api.token_file is required; "
                'write token_file = "api-token" and put a secret of 32 or more characters into that file'
            )
        if self.require_token and not self.token_file:
            raise ValueError("api.require_token needs api.token_file")
        positive = (
            "command_timeout_s body_bytes_max page_size_max snapshot_rows_max live_clients_max live_interval_s "
            "live_batch_max live_backlog_max live_send_timeout_s readers session_hours "
            "looks_per_minute looks_per_minute_total look_cameras_max look_within_s"
        )
        for key in positive.split():
            if getattr(self, key) <= 0:
                raise ValueError(f"api.{key} must be greater than 0")

    @property
    def needs_token(self) -> bool:
        """Whether every request must show the token (or a session that was opened with it)."""
        return self.require_token or not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """True for `localhost` and the loopback addresses of RFC 1122 and RFC 4291."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_token(config: ApiConfig, state_dir: Path) -> str | None:
    """The secret of machine clients, None when none is configured.

    Raises ConfigError when the file is missing, readable by others, or too short.
    """
    if not config.token_file:
        return None
    path = state_dir / config.token_file
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"无法读取令牌文件 {path} (the token file cannot be read: {error}); "
            f"write one: umask 077 && openssl rand -hex 32 > {path}"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"令牌文件 {path} 可被他人读取 (others may read the token file); chmod 600 {path}")
    if len(token) < TOKEN_CHARACTERS_MIN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"令牌文件 {path} 应为一行至少 {TOKEN_CHARACTERS_MIN} 个字符 (the token must be one line of at least "
            f"{TOKEN_CHARACTERS_MIN} ASCII characters); write one: umask 077 && openssl rand -hex 32 > {path}"
        )
    return token
