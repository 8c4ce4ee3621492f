"""A recording through `reanalyse` and the alert engine: the incidents that it comes to, and when in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import structs

from alerts.config import AlertsConfig
from alerts.core.engine import Engine
from alerts.given import load_policy, policy_file_of
from alerts.replay import Outcome, drive
from bench.seeing.clip_truth import Found
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType
from contracts.place import Zone, ZoneKind
from contracts.policy import Belief, Policy, TypeRule
from contracts.source import Camera
from inference.config import InferenceConfig
from inference.reanalyse import footage_camera, reanalyse
from runtime.site import PathsConfig, Site, SiteConfig

ROOT: Final = Path(__file__).resolve().parents[2]
START: Final = Instant(1_790_000_000 * SECOND)
_SECONDS_STOOD: Final = frozenset({IncidentType.STOPPED_VEHICLE, IncidentType.FIRE_LANE})
"""Types whose measured value is the time that it has lasted: their hold is the threshold."""
CROWD_AREA_M2: Final = 10.0
"""The clips have no measured ground, and density is never judged without: the whole picture counts as so many
square metres, the least that the rules judge, so that twenty people are the first level."""


@dataclass(slots=True)
class Reanalysed:
    """`evidence`: pixelated pictures of the findings, in order. `seconds` of the recording were seen."""

    found: list[Found] = field(default_factory=list)
    pictures: int = 0
    observations: int = 0
    seconds: float = 0.0
    tickets: int = 0
    candidates: int = 0
    evidence: list[Path] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def site_in(folder: Path) -> Site:
    """A site with the shipped models, its state in `folder`."""
    return Site(SiteConfig(id="152921"), PathsConfig(state=str(folder / "var"), models=str(ROOT / "models")), ROOT)


def shipped_policy(site: Site) -> Policy:
    """The rules that come with the release."""
    return load_policy(policy_file_of(site, AlertsConfig()))


def without_holds(policy: Policy) -> Policy:
    """The same rules where crowds and traffic need not last: a candidate (A1) becomes an incident at once."""
    return structs.replace(policy, rules=tuple(_without_hold(rule) for rule in policy.rules))


def _without_hold(rule: TypeRule) -> TypeRule:
    if rule.belief is not Belief.SAMPLED:
        return rule
    levels = tuple(structs.replace(level, hold_s=0.0) for level in rule.levels)
    if rule.type in _SECONDS_STOOD:
        levels = tuple(structs.replace(level, raise_at=0.0) for level in levels)
    return structs.replace(rule, levels=levels)


def whole_picture(name: str, index: int, kinds: Sequence[ZoneKind]) -> Camera:
    """A camera of which nothing is known: the whole picture is a zone of each kind."""
    camera = footage_camera(name, index, kinds)
    return structs.replace(camera, zones=tuple(_with_area(zone) for zone in camera.zones))


def _with_area(zone: Zone) -> Zone:
    return structs.replace(zone, area_m2=CROWD_AREA_M2) if zone.kind is ZoneKind.STANDING else zone


def incidents_of(
    path: Path, camera: Camera, site: Site, policy: Policy, out: Path, *, every_s: float, evidence: bool = False
) -> Reanalysed:
    """One recording of one camera, a picture every `every_s` (0 = its key pictures), through a fresh engine."""
    report = reanalyse(
        [path],
        site=site,
        config=InferenceConfig(),
        out=out,
        camera=camera,
        start=START,
        every_s=every_s,
        keep_evidence=evidence,
    )
    engine = Engine(site.id, site.county, policy)
    outcome, last_s = Outcome(), 0.0
    for effects in drive(engine, report.records()):
        outcome.take(effects)
    made = Reanalysed(
        pictures=report.pictures,
        observations=report.observations,
        tickets=len(outcome.tickets),
        candidates=int(engine.counters().get("candidates", 0)),
        refused=dict(report.refused),
    )
    for incident in outcome.incidents.values():
        if incident.operations:
            continue
        first_s, last_s = _offset_s(incident.first_event_time), _offset_s(incident.last_event_time)
        made.found.append(Found(incident.type, first_s, last_s, incident.place.zone_id))
        made.evidence += [out / "evidence" / each.path for each in incident.evidence]
    made.found.sort(key=lambda each: (each.first_s, each.type))
    return made


def _offset_s(moment: Instant) -> float:
    return round((moment - START) / SECOND, 2)
