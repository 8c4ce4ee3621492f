"""Observe: what one camera's analytics found, as the records that alerts reads."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.class_names import CLASS_NAMES
from contracts.ids import derive_id
from contracts.instant import SECOND, Instant
from contracts.observation import EvidenceRef, IncidentType, Observation, Phase, observation_id
from contracts.place import Place, Zone
from contracts.source import Camera, SourceChange, SourceKind, SourceState
from inference.congestion import Congestion
from inference.crowd import CrowdCount
from inference.fire import FireClaim
from inference.flow import Passage
from inference.intrusion import Intrusion
from inference.picture import Picture
from inference.registry import Model
from inference.traffic import StandingVehicles
from inference.zones import ZoneShape

Evidence = tuple[EvidenceRef, ...]


@dataclass(frozen=True, slots=True)
class Writer:
    """Builds the records of one camera. Event times are those of the pictures, never ours."""

    site: str
    camera: Camera
    exercise: bool
    model: Model

    def crowd(self, counted: CrowdCount, picture: Picture, evidence: Evidence) -> Observation:
        """People counted in one zone: a sample that alerts holds against its thresholds."""
        return self._observation(
            IncidentType.CROWD_DENSITY,
            Phase.SAMPLE,
            picture.event_time,
            picture.arrival_time,
            counted.shape.zone,
            confidence=round(counted.confidence, 4),
            count=counted.count,
            count_error=round(counted.error, 2),
            density=None if counted.density is None else round(counted.density, 4),
            evidence=evidence,
            model=self._model_text("person"),
        )

    def unknown(self, type_: IncidentType, zone: Zone, at: Instant, arrival: Instant, reason: str) -> Observation:
        """What is measured in a zone cannot be told at this moment; unknown is not zero."""
        return self._observation(
            type_,
            Phase.UNKNOWN,
            at,
            arrival,
            zone,
            confidence=1.0,
            detail=(("reason", reason),),
        )

    def standing(
        self, type_: IncidentType, standing: StandingVehicles, picture: Picture, evidence: Evidence
    ) -> Observation:
        """A vehicle stands in a lane or fire lane for `value` seconds by now, or none does any more (CLEAR)."""
        detail = [("vehicles", str(standing.vehicles))]
        if standing.from_start:
            detail.append(("since", "first_picture"))
        if standing.background:
            detail.append(("reason", "stationary_background"))
        return self._observation(
            type_,
            Phase.CLEAR if standing.gone else Phase.ACTIVE,
            picture.event_time,
            picture.arrival_time,
            standing.shape.zone,
            confidence=round(standing.confidence, 4),
            value=round(standing.seconds, 1),
            unit="s",
            samples=standing.samples,
            span_ns=standing.span_ns,
            evidence=evidence,
            model=self._model_text("car"),
            detail=tuple(detail),
        )

    def congestion(self, shape: ZoneShape, lane: Congestion, picture: Picture) -> Observation:
        """The grade of a lane, 1 free to 5 severe: a sample that alerts holds against its thresholds."""
        detail = [
            ("basis", lane.basis),
            ("speed_kmh", "null" if lane.kmh is None else f"{lane.kmh:.1f}"),
            ("occupancy", f"{lane.occupancy:.2f}"),
            ("vehicles", str(lane.vehicles)),
            ("queue", str(lane.queue)),
        ]
        if lane.queue_m is not None:
            detail.append(("queue_m", f"{lane.queue_m:.0f}"))
        if lane.flow_per_h is not None:
            detail.append(("flow_per_h", f"{lane.flow_per_h:.0f}"))
        return self._observation(
            IncidentType.CONGESTION,
            Phase.SAMPLE,
            picture.event_time,
            picture.arrival_time,
            shape.zone,
            confidence=1.0,
            value=float(lane.grade),
            unit="grade",
            samples=lane.samples,
            span_ns=lane.span_ns,
            model=self._model_text("car"),
            detail=tuple(detail),
        )

    def wrong_way(self, shape: ZoneShape, wrong: Passage | None, picture: Picture) -> Observation:
        """A vehicle went against its lane for `value` seconds; None: none does any more (CLEAR)."""
        metres = wrong.metres if wrong is not None else None
        return self._observation(
            IncidentType.WRONG_WAY,
            Phase.CLEAR if wrong is None else Phase.ACTIVE,
            picture.event_time,
            picture.arrival_time,
            shape.zone,
            confidence=1.0,
            value=round(wrong.seconds, 1) if wrong is not None else 0.0,
            unit="s",
            model=self._model_text("car"),
            detail=() if metres is None else (("metres", f"{metres:.0f}"),),
        )

    def intrusion(self, walking: Intrusion, picture: Picture, evidence: Evidence) -> Observation:
        """People walk in a live lane, or none does any more (CLEAR)."""
        return self._observation(
            IncidentType.INTRUSION,
            Phase.CLEAR if walking.gone else Phase.ACTIVE,
            picture.event_time,
            picture.arrival_time,
            walking.shape.zone,
            confidence=round(walking.confidence, 4),
            value=round(walking.span_ns / SECOND, 1),
            unit="s",
            samples=walking.samples,
            span_ns=walking.span_ns,
            evidence=evidence,
            model=self._model_text("person"),
            detail=(("people", str(walking.people)),),
        )

    def fire(self, claim: FireClaim, picture: Picture, evidence: Evidence) -> Observation:
        """Flame or smoke is suspected; only a person or a sensor's reset takes it back."""
        return self._observation(
            claim.type,
            Phase.ACTIVE,
            picture.event_time,
            picture.arrival_time,
            claim.shape.zone if claim.shape is not None else None,
            confidence=round(claim.confidence, 4),
            samples=claim.samples,
            span_ns=claim.span_ns,
            evidence=evidence,
            model=self._model_text(CLASS_NAMES[claim.class_id]),
            detail=(("flicker", f"{claim.change:.1f}"), ("growth", f"{claim.growth:.2f}")),
        )

    def change(self, state: SourceState, at: Instant, reason: str, detail: str) -> SourceChange:
        """The camera's own state: blind, seeing, quarantined."""
        return SourceChange(
            id=derive_id("src", self.site, self.camera.id, state, reason, at),
            site=self.site,
            source_id=self.camera.id,
            kind=SourceKind.CAMERA,
            state=state,
            at=at,
            reason=reason,
            detail=detail,
            exercise=self.exercise,
        )

    def _observation(
        self,
        type_: IncidentType,
        phase: Phase,
        at: Instant,
        arrival: Instant,
        zone: Zone | None,
        *,
        confidence: float,
        value: float | None = None,
        unit: str = "",
        count: int | None = None,
        count_error: float | None = None,
        density: float | None = None,
        samples: int = 1,
        span_ns: int = 0,
        evidence: Evidence = (),
        model: str = "",
        detail: tuple[tuple[str, str], ...] = (),
    ) -> Observation:
        zone_id = zone.id if zone is not None else None
        return Observation(
            id=observation_id(self.site, type_, phase, self.camera.id, zone_id, at),
            site=self.site,
            type=type_,
            phase=phase,
            source_id=self.camera.id,
            source_kind=SourceKind.CAMERA,
            event_time=at,
            arrival_time=arrival,
            place=place_of(self.camera, zone),
            confidence=confidence,
            value=value,
            unit=unit,
            count=count,
            count_error=count_error,
            density=density,
            samples=samples,
            span_ns=span_ns,
            zone_version=zone.version if zone is not None else 0,
            evidence=evidence,
            model=model,
            detail=zone_words(zone) + detail,
            exercise=self.exercise,
        )

    def _model_text(self, class_name: str) -> str:
        """`name@version#hash licence t=0.30`: what saw it, and from which confidence on."""
        return f"{self.model.tag} {self.model.toml.licence} t={self.model.threshold(class_name):.2f}"


def place_of(camera: Camera, zone: Zone | None) -> Place:
    """Where a zone of a camera is: its own point if it has one, else the camera's; the grid is the camera's."""
    place = camera.place
    if zone is None:
        return place
    point = (place.lon, place.lat)
    if zone.lon is not None and zone.lat is not None:
        point = (zone.lon, zone.lat)
    return Place(
        lon=point[0],
        lat=point[1],
        grid_code=place.grid_code,
        zone_id=zone.id,
        fire_zone=zone.fire_zone or place.fire_zone,
        name=zone.name or place.name,
    )


def zone_words(zone: Zone | None) -> tuple[tuple[str, str], ...]:
    """What alerts needs of a zone to choose its rules: `zone_kind`, and `area_m2` where it was measured."""
    if zone is None:
        return ()
    area = (("area_m2", f"{zone.area_m2:g}"),) if zone.area_m2 is not None else ()
    return (("zone_kind", str(zone.kind)), *area)
