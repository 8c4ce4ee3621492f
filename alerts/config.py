"""`[alerts]` and `[webhook]`: the one writer's bounds, and where tickets are handed on."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from runtime.config import read_secret


class FilmstripConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[alerts.filmstrip]`: pictures from before to after the moment at which an incident comes onto the wall."""

    before_s: float = 30.0
    """Seconds before the moment."""
    after_s: float = 30.0
    """Seconds after it."""
    pictures: int = 21
    """Pictures of a strip at most: one every three seconds."""
    cameras_max: int = 2
    """Cameras per incident at most; 0 = no filmstrips."""
    near_m: float = 80.0
    """An incident of sensors alone is shown by the nearest cameras within so many metres, or of its fire zone."""
    open_max: int = 64
    """Strips in work at once; beyond, an incident's strip is missing (busy)."""
    answer_s: float = 20.0
    """Seconds after its end at which a strip that did not come is asked for again."""
    give_up_s: float = 120.0
    """Seconds after its end at which nothing more is expected."""

    def __post_init__(self) -> None:
        if not 0 <= self.before_s <= 600 or not 0 <= self.after_s <= 600:
            raise ValueError("filmstrip.before_s and after_s lie in 0..600 seconds")
        if not 1 <= self.pictures <= 64 or not 0 <= self.cameras_max <= 16 or self.open_max < 1:
            raise ValueError("filmstrip.pictures lies in 1..64, cameras_max in 0..16, open_max is at least 1")
        if self.near_m < 0 or not 0 < self.answer_s <= self.give_up_s:
            raise ValueError("filmstrip.near_m is not negative, and 0 < answer_s <= give_up_s")


class LookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[alerts.look]`: looks at the cameras around an alarm of sensors alone; what they see is noted in it."""

    cameras_max: int = 2
    """Cameras per incident at most; 0 = no looks."""
    near_m: float = 80.0
    """The nearest cameras within so many metres, after those of its fire zone."""
    within_s: float = 6.0
    """Seconds that a look waits for a fresh picture at most."""
    at_once: int = 2
    """Looks under way at once; the other places of inference are for operators."""
    waiting_max: int = 64
    """Looks that wait for their turn; in a storm of alarms further ones are counted and not asked."""

    def __post_init__(self) -> None:
        if not 0 <= self.cameras_max <= 16 or self.near_m < 0 or self.at_once < 1 or self.waiting_max < 1:
            raise ValueError("look.cameras_max lies in 0..16, near_m from 0, at_once and waiting_max from 1")
        if not 0 < self.within_s <= 60:
            raise ValueError("look.within_s lies in 0..60 seconds")


class AlertsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the alert engine's process. The rules themselves are the policy file."""

    policy: str = ""
    """Policy file (TOML), relative to the configuration file; empty = the rules that come with the release."""
    batch_records: int = 2_048
    """Records that one step takes at most."""
    inbox_records: int = 8_192
    """Records that wait for a step at most; when full, producers wait."""
    idle_s: float = 0.25
    """Longest wait between two looks at timers, seconds."""
    snapshot_steps: int = 5_000
    """Steps between snapshots of the engine's state."""
    snapshot_records: int = 50_000
    """Records between snapshots: what a restart replays at most, some seconds' worth."""
    snapshot_s: float = 300.0
    """Seconds between snapshots, when steps are few."""
    changes_kept: int = 200_000
    """Newest changes kept for readers that missed some; older readers load everything again."""
    lease_s: float = 15.0
    """Seconds after which a silent engine on another machine is taken for dead."""
    reserve_mib: int = 64
    """Disk space held back so that tickets commit on a full disk, MiB; 0 = none."""
    busy_timeout_s: float = 5.0
    """Seconds to wait for another process that has locked the database."""
    filmstrip: FilmstripConfig = FilmstripConfig()
    look: LookConfig = LookConfig()

    def __post_init__(self) -> None:
        for name in ("batch_records", "inbox_records", "snapshot_steps", "snapshot_records", "changes_kept"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("idle_s", "snapshot_s", "busy_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be over 0 seconds")
        if self.reserve_mib < 0:
            raise ValueError("reserve_mib must be 0 (no reserve) or more")
        if self.lease_s < 6:
            raise ValueError("lease_s must be at least 6 seconds: the lease is renewed every 2 seconds")
        if self.inbox_records < self.batch_records:
            raise ValueError("inbox_records must be at least batch_records")


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tickets as CloudEvents over HTTP POST to the linked platform."""

    url: str = ""
    """Where to; empty = off. `https://…`, or `http://…` on a closed network."""
    exercises: bool = False
    """Whether tickets of exercises (演练) go to the platform, too, marked as such; false: they stay here."""
    secret_file: str = ""
    """File with the shared secret for signatures, mode 600, relative to the state folder; needed with `url`."""
    timeout_s: float = 10.0
    """Seconds for one attempt, connecting included."""
    in_flight: int = 8
    """Attempts at the same time at most; changes of one ticket always go one after the other."""
    retry_first_s: float = 1.0
    """Delay after the first failure, seconds; doubles with jitter."""
    retry_max_s: float = 300.0
    """Longest delay between attempts, seconds."""
    give_up_s: float = 604_800.0
    """Age at which a change that never got through becomes a dead letter, seconds; 0 = never."""
    response_bytes_max: int = 65_536
    """How much of an answer is read; the rest is cut off."""

    def __post_init__(self) -> None:
        if self.url:
            address = urlsplit(self.url)
            if address.scheme not in ("http", "https") or not address.hostname:
                raise ValueError(f"url {self.url!r} must begin with https:// or http:// and name a host")
            if address.username is not None or address.password is not None:
                raise ValueError("url must hold no user or password; requests are signed with secret_file")
            if not self.secret_file:
                raise ValueError("secret_file is needed with url: the platform checks the signature with it")
        if not 0 < self.retry_first_s <= self.retry_max_s:
            raise ValueError("retries need 0 < retry_first_s <= retry_max_s")
        if self.timeout_s <= 0 or self.in_flight < 1 or self.give_up_s < 0 or self.response_bytes_max < 1:
            raise ValueError("timeout_s, in_flight and response_bytes_max must be positive, give_up_s 0 or more")


def read_signing_secret(webhook: WebhookConfig, state_dir: Path) -> bytes:
    """The secret that requests to the platform are signed with, empty when there is no platform.

    Raises ConfigError when the file is missing, empty, or readable by others than its owner.
    """
    return read_secret(state_dir / webhook.secret_file, "[webhook] secret_file") if webhook.url else b""
