"""Which cameras were received and analysed in the last minute: reports of processes against the catalogue. Pure.

What is not known is not guessed: a camera of which no speaking process tells is unknown, neither seen nor unseen.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Final

import msgspec

from contracts.coverage import REPORT_EVERY_NS, CameraMinute, CoverageReport, CoverageStage
from contracts.instant import MINUTE, SECOND, Instant
from contracts.permission import Permissions, withheld
from contracts.source import Catalogue
from contracts.storm import StormReport

SILENT_AFTER_NS: Final = MINUTE
"""A process that has not told for so long is silent: what it said is no news any more."""
FORGET_AFTER_NS: Final = 10 * MINUTE
"""A silent process whose cameras another one tells of is no longer named after this."""
_SLACK_S: Final = REPORT_EVERY_NS // SECOND
"""Rounds differ a little from one another, and what is told of them is a quarter of a minute old at most."""


class Verdict(enum.StrEnum):
    """Whether pictures of a camera came by."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """No process that speaks tells of it."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One camera at one stage. `pictures` of the last minute and `last_at` are None where nothing is known of it;
    `last_at` also when no picture came since the process began. `round_s`: see CameraMinute."""

    verdict: Verdict
    pictures: int | None = None
    last_at: Instant | None = None
    round_s: int | None = None


NOT_KNOWN: Final = Seen(Verdict.UNKNOWN)


class CameraCoverage(msgspec.Struct, frozen=True, gc=False):
    """One camera of the catalogue. `idle`: code of why it is not wanted, None when it is."""

    camera_id: str
    platform: str
    received: Seen
    analysed: Seen
    idle: str | None = None


class StageTotal(msgspec.Struct, frozen=True, gc=False):
    """One stage over all wanted cameras. `per_s`: pictures a second over the last minute, None when no process
    speaks, or the one that does was there for no full quarter of a minute yet."""

    seen: int
    unseen: int
    unknown: int
    per_s: float | None


class Instance(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One process: its last report, and the wanted cameras that it told of. `unknown`: those of which nothing is
    known any more since it is silent."""

    service: str
    instance: str
    stage: CoverageStage
    at: Instant
    silent: bool
    window_s: float
    cameras: int
    unknown: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """The last minute of a site. `as_of`: all that is counted was so at this moment; None when no process speaks.

    `cameras`: those of the catalogue by id, without the ones that are never shown. `idle`: how many are not
    wanted, by reason, those among them. `storms`: those that go on.
    """

    at: Instant
    as_of: Instant | None
    cameras: Mapping[str, CameraCoverage]
    wanted: int
    received: StageTotal
    analysed: StageTotal
    idle: Mapping[str, int]
    instances: Sequence[Instance]
    storms: Sequence[StormReport]


def coverage(
    catalogue: Catalogue | None,
    reports: Sequence[CoverageReport],
    storms: Iterable[StormReport],
    now: Instant,
    lives: Mapping[tuple[str, str], Instant] = MappingProxyType({}),
) -> Coverage:
    """Put the newest report of every process together, as of `now`.

    `lives`: when each process, by service and instance, began. What one told before it was started again counts
    for nothing.
    """
    reports = [each for each in reports if each.at >= lives.get((each.service, each.instance), each.at)]
    listed = catalogue.cameras if catalogue is not None else ()
    reasons = {}
    if catalogue is not None:
        permissions = Permissions(catalogue)
        reasons = {camera.id: permissions.idle(camera, now) for camera in listed}
    wanted = {camera_id for camera_id, reason in reasons.items() if reason is None}
    speaking = [report for report in reports if not _is_silent(report.at, now)]
    received_of, analysed_of = (
        _told([each for each in speaking if each.stage is stage])
        for stage in (CoverageStage.RECEIVED, CoverageStage.ANALYSED)
    )
    cameras = {}
    for camera in listed:
        if not withheld(camera):
            received = _seen(received_of.get(camera.id), None)
            # Who is visited in turn cannot be analysed more often than it is received.
            analysed = _seen(analysed_of.get(camera.id), received.round_s)
            cameras[camera.id] = CameraCoverage(camera.id, camera.platform, received, analysed, reasons[camera.id])
    return Coverage(
        at=now,
        as_of=min((report.at for report in speaking), default=None),
        cameras=cameras,
        wanted=len(wanted),
        received=_total(
            (cameras[each].received for each in wanted), _rate(CoverageStage.RECEIVED, speaking, wanted)
        ),
        analysed=_total(
            (cameras[each].analysed for each in wanted), _rate(CoverageStage.ANALYSED, speaking, wanted)
        ),
        idle=dict(sorted(Counter(reason for reason in reasons.values() if reason is not None).items())),
        instances=_instances(reports, wanted, now),
        storms=[storm for storm in storms if storm_goes_on(storm, reports, now)],
    )


