"""Source: one camera stream or one sensor, with its place, owner and state; the Catalogue holds them all."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from contracts.instant import Instant
from contracts.place import Place, Zone


class SourceKind(enum.StrEnum):
    """What a source is."""

    CAMERA = "camera"
    SENSOR = "sensor"


class SourceState(enum.StrEnum):
    """The state of a source as ingest and inference know it."""

    IDLE = "idle"
    """In the catalogue, not asked for (not live, switched off, or Secrecy=1)."""
    CONNECTING = "connecting"
    LIVE = "live"
    """Key pictures or messages arrive within their bound."""
    STALLED = "stalled"
    """Connected, but nothing arrives."""
    BACKOFF = "backoff"
    """Failed; the next attempt is scheduled with jitter."""
    REFUSED = "refused"
    """401/403/404: retried slowly; a person should look."""
    BLIND = "blind"
    """Pictures arrive, but nothing can be seen in them (covered, dark, undecodable)."""
    QUARANTINED = "quarantined"
    """Its pictures crashed the decoder twice."""
    STALE = "stale"
    """A sensor that missed three periods."""


class SystemKind(enum.StrEnum):
    """Kind of video system in 国令第799号 (Art. 7 and 9)."""

    ART7_GOVERNMENT = "art7_government"
    ART7_OPERATOR = "art7_operator"
    ART9_OTHER = "art9_other"


class TransportPolicy(enum.StrEnum):
    """How RTP comes to us."""

    TCP = "tcp"
    """RTP interleaved in the RTSP connection (RFC 2326, 10.12)."""
    UDP = "udp"
    """For servers that refuse TCP; read through FFmpeg."""


SEEING: Final = "seeing"
"""Reason of the LIVE that tells of the pictures (something can be seen again), not of their arrival."""


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera of the catalogue.

    `id` is its GB/T 28181 id (20 digits). `url` never holds a password: `credentials` names an entry of the
    secrets file. `platform` is the key of the aggregating platform or recorder that serves the stream, for
    limits per platform. `homography`: 9 floats, row-major, normalised picture coordinates to local ground
    metres; None = not calibrated. `key_interval_s`: the expected time between key pictures.
    """

    id: str
    name: str
    place: Place
    owner: str
    url: str | None = None
    credentials: str | None = None
    platform: str = ""
    transport: TransportPolicy = TransportPolicy.TCP
    zones: tuple[Zone, ...] = ()
    homography: tuple[float, ...] | None = None
    key_interval_s: float = 2.0
    live: bool = False
    secrecy: bool = False
    forbidden_place: bool = False
    system_kind: SystemKind = SystemKind.ART7_GOVERNMENT
    exercise: bool = False


class SensorKind(enum.StrEnum):
    """What a sensor measures; selects its signal rules."""

    SMOKE = "smoke"
    """Point smoke detector: alarm 0/1."""
    HEAT = "heat"
    """Degrees Celsius."""
    GAS_LEL = "gas_lel"
    """Combustible gas, % of the lower explosive limit."""
    CO = "co"
    """Carbon monoxide, ppm, integrated over time (EN 50291)."""
    WATER_LEVEL = "water_level"
    """Metres over the sensor's datum."""
    CALL_POINT = "call_point"
    """Manual call point: alarm 0/1."""
    ELECTRICAL = "electrical"
    """Residual current of a circuit, mA."""


class Sensor(msgspec.Struct, frozen=True, kw_only=True):
    """A sensor of the catalogue. `valid_min`/`valid_max` bound what is physically possible in `unit`."""

    id: str
    name: str
    kind: SensorKind
    place: Place
    owner: str
    unit: str
    valid_min: float
    valid_max: float
    period_s: float = 60.0
    exercise: bool = False


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All sources of a site at one version. `schema` is contracts.wire.SCHEMA_VERSION when written."""

    site: str
    county: str
    version: int
    cameras: tuple[Camera, ...]
    sensors: tuple[Sensor, ...]
    schema: int = 1


class SourceChange(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="source_change", tag_field="record"):
    """A source changed its state: news for the operations queue, and for incidents that it holds open.

    `reason` is a stable code (`stall`, `not_found`, `refused_credentials`, `covered`, ...), `detail` a sentence.
    `place` may stay None on the way; alerts fills it from its catalogue before it judges the change.
    """

    id: str
    site: str
    source_id: str
    kind: SourceKind
    state: SourceState
    at: Instant
    reason: str = ""
    detail: str = ""
    exercise: bool = False
    schema: int = 1
    place: Place | None = None


class RefusedNote(msgspec.Struct, frozen=True, gc=False):
    """Input that a service refused since its last report: stable code, who sent it, a sentence, how often."""

    reason: str
    source_id: str
    text: str
    n: int = 1


class HealthReport(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="health_report", tag_field="record"):
    """What a service says of itself about every 2 s: its counters (received, sent, dropped by reason...).

    `counters` maps `name` or `name:reason` to a running total since the process began; `gauges` holds values
    of the moment (queue depths, ages in seconds). `refused` holds what was refused since the report before, at
    most some hundred kinds; alerts adds it to the totals of the wall.
    """

    id: str
    site: str
    service: str
    instance: str
    at: Instant
    started_at: Instant
    counters: tuple[tuple[str, int], ...] = ()
    gauges: tuple[tuple[str, float], ...] = ()
    schema: int = 1
    refused: tuple[RefusedNote, ...] = ()
