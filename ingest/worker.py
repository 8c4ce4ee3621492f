"""The camera role of ingest: one process, one event loop, all live cameras of its catalogue.

Cameras come and go with the catalogue's version; what did not change is not disturbed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contracts import permission, topics, wire
from contracts.coverage import CoverageStage
from contracts.errors import LinkError
from contracts.instant import SECOND, Instant
from contracts.permission import Permissions
from contracts.source import Camera, Catalogue, SourceChange, SourceKind, SourceState
from ingest.between import peek_forever
from ingest.camera import CameraReceiver
from ingest.catalogue import CatalogueCopy
from ingest.control import ControlDesk
from ingest.doubts import DoubtPolicy
from ingest.guest.gate import Gate
from ingest.guest.limits import guest_limits
from ingest.guest.storm import StormBegan, StormEnded, StormWatch
from ingest.guest.storm_news import StormNews
from ingest.health import ChangeBoard, SourceHealth
from ingest.media.pool import MediaPool, PoolLimits
from ingest.platforms.play import PlatformUrls
from ingest.recordings import PlatformRecordings
from ingest.ring import PictureRing
from ingest.rtsp.credentials import Credentials, read_credentials
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.totals import SessionTotals
from ingest.rtsp.udp import UdpPorts
from ingest.shop import CameraShop
from runtime.coverage import CoverageTeller
from runtime.crew import Crew
from runtime.health import report_forever
from runtime.latest import LatestStore
from runtime.log import CountedLog, get_log
from runtime.memory import give_back_forever
from runtime.metrics import StageCounters
from runtime.minute import MinuteBook
from runtime.open_files import allow_all_open_files
from runtime.shutdown import Shutdown
from runtime.supervise import wait_or_stop
from runtime.zmq_latest import ZmqLatestPublisher
from runtime.zmq_log import ZmqLogSender
from runtime.zmq_request import ZmqRequestClient, ZmqRequestServer

if TYPE_CHECKING:
    from ingest.config import IngestConfig
    from runtime.clock import Clock
    from runtime.log_link import LogSender
    from runtime.site import Site

INSTANCE: Final = "ingest-0"
_CHANGES_MAX: Final = 500
_GAUGES_EVERY_S: Final = 2.0
_FILES_RESERVE: Final = 256
"""Open files besides the cameras' connections."""
_STOP_S: Final = 5.0
_TOTALS: Final = (
    "bytes_received",
    "packets_lost",
    "packets_malformed",
    "packets_late",
    "packets_foreign",
    "rtcp_malformed",
    "resyncs",
    "key_pictures_lost",
    "key_pictures_refused",
)
"""Of all RTSP sessions together."""


_IDLE: Final = {
    permission.SECRECY: "Secrecy=1: 涉密, 永不接入 (secret: never opened)",
    permission.FORBIDDEN_PLACE: "禁止安装或分析的场所 (a place where the law forbids it): 永不接入",
    permission.NO_CONSENT: "临近涉密单位, 未取得同意 (near a secret unit that has not agreed: 国令第799号第十条)",
    permission.NO_GRANT: "没有权属单位的共享授权 (its owner has not granted it); 请登记授权",
    permission.GRANT_EXPIRED: "共享授权已到期 (the owner's share grant has expired); 请续期",
    permission.GRANT_NOT_BEGUN: "共享授权尚未生效 (the share grant has not begun yet)",
    permission.NOT_LIVE: "目录中未启用 (not switched on in the catalogue)",
    permission.NO_URL: "目录中没有地址 (no URL in the catalogue)",
}