def storm_goes_on(storm: StormReport, reports: Iterable[CoverageReport], now: Instant) -> bool:
    """Whether it is not over, and the process that tells of it still speaks and is the one that saw it begin."""
    renewed = any(each.instance == storm.instance and each.started_at > storm.began_at for each in reports)
    return storm.ended_at is None and not renewed and not _is_silent(storm.at, now)


def _is_silent(at: Instant, now: Instant) -> bool:
    # From the future: the clock was set back since.
    return abs(now - at) > SILENT_AFTER_NS


class _Told(msgspec.Struct, frozen=True, gc=False):
    """What a report says of a camera, with the report's time."""

    minute: CameraMinute
    at: Instant

    @property
    def last_at(self) -> Instant | None:
        """When its last picture came."""
        return None if self.minute.age_s is None else Instant(self.at - self.minute.age_s * SECOND)


def _told(reports: Iterable[CoverageReport]) -> dict[str, _Told]:
    """What the reports of one stage say by camera; of two that tell of one camera, who saw more of it is right."""
    found: dict[str, _Told] = {}
    for report in reports:
        for minute in report.cameras:
            before = found.get(minute.camera_id)
            if before is None or (minute.pictures, report.at) > (before.minute.pictures, before.at):
                found[minute.camera_id] = _Told(minute, report.at)
    return found


def _seen(told: _Told | None, round_s: int | None) -> Seen:
    """The verdict. On patrol a camera is seen while its last picture is no older than its round."""
    if told is None:
        return NOT_KNOWN
    minute = told.minute
    round_s = minute.round_s if minute.round_s is not None else round_s
    # Round 0: the first one is not complete, so nobody knows yet when its next turn comes.
    in_turn = minute.age_s is not None and bool(round_s) and minute.age_s <= (round_s or 0) + _SLACK_S
    verdict = Verdict.YES if minute.pictures or in_turn else Verdict.NO
    return Seen(verdict, minute.pictures, told.last_at, round_s)


def _total(seen: Iterable[Seen], per_s: float | None) -> StageTotal:
    verdicts = Counter(each.verdict for each in seen)
    return StageTotal(verdicts[Verdict.YES], verdicts[Verdict.NO], verdicts[Verdict.UNKNOWN], per_s)


def _rate(stage: CoverageStage, speaking: Iterable[CoverageReport], wanted: Set[str]) -> float | None:
    rates = [
        sum(minute.pictures for minute in report.cameras if minute.camera_id in wanted) / report.window_s
        for report in speaking
        if report.stage is stage and report.window_s > 0
    ]
    return sum(rates) if rates else None


def _instances(reports: Sequence[CoverageReport], wanted: Set[str], now: Instant) -> list[Instance]:
    known: dict[CoverageStage, set[str]] = {stage: set() for stage in CoverageStage}
    for report in reports:
        if not _is_silent(report.at, now):
            known[report.stage].update(minute.camera_id for minute in report.cameras)
    found = []
    for report in reports:
        silent = _is_silent(report.at, now)
        own = wanted & {minute.camera_id for minute in report.cameras}
        unknown = len(own - known[report.stage]) if silent else 0
        if silent and not unknown and now - report.at > FORGET_AFTER_NS:
            continue
        found.append(
            Instance(
                service=report.service,
                instance=report.instance,
                stage=report.stage,
                at=report.at,
                silent=silent,
                window_s=report.window_s,
                cameras=len(own),
                unknown=unknown,
            )
        )
    return found
