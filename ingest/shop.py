"""What all cameras of a worker share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.config import IngestConfig
    from ingest.doubts import DoubtPolicy
    from ingest.guest.gate import Gate
    from ingest.guest.storm import StormWatch
    from ingest.health import ChangeBoard
    from ingest.media.pool import MediaPool
    from ingest.platforms.play import PlatformUrls
    from ingest.ring import PictureRing
    from ingest.rtsp.credentials import Credentials
    from ingest.rtsp.pool import ReceivePool
    from ingest.rtsp.udp import UdpPorts
    from runtime.clock import Clock
    from runtime.latest import LatestPublisher
    from runtime.log import CountedLog
    from runtime.metrics import StageCounters
    from runtime.minute import MinuteBook


@dataclass(frozen=True, slots=True)
class CameraShop:
    """What all cameras of a worker share."""

    site: str
    config: IngestConfig
    clock: Clock
    pool: ReceivePool
    udp_ports: UdpPorts
    gate: Gate
    storms: StormWatch
    urls: PlatformUrls
    publisher: LatestPublisher
    ring: PictureRing
    board: ChangeBoard
    minutes: MinuteBook
    counters: StageCounters
    credentials: dict[str, Credentials]
    media: MediaPool
    doubts: DoubtPolicy
    log: CountedLog
