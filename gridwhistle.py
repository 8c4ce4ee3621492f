"""The command line of gridwhistle (吹哨): one program, one subcommand per process or task."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from contracts import topics, wire
from contracts.errors import ConfigError, GridwhistleError, MalformedMessage, SourceError
from contracts.instant import Instant, from_rfc3339, to_rfc3339
from contracts.source import Camera, SourceChange
from runtime import config as config_file
from runtime.clock import Clock, SystemClock
from runtime.lock import FileLock
from runtime.log import configure_log
from runtime.ports import NeededPort, check_free
from runtime.processes import ProcessGroup, ProcessSpec
from runtime.shutdown import stop_on_signals
from runtime.site import PathsConfig, Site, SiteConfig, try_writing

if TYPE_CHECKING:
    from alerts.catalogue.book import CatalogueBook
    from alerts.catalogue.config import FeedConfig
    from alerts.catalogue.feed_files import Pass
    from alerts.catalogue.spool import Spool
    from contracts.observation import Observation
    from contracts.policy import Policy
    from inference.calibrate import Calibration

ROOT = Path(__file__).resolve().parent
DEMO_CONFIG = ROOT / "deploy" / "config" / "demo.toml"

app = typer.Typer(
    name="gridwhistle",
    help="吹哨: 摄像机与传感器变为网格工单。 Cameras and sensors become grid tickets.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(
    help="模型: 列表, 校验, 评测, 训练。 Models: list, check, evaluate, train.", no_args_is_help=True
)
app.add_typer(models_app, name="models")
catalogue_app = typer.Typer(
    help="目录: 导入, 同步, 授权, 合规报告。 Catalogue: import, sync, share grants, compliance.",
    no_args_is_help=True,
)
app.add_typer(catalogue_app, name="catalogue")
calibrate_app = typer.Typer(
    help="标定: 地面, 用于密度与车速。 Calibrate: the ground, for densities and speeds.", no_args_is_help=True
)
app.add_typer(calibrate_app, name="calibrate")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="配置文件 TOML; 缺省为 ./gridwhistle.toml, 否则为演示配置。 Configuration file."
    ),
]
StateOption = Annotated[
    Path | None, typer.Option("--state", help="状态文件夹, 代替 [paths].state。 Folder of state instead of it.")
]
LogLevel = Annotated[str, typer.Option("--log-level", help="debug | info | warning | error")]

ServiceRun = Callable[[Site, dict[str, Any], Clock, asyncio.Event], Awaitable[None]]


def sections() -> dict[str, type[msgspec.Struct]]:
    """Every section that a configuration file may hold, with its type."""
    from alerts.catalogue.config import CatalogueConfig
    from alerts.config import AlertsConfig, WebhookConfig
    from dashboard_api.config import ApiConfig
    from inference.config import InferenceConfig
    from ingest.config import IngestConfig, MqttConfig
    from sim.config import SimConfig

    return {
        "site": SiteConfig,
        "paths": PathsConfig,
        "ingest": IngestConfig,
        "mqtt": MqttConfig,
        "inference": InferenceConfig,
        "catalogue": CatalogueConfig,
        "alerts": AlertsConfig,
        "webhook": WebhookConfig,
        "api": ApiConfig,
        "sim": SimConfig,
    }


def config_path(given: Path | None) -> Path:
    """The file asked for, else ./gridwhistle.toml, else the demonstration county."""
    if given is not None:
        return given
    here = Path("gridwhistle.toml")
    return here if here.exists() else DEMO_CONFIG


def load(path: Path, state: Path | None = None) -> tuple[Site, dict[str, Any]]:
    """Read a configuration whole; `state` stands for its [paths].state. Raises ConfigError."""
    loaded: dict[str, Any] = dict(config_file.load(path, sections()))
    if state is not None:
        loaded["paths"] = msgspec.structs.replace(loaded["paths"], state=str(state.resolve()))
    return Site(loaded["site"], loaded["paths"], path.resolve().parent), loaded


def serve(service: str, run: ServiceRun, config: Path | None, log_level: str, state: Path | None) -> None:
    """Run one service until SIGTERM or SIGINT. Raises ConfigError, for its state folder too."""
    configure_log(service, log_level)

    async def main() -> None:
        site, loaded = load(config_path(config), state)
        site.check_state_dir()
        stop = asyncio.Event()
        stop_on_signals(stop)
        await run(site, loaded, SystemClock(), stop)

    asyncio.run(main())


def with_section(name: str, run: Callable[[Site, Any, Clock, asyncio.Event], Awaitable[None]]) -> ServiceRun:
    """A service that needs one section of the configuration alone."""
    return lambda site, loaded, clock, stop: run(site, loaded[name], clock, stop)


async def run_county(path: Path, site: Site, loaded: dict[str, Any], log_level: str, footage: Path | None) -> None:
    """All processes of one machine, kept alive until a signal; prints the wall's address when it answers.

    Raises ConfigError before any process is started, and when one finds its configuration wrong.
    """
    console = Console()
    clock = SystemClock()
    stop = asyncio.Event()
    stop_on_signals(stop)
    alone = sole_run(site)
    try:
        check_free(needed_ports(loaded))
        if loaded["sim"].enabled:
            await build_county(site, loaded, footage, stop)
        if not stop.is_set():
            check_files(site, loaded)
            group = ProcessGroup(county_processes(path, site, loaded, log_level, footage), site.run_dir, clock)
            announcement = asyncio.create_task(announce(loaded["api"], clock, console))
            try:
                await group.run(stop)
            finally:
                announcement.cancel()
    finally:
        alone.close()
    console.print("已全部停止 (all stopped)", highlight=False)


def needed_ports(loaded: dict[str, Any]) -> list[NeededPort]:
    """What the processes of one machine will listen on."""
    api_config, sim = loaded["api"], loaded["sim"]
    needed = [NeededPort(api_config.host, api_config.port, "[api].port")]
    if sim.enabled:
        needed += [
            NeededPort(sim.host, sim.rtsp_port, "[sim].rtsp_port"),
            NeededPort(sim.host, sim.platform_port, "[sim].platform_port"),
        ]
        if not sim.broker:
            needed.append(NeededPort("127.0.0.1", sim.mqtt_port, "[sim].mqtt_port"))
    return needed


async def build_county(site: Site, loaded: dict[str, Any], footage: Path | None, stop: asyncio.Event) -> None:
    """Write what the simulated county gives to the site; returns early once `stop` is set. Raises ConfigError."""
    from sim.service import prepare

    sim = loaded["sim"]
    if footage is not None:
        sim = msgspec.structs.replace(sim, footage=str(footage))
    if loaded["webhook"].url:
        share_secret(site.state_dir / loaded["webhook"].secret_file, sim.platform_secret)
    with Progress(TextColumn("正在生成模拟县 (building the county) {task.description}"), BarColumn()) as bar:
        task = bar.add_task("", total=None)

        def show(file: Path, share: float) -> None:
            if stop.is_set():
                raise _Stopped
            bar.update(task, description=str(file), total=1, completed=share)

        try:
            await asyncio.to_thread(prepare, site, sim, show)
        except _Stopped:
            return


class _Stopped(Exception):
    """A signal came: the way out of a long transcoding."""


def county_processes(
    path: Path, site: Site, loaded: dict[str, Any], log_level: str, footage: Path | None
) -> list[ProcessSpec]:
    """The processes of one machine. Those that ask alerts for the catalogue start when it answers."""
    program = [sys.executable, "-m", "gridwhistle"]
    options = ["--config", str(path), "--state", str(site.state_dir), "--log-level", log_level]
    roles = {
        "alerts": ["alerts"],
        "api": ["api"],
        "ingest-sensors": ["ingest", "--sensors"],
        "ingest-cameras": ["ingest"],
        "inference": ["inference"],
    }
    if loaded["sim"].enabled:
        roles["simulate"] = ["simulate", *(["--footage", str(footage)] if footage is not None else [])]
    answers = Path(site.endpoint(topics.COMMAND).removeprefix("ipc://"))
    return [
        ProcessSpec(
            name, [*program, *arguments, *options], after=None if name in ("alerts", "simulate") else answers
        )
        for name, arguments in roles.items()
    ]


def sole_run(site: Site) -> FileLock:
    """The right to run this site's processes. Raises GridwhistleError while another `run` has it."""
    try:
        return FileLock(site.run_dir / "run.lock")
    except BlockingIOError:
        raise GridwhistleError(
            f"{site.run_dir} 中已有一个 gridwhistle run 在运行; 请先停掉它, 或在配置中给这一个另设目录与端口 "
            "(another one works there: stop it, or give this one other folders and ports in its configuration)",
            reason="already_running",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"套接字目录 {site.run_dir} 无法使用 (the folder of sockets: {error}); 请检查 [paths] run 与 state"
        ) from None


