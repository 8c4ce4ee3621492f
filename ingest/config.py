"""`[ingest]` and `[mqtt]` of the configuration: how cameras and sensors are received."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ingest.rtsp.assembly import KeyPicturePolicy
from ingest.rtsp.quirks import QuirkPolicies
from ingest.rtsp.recorder import read_policies
from ingest.rtsp.udp import UdpPorts


class IngestConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[ingest]`: cameras."""

    secrets: str = ""
    """File with users and passwords (TOML: `[name]` with `user` and `password`), mode 600; relative to the
    configuration's folder of state. Empty: no source needs any."""
    picture_budget_mb: int = 256
    """Memory for waiting pictures, MiB; the oldest goes first."""
    picture_bytes_max: int = 4 << 20
    """A key picture over this many bytes is refused and counted."""
    key_pictures: KeyPicturePolicy = KeyPicturePolicy.RECOVERY_POINT
    """Which pictures are handed on: `idr`, or `recovery_point` for I pictures behind a recovery point too."""
    connect_rate_per_s: float = 25.0
    """New connections a second for all cameras together. 25: a storm of 1,000 cameras is over in 40 s, which
    leaves 20 of the 60 s for the first delay, handshakes and key pictures; 3,700 cameras start within 148 s."""
    connect_burst: int = 10
    """Connections that may begin at once after a quiet time."""
    openings_max: int = 96
    """Connections in the handshake at once, for all cameras together; 0 = no limit."""
    host_openings_max: int = 48
    """The same for one host and port; 0 = no limit."""
    platform_openings_max: int = 48
    """The same for one platform; half of all, so that a dead one leaves room for the others; 0 = no limit."""
    host_sessions_max: int = 0
    """Sessions at once on one host and port; 0 = no limit."""
    platform_sessions_max: int = 2_000
    """Sessions at once on one platform; 0 = no limit. The catalogue may say less for a platform."""
    platform_sessions: dict[str, int] = {}
    """The same for single platforms, by their key in the catalogue; the lower one of both holds."""
    nvr_sessions_max: int = 0
    """Sessions at once on one recorder behind a platform, where the catalogue does not say; 0 = no limit."""
    patrol_period_s: float = 20.0
    """Where more cameras want sessions than may have one they are visited in turn (patrol, 轮巡): nobody is
    disconnected for a camera that was seen within so many seconds; with more cameras a visit ends with its first
    key picture, and a round takes as long as it takes."""
    patrol_dwell_s: float = 10.0
    """How long a visit may wait for its key picture while others wait; twice, then four times as long after one
    without. The catalogue may say otherwise for a platform."""
    patrol_stay_max_s: float = 120.0
    """How long a visit may last while others wait, of a camera that is promoted or suspect; at most half of the
    sessions of a platform, recorder or host stay so."""
    connect_s: float = 5.0
    """Seconds for a TCP connection."""
    reply_s: float = 10.0
    """Seconds for a reply to an RTSP request."""
    stall_s: float = 10.0
    """Seconds without video after which a session is ended and begun anew."""
    key_stall_s: float = 60.0
    """Seconds without a usable key picture after which a session is ended."""
    backoff_first_s: float = 1.0
    """First delay after a failure; it doubles, with jitter."""
    backoff_max_s: float = 30.0
    """Largest delay after failures."""
    refused_retry_s: float = 300.0
    """Delay after 401, 403 and 404: those need a person, and asking often may lock the account."""
    rtsp_policies: dict[str, tuple[str, ...]] = {}
    """Policies for what single servers do against RTSP, by camera id or platform key: `name` switches one on,
    `-name` one off. All names are in ingest/rtsp/quirks.py."""
    recorder_policies: dict[str, tuple[str, ...]] = {}
    """Policies for what recorders say of time, by camera id or platform key: `range_unstated`, `range_local`. What
    they mean and when they may be set: docs/runbooks/filmstrip-has-gaps.md."""
    udp_port_first: int = 20_000
    """First of the local ports for RTP over UDP, two for each camera that needs it."""
    udp_port_last: int = 29_999
    """Last of them."""
    suspect_after_s: float = 10.0
    """A camera is suspect when frozen pictures, collapsed sizes, lost packets or clock jumps lasted so long..."""
    suspect_quiet_s: float = 30.0
    """...and no longer when nothing of it was seen for so long."""
    suspect_loss_share: float = 0.01
    """Share of lost packets, 0..1, from which their loss counts: an engineering value; of a key picture of 20
    packets one in five is then damaged."""
    flapping_ends: int = 4
    """So many ends of live sessions..."""
    flapping_window_s: float = 600.0
    """...within so many seconds make a camera suspect as flapping..."""
    flapping_steady_s: float = 300.0
    """...until a session has held for so long."""
    flapping_away_s: float = 30.0
    """A flapping camera that is away for longer is told as faulted or stale, with the reason of that."""
    sweep_s: float = 0.25
    """A socket not read for so long is read within half as long again, whatever its low-water mark hides."""
    low_water_bytes_max: int = 16 * 1024
    """Largest low-water mark of a socket, bytes; 0 switches the marks off."""
    ring_budget_mb: int = 24
    """Memory for the last pictures of suspects and of cameras with `keep_ring`, MiB; when it is spent, the oldest
    of those go first that are suspect no more, then of suspects, then of cameras with `keep_ring`. An open group
    of pictures takes at most an eighth of it."""
    ring_window_s: float = 40.0
    """How long those are kept."""
    playbacks_max: int = 4
    """Recordings of platforms that are played back at once, for filmstrips; 0 = none."""
    promoted_max: int = 16
    """Cameras at once of which every picture is handed on."""
    promote_max_s: float = 120.0
    """Longest time that a camera stays promoted by one request."""
    catalogue_poll_s: float = 10.0
    """Seconds between two looks for a newer catalogue."""
    media_processes: int = 0
    """Child processes that read sources through FFmpeg (HLS, HTTP-FLV, MPEG-TS, MJPEG, files, folders); 0 = one
    for two cores."""
    media_sources_max: int = 256
    """Sources read through FFmpeg at once, in all children."""
    media_process_mb: int = 768
    """A child that holds more memory than this, MiB, is ended and begun anew."""
    media_silent_s: float = 10.0
    """A child that says nothing for so long is ended and begun anew."""
    media_quarantine_s: float = 600.0
    """How long a source that crashed or hung two children is left alone."""
    folder_quiet_s: float = 10.0
    """A recording in a folder is read when its file has not changed for so long: it may be half written."""
    file_loop: bool = True
    """A recording begins anew at its end, as a camera would go on."""

    def __post_init__(self) -> None:
        """Cross-field rules."""
        for name in (
            "picture_budget_mb",
            "picture_bytes_max",
            "connect_rate_per_s",
            "connect_burst",
            "patrol_period_s",
            "patrol_dwell_s",
            "patrol_stay_max_s",
            "connect_s",
            "reply_s",
            "stall_s",
            "sweep_s",
            "catalogue_poll_s",
            "media_sources_max",
            "media_silent_s",
            "media_quarantine_s",
            "backoff_first_s",
            "ring_window_s",
            "promote_max_s",
            "suspect_after_s",
            "suspect_quiet_s",
            "flapping_ends",
            "flapping_window_s",
            "flapping_steady_s",
            "flapping_away_s",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"ingest.{name} 必须大于 0 (must be above 0)")
        for names in self.rtsp_policies.values():
            QuirkPolicies(names)
        for names in self.recorder_policies.values():
            read_policies(names)
        UdpPorts(self.udp_port_first, self.udp_port_last)
        if self.media_processes < 0 or self.folder_quiet_s < 0:
            raise ValueError("ingest.media_processes 与 folder_quiet_s 不得为负 (0 = by cores, at once)")
        if self.media_process_mb < 128:
            raise ValueError("ingest.media_process_mb 至少为 128 (a child needs that much)")
        if self.ring_budget_mb < 0 or self.promoted_max < 0 or self.playbacks_max < 0:
            raise ValueError("ingest.ring_budget_mb, promoted_max, playbacks_max 不得为负 (0 = off)")
        for name in (
            "low_water_bytes_max",
            "openings_max",
            "host_openings_max",
            "platform_openings_max",
            "host_sessions_max",
            "platform_sessions_max",
            "nvr_sessions_max",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"ingest.{name} 不得为负 (0 = off)")
        if any(limit < 0 for limit in self.platform_sessions.values()):
            raise ValueError("ingest.platform_sessions 的值不得为负 (0 = no limit)")
        if self.picture_bytes_max > self.picture_budget_mb << 20:
            raise ValueError("ingest.picture_bytes_max 大于 picture_budget_mb (a picture would not fit)")
        if self.backoff_max_s < self.backoff_first_s:
            raise ValueError("ingest.backoff_max_s 小于 backoff_first_s (is below)")
        if self.key_stall_s < self.stall_s:
            raise ValueError("ingest.key_stall_s 小于 stall_s (is below)")
        if not 0 < self.suspect_loss_share <= 1:
            raise ValueError("ingest.suspect_loss_share 应在 0 与 1 之间 (must be above 0, at most 1)")


class TopicMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[mqtt.mapping]]`: how messages of one kind of topic become readings.

    Fields of `json` are JSON pointers (RFC 6901) into the payload; empty = the payload has no such field.
    """

    topic: str
    """Topic with `{sensor_id}` for one level, `+` and a final `#` as in MQTT: `plant/+/sensor/{sensor_id}`."""
    format: Literal["json", "senml"] = "json"
    value: str = "/value"
    """The measured number; true and false count as 1 and 0."""
    unit: str = "/unit"
    """Unit of the value; absent = the catalogue's."""
    time: str = "/time"
    """RFC 3339 text with offset, or Unix time in seconds or milliseconds; absent = arrival."""
    alarm_id: str = "/alarm_id"
    """The device's own id of an alarm."""
    battery_low: str = "/battery_low"
    tamper: str = "/tamper"
    sensor_id: str = ""
    """Where the payload names the sensor, for topics without `{sensor_id}`."""

    def __post_init__(self) -> None:
        """Topic and pointers must be well formed."""
        levels = self.topic.split("/")
        if not self.topic or any(
            ("#" in level and (level != "#" or index != len(levels) - 1)) or ("+" in level and level != "+")
            for index, level in enumerate(levels)
        ):
            raise ValueError(f"mqtt.mapping.topic '{self.topic}' 无效 (not a valid MQTT topic filter)")
        named = [level for level in levels if "{" in level or "}" in level]
        if len(named) > 1 or (named and named[0] != "{sensor_id}"):
            raise ValueError(
                f"mqtt.mapping.topic '{self.topic}' 中只能有一个 {{sensor_id}} 层级 (one whole level)"
            )
        if self.format == "json" and not named and not self.sensor_id:
            raise ValueError(
                f"mqtt.mapping.topic '{self.topic}' 没有 {{sensor_id}}; 请填写 sensor_id 指针 (set the pointer)"
            )
        for pointer in (self.value, self.unit, self.time, self.alarm_id, self.battery_low, self.tamper):
            if pointer and not pointer.startswith("/"):
                raise ValueError(f"mqtt.mapping 的指针 '{pointer}' 应以 / 开头 (JSON pointers begin with /)")


