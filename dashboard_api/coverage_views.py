"""Views of the coverage of the last minute, of single cameras in it, and of storms."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from contracts.instant import SECOND, Instant, to_rfc3339
from contracts.source import Catalogue
from contracts.storm import Places, StormReport
from dashboard_api.coverage import CameraCoverage, Coverage, Instance, StageTotal
from dashboard_api.directory import Directory
from dashboard_api.names import REASONS, SERVICES, SOURCE_STATES, UNREPORTED, Name, name_of
from dashboard_api.source_views import SourceRow
from dashboard_api.views import Coded, coded, optional_time


class StageCoverage(msgspec.Struct, frozen=True, gc=False):
    """One number: `seen` of all wanted cameras. The others are `unseen`, or `unknown`: nobody who speaks tells of
    them. `share` = seen / wanted, null when none is wanted. `per_s`: pictures a second over the last minute, null
    while that is not known."""

    seen: int
    unseen: int
    unknown: int
    share: float | None
    per_s: float | None


class IdleCount(msgspec.Struct, frozen=True, gc=False):
    """Cameras of the catalogue that are not wanted: switched off, or barred by law or by their owner."""

    reason: Coded
    count: int


class CoverageInstanceView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A process and its last report. `silent`: none for over 60 s, so that of `unknown` cameras nothing is known.
    `stage`: `received` or `analysed`; `window_s`: how much of that minute it was there; `cameras`: of how many
    wanted cameras it told."""

    service: str
    name: Name
    instance: str
    stage: str
    at: str
    age_s: float
    silent: bool
    window_s: float
    cameras: int
    unknown: int


class PlaceCount(msgspec.Struct, frozen=True, gc=False):
    """Cameras at a platform or host; the code `*` stands for all further ones."""

    code: str
    name: str
    cameras: int


class StormView(msgspec.Struct, frozen=True, kw_only=True):
    """Many cameras that were lost within seconds. `state`: `on`; `ended`; `lost_sight`: the process that told of
    it is silent or was started anew. `back` of `cameras` are live again, `away` are not; `places` says where they
    were lost, `places_away` where they still are."""

    id: str
    state: str
    instance: str
    began_at: str
    at: str
    ended_at: str | None
    seconds: float
    cameras: int
    back: int
    away: int
    places: tuple[PlaceCount, ...]
    places_away: tuple[PlaceCount, ...]
    reasons: tuple[IdleCount, ...]


class CoverageView(msgspec.Struct, frozen=True, kw_only=True):
    """The last minute. `received`: key pictures at ingest; `analysed`: pictures that inference looked at.

    `wanted`: cameras that catalogue and law permit; the others are `idle`, by reason. `as_of`: everything counted
    was so then, null when no process speaks. `on_patrol` cameras are visited in turn and count as seen within
    their own round; `round_s` is the longest of those rounds.
    """

    at: str
    as_of: str | None
    catalogue_version: int | None
    wanted: int
    received: StageCoverage
    analysed: StageCoverage
    on_patrol: int
    round_s: int | None
    idle: tuple[IdleCount, ...]
    instances: tuple[CoverageInstanceView, ...]
    storms: tuple[StormView, ...]


class SeenView(msgspec.Struct, frozen=True, gc=False):
    """One camera at one stage. `seen`: `yes`, `no` or `unknown`; `pictures` of the last minute, and when the last
    one came, null where that is not known."""

    seen: str
    pictures: int | None
    last_at: str | None