def wall_address(host: str, port: int) -> str:
    """Where a browser on this machine finds the API that listens on `host`."""
    host = host.strip("[]")
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def share_secret(path: Path, secret: str) -> None:
    """Write the secret that the platform's stand-in and the webhook share, unless there is one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secret + "\n", encoding="utf-8")


async def announce(api_config: Any, clock: Clock, console: Console) -> None:
    """Wait for the API and print where the wall is."""
    import httpx

    address = wall_address(api_config.host, api_config.port)
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        while True:
            try:
                answer = await client.get(address)
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == httpx.codes.OK:
                break
            await clock.asleep(0.5)
    console.print(
        f"\n告警墙 (alert wall):  [bold]{address}[/bold]\nCtrl+C 停止 (stops everything)\n", highlight=False
    )


@app.command()
def run(
    config: ConfigOption = None,
    log_level: LogLevel = "warning",
    footage: Annotated[
        Path | None,
        typer.Option(
            help="摄像机改放此文件夹中的录像; 状态另存于 <状态文件夹>/footage-county。 "
            "Cameras play these files instead; the state lies apart, in footage-county of the state folder."
        ),
    ] = None,
    state: StateOption = None,
) -> None:
    """启动整个县: 模拟(如配置), 接入, 推理, 告警, 接口。 Start everything on this machine."""
    configure_log("run", log_level)
    path = config_path(config).resolve()
    site, loaded = load(path, state)
    if footage is not None:
        if not loaded["sim"].enabled:
            raise ConfigError(f"{path}: --footage 需要模拟县 (needs the simulated county): [sim] enabled = true")
        footage = footage.resolve()
        # What is seen in somebody's files is no part of the demonstration's history.
        site, loaded = load(path, site.state_dir / "footage-county")
    site.check_run_dir()
    site.check_state_dir()
    asyncio.run(run_county(path, site, loaded, log_level, footage))


@app.command()
def ingest(
    config: ConfigOption = None,
    log_level: LogLevel = "info",
    sensors: Annotated[bool, typer.Option("--sensors", help="传感器角色 (MQTT)。 The role of sensors.")] = False,
    state: StateOption = None,
    instance: Annotated[
        int | None,
        typer.Option(min=0, max=99, help="传感器进程的编号, 代替 [mqtt].instance。 Number of this sensor worker."),
    ] = None,
) -> None:
    """接入: 摄像机(缺省)或传感器。 Receive cameras (default) or sensors."""
    if sensors:
        from ingest.mqtt.worker import run as run_sensors

        async def run_instance(site: Site, mqtt: Any, clock: Clock, stop: asyncio.Event) -> None:
            numbered = mqtt if instance is None else msgspec.structs.replace(mqtt, instance=instance)
            await run_sensors(site, numbered, clock, stop)

        serve("ingest-sensors", with_section("mqtt", run_instance), config, log_level, state)
    else:
        from ingest.worker import run as run_cameras

        serve("ingest-cameras", with_section("ingest", run_cameras), config, log_level, state)


@app.command()
def inference(config: ConfigOption = None, log_level: LogLevel = "info", state: StateOption = None) -> None:
    """推理: 解码, 检测, 形成观测。 Decode, detect, observe."""
    from inference.service import run as run_service

    serve("inference", with_section("inference", run_service), config, log_level, state)


@app.command()
def alerts(config: ConfigOption = None, log_level: LogLevel = "info", state: StateOption = None) -> None:
    """告警: 观测变为告警与工单, 并投递。 Observations become incidents and tickets."""
    from alerts.service import run as run_service

    async def run_alerts(site: Site, loaded: dict[str, Any], clock: Clock, stop: asyncio.Event) -> None:
        await run_service(site, loaded["alerts"], clock, stop, webhook=loaded["webhook"])

    serve("alerts", run_alerts, config, log_level, state)


@app.command()
def api(config: ConfigOption = None, log_level: LogLevel = "info", state: StateOption = None) -> None:
    """接口与告警墙。 The API and the wall."""
    from dashboard_api.app import run as run_service

    serve("api", with_section("api", run_service), config, log_level, state)


@app.command()
def simulate(
    config: ConfigOption = None,
    log_level: LogLevel = "info",
    footage: Annotated[
        Path | None, typer.Option(help="摄像机改放此文件夹中的录像。 Cameras play these files instead.")
    ] = None,
    state: StateOption = None,
) -> None:
    """模拟县: RTSP 摄像机, MQTT 传感器, 联动平台。 The simulated county."""
    from sim.service import run as run_service

    async def run_simulation(site: Site, loaded: dict[str, Any], clock: Clock, stop: asyncio.Event) -> None:
        sim = loaded["sim"] if footage is None else msgspec.structs.replace(loaded["sim"], footage=str(footage))
        await run_service(site, sim, clock, stop)

    serve("simulate", run_simulation, config, log_level, state)


@app.command("check-config")
def check_config(file: Annotated[Path, typer.Argument(help="配置文件 TOML。 Configuration file.")]) -> None:
    """检查配置文件及其指向的网格, 目录, 模型, 密钥文件。 Check a configuration and the files that it names."""
    site, loaded = load(file)
    site.check_run_dir()
    here = state_is_here(site)
    check_files(site, loaded, secrets=here)
    if not here:
        typer.echo(f"未检查密钥文件 (secret files not checked): 此处无 {site.state_dir} (not found here)")
    typer.echo(f"{file}: 正确 (good)")


def state_is_here(site: Site) -> bool:
    """Whether the state folder exists, for us; False where it is still to be made, perhaps by another account.

    Raises ConfigError for one that cannot be written, or could never be made.
    """
    if os.path.lexists(site.state_dir):
        site.check_state_dir()
        return True
    made: list[Path] = []
    try:
        for folder in (*reversed(site.state_dir.parents), site.state_dir):
            if not folder.exists():
                folder.mkdir()
                made.append(folder)
    except PermissionError:
        pass  # the services' account may have the right that we lack
    except OSError:
        site.check_state_dir()
    finally:
        for folder in reversed(made):
            folder.rmdir()
    return False


def check_files(site: Site, loaded: dict[str, Any], *, secrets: bool = True) -> None:
    """Read the files that a configuration names as the services will. Raises ConfigError and ModelRefused."""
    from alerts.given import load_policy, policy_file_of
    from alerts.grids import load_catalogue, load_grids
    from inference.session import check_model

    # A simulated county writes its grids and catalogue when it starts.
    if site.grids_file is not None and not (loaded["sim"].enabled and not site.grids_file.exists()):
        tree = load_grids(site.grids_file, site.id, site.county)
        if site.catalogue_file is not None:
            load_catalogue(site.catalogue_file, tree)
    load_policy(policy_file_of(site, loaded["alerts"]))
    check_model(site.models_dir / loaded["inference"].model)
    if secrets:
        read_secrets(site, loaded)


def read_secrets(site: Site, loaded: dict[str, Any]) -> None:
    """Read every secret file that the configuration names as its service will. Raises ConfigError."""
    from alerts.config import read_signing_secret
    from dashboard_api.config import read_token
    from ingest.mqtt.worker import read_broker_credentials
    from ingest.rtsp.credentials import find_credentials
    from ingest.worker import read_site_credentials

    # `run` writes the secret that the webhook shares with the platform's stand-in.
    shared = loaded["sim"].enabled and not (site.state_dir / loaded["webhook"].secret_file).exists()
    if not shared:
        read_signing_secret(loaded["webhook"], site.state_dir)
    read_token(loaded["api"], site.state_dir)
    secrets = read_site_credentials(loaded["ingest"].secrets, site)
    for feed in loaded["catalogue"].feed:
        find_credentials(secrets, feed.credentials, f"[[catalogue.feed]] {feed.platform}")
    read_broker_credentials(loaded["mqtt"], site)


@app.command()
def probe(
    url: Annotated[str, typer.Argument(help="rtsp://…; 密码请用 --user/--password-file。")],
    user: Annotated[str, typer.Option(help="用户名。 User name.")] = "",
    password_file: Annotated[Path | None, typer.Option(help="密码文件 (mode 600)。 Password file.")] = None,
    seconds: Annotated[float, typer.Option(help="观察时长。 How long to watch.")] = 8.0,
) -> None:
    """探测一路视频: 编码, 尺寸, 帧率, 关键帧间隔, 时钟偏差。 Look at one stream."""
    from ingest.probe import probe as probe_url
    from ingest.rtsp.credentials import Credentials

    configure_log("probe", "error")
    login = probe_login(user, password_file)
    credentials = Credentials(*login) if login is not None else None
    report = asyncio.run(probe_url(url, clock=SystemClock(), seconds=seconds, credentials=credentials))
    typer.echo(report.text())


def probe_login(user: str, password_file: Path | None) -> tuple[str, str] | None:
    """User and password for one stream, None when neither is given. Raises ConfigError."""
    if not user and password_file is None:
        return None
    if not user or password_file is None:
        raise ConfigError(
            "--user 与 --password-file 须同时给出 (give both, or neither); "
            "write the password into a file of mode 600: umask 077 && cat > camera-password"
        )
    secret = config_file.read_secret(password_file, "RTSP")
    try:
        return user, secret.decode()
    except UnicodeDecodeError:
        raise ConfigError(
            f"{password_file}: 密码文件不是 UTF-8 文本 (the password file is not UTF-8 text); "
            "请以 UTF-8 另存 (save it as UTF-8)"
        ) from None


@app.command()
def explain(
    incident: Annotated[str, typer.Argument(help="告警编号。 Incident id.")], config: ConfigOption = None
) -> None:
    """讲清一条告警的来龙去脉。 Tell the story of one incident."""
    from alerts.explain import explain as explain_incident

    site, _ = load(config_path(config))
    typer.echo(explain_incident(site.database_file, incident))


@app.command()
def reanalyse(
    paths: Annotated[list[Path], typer.Argument(help="录像或图片, 或其文件夹。 Recordings, pictures, folders.")],
    config: ConfigOption = None,
    out: Annotated[Path, typer.Option(help="输出文件夹。 Folder for the results.")] = Path("reanalysis"),
    camera: Annotated[
        str | None, typer.Option(help="目录中的摄像机, 取其区域与标定。 Zones of this camera.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="录像起始时刻 RFC 3339。 When the recording began.")] = None,
    every_s: Annotated[float, typer.Option(help="取样间隔秒, 0 为关键帧。 Sampling; 0 = key pictures.")] = 1.0,
    match: Annotated[bool, typer.Option(help="与当时的告警对照, 不开工单。 Beside the live incidents.")] = False,
) -> None:
    """用同一套代码重新分析录像, 给出观测 (Parquet) 与拟开工单。 The same code over recorded files."""
    from alerts.given import load_policy, policy_file_of
    from alerts.replay import would_be_tickets
    from inference.reanalyse import reanalyse as reanalyse_files

    configure_log("reanalyse", "warning")
    if not (math.isfinite(every_s) and every_s >= 0):
        raise ConfigError(f"--every-s {every_s:g}: 应为 0 或正的秒数 (0 or more seconds; 0 = key pictures)")
    began = start_of(start) if start is not None else None
    site, loaded = load(config_path(config))
    try:
        try_writing(out)
    except OSError as error:
        raise ConfigError(
            f"输出文件夹 {out} 无法写入 (cannot be written: {error.strerror}); "
            "请用 --out 指定另一个 (name another)"
        ) from None
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar, console=Console(stderr=True)) as progress:
        report = reanalyse_files(
            paths,
            site=site,
            config=loaded["inference"],
            out=out,
            camera=find_camera(site, camera) if camera is not None else None,
            start=began,
            every_s=every_s,
            progress=progress,
        )
    policy = load_policy(policy_file_of(site, loaded["alerts"]))
    tickets = would_be_tickets(report.records(), site.id, site.county, policy)
    out_file = out / "would_be_tickets.jsonl"
    out_file.write_bytes(b"".join(wire.to_json(ticket) + b"\n" for ticket in tickets))
    typer.echo(report.text())
    typer.echo(f"拟开工单 (would-be tickets) {len(tickets)}: {out_file}")
    for ticket in tickets:
        typer.echo(f"  {to_rfc3339(ticket.opened_at)}  {ticket.code} {ticket.title}  {ticket.description}")
    if match:
        show_matches(report.records(), site, policy)
    if report.refused and not report.pictures:
        raise GridwhistleError("没有一个文件可读 (none of the files could be read)", reason="unreadable")


def show_matches(records: Iterable[Observation | SourceChange], site: Site, policy: Policy) -> None:
    """Say which incidents of re-analysed footage the county believed at the time. Raises StoreError."""
    from alerts.rematch import believed, live_incidents, match

    found = believed(records, site.id, site.county, policy)
    matches = match(found, live_incidents(site.database_file, found))
    matched = sum(each.live is not None for each in matches)
    typer.echo(f"与当时的告警相符 (live incidents matched) {matched}/{len(matches)}")
    for each in matches:
        typer.echo(f"  {each.text()}")


def start_of(text: str) -> Instant:
    """The time given with --start. Raises ConfigError."""
    try:
        return from_rfc3339(text)
    except MalformedMessage as error:
        raise ConfigError(
            f"--start {text!r}: 不是带时区的 RFC 3339 时刻 ({error}); 例如 2026-11-22T16:04:12+08:00"
        ) from None


def find_camera(site: Site, camera_id: str) -> Camera:
    """A camera of the site's catalogue. Raises ConfigError."""
    from alerts.grids import load_catalogue, load_grids

    if site.grids_file is None or site.catalogue_file is None:
        raise ConfigError("--camera 需要目录 (needs a catalogue): 请在 [paths] 写 grids 与 catalogue")
    catalogue = load_catalogue(site.catalogue_file, load_grids(site.grids_file, site.id, site.county))
    for camera in catalogue.cameras:
        if camera.id == camera_id:
            return camera
    raise ConfigError(f"目录中没有摄像机 {camera_id} (no such camera in {site.catalogue_file})")


