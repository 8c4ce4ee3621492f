"""Reports of processes about the cameras of the county of county_records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contracts.coverage import CameraMinute, CoverageReport, CoverageStage
from contracts.instant import SECOND, Instant
from contracts.storm import StormReport
from tests.dashboard_api.county_records import LIVE, SITE, county

RECEIVED = CoverageStage.RECEIVED
ANALYSED = CoverageStage.ANALYSED
_SERVICES = {RECEIVED: ("ingest-cameras", "ingest-0"), ANALYSED: ("inference", "inference-0")}


def report(
    stage: CoverageStage,
    cameras: Iterable[CameraMinute],
    at: Instant,
    *,
    instance: str = "",
    started_s: float = 3_600.0,
    window_s: float = 60.0,
) -> CoverageReport:
    """What one process says at `at`; it began `started_s` before."""
    service, usual = _SERVICES[stage]
    return CoverageReport(
        id=f"{service}-{instance or usual}-{at}",
        site=SITE,
        service=service,
        instance=instance or usual,
        stage=stage,
        at=at,
        started_at=Instant(at - round(started_s * SECOND)),
        window_s=window_s,
        cameras=tuple(cameras),
    )


def live_ids() -> list[str]:
    """The cameras of the county that are switched on, in order."""
    return sorted(camera.id for camera in county().cameras[:LIVE] if not camera.secrecy)


def make_reports(now: Instant) -> list[CoverageReport]:
    """All live cameras are received and analysed, but for the first three: one stopped, one is on patrol and was
    seen in its round, and one is received and not analysed."""
    lost, patrol, unanalysed, *others = live_ids()
    at = Instant(now - 2 * SECOND)
    received = [
        CameraMinute(lost, 0, 90),
        CameraMinute(patrol, 0, 70, 82),
        CameraMinute(unanalysed, 30, 1),
        *(CameraMinute(each, 30, 1) for each in others),
    ]
    analysed = [
        CameraMinute(lost, 0, 95),
        CameraMinute(patrol, 0, 71),
        CameraMinute(unanalysed, 0, None),
        *(CameraMinute(each, 6, 4) for each in others),
    ]
    return [report(RECEIVED, received, at), report(ANALYSED, analysed, at)]


def make_storm(now: Instant, **changes: Any) -> StormReport:
    """812 cameras that were lost 40 s ago; 300 of them are back."""
    facts: dict[str, Any] = {
        "id": "storm-1",
        "site": SITE,
        "instance": "ingest-0",
        "began_at": Instant(now - 40 * SECOND),
        "at": Instant(now - SECOND),
        "cameras": 812,
        "away": 512,
        "places": (("wvp-1", 600), ("10.1.2.3:554", 200), ("*", 12)),
        "places_away": (("wvp-1", 512),),
        "reasons": (("closed", 812),),
    }
    return StormReport(**(facts | changes))
