"""`[catalogue]`: platforms and files that the catalogue of cameras is kept in step with."""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from alerts.catalogue.coordinates import CoordinateSystem
from contracts.registration import RETENTION_DAYS_MIN
from contracts.source import Platform, PlatformKind, SystemKind

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


class FeedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[catalogue.feed]]`: one platform or one kind of file, and how what it says is read."""

    platform: str
    """Key of the platform in the catalogue, e.g. `wvp-1`; its cameras are known by it. Never change it."""
    name: str = ""
    """Name for people, e.g. `公安视频共享平台`."""
    kind: Literal["wvp", "csv", "xml"] = "csv"
    """`wvp`: the REST interface of WVP-GB28181-pro; `csv`; `xml`: GB/T 28181 catalogue messages, answers to
    queries and notifications."""
    files: tuple[str, ...] = ()
    """Files of a `csv` or `xml` feed for `catalogue sync`, relative to the configuration file."""
    base_url: str = ""
    """Address of the REST interface: `http://host:18080`. A `csv` or `xml` feed has one where WVP plays it."""
    credentials: str = ""
    """Entry of the secrets file for the REST interface."""
    camera_credentials: str = ""
    """Entry of the secrets file for the streams; empty = none needed, as with play URLs of a platform."""
    owner: str = ""
    """Owner department of cameras whose entry names none."""
    owners: dict[str, str] = {}
    """Owner department by industry code (digits 9-10 of the id), e.g. `"04" = "公安交警"`."""
    manager: str = ""
    """管理单位 of cameras whose entry names none."""
    coordinates: CoordinateSystem = CoordinateSystem.WGS84
    """Coordinate system of entries that name none: `wgs84`, `cgcs2000` or `gcj02`."""
    system_kind: SystemKind = SystemKind.ART7_GOVERNMENT
    """Kind of video system in 国令第799号 of entries that name none."""
    retention_days: int | None = None
    """Days that recordings are kept, of entries that name none."""
    live: bool = True
    """Whether a new camera is received; never one with Secrecy=1 or in a forbidden place."""
    removal_share_max: float = 0.1
    """Largest share of the feed's cameras that a pass may remove without `--confirm-removal`: a platform that
    suddenly answers an empty list must not empty the catalogue."""
    page_size: int = 100
    """Entries asked for at once."""
    pass_hours_max: float = 6.0
    """A pass that was broken off is gone on with for so long; an older one begins anew."""
    sessions_max: int | None = None
    """Sessions at once on the platform; absent = the default of `[ingest]`. With more cameras they are visited in
    turn (patrol)."""
    nvr_sessions_max: int | None = None
    """Sessions at once on one recorder behind it."""
    patrol_dwell_s: float = 10.0
    """Where it has more cameras than sessions they are visited in turn (轮巡): seconds that a visit may wait for
    its key picture; it ends with it."""
    grants_required: bool = False
    """Its cameras are received under a share grant alone."""
    stop_streams: bool = False
    """End a stream on the platform when we leave it; only where nobody else watches through the platform."""

    @property
    def resolves(self) -> bool:
        """Whether play URLs are asked of the platform."""
        return bool(self.base_url)

    def as_platform(self) -> Platform:
        """What the catalogue tells ingest of it."""
        return Platform(
            id=self.platform,
            name=self.name,
            kind=PlatformKind.WVP if self.resolves else PlatformKind.FIXED,
            base_url=self.base_url or None,
            credentials=self.credentials or None,
            sessions_max=self.sessions_max,
            nvr_sessions_max=self.nvr_sessions_max,
            patrol_dwell_s=self.patrol_dwell_s,
            grants_required=self.grants_required,
            stop_streams=self.stop_streams,
        )

    def __post_init__(self) -> None:
        """Cross-field rules."""
        where = f"catalogue.feed {self.platform!r}"
        if not _KEY.fullmatch(self.platform):
            raise ValueError(f"{where}: platform 应为 1 至 40 个字母、数字或短横 (letters, digits and dashes)")
        if self.kind == "wvp" and not self.base_url:
            raise ValueError(f'{where}: kind = "wvp" 需要 base_url (needs it), 如 http://10.0.0.5:18080')
        if self.base_url:
            parts = urlsplit(self.base_url)
            if parts.username is not None or parts.password is not None:
                raise ValueError(f"{where}: base_url 不得含密码 (no password in the URL); 请用 credentials")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{where}: base_url {self.base_url[:60]!r} 无效; 应为 http://host:port")
        if not 0 <= self.removal_share_max <= 1:
            raise ValueError(f"{where}: removal_share_max 应在 0 与 1 之间 (a share)")
        if not 1 <= self.page_size <= 1_000:
            raise ValueError(f"{where}: page_size 应为 1 至 1000 (bounds)")
        too_short = self.retention_days is not None and self.retention_days < RETENTION_DAYS_MIN
        if too_short and self.system_kind is not SystemKind.ART9_OTHER:
            raise ValueError(f"{where}: retention_days 至少 {RETENTION_DAYS_MIN} (国令第799号第十七条)")
        for limit in (self.sessions_max, self.nvr_sessions_max):
            if limit is not None and limit < 1:
                raise ValueError(f"{where}: sessions_max 与 nvr_sessions_max 至少 1 (at least one session)")
        if self.patrol_dwell_s <= 0 or self.pass_hours_max <= 0:
            raise ValueError(f"{where}: patrol_dwell_s 与 pass_hours_max 应大于 0 (must be positive)")


class CatalogueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[catalogue]`: where the cameras of the catalogue come from."""

    feed: tuple[FeedConfig, ...] = ()
    """Platforms and files."""

    def __post_init__(self) -> None:
        """Cross-field rules."""
        keys = [feed.platform for feed in self.feed]
        if len(set(keys)) != len(keys):
            raise ValueError("catalogue.feed: platform 出现两次 (a key is used twice)")