ConfirmOption = Annotated[
    bool,
    typer.Option("--confirm-removal", help="确认移除超过允许比例的摄像机。 Remove more than the stated share."),
]


CameraArgument = Annotated[str, typer.Argument(help="目录中的摄像机。 A camera of the catalogue.")]
ConfirmGround = Annotated[
    bool, typer.Option("--confirm", help="核对无误, 写入目录。 It was checked; write it to the catalogue.")
]


@calibrate_app.command("points")
def calibrate_points(
    camera: CameraArgument,
    points: Annotated[
        list[str], typer.Argument(help="画面=地面, 如 0.25,0.80=3.5,12 (米)。 Picture 0..1 = ground in metres.")
    ],
    config: ConfigOption = None,
    confirm: ConfirmGround = False,
) -> None:
    """由四个或更多点选点标定。 From four clicked points or more, with their places on the ground."""
    from inference.calibrate import by_points

    site, _ = load(config_path(config))
    _keep_ground(site, by_points(find_camera(site, camera), points), camera, confirm)


@calibrate_app.command("heights")
def calibrate_heights(
    camera: CameraArgument,
    recordings: Annotated[list[Path], typer.Argument(help="该摄像机的录像或图片。 Recordings of this camera.")],
    config: ConfigOption = None,
    every_s: Annotated[float, typer.Option(help="取样间隔秒。 Seconds between pictures.")] = 5.0,
    view_deg: Annotated[
        float | None, typer.Option(help="镜头水平视场角, 如已知。 Horizontal angle of view, if known.")
    ] = None,
    confirm: ConfirmGround = False,
) -> None:
    """由一天中行人的身高学习标定。 Learn it from how tall people look over a day."""
    from inference.calibrate import by_heights
    from inference.detector import Detector
    from inference.registry import load_model

    if not (math.isfinite(every_s) and every_s > 0):
        raise ConfigError(f"--every-s {every_s:g}: 应为正的秒数 (seconds above 0)")
    if view_deg is not None and not 10 <= view_deg <= 140:
        raise ConfigError(f"--view-deg {view_deg:g}: 应在 10 与 140 之间 (10 to 140 degrees)")
    site, loaded = load(config_path(config))
    inference_config = loaded["inference"]
    model = load_model(site.models_dir / inference_config.model, inference_config.thresholds)
    detector = Detector(model, floor=inference_config.evidence.floor, threads=inference_config.threads)
    with Progress(console=Console(stderr=True)) as progress:
        found = by_heights(
            find_camera(site, camera),
            recordings,
            detector,
            inference_config,
            every_s=every_s,
            view_deg=view_deg,
            progress=progress,
        )
    _keep_ground(site, found, camera, confirm)


