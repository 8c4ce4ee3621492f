"""Observation: one source claims one thing at one place and time; the smallest fact that reaches alerts."""

from __future__ import annotations

import enum

import msgspec

from contracts.ids import derive_id
from contracts.instant import Instant
from contracts.place import Place
from contracts.source import SourceKind


class IncidentType(enum.StrEnum):
    """English keys of the incident taxonomy that this release senses by itself; codes are data (taxonomy)."""

    CROWD_DENSITY = "crowd.density"
    CROWD_CAPACITY = "crowd.capacity"
    STOPPED_VEHICLE = "traffic.stopped_vehicle"
    CONGESTION = "traffic.congestion"
    WRONG_WAY = "traffic.wrong_way"
    INTRUSION = "traffic.intrusion"
    FIRE_LANE = "traffic.fire_lane"
    FLAME_SUSPECTED = "fire.flame_suspected"
    SMOKE_SUSPECTED = "fire.smoke_suspected"
    FIRE_CONFIRMED = "fire.confirmed"
    SMOKE_SENSOR = "fire.smoke_sensor"
    HEAT = "fire.heat"
    ELECTRICAL = "fire.electrical"
    GAS_LEL1 = "gas.lel1"
    GAS_LEL2 = "gas.lel2"
    GAS_CO = "gas.co"
    PONDING = "infra.ponding"
    VIDEO_LOSS = "device.video_loss"
    VIDEO_QUALITY = "device.video_quality"
    SENSOR_FAULT = "device.sensor_fault"
    EDGE_OFFLINE = "device.edge_offline"


class Phase(enum.StrEnum):
    """What kind of claim an observation makes."""

    ACTIVE = "active"
    """The thing is there (an alarm; flame seen in n of m samples; a vehicle standing)."""
    CLEAR = "clear"
    """The source says that it ended (a reset, the vehicle left)."""
    SAMPLE = "sample"
    """A measurement (count, density); alerts judges it against thresholds and holds."""
    UNKNOWN = "unknown"
    """The source cannot tell at this moment (blind, covered): unknown is not zero."""


class EvidenceRef(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A picture in the evidence store, whole persons and vehicles pixelated, at most 640 px wide.

    `path` is relative to the store's root; `sha256` proves integrity.
    """

    sha256: str
    path: str
    media_type: str
    width: int
    height: int
    size: int
    event_time: Instant
    source_id: str


class Observation(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="observation", tag_field="record"):
    """One claim. Built by `make_observation`, which derives the id.

    `confidence` 0..1. `value` in `unit` is what was measured (seconds standing, degrees, %LEL, alarm 1).
    `count` with `count_error` (+- people, one standard error) and `density` (1/m2, None unless calibrated) are
    for crowds. `samples` pictures over `span_ns` stand behind the claim. `external_id` is the device's own alarm
    id. `model` names model, version and threshold. `detail` holds further words for people, key by key.
    """

    id: str
    site: str
    type: IncidentType
    phase: Phase
    source_id: str
    source_kind: SourceKind
    event_time: Instant
    arrival_time: Instant
    place: Place
    confidence: float
    value: float | None = None
    unit: str = ""
    count: int | None = None
    count_error: float | None = None
    density: float | None = None
    samples: int = 1
    span_ns: int = 0
    zone_version: int = 0
    evidence: tuple[EvidenceRef, ...] = ()
    external_id: str | None = None
    model: str = ""
    detail: tuple[tuple[str, str], ...] = ()
    exercise: bool = False
    schema: int = 1


def observation_id(
    site: str,
    type_: IncidentType,
    phase: Phase,
    source_id: str,
    zone_id: str | None,
    event_time: Instant,
    external_id: str | None = None,
) -> str:
    """The id of a claim: a message delivered twice, or a picture analysed twice, gives the same id.

    With the device's own alarm id the event time is left out, since devices restamp what they send again.
    """
    when = external_id if external_id is not None else str(event_time)
    return derive_id("obs", site, type_, phase, source_id, zone_id or "", when)
