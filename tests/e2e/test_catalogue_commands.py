"""`gridwhistle catalogue ...` as an operator runs it: files, a pass killed in the middle, the report."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

import gridwhistle
from contracts.errors import ConfigError
from runtime.clock import SystemClock
from sim.stack import toml
from sim.wvp_platform import PASSWORD, USER, WvpPlatform, serving
from tests.alerts.catalogue.entries import camera_id, catalog_xml, csv_bytes, entry, status_xml
from tests.alerts.site_files import write_site

ROOT = Path(__file__).resolve().parents[2]
DEVICES, CHANNELS = 40, 100


def site(folder: Path, platform: WvpPlatform) -> Path:
    write_site(folder)
    (folder / "var").mkdir()
    secrets = folder / "var" / "secrets.toml"
    secrets.write_text(f'[wvp]\nuser = "{USER}"\npassword = "{PASSWORD}"\n')
    secrets.chmod(0o600)
    file = folder / "gridwhistle.toml"
    settings: dict[str, dict[str, object]] = {
        "site": {"id": "152921"},
        "paths": {"grids": "grids.geojson", "catalogue": "catalogue.json", "models": str(ROOT / "models")},
        "ingest": {"secrets": "secrets.toml"},
    }
    feed = (
        '[[catalogue.feed]]\nplatform = "wvp-1"\nkind = "wvp"\nowner = "公安局"\ncredentials = "wvp"\n'
        f'base_url = "{platform.url}"\npage_size = 50\n'
    )
    file.write_text(toml(settings) + "\n" + feed, encoding="utf-8")
    return file


async def start(*arguments: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gridwhistle",
        "catalogue",
        *map(str, arguments),
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def command(*arguments: str | Path) -> tuple[int, str]:
    """The command to its end: exit code and all that it printed."""
    process = await start(*arguments)
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode() + errors.decode()


def fill(platform: WvpPlatform) -> None:
    """4,000 channels behind forty recorders."""
    for number in range(DEVICES):
        device = f"15292100001180{number:06d}"
        platform.add(device, CHANNELS)
        for serial, each in enumerate(platform.channels[device], start=1):
            each["deviceId"] = camera_id(number * CHANNELS + serial)


@pytest.mark.slow
async def test_4000_channels_are_synced_after_a_kill_from_the_page_that_was_reached(short_dir: Path) -> None:
    async with serving(WvpPlatform()) as platform:
        fill(platform)
        config = site(short_dir, platform)
        killed = await start("sync", "-c", config)
        async with asyncio.timeout(40):
            while platform.count("/channels") < 30:
                await SystemClock().asleep(0.005)
        killed.send_signal(signal.SIGKILL)
        await killed.communicate()
        before = platform.count("/channels")
        assert len(_cameras(short_dir)) == 1, "nothing of a half pass is in the catalogue"
        code, text = await command("sync", "-c", config)
        assert code == 0, text
        assert platform.count("/channels") <= DEVICES * 2 + 2, (
            "what was read before the kill was not asked for again"
        )
        assert before >= 30
        assert len(_cameras(short_dir)) == 4_001
        written = (short_dir / "catalogue.json").read_bytes()
        code, text = await command("sync", "-c", config)
        assert code == 0, text
        assert "未变 4000" in text
        assert (short_dir / "catalogue.json").read_bytes() == written
        assert PASSWORD not in text


async def test_platform_that_is_down_is_told_and_an_empty_one_empties_nothing(short_dir: Path) -> None:
    platform = WvpPlatform()
    async with serving(platform):
        platform.add("15292100001180000001", 20)
        config = site(short_dir, platform)
        assert (await command("sync", "-c", config))[0] == 0
        platform.devices.clear()
        code, text = await command("sync", "-c", config)
        assert code == 0, text
        assert "--confirm-removal" in text
        assert len(_cameras(short_dir)) == 21
    code, text = await command("sync", "-c", config)
    assert code == 1
    assert "无应答" in text


async def test_csv_import_grants_and_report(short_dir: Path) -> None:
    config = site(short_dir, _nowhere())
    (short_dir / "cameras.csv").write_bytes(
        csv_bytes(
            [entry(n, secrecy="1" if n == 3 else "0") for n in range(1, 9)] + [entry(9, lon="0", lat="0")],
            "gb18030",
        )
    )
    code, text = await command("import", short_dir / "cameras.csv", "--platform", "edu", "-c", config)
    assert code == 0, text
    assert "新增 8" in text
    assert "[no_position]" in text
    grants = short_dir / "grants.csv"
    grants.write_text("授权编号,授权单位,用途,到期\nG-1,公安局,联动指挥,2020-01-01\n", encoding="utf-8")
    code, text = await command("grants", grants, "-c", config)
    assert code == 0, text
    code, text = await command("report", "--filing", short_dir / "filing.csv", "-c", config)
    assert code == 0, text
    assert "涉密 1 路" in text
    assert "[expired]" in text
    assert camera_id(3) not in text + (short_dir / "filing.csv").read_text(encoding="utf-8-sig")


async def test_notifications_in_a_file_that_grows_are_synced_each_once(short_dir: Path) -> None:
    config = site(short_dir, _nowhere())
    with config.open("a", encoding="utf-8") as more:
        more.write(
            '[[catalogue.feed]]\nplatform = "gb-1"\nkind = "xml"\nowner = "公安局"\n'
            'base_url = "http://127.0.0.1:1"\nfiles = ["gb.xml"]\n'
        )
    file = short_dir / "gb.xml"
    file.write_bytes(catalog_xml([1, 2, 3], total=3))
    assert "新增 3" in (await command("sync", "gb-1", "-c", config))[1]
    with file.open("ab") as stream:
        stream.write(catalog_xml([4], total=1, sn=30, event="ADD") + status_xml("DEL", [2], total=1, sn=31))
        stream.write(status_xml("OFF", [1], total=1, sn=32))
    code, text = await command("sync", "gb-1", "-c", config)
    assert code == 0, text
    assert "新增 1" in text
    assert "移除 1" in text
    assert "OFF 1" in text
    written = (short_dir / "catalogue.json").read_bytes()
    code, text = await command("sync", "gb-1", "-c", config)
    assert code == 0, text
    assert "读到 0 条" in text
    assert (short_dir / "catalogue.json").read_bytes() == written


async def test_unknown_platform_and_bad_file_are_refused_in_words(short_dir: Path) -> None:
    config = site(short_dir, _nowhere())
    code, text = await command("sync", "other", "-c", config)
    assert (code, "wvp-1" in text) == (2, True)
    (short_dir / "bad.csv").write_text("a,b\n1,2\n")
    code, text = await command("import", short_dir / "bad.csv", "--platform", "edu", "-c", config)
    assert code == 2
    assert "表头" in text


def test_feed_without_its_entry_in_the_secrets_file_is_found_before_the_start(short_dir: Path) -> None:
    config = site(short_dir, _nowhere())
    text = config.read_text(encoding="utf-8")
    gridwhistle.read_secrets(*gridwhistle.load(config))
    config.write_text(text.replace('credentials = "wvp"', 'credentials = "other"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\[other\]"):
        gridwhistle.read_secrets(*gridwhistle.load(config))


def _nowhere() -> WvpPlatform:
    platform = WvpPlatform()
    platform.url = "http://127.0.0.1:1"
    return platform


def _cameras(folder: Path) -> list[object]:
    found: list[object] = json.loads((folder / "catalogue.json").read_bytes())["cameras"]
    return found