def _keep_ground(site: Site, found: Calibration, camera_id: str, confirm: bool) -> None:
    """Show a calibration; with `confirm` it becomes the camera's, at the catalogue's next reading."""
    from alerts.catalogue.book import CatalogueBook

    typer.echo(found.text())
    if not confirm:
        typer.echo("未写入; 核对面积后加 --confirm (not written; check the areas, then add --confirm)")
        return
    with CatalogueBook(site) as book:
        catalogue = book.read()
        cameras = tuple(
            msgspec.structs.replace(each, homography=found.ground.homography) if each.id == camera_id else each
            for each in catalogue.cameras
        )
        book.write(msgspec.structs.replace(catalogue, cameras=cameras, version=catalogue.version + 1))
    typer.echo(f"已写入目录第 {catalogue.version + 1} 版 (written as version {catalogue.version + 1})")


@catalogue_app.command("import")
def catalogue_import(
    sources: Annotated[
        list[str],
        typer.Argument(help="CSV, GB/T 28181 目录 XML, 或 WVP 平台地址 http://…。 Files, or a platform."),
    ],
    platform: Annotated[
        str, typer.Option(help="平台标识, 如 wvp-1。 Key of the platform; a [[catalogue.feed]] or new.")
    ],
    config: ConfigOption = None,
    owner: Annotated[str, typer.Option(help="未注明时的权属单位。 Owner where an entry names none.")] = "",
    coordinates: Annotated[str, typer.Option(help="未注明时的坐标系: wgs84 | cgcs2000 | gcj02。 Datum.")] = "",
    credentials: Annotated[str, typer.Option(help="平台账号在密钥文件中的条目。 Entry of the secrets file.")] = "",
    whole: Annotated[
        bool,
        typer.Option("--whole", help="文件含全部摄像机, 未列者移除。 The files hold all; the rest is removed."),
    ] = False,
    confirm_removal: ConfirmOption = False,
) -> None:
    """导入摄像机目录; 每条拒绝都有位置与原因。 Import cameras; every refusal has its place and its reason."""
    from alerts.catalogue.config import FeedConfig
    from alerts.catalogue.coordinates import coordinate_system

    site, loaded = load(config_path(config))
    addresses = [each for each in sources if "://" in each]
    if addresses and len(sources) != 1:
        raise ConfigError("平台地址须单独导入 (import a platform alone), 不与文件混用")
    known = {feed.platform: feed for feed in loaded["catalogue"].feed}
    changes: dict[str, Any] = {}
    if owner:
        changes["owner"] = owner
    if coordinates:
        changes["coordinates"] = coordinate_system(coordinates)
    if credentials:
        changes["credentials"] = credentials
    if addresses:
        changes |= {"kind": "wvp", "base_url": addresses[0]}
    try:
        start = msgspec.structs.asdict(known[platform]) if platform in known else {"platform": platform}
        feed = FeedConfig(**(start | changes))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    files = [] if addresses else [Path(each) for each in sources]
    take_feed(
        site, loaded, feed, files, whole=whole or bool(addresses), confirm_removal=confirm_removal, follows=False
    )


