"""A county's catalogue of 4,000 cameras: how long it takes to import, and what one changed entry does to the rest.

    python -m bench.catalogue_import [--entries N] [--live N]

All real: the command `gridwhistle catalogue import` on a spreadsheet as an office writes it (GB18030) and on
answers to a GB/T 28181 catalogue query, `gridwhistle catalogue sync` from the REST interface of a WVP-GB28181-pro
with the same channels behind forty recorders, alerts and the camera worker as `gridwhistle run` starts them, and
an RTSP server that counts its connections. `live` of the cameras are received; then one of them gets another name
and address in the spreadsheet, and the file is imported again. The server must see one connection more, and the
consumer behind the picture link must miss no key picture of any other camera.

The last line is one JSON object; the status is 1 when an import took over a minute, or another camera noticed.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench.load.clips import ClipName
from bench.load.consumer import AskSeen, Seen
from bench.load.control import AskSent, AskStatus, Done, Status
from bench.load.ledger import compare, load_table
from bench.load.process import ROOT, LineProcess
from bench.load.program import run_program
from bench.load.progress import tell
from bench.load.rig import camera_id, consumer_of, load_server
from contracts.errors import GridwhistleError
from contracts.instant import SECOND
from contracts.source import Camera
from runtime.clock import Clock, SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from runtime.whole_file import write_whole
from sim.alarm_drill import smoke_county
from sim.export import grids_geojson
from sim.stack import toml
from sim.wvp_platform import PASSWORD, USER, WvpPlatform, serving

SITE: Final = "152921"
IMPORT_S_MAX: Final = 60.0
"""M30 of the requirements: 4,000 channels within a minute."""
SECRET: Final = 3
_PART: Final = 4
"""Items in one message, as devices send them: a message must fit into a datagram."""
_PLAYING_S: Final = 120.0
_SETTLE_S: Final = 8.0
_RECORDERS: Final = 40
_NVR: Final = "15292100001180000001"


class ImportResult(msgspec.Struct, frozen=True, kw_only=True):
    """`reconnects`: connections that the server saw after the changed import; `in_force_s`: from the end of that
    import to the new connection playing; `lost_of_the_rest`: key pictures of cameras that did not change."""

    entries: int
    csv_s: float
    xml_s: float
    wvp_s: float
    wvp_requests: int
    csv_again_s: float
    live: int
    in_force_s: float
    reconnects: int
    lost_of_the_rest: int
    key_pictures_of_the_rest: int

    @property
    def good(self) -> bool:
        """Fast enough, and nobody noticed but the changed camera."""
        fast = max(self.csv_s, self.xml_s, self.wvp_s, self.csv_again_s) <= IMPORT_S_MAX
        return fast and self.reconnects == 1 and not self.lost_of_the_rest and self.key_pictures_of_the_rest > 0


def spreadsheet(
    places: list[Camera], entries: int, live: int, template: str, *, changed: int | None = None
) -> bytes:
    """All entries as CSV. The last three are secret; `changed` has another name and a stream of its own."""
    out = io.StringIO()
    out.write("设备编码,名称,权属单位,经度,纬度,rtsp地址,涉密,接入,安装地址,备案号\r\n")
    for number in range(entries):
        camera = places[number % len(places)]
        stream = entries if number == changed else number
        name = f"改名{number}号" if number == changed else f"路口{number}号"
        out.write(
            f"{camera_id(number)},{name},{camera.owner},{camera.place.lon},{camera.place.lat},"
            f"{template.format(i=stream)},{int(number >= entries - SECRET)},{int(number < live)},"
            f"王府街{number},备-{number}\r\n"
        )
    return out.getvalue().encode("gb18030")


def answers(places: list[Camera], entries: int) -> bytes:
    """The same cameras as messages of a recorder, a few items in each, GB2312 by name and GB18030 by content."""
    bodies = []
    for first in range(0, entries, _PART):
        part = range(first, min(first + _PART, entries))
        items = "".join(
            f"<Item>\r\n<DeviceID>{camera_id(number)}</DeviceID>\r\n<Name>路口{number}号</Name>\r\n"
            "<Manufacturer>Vendor</Manufacturer>\r\n<Model>IPC</Model>\r\n<Owner>Owner</Owner>\r\n"
            f"<CivilCode>{SITE}</CivilCode>\r\n<Address>王府街</Address>\r\n<Parental>0</Parental>\r\n"
            f"<ParentID>{_NVR}</ParentID>\r\n<SafetyWay>0</SafetyWay>\r\n<RegisterWay>1</RegisterWay>\r\n"
            f"<Secrecy>{int(number >= entries - SECRET)}</Secrecy>\r\n<Status>ON</Status>\r\n"
            f"<Longitude>{places[number % len(places)].place.lon}</Longitude>\r\n"
            f"<Latitude>{places[number % len(places)].place.lat}</Latitude>\r\n</Item>\r\n"
            for number in part
        )
        bodies.append(
            '<?xml version="1.0" encoding="GB2312"?>\r\n<Response>\r\n<CmdType>Catalog</CmdType>\r\n'
            f"<SN>17</SN>\r\n<DeviceID>{_NVR}</DeviceID>\r\n<SumNum>{entries}</SumNum>\r\n"
            f'<DeviceList Num="{len(part)}">\r\n{items}</DeviceList>\r\n</Response>\r\n'
        )
    return "".join(bodies).encode("gb18030")


def site_of(folder: Path, grids: bytes) -> tuple[Site, Path]:
    """A site without cameras, and its configuration."""
    paths = {"state": "var", "run": "run", "grids": "grids.geojson", "catalogue": "catalogue.json"}
    write_whole(folder / "grids.geojson", grids)
    config = folder / "gridwhistle.toml"
    write_whole(config, toml({"site": {"id": SITE}, "paths": paths}).encode())
    return Site(SiteConfig(id=SITE), PathsConfig(**paths), folder), config


async def timed_import(config: Path, file: Path, platform: str, clock: Clock) -> float:
    """Seconds that the command took, from its start to its end. Raises GridwhistleError when it failed."""
    wish = ["import", str(file), "--platform", platform, "--whole"]
    return await timed_command(config, file.name, wish, clock)


async def timed_command(config: Path, name: str, wish: list[str], clock: Clock) -> float:
    """Seconds that `gridwhistle catalogue ...` took. Raises GridwhistleError when it failed."""
    began_ns = clock.monotonic_ns()
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "gridwhistle", "catalogue", *wish, "--config", str(config)],
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    took_s = (clock.monotonic_ns() - began_ns) / SECOND
    if process.returncode:
        raise GridwhistleError(f"导入失败 (the import failed):\n{errors.decode()[-2_000:]}", reason="import")
    tell(f"{name}: {took_s:.1f} s\n" + said.decode().strip().splitlines()[0])
    return took_s


async def timed_sync(folder: Path, places: list[Camera], entries: int, clock: Clock) -> tuple[float, int]:
    """Seconds that `catalogue sync` took with a platform that has them all, and requests that the platform saw."""
    platform = WvpPlatform()
    per_recorder = -(-entries // _RECORDERS)
    for number in range(entries):
        recorder, place = f"15292100001180{1 + number // per_recorder:06d}", places[number % len(places)].place
        if number % per_recorder == 0:
            platform.add(recorder, min(per_recorder, entries - number))
        platform.channels[recorder][number % per_recorder] |= {
            "deviceId": camera_id(number),
            "longitude": place.lon,
            "latitude": place.lat,
        }
    secrets = folder / "var" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text(f'[wvp]\nuser = "{USER}"\npassword = "{PASSWORD}"\n')
    secrets.chmod(0o600)
    config = folder / "gridwhistle.toml"
    async with serving(platform):
        feed = f'base_url = "{platform.url}"\ncredentials = "wvp"\nowner = "公安局"\n'
        with config.open("a", encoding="utf-8") as file:
            file.write('[ingest]\nsecrets = "secrets.toml"\n')
            file.write('[[catalogue.feed]]\nplatform = "wvp-1"\nkind = "wvp"\n' + feed)
        took_s = await timed_command(config, "WVP", ["sync"], clock)
    return took_s, len(platform.requests)


@asynccontextmanager
async def service(folder: Path, config: Path, *arguments: str) -> AsyncIterator[None]:
    """One of our processes, its log in the folder."""
    with (folder / "services.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "gridwhistle", *arguments, "--config", str(config)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def until_playing(server: LineProcess, clock: Clock, playing: int, accepted: int) -> None:
    """Wait until the server plays to so many and has accepted so many connections."""
    deadline_ns = clock.monotonic_ns() + round(_PLAYING_S * SECOND)
    while True:
        now = await server.ask(AskStatus(), Status)
        if now.playing == playing and now.accepted >= accepted:
            return
        if clock.monotonic_ns() > deadline_ns:
            raise GridwhistleError(
                f"{_PLAYING_S:g} s 后在播 {now.playing} 路, 应为 {playing} 路 (streams play, should)",
                reason="not_live",
            )
        await clock.asleep(0.05)


async def measure(folder: Path, *, entries: int, live: int) -> ImportResult:
    """Import, receive, change one, look at the others. Raises GridwhistleError, ConfigError."""
    clock = SystemClock()
    tree, county = smoke_county(1)
    grids, places = grids_geojson(tree), list(county.cameras)
    site, config = site_of(folder, grids)
    for name in ("xml", "wvp"):
        (folder / name).mkdir()
        site_of(folder / name, grids)
    apart = folder / "xml" / config.name
    changed = live // 2
    async with AsyncExitStack() as stack:
        server, ready = await stack.enter_async_context(load_server(ClipName.NORMAL, entries))
        template = f"rtsp://127.0.0.1:{ready.port}/cam/{{i}}"
        files = {
            "all.csv": spreadsheet(places, entries, live, template),
            "answers.xml": answers(places, entries),
            "again.csv": spreadsheet(places, entries, live, template, changed=changed),
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)
        xml_s = await timed_import(apart, folder / "answers.xml", "gb-1", clock)
        wvp_s, wvp_requests = await timed_sync(folder / "wvp", places, entries, clock)
        csv_s = await timed_import(config, folder / "all.csv", "office", clock)
        await stack.enter_async_context(service(folder, config, "alerts"))
        consumer = await stack.enter_async_context(consumer_of(site))
        await stack.enter_async_context(service(folder, config, "ingest"))
        await until_playing(server, clock, live, live)
        await clock.asleep(_SETTLE_S)
        began_ns = clock.monotonic_ns()
        before = (await server.ask(AskStatus(), Status)).accepted
        csv_again_s = await timed_import(config, folder / "again.csv", "office", clock)
        imported_ns = clock.monotonic_ns()
        await until_playing(server, clock, live, before + 1)
        in_force_s = (clock.monotonic_ns() - imported_ns) / SECOND
        await clock.asleep(_SETTLE_S)
        ended_ns = clock.monotonic_ns()
        await clock.asleep(_SETTLE_S)
        after = await server.ask(AskStatus(), Status)
        sent_file, seen_file = folder / "sent.npy", folder / "seen.npz"
        await server.ask(AskSent(str(sent_file)), Done)
        await consumer.ask(AskSeen(file=str(seen_file)), Seen)
        with np.load(seen_file) as saved:
            seen = saved["ledger"]
        rest = np.array([number for number in range(live) if number != changed])
        comparison = compare(load_table(sent_file), seen, from_ns=began_ns, until_ns=ended_ns, live=rest)
    return ImportResult(
        entries=entries,
        csv_s=round(csv_s, 2),
        xml_s=round(xml_s, 2),
        wvp_s=round(wvp_s, 2),
        wvp_requests=wvp_requests,
        csv_again_s=round(csv_again_s, 2),
        live=live,
        in_force_s=round(in_force_s, 2),
        reconnects=after.accepted - before,
        lost_of_the_rest=sum(stream not in (changed, entries) for stream, _ in comparison.lost),
        key_pictures_of_the_rest=comparison.seen,
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=4_000, help="目录条目 entries of the catalogue")
    parser.add_argument("--live", type=int, default=100, help="其中接入 of which are received")
    given = parser.parse_args()
    return run_program(
        lambda folder: measure(folder, entries=given.entries, live=given.live), lambda result: result.good
    )


if __name__ == "__main__":
    sys.exit(main())