class CameraCoverageView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One camera of the catalogue. `wanted` false: `idle` says why. `round_s`: on patrol (轮巡) its last round, 0
    while the first one runs; null = its session stands. `state`, `reason` and `detail` are those of the source."""

    id: str
    name: str
    platform: str
    place_name: str
    grid_code: str | None
    grid_path: tuple[str, ...]
    owner: str
    wanted: bool
    idle: Coded | None
    received: SeenView
    analysed: SeenView
    on_patrol: bool
    round_s: int | None
    state: Coded
    reason: Coded | None
    detail: str


def coverage_view(found: Coverage, directory: Directory) -> CoverageView:
    """The numbers, with the names of reasons, services and places."""
    rounds = [
        each.received.round_s
        for each in found.cameras.values()
        if each.idle is None and each.received.round_s is not None
    ]
    return CoverageView(
        at=to_rfc3339(found.at),
        as_of=optional_time(found.as_of),
        catalogue_version=directory.catalogue_version,
        wanted=found.wanted,
        received=_stage(found.received, found.wanted),
        analysed=_stage(found.analysed, found.wanted),
        on_patrol=len(rounds),
        round_s=max(rounds, default=None),
        idle=tuple(_count(reason, n) for reason, n in found.idle.items()),
        instances=tuple(_instance(each, found.at) for each in found.instances),
        storms=tuple(storm_view(storm, "on", directory) for storm in found.storms),
    )


def camera_coverage_view(
    found: CameraCoverage, row: SourceRow | None, platforms: Mapping[str, str], directory: Directory
) -> CameraCoverageView:
    """One camera, with its state as alerts stored it last; `platforms` are their names."""
    entry = directory.sources.get(found.camera_id)
    state = row.state if row else UNREPORTED
    grid_code = entry.grid_code if entry else None
    return CameraCoverageView(
        id=found.camera_id,
        name=directory.source_name(found.camera_id),
        platform=platforms.get(found.platform, found.platform),
        place_name=entry.place_name if entry else "",
        grid_code=grid_code,
        grid_path=directory.grid_path(grid_code),
        owner=entry.owner if entry else "",
        wanted=found.idle is None,
        idle=coded(name_of(REASONS, found.idle), found.idle) if found.idle else None,
        received=SeenView(found.received.verdict, found.received.pictures, optional_time(found.received.last_at)),
        analysed=SeenView(found.analysed.verdict, found.analysed.pictures, optional_time(found.analysed.last_at)),
        on_patrol=found.received.round_s is not None,
        round_s=found.received.round_s,
        state=coded(name_of(SOURCE_STATES, state), state),
        reason=coded(name_of(REASONS, row.reason), row.reason) if row and row.reason else None,
        detail=row.detail if row else "",
    )


def storm_view(storm: StormReport, state: str, directory: Directory) -> StormView:
    """A storm with the names of its platforms."""
    names = platform_names(directory.catalogue)
    until = storm.ended_at or storm.at
    return StormView(
        id=storm.id,
        state=state,
        instance=storm.instance,
        began_at=to_rfc3339(storm.began_at),
        at=to_rfc3339(storm.at),
        ended_at=optional_time(storm.ended_at),
        seconds=round((until - storm.began_at) / SECOND, 1),
        cameras=storm.cameras,
        back=storm.cameras - storm.away,
        away=storm.away,
        places=_places(storm.places, names),
        places_away=_places(storm.places_away, names),
        reasons=tuple(_count(reason, n) for reason, n in storm.reasons),
    )


def platform_names(catalogue: Catalogue | None) -> dict[str, str]:
    """Names of platforms by id; those without one are called by their id."""
    return {each.id: each.name or each.id for each in catalogue.platforms} if catalogue is not None else {}


def _places(places: Places, names: Mapping[str, str]) -> tuple[PlaceCount, ...]:
    return tuple(PlaceCount(code, names.get(code, code), cameras) for code, cameras in places)


def _count(reason: str, count: int) -> IdleCount:
    return IdleCount(coded(name_of(REASONS, reason), reason), count)


def _stage(total: StageTotal, wanted: int) -> StageCoverage:
    return StageCoverage(
        seen=total.seen,
        unseen=total.unseen,
        unknown=total.unknown,
        share=total.seen / wanted if wanted else None,
        per_s=None if total.per_s is None else round(total.per_s, 2),
    )


def _instance(one: Instance, now: Instant) -> CoverageInstanceView:
    return CoverageInstanceView(
        service=one.service,
        name=name_of(SERVICES, one.service),
        instance=one.instance,
        stage=one.stage,
        at=to_rfc3339(one.at),
        age_s=round(max(0, now - one.at) / SECOND, 1),
        silent=one.silent,
        window_s=one.window_s,
        cameras=one.cameras,
        unknown=one.unknown,
    )