@catalogue_app.command("sync")
def catalogue_sync(
    platforms: Annotated[
        list[str] | None, typer.Argument(help="只同步这些平台。 Only these; default: all.")
    ] = None,
    config: ConfigOption = None,
    confirm_removal: ConfirmOption = False,
) -> None:
    """按配置 [[catalogue.feed]] 与平台同步; 中断后再次执行即续。 Keep in step; run it again after a break."""
    site, loaded = load(config_path(config))
    feeds = {feed.platform: feed for feed in loaded["catalogue"].feed}
    unknown = [each for each in platforms or () if each not in feeds]
    if unknown or not feeds:
        raise ConfigError(
            f"配置中没有接入源 {', '.join(unknown)} (no such feed); 可用 (known): {', '.join(feeds)}"
            if feeds
            else "配置中没有任何 [[catalogue.feed]] (no feed in the configuration); 请按 "
            "docs/runbooks/connect-a-platform.md 填写 (see there), 或用 catalogue import (or import a file)"
        )
    failed = []
    for key, feed in feeds.items():
        if platforms and key not in platforms:
            continue
        try:
            files = [site.base_dir / each for each in feed.files]
            take_feed(site, loaded, feed, files, whole=True, confirm_removal=confirm_removal, follows=True)
        except SourceError as error:
            # The others are not to wait for one that is down; its pass goes on where it was.
            typer.echo(f"{key}: {error}", err=True)
            failed.append(key)
    if failed:
        raise GridwhistleError(
            f"未完成 (not finished): {', '.join(failed)}; 再次执行即续 (run it again)", reason="sync"
        )


