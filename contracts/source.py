"""Source: one camera stream or one sensor, with its place, owner and state; the Catalogue holds them all."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from contracts.instant import Instant
from contracts.place import Place, Zone
from contracts.registration import Registration, ShareGrant


class SourceKind(enum.StrEnum):
    """What a source is."""

    CAMERA = "camera"
    SENSOR = "sensor"


class SourceState(enum.StrEnum):
    """The state of a source as ingest and inference know it; the reason beside it says why.

    Names of before ("idle", "stalled", "backoff", "refused", "quarantined") are still read: stores hold them.
    """

    OFF = "off"
    """In the catalogue, not asked for (not live, switched off, Secrecy=1, a forbidden place)."""
    CONNECTING = "connecting"
    LIVE = "live"
    """Key pictures or messages arrive within their bound."""
    STALE = "stale"
    """Connected, but nothing arrives: a camera without pictures, a sensor that missed three periods."""
    SUSPECT = "suspect"
    """It arrives, but not as it should: sizes collapsed, bytes frozen, values stuck, clock jumping."""
    BLIND = "blind"
    """Pictures arrive, but inference sees nothing in them (covered, dark, moved, blurred, undecodable, decoder
    crashed)."""
    FAULTED = "faulted"
    """Failed or refused: the next attempt is scheduled with jitter, after a refusal slowly."""

    @classmethod
    def _missing_(cls, value: object) -> SourceState | None:
        return cls(_BEFORE[value]) if isinstance(value, str) and value in _BEFORE else None


_BEFORE: Final = {
    "idle": "off",
    "stalled": "stale",
    "backoff": "faulted",
    "refused": "faulted",
    "quarantined": "blind",
}


class SystemKind(enum.StrEnum):
    """Kind of video system in 国令第799号 (Art. 7 and 9)."""

    ART7_GOVERNMENT = "art7_government"
    ART7_OPERATOR = "art7_operator"
    ART9_OTHER = "art9_other"


class TransportPolicy(enum.StrEnum):
    """How RTP comes to us."""

    TCP = "tcp"
    """RTP interleaved in the RTSP connection (RFC 2326, 10.12); UDP where the server refuses it."""
    UDP = "udp"
    """RTP over UDP, for servers that take TCP and then do not send."""


SEEING: Final = "seeing"
"""Reason of the LIVE that tells of the pictures (something can be seen again), not of their arrival."""


class PlatformKind(enum.StrEnum):
    """How streams of a platform are found."""

    FIXED = "fixed"
    """The camera's URL stands in the catalogue."""
    WVP = "wvp"
    """WVP-GB28181-pro: a play URL is asked for per connection over its REST interface."""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregating platform or recorder: what it can bear, and how its streams are asked for.

    `sessions_max`: sessions at once on the whole platform, `nvr_sessions_max` on one recorder behind it; None =
    the site's default. With more cameras than sessions they are visited in turn (patrol, 轮巡); `patrol_dwell_s`
    is how long a visit may wait for its key picture. `base_url` of its REST interface holds no password:
    `credentials` names an entry of the secrets file.

    `grants_required`: its cameras are received under a share grant alone. `stop_streams`: a stream that we leave
    is ended on the platform; never where other people watch through it, since theirs would end, too.
    """

    id: str
    name: str = ""
    kind: PlatformKind = PlatformKind.FIXED
    base_url: str | None = None
    credentials: str | None = None
    sessions_max: int | None = None
    nvr_sessions_max: int | None = None
    patrol_dwell_s: float = 10.0
    grants_required: bool = False
    stop_streams: bool = False


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera of the catalogue.

    `id` is its GB/T 28181 id (20 digits). `url` never holds a password: `credentials` names an entry of the
    secrets file. `platform` is the key of the aggregating platform or recorder that serves the stream, for
    limits per platform. `homography`: 9 floats, row-major, normalised picture coordinates to local ground
    metres; None = not calibrated. `key_interval_s`: the expected time between key pictures.

    `nvr` names the recorder or parent device behind the platform, for its session limit. `channel` is the
    platform's own name of the stream where a play URL is asked for (WVP: `deviceId/channelId`). `keep_ring`: its
    last key pictures are always kept for filmstrips. `profile`: what it looks at (`school_gate`, `alley`), which
    says how fresh it is kept and when (inference.freshness); "" = as all others. `recording_url`: RTSP playback by
    `Range: clock=`, None = its platform records nothing that we may read.
    """

    id: str
    name: str
    place: Place
    owner: str
    url: str | None = None
    credentials: str | None = None
    platform: str = ""
    nvr: str = ""
    channel: str = ""
    recording_url: str | None = None
    keep_ring: bool = False
    profile: str = ""
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
    platforms: tuple[Platform, ...] = ()
    registrations: tuple[Registration, ...] = ()
    grants: tuple[ShareGrant, ...] = ()


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