DEFAULT_MAPPINGS = (
    TopicMapping(topic="sensors/{sensor_id}/senml", format="senml"),
    TopicMapping(topic="sensors/{sensor_id}/json", format="json"),
    TopicMapping(topic="county/+/sensor/{sensor_id}/senml", format="senml"),
    TopicMapping(topic="county/+/sensor/{sensor_id}/json", format="json"),
)


class MqttConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[mqtt]`: sensors."""

    url: str = "mqtt://127.0.0.1:1883"
    """`mqtt://host:port`, or `mqtts://` for TLS. No password inside."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto`: MQTT 5 where the broker has it, else 3.1.1."""
    client_id: str = ""
    """Name of the persistent session; empty = `gridwhistle-<site>-<hash of the state folder>`."""
    credentials: str = ""
    """Entry of the secrets file; empty = none."""
    secrets: str = ""
    """As in `[ingest]`."""
    ca_file: str = ""
    """CA certificates (PEM) for mqtts; empty = the system's."""
    shared_group: str = ""
    """Name of a shared subscription ($share), for several instances; empty = none."""
    instance: int = 0
    """Number of this worker where several serve one site: each has a session of its own."""
    keepalive_s: int = 30
    """MQTT keep-alive, seconds."""
    session_expiry_s: int = 86_400
    """How long the broker keeps messages for us while we are away (MQTT 5), seconds."""
    inflight_max: int = 2_000
    """Messages received and not yet acknowledged; the broker waits beyond it (MQTT 5 receive maximum)."""
    batch_max: int = 1_024
    """Messages handed to alerts at once."""
    max_payload_bytes: int = 64 * 1024
    """A larger payload is refused, counted and never kept in memory."""
    late_max_s: float = 120.0
    """Messages older than this never open an alert."""
    future_max_s: float = 5.0
    """Times further ahead of ours than this are replaced by arrival; the sensor's clock is news."""
    mapping: tuple[TopicMapping, ...] = DEFAULT_MAPPINGS
    """Topics to subscribe to and how to read them, first match first."""
    catalogue_poll_s: float = 10.0
    """Seconds between two looks for a newer catalogue."""

    def __post_init__(self) -> None:
        """Cross-field rules."""
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            raise ValueError(f"mqtt.url '{self.url[:100]}' 的端口无效 (bad port)") from None
        if parts.username is not None or parts.password is not None:
            raise ValueError("mqtt.url 不得含密码 (no password in the URL); 请用 credentials 引用密钥文件")
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == 0:
            raise ValueError(f"mqtt.url '{self.url[:100]}' 无效; 应为 mqtt://host:port")
        if not self.mapping:
            raise ValueError("mqtt.mapping 为空 (at least one topic is needed)")
        if not 1 <= self.inflight_max <= 65_535 or self.batch_max < 1:
            raise ValueError("mqtt.inflight_max 应为 1 到 65535, batch_max 至少为 1 (bounds)")
        if self.max_payload_bytes < 256 or self.keepalive_s < 5 or self.late_max_s <= 0:
            raise ValueError("mqtt.max_payload_bytes >= 256, keepalive_s >= 5, late_max_s > 0 (bounds)")
