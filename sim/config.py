"""`[sim]`: the simulated county of `gridwhistle run` and `gridwhistle simulate`."""

from __future__ import annotations

import msgspec


class SimConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is simulated. Raises ValueError with a sentence when values do not fit together."""

    enabled: bool = False
    """True: `gridwhistle run` builds the county's files and starts the simulated cameras and sensors as well."""
    seed: int = 152921
    """Seed of everything invented: names, polygons, places, noise. The same seed gives the same bytes."""
    cameras_total: int = 3700
    """Cameras in the catalogue."""
    sensors_total: int = 700
    """Sensors in the catalogue; all of them publish."""
    live_cameras: int = 12
    """Cameras that serve a stream. 0 = none."""
    host: str = "127.0.0.1"
    """Address that the RTSP server and the platform stand-in listen on, and that the catalogue's URLs name."""
    rtsp_port: int = 8654
    """TCP port of the RTSP server."""
    rtsp_user: str = ""
    """User that live cameras ask for (RTSP Digest). Empty = no login."""
    rtsp_password: str = ""
    """Password of that user."""
    mqtt_port: int = 8683
    """TCP port of the embedded broker on 127.0.0.1. 0 = no embedded broker."""
    broker: str = ""
    """`host:port` of an outside MQTT broker to publish to. Empty = the embedded one."""
    platform_port: int = 8686
    """TCP port of the stand-in for the linked command platform (webhook receiver). 0 = none."""
    platform_secret: str = "gridwhistle-demo"
    """Secret that signs the webhook's messages; the same as in [webhook]."""
    pictures_per_s: float = 5.0
    """Pictures a second of cameras in which something happens, 1 to 25; quiet cameras send 2 at most."""
    key_interval_s: float = 2.0
    """Seconds between key pictures."""
    onset_s: float = 45.0
    """Seconds from the start of the service to the first incident; 0 = at once."""
    sensor_period_s: float = 60.0
    """Seconds between two messages of one sensor."""
    alarm_s: float = 40.0
    """Seconds from the start of the service to the smoke detector's alarm. 0 = no alarm."""
    footage: str = ""
    """Folder of video files that the live cameras play instead of rendered scenes. Empty = scenes."""
    truth: str = ""
    """File that receives the truth of the rendered pictures (JSON lines) for tests and benchmarks; the pipeline
    never reads it. Empty = none."""
    exercise: bool = False
    """True: cameras and sensors are marked as a drill (演练) in the catalogue."""

    def __post_init__(self) -> None:
        """Cross-field checks."""
        if not 0 <= self.live_cameras <= self.cameras_total:
            raise ValueError(
                f"live_cameras is {self.live_cameras}; write a number between 0 and cameras_total "
                f"({self.cameras_total})"
            )
        if not 200 <= self.cameras_total <= 900_000:
            raise ValueError(f"cameras_total is {self.cameras_total}; write a number between 200 and 900000")
        if not 0 <= self.sensors_total <= 900_000:
            raise ValueError(f"sensors_total is {self.sensors_total}; write a number between 0 and 900000")
        if not 1.0 <= self.pictures_per_s <= 25.0:
            raise ValueError(f"pictures_per_s is {self.pictures_per_s}; write a number between 1 and 25")
        if not 0.5 <= self.key_interval_s <= 20.0:
            raise ValueError(f"key_interval_s is {self.key_interval_s}; write a number between 0.5 and 20")
        for name, seconds in (("onset_s", self.onset_s), ("alarm_s", self.alarm_s)):
            if seconds < 0:
                raise ValueError(f"{name} is {seconds}; write 0 or more seconds after the start")
        if self.sensor_period_s < 1:
            raise ValueError(f"sensor_period_s is {self.sensor_period_s}; write 1 or more")
        for name, port in (
            ("rtsp_port", self.rtsp_port),
            ("mqtt_port", self.mqtt_port),
            ("platform_port", self.platform_port),
        ):
            if not 0 <= port <= 65_535:
                raise ValueError(f"{name} is {port}; write a TCP port between 0 and 65535")
        if self.broker and not self.broker.rpartition(":")[2].isdigit():
            raise ValueError(f"broker is '{self.broker}'; write host:port, e.g. 10.0.0.5:1883")
        if bool(self.rtsp_user) != bool(self.rtsp_password):
            raise ValueError("rtsp_user and rtsp_password go together; write both or neither")