@catalogue_app.command("grants")
def catalogue_grants(
    file: Annotated[Path, typer.Argument(help="授权表 CSV, 含全部授权。 All share grants.")],
    config: ConfigOption = None,
) -> None:
    """登记共享授权: 单位, 用途, 到期。 Record the share grants; replaces those of before."""
    from alerts.catalogue.book import CatalogueBook
    from alerts.catalogue.grants_file import read_grants

    site, _ = load(config_path(config))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: 无法读取 (cannot be read: {error.strerror})") from None
    grants = read_grants(data, file.name)
    with CatalogueBook(site) as book:
        now = book.read()
        if grants != now.grants:
            now = msgspec.structs.replace(now, grants=grants, version=now.version + 1)
            book.write(now)
        typer.echo(f"授权 {len(grants)} 项 (grants); 目录版本 {now.version} (catalogue version)")


@catalogue_app.command("report")
def catalogue_report(
    config: ConfigOption = None,
    filing: Annotated[Path | None, typer.Option(help="另存备案表 CSV。 Write the filing export, too.")] = None,
    withheld: Annotated[
        Path | None,
        typer.Option(
            help="另存涉密与禁止场所编码清单, 仅文件属主可读。 "
            "List the ids of secret and forbidden cameras in a file that its owner alone may read."
        ),
    ] = None,
) -> None:
    """合规报告 (国令第799号): 涉密与禁止场所只计数。 Compliance; secret cameras are a number alone."""
    from alerts.catalogue.book import CatalogueBook
    from dashboard_api.compliance import compliance, filing_csv, withheld_csv
    from runtime.whole_file import write_whole

    site, _ = load(config_path(config))
    with CatalogueBook(site) as book:
        catalogue = book.read()
    typer.echo(compliance(catalogue, SystemClock().now()).text())
    for file, named, table in (
        (filing, "备案表 (filing export)", filing_csv),
        (withheld, "不接入清单 (withheld cameras)", withheld_csv),
    ):
        if file is None:
            continue
        try:
            write_whole(file, table(catalogue), private=file is withheld)
        except OSError as error:
            raise ConfigError(f"{file}: 无法写入 (cannot be written: {error.strerror})") from None
        typer.echo(f"{named}: {file}")


