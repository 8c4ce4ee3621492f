"""What the box may ask of others: from the configuration, and from what the catalogue says of each platform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contracts.source import Platform
    from ingest.config import IngestConfig


@dataclass(frozen=True, slots=True)
class PlatformLimits:
    """Sessions at once on one platform, and on each recorder behind it; 0 = no limit.

    `dwell_s`: how long a visit may wait for its key picture, where cameras are visited in turn.
    """

    sessions: int
    nvr_sessions: int
    dwell_s: float = 10.0


@dataclass(frozen=True, slots=True)
class GuestLimits:
    """The connect policy of a box. 0 = no limit, for all but the rate.

    `rate_per_s` and `burst`: the token bucket of all connections together, 1 token each. `openings`: connections
    in the handshake at once (from connect to PLAY), `host_openings` and `platform_openings` of them at one place.
    `host_sessions`, `platform_sessions`, `nvr_sessions`: sessions at once, those in the handshake included;
    `platforms` by its key in the catalogue instead of the defaults.

    Where more cameras want sessions than may have one (patrol): `period_s`: nobody is disconnected for one that
    was seen within it; `dwell_s`: how long a visit may wait for its key picture; `stay_max_s`: how long one may
    last for a promotion or a suspicion.
    """

    rate_per_s: float = 25.0
    burst: int = 10
    openings: int = 96
    host_openings: int = 48
    platform_openings: int = 48
    host_sessions: int = 0
    platform_sessions: int = 0
    nvr_sessions: int = 0
    platforms: Mapping[str, PlatformLimits] = field(default_factory=dict)
    period_s: float = 20.0
    dwell_s: float = 10.0
    stay_max_s: float = 120.0

    def __post_init__(self) -> None:
        """Raises ValueError for a bucket that never fills."""
        if self.rate_per_s <= 0 or self.burst < 1:
            raise ValueError("the connect rate must be positive, and the burst at least 1")

    def of_platform(self, platform: str) -> PlatformLimits:
        """The session limits of a platform; a camera without one (`""`) has none there."""
        if not platform:
            return PlatformLimits(0, self.nvr_sessions, self.dwell_s)
        ours = PlatformLimits(self.platform_sessions, self.nvr_sessions, self.dwell_s)
        return self.platforms.get(platform, ours)


def guest_limits(config: IngestConfig, platforms: Iterable[Platform]) -> GuestLimits:
    """The limits in force: of what the operator's file and the catalogue say of a platform, the lower one."""
    listed = {platform.id: platform for platform in platforms}
    by_platform: dict[str, PlatformLimits] = {}
    for key in listed.keys() | config.platform_sessions.keys():
        platform = listed.get(key)
        told = platform.sessions_max if platform else None
        ours = config.platform_sessions.get(key)
        sessions = [each for each in (told, ours) if each is not None] or [config.platform_sessions_max]
        nvr = platform.nvr_sessions_max if platform else None
        by_platform[key] = PlatformLimits(
            min((each for each in sessions if each > 0), default=0),
            config.nvr_sessions_max if nvr is None else nvr,
            config.patrol_dwell_s if platform is None else platform.patrol_dwell_s,
        )
    return GuestLimits(
        rate_per_s=config.connect_rate_per_s,
        burst=config.connect_burst,
        openings=config.openings_max,
        host_openings=config.host_openings_max,
        platform_openings=config.platform_openings_max,
        host_sessions=config.host_sessions_max,
        platform_sessions=config.platform_sessions_max,
        nvr_sessions=config.nvr_sessions_max,
        platforms=by_platform,
        period_s=config.patrol_period_s,
        dwell_s=config.patrol_dwell_s,
        stay_max_s=config.patrol_stay_max_s,
    )