class CameraWorker:
    """The cameras that are received now, as tasks by id."""

    def __init__(self, shop: CameraShop) -> None:
        self._shop = shop
        self._receivers: dict[str, CameraReceiver] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._never = asyncio.Event()
        """One for all: a camera's task ends by being cancelled, and an event of its own costs 0.8 kB."""
        self._idle: dict[str, SourceHealth] = {}
        self._turn: Instant | None = None
        self.storm_news = StormNews(shop.site, INSTANCE)

    @property
    def receivers(self) -> Mapping[str, CameraReceiver]:
        """The receivers by camera id; a live view."""
        return self._receivers

    def rounds(self) -> Iterator[tuple[str, int | None]]:
        """The cameras that are received, each with the seconds of its last round on patrol (see CameraMinute)."""
        return ((camera_id, each.turns.completed_round_s) for camera_id, each in self._receivers.items())

    @property
    def turn_is_due(self) -> bool:
        """Whether a share grant began or ended since the catalogue was applied: it is to be applied again."""
        return self._turn is not None and self._shop.clock.now() >= self._turn

    async def apply(self, catalogue: Catalogue) -> None:
        """Receive exactly the live cameras of this catalogue; a camera whose entry is as before goes on."""
        await self._shop.urls.use(catalogue)
        permissions, now = Permissions(catalogue), self._shop.clock.now()
        self._turn = permissions.next_turn(now)
        reasons = {camera.id: permissions.idle(camera, now) for camera in catalogue.cameras}
        wanted = {camera.id: camera for camera in catalogue.cameras if reasons[camera.id] is None}
        gone = [
            camera_id
            for camera_id, receiver in self._receivers.items()
            if receiver.camera != wanted.get(camera_id)
        ]
        for camera_id in wanted.keys() & self._receivers.keys() - set(gone):
            # The entries are equal; the older object would keep the texts of an older catalogue.
            self._receivers[camera_id].camera = wanted[camera_id]
        listed = {camera.id for camera in catalogue.cameras}
        self._shop.gate.change_limits(guest_limits(self._shop.config, catalogue.platforms))
        await asyncio.gather(*(self._end(each, "changed" if each in listed else "removed") for each in gone))
        for camera in catalogue.cameras:
            reason = reasons[camera.id]
            if reason is not None:
                self._report_idle(camera, reason, _IDLE[reason])
            elif camera.id not in self._receivers:
                self._idle.pop(camera.id, None)
                self._begin(camera)
        for camera_id in self._idle.keys() - listed:
            del self._idle[camera_id]
        self._shop.minutes.keep_only(wanted)
        self._shop.counters.gauge("cameras_wanted", len(wanted))

    def _begin(self, camera: Camera) -> None:
        receiver = CameraReceiver(camera, self._shop)
        self._receivers[camera.id] = receiver
        self._tasks[camera.id] = asyncio.create_task(receiver.run(self._never), name=camera.id)

    async def _end(self, camera_id: str, reason: str) -> None:
        receiver = self._receivers.pop(camera_id)
        task = self._tasks.pop(camera_id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._shop.storms.forget(camera_id)
        receiver.retire(reason, "")

    def _report_idle(self, camera: Camera, reason: str, detail: str) -> None:
        """Tell once why a camera is not received."""
        health = self._idle.get(camera.id)
        if health is None:
            health = SourceHealth(camera.id, SourceKind.CAMERA, self._shop.site, exercise=camera.exercise)
            self._idle[camera.id] = health
        self._shop.board.post(health.become(SourceState.OFF, reason, detail, self._shop.clock.now()))

    def gauges(self) -> None:
        """Set the gauges of this moment."""
        counters = self._shop.counters
        now_ns = self._shop.clock.monotonic_ns()
        for receiver in self._receivers.values():
            receiver.look(now_ns)
        states = [receiver.state for receiver in self._receivers.values()]
        for state in SourceState:
            counters.gauge(f"cameras_{state}", states.count(state))
        totals = SessionTotals()
        for receiver in self._receivers.values():
            if receiver.session is not None:
                receiver.session.add_to(totals)
        for name in _TOTALS:
            counters.gauge(name, getattr(totals, name))
        admission = self._shop.gate.admission
        counters.gauge("connections_waiting", admission.waiting)
        counters.gauge("connections_opening", admission.opening)
        counters.gauge("hosts_dead", len(admission.dead_hosts))
        self._patrol_gauges()
        self._storm_gauges()
        self._shop.media.gauges()

    def _patrol_gauges(self) -> None:
        now_ns = self._shop.clock.monotonic_ns()
        visited = [each for each in self._receivers.values() if each.turns.on_patrol]
        rounds = [each.turns.round_ns(now_ns) for each in visited if each.state is SourceState.LIVE]
        self._shop.counters.gauge("cameras_on_patrol", len(visited))
        self._shop.counters.gauge("patrol_period_s", max(rounds, default=0) / SECOND)

    def _storm_gauges(self) -> None:
        """Tell of storms: the log once when one begins and once when it is over, operators all the time."""
        shop, now_ns = self._shop, self._shop.clock.monotonic_ns()
        counters, storms = shop.counters, shop.storms
        told = storms.tell(now_ns)
        self.storm_news.look(storms, told, shop.clock.now(), now_ns)
        if isinstance(told, StormBegan):
            counters.count("storms")
            get_log().warning("A storm begins: many sessions ended at once", **told.fields())
        elif isinstance(told, StormEnded):
            get_log().warning("The storm is over", **told.fields())
        counters.gauge("storm_cameras_lost", storms.lost_total)
        counters.gauge("storm_cameras_away", storms.away)

    def store_gauges(self, store: LatestStore) -> None:
        """Set the gauges of the waiting pictures."""
        counters = self._shop.counters
        counters.gauge("pictures_waiting", len(store))
        counters.gauge("pictures_waiting_bytes", store.size_bytes)
        counters.gauge("pictures_replaced", store.replaced)
        counters.gauge("pictures_evicted", store.evicted)
        # Of promoted cameras, whose pictures wait in order: what inference did not take in time.
        for reason, total in store.dropped.items():
            counters.gauge(f"promoted_pictures_dropped_{reason}", total)

    async def close(self) -> None:
        """End all sessions, with TEARDOWN."""
        await asyncio.gather(*(self._end(camera_id, "stopped") for camera_id in list(self._receivers)))


async def send_changes(board: ChangeBoard, sender: LogSender, counters: StageCounters, clock: Clock) -> None:
    """Carry source changes to alerts until cancelled; what cannot be sent waits, the latest per source."""
    while True:
        changes: list[SourceChange] = board.take(_CHANGES_MAX)
        if not changes:
            await clock.asleep(0.1)
            continue
        try:
            await sender.send([wire.encode(change) for change in changes])
        except LinkError as error:
            counters.count("changes_not_sent", error.reason)
            board.put_back(changes)
            await clock.asleep(1.0)
        else:
            counters.count("changes_sent", n=len(changes))


def read_site_credentials(file: str, site: Site) -> dict[str, Credentials]:
    """The secrets file of the configuration, empty when none is named. Raises ConfigError."""
    return read_credentials(site.state_dir / Path(file)) if file else {}


async def run(site: Site, config: IngestConfig, clock: Clock, stop: asyncio.Event) -> None:
    """Receive the site's cameras until `stop`. Raises ConfigError for an unusable secrets file."""
    credentials = read_site_credentials(config.secrets, site)
    counters = StageCounters("ingest-cameras")
    async with Shutdown(_STOP_S) as on_stop:
        client = ZmqRequestClient(site.endpoint(topics.COMMAND), clock)
        on_stop("close the request link", client.close)
        copy = CatalogueCopy(client, site.state_dir / "ingest-catalogue.bin", site.id, clock)
        store = LatestStore(config.picture_budget_mb << 20)
        publisher = ZmqLatestPublisher(site.endpoint(f"{topics.FRAMES}-0"), store, clock)
        control = ZmqRequestServer(site.endpoint(f"{topics.CONTROL_INGEST}-0"), clock)
        ring = PictureRing(config.ring_budget_mb << 20, round(config.ring_window_s * SECOND))
        sender = ZmqLogSender(site.endpoint(topics.LOG), INSTANCE, clock)
        on_stop("close the log link", sender.close)
        pool = ReceivePool(clock, sweep_s=config.sweep_s, low_water_bytes_max=config.low_water_bytes_max)
        media = MediaPool(
            clock,
            counters,
            PoolLimits(
                processes=config.media_processes or max(1, (os.cpu_count() or 2) // 2),
                sources_max=config.media_sources_max,
                memory_bytes=config.media_process_mb << 20,
                silent_s=config.media_silent_s,
                quarantine_s=config.media_quarantine_s,
            ),
        )
        on_stop("end the media children", media.close)
        board, minutes = ChangeBoard(), MinuteBook()
        urls = PlatformUrls(credentials, clock)
        on_stop("close the platforms", urls.close)
        gate = Gate(clock, guest_limits(config, ()))
        worker = CameraWorker(
            CameraShop(
                site=site.id,
                config=config,
                clock=clock,
                pool=pool,
                udp_ports=UdpPorts(config.udp_port_first, config.udp_port_last),
                gate=gate,
                storms=StormWatch(),
                urls=urls,
                publisher=publisher,
                ring=ring,
                board=board,
                minutes=minutes,
                counters=counters,
                credentials=credentials,
                media=media,
                doubts=DoubtPolicy.of(config),
                log=CountedLog(clock),
            )
        )
        teller = CoverageTeller(CoverageStage.RECEIVED, minutes, worker.rounds, counters, site.id, INSTANCE, clock)
        desk = ControlDesk(
            worker.receivers,
            ring,
            counters,
            clock,
            promoted_max=config.promoted_max,
            promote_max_s=config.promote_max_s,
            recordings=PlatformRecordings(
                urls,
                credentials,
                clock,
                gate,
                runs_max=config.playbacks_max,
                policies=config.rtsp_policies,
                recorders=config.recorder_policies,
            ),
        )
        crew = Crew()

        async def close_crew() -> None:
            await crew.close()

        on_stop("end the tasks", close_crew)
        crew.add("publish pictures", publisher.serve())
        crew.add("answer control requests", control.serve(desk.answer))
        crew.add("end promotions", desk.expire_forever())
        crew.add("sweep the sockets", pool.sweep_forever())
        crew.add("peek between key pictures", peek_forever(worker.receivers, clock))
        crew.add("send changes", send_changes(board, sender, counters, clock))
        crew.add("tell of storms", worker.storm_news.tell_forever(sender, counters, clock))
        crew.add("give freed memory back", give_back_forever(clock))
        crew.add("report health", report_forever(counters, sender, site.id, INSTANCE, clock))
        crew.add("tell the coverage", teller.tell_forever(sender))
        on_stop("tear down the sessions", worker.close)
        await crew.work(_follow(copy, worker, store, config, clock, stop), stop)


async def _follow(
    copy: CatalogueCopy,
    worker: CameraWorker,
    store: LatestStore,
    config: IngestConfig,
    clock: Clock,
    stop: asyncio.Event,
) -> None:
    """Receive what the catalogue says, version after version, until `stop`."""
    catalogue = await copy.first(stop)
    files = allow_all_open_files()
    while catalogue is not None:
        get_log().info("The catalogue is in force", version=catalogue.version)
        wanted = _FILES_RESERVE + sum(camera.live for camera in catalogue.cameras)
        if wanted > files:
            get_log().warning(
                "打开文件数上限不足, 部分摄像机将无法接入; 请提高 nofile 上限 (too few files may be open for all "
                "cameras; raise LimitNOFILE)",
                allowed=files,
                wanted=wanted,
            )
        await worker.apply(catalogue)
        catalogue = await _newer(catalogue, copy, worker, store, config, clock, stop)


async def _newer(
    current: Catalogue,
    copy: CatalogueCopy,
    worker: CameraWorker,
    store: LatestStore,
    config: IngestConfig,
    clock: Clock,
    stop: asyncio.Event,
) -> Catalogue | None:
    """Wait for a catalogue of another version, or a share grant's begin or end; None when stopped."""
    due_s = config.catalogue_poll_s
    while not await wait_or_stop(clock, stop, min(_GAUGES_EVERY_S, config.catalogue_poll_s)):
        worker.gauges()
        worker.store_gauges(store)
        if worker.turn_is_due:
            return current
        due_s -= _GAUGES_EVERY_S
        if due_s > 0:
            continue
        due_s = config.catalogue_poll_s
        asked = await copy.ask()
        if asked is not None and asked.version != current.version:
            return asked
    return None