def take_feed(
    site: Site,
    loaded: dict[str, Any],
    feed: FeedConfig,
    files: list[Path],
    *,
    whole: bool,
    confirm_removal: bool,
    follows: bool,
) -> None:
    """One pass over a feed into the catalogue, with progress bars; prints its report.

    `follows`: files are gone on with where an earlier pass left them; else all of what a person names is taken.
    """
    from alerts.catalogue.book import CatalogueBook
    from alerts.catalogue.feed_files import read_files
    from alerts.catalogue.take import open_notified, report_file, take

    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with CatalogueBook(site) as book, Progress(*bar, console=Console(stderr=True)) as progress:
        reading = progress.add_task(f"{feed.platform} 读取 (reading)", total=None)

        def show(task: TaskID) -> Callable[[int, int], None]:
            return lambda done, total: progress.update(task, completed=done, total=total or None)

        notified = open_notified(book, feed) if follows else None
        if feed.kind == "wvp":
            said, spool = asyncio.run(read_wvp(site, loaded, feed, book, show(reading)))
        else:
            said, spool = read_files(feed, files, notified), None
            show(reading)(len(files), len(files))
        judging = progress.add_task(f"{feed.platform} 核对 (checking)", total=len(said.entries))
        report = take(book, feed, said, whole=whole, confirm_removal=confirm_removal, progress=show(judging))
        if spool is not None:
            spool.done()
        if notified is not None and not report.merged.held_back:
            notified.keep()
    typer.echo(report.text())
    typer.echo(f"  报告 (report): {report_file(book, feed)}")


async def read_wvp(
    site: Site, loaded: dict[str, Any], feed: FeedConfig, book: CatalogueBook, show: Callable[[int, int], None]
) -> tuple[Pass, Spool]:
    """The whole catalogue of a WVP platform, going on where a pass was broken off. Raises SourceError."""
    from alerts.catalogue.take import open_spool, read_platform
    from ingest.platforms.wvp import WvpSession
    from ingest.platforms.wvp_catalogue import WvpCatalogue
    from ingest.rtsp.credentials import find_credentials
    from ingest.worker import read_site_credentials

    clock = SystemClock()
    secrets = read_site_credentials(loaded["ingest"].secrets, site)
    session = WvpSession(
        feed.platform, feed.base_url, find_credentials(secrets, feed.credentials, feed.platform), clock
    )
    spool = open_spool(book, feed, clock.now())
    try:
        return await read_platform(WvpCatalogue(session, page_size=feed.page_size), spool, show), spool
    finally:
        spool.close()
        await session.close()


@models_app.command("list")
def models_list(config: ConfigOption = None) -> None:
    """列出模型。 List models."""
    from inference.registry import load_model

    site, _ = load(config_path(config))
    for folder in sorted(each.parent for each in site.models_dir.glob("*/model.toml")):
        try:
            typer.echo(load_model(folder).describe())
        except GridwhistleError as error:
            typer.echo(f"{folder.name}: {error}")


@models_app.command("check")
def models_check(folder: Annotated[Path, typer.Argument(help="模型文件夹。 Folder of a model.")]) -> None:
    """校验一个模型的哈希, 形状, 标签。 Check hash, shapes and labels."""
    from inference.session import check_model

    typer.echo(check_model(folder).describe())


@models_app.command("evaluate")
def models_evaluate(
    folder: Annotated[Path, typer.Argument(help="模型文件夹。 Folder of a model.")],
    data: Annotated[Path, typer.Option(help="数据文件夹。 Data folder.", envvar="GRIDWHISTLE_DATA")],
    html: Annotated[Path | None, typer.Option(help="报告 HTML。 Report.")] = None,
    size: Annotated[
        str, typer.Option(help="输入尺寸, 如 416 (长边), 640, 416x256。 Longer side, or width x height.")
    ] = "",
) -> None:
    """评测: 各类 AP50。 AP50 per class on the validation split."""
    from models.evaluate.run import evaluate

    typer.echo(evaluate(folder, data, html=html, size=_seen_size(size)).text())


def _seen_size(text: str) -> int | tuple[int, int] | None:
    """`640` is a longer side, `640x384` a rectangle, nothing the model's own. Raises ConfigError."""
    if not text:
        return None
    parts = text.split("x")
    if not all(part.isdecimal() for part in parts) or len(parts) > 2:
        raise ConfigError(f"--size {text!r}: 应如 640 或 640x384 (a longer side, or width x height)")
    sides = [int(part) for part in parts]
    if any(side % 32 or not 64 <= side <= 1536 for side in sides):
        raise ConfigError(f"--size {text!r}: 应为 32 的倍数, 64 至 1536 (multiples of 32, 64 to 1536)")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


@models_app.command("train")
def models_train(
    data: Annotated[Path, typer.Option(help="数据文件夹。 Data folder.", envvar="GRIDWHISTLE_DATA")],
    out: Annotated[Path, typer.Option(help="输出文件夹。 Where runs go.")] = Path("models/train/runs/latest"),
    minutes: Annotated[float, typer.Option(help="训练分钟数。 How long.")] = 90.0,
    resume: Annotated[bool, typer.Option(help="从断点继续。 Go on from the checkpoint.")] = True,
    seed: Annotated[int, typer.Option(help="随机种子。 Seed.")] = 1,
    threads: Annotated[int, typer.Option(help="计算线程数。 Threads that compute.")] = 2,
    start: Annotated[
        Path | None, typer.Option(help="从这个模型的权重继续。 Model folder whose weights are trained further.")
    ] = None,
) -> None:
    """训练 county-nano (需要 [train] 依赖)。 Train (needs the extra [train])."""
    import numpy as np
    from numpy.typing import NDArray

    from models.train.run import train
    from models.train.scenes import Render, write_scenes
    from sim.scenes import SceneKind, TrueBox, make_scene

    def make(kind: str, scene_seed: int, night: bool, onset_s: float) -> Render:
        scene = make_scene(SceneKind(kind), scene_seed, night=night, onset_s=onset_s)

        def render(t_s: float) -> tuple[NDArray[np.uint8], tuple[TrueBox, ...]]:
            picture, truth = scene.render(t_s)
            return picture, truth.boxes

        return render

    if find_spec("torch") is None:
        raise ConfigError("训练需要 PyTorch (training needs it): pip install 'gridwhistle[train]'")
    scenes = out / "scenes"
    if not scenes.exists():
        write_scenes(make, scenes, seed=seed)
    report = train(
        data, out, minutes=minutes, resume=resume, seed=seed, scenes=scenes, threads=threads, start=start
    )
    typer.echo(report.text())


def main() -> None:
    """Entry point: errors of ours become one sentence and an exit code (2 for configuration, 1 otherwise)."""
    try:
        app()
    except ConfigError as error:
        print(f"配置有误 (configuration):\n{error}", file=sys.stderr)
        sys.exit(2)
    except GridwhistleError as error:
        print(str(error), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
