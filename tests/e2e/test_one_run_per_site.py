from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import gridwhistle
from contracts.errors import GridwhistleError
from runtime.site import PathsConfig, Site, SiteConfig
from sim.stack import toml

ROOT = Path(__file__).resolve().parents[2]


def test_second_run_in_the_same_folder_is_refused_until_the_first_has_ended(short_dir: Path) -> None:
    site = Site(SiteConfig(id="152921"), PathsConfig(), short_dir)
    first = gridwhistle.sole_run(site)
    with pytest.raises(GridwhistleError, match="another one works there") as refused:
        gridwhistle.sole_run(site)
    assert refused.value.reason == "already_running"
    first.close()
    gridwhistle.sole_run(site).close()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8600/"),
        ("0.0.0.0", "http://127.0.0.1:8600/"),
        ("::1", "http://[::1]:8600/"),
        ("[::1]", "http://[::1]:8600/"),
        ("::", "http://127.0.0.1:8600/"),
    ],
)
def test_address_of_the_wall_is_one_that_a_browser_opens(host: str, address: str) -> None:
    assert gridwhistle.wall_address(host, 8600) == address


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def county(folder: Path, ports: list[int], state: str) -> Path:
    """The configuration of a small simulated county without cameras."""
    api, rtsp, mqtt, platform = ports
    simulated: dict[str, object] = {"enabled": True, "cameras_total": 200, "sensors_total": 5, "live_cameras": 0}
    settings: dict[str, dict[str, object]] = {
        "site": {"id": "152921"},
        "paths": {
            "state": state,
            "grids": f"{state}/county/grids.geojson",
            "catalogue": f"{state}/county/catalogue.json",
            "models": str(ROOT / "models"),
        },
        "mqtt": {"url": f"mqtt://127.0.0.1:{mqtt}", "protocol": "3.1.1"},
        "api": {"port": api},
        "sim": simulated | {"rtsp_port": rtsp, "mqtt_port": mqtt, "platform_port": platform},
    }
    file = folder / f"{state}.toml"
    file.write_text(toml(settings), encoding="utf-8")
    return file


def started(file: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gridwhistle", "run", "--config", str(file), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_there(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)  # noqa: TID251


def test_second_run_is_refused_before_it_starts_anything_and_the_first_goes_on(short_dir: Path) -> None:
    ports = free_ports(4)
    file = county(short_dir, ports, "a")
    first = started(file)
    processes = short_dir / "a/run/processes.json"
    try:
        until_there(processes, first)
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", ports[0])):
                assert first.poll() is None, first.communicate()
                time.sleep(0.1)  # noqa: TID251
        children = json.loads(processes.read_text())
        same = started(file)
        same_said = same.communicate(timeout=30)
        assert same.returncode == 1
        assert "already" in same_said[1] or "已有一个" in same_said[1]
        other = started(county(short_dir, ports, "b"))
        other_said = other.communicate(timeout=30)
        assert other.returncode == 2
        assert f"端口 {ports[0]} 已被占用" in other_said[1]
        assert "[api].port" in other_said[1]
        assert "Traceback" not in same_said[1] + other_said[1]
        assert not (short_dir / "b/county").exists()
        assert json.loads(processes.read_text()) == children
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGINT)
        said, errors = first.communicate(timeout=40)
    assert first.returncode == 0, errors
    assert "已全部停止 (all stopped)" in said
    assert "is its process running" not in errors
    assert not processes.exists()


def test_interrupt_while_the_county_is_built_ends_the_run_without_a_traceback(short_dir: Path) -> None:
    process = started(county(short_dir, free_ports(4), "a"))
    until_there(short_dir / "a/run/run.lock", process)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=40)
    assert process.returncode == 0
    assert "已全部停止" in said
    assert "Traceback" not in errors


def test_child_with_a_wrong_configuration_ends_the_run_with_code_2(short_dir: Path) -> None:
    file = county(short_dir, free_ports(4), "a")
    lines = file.read_text(encoding="utf-8").replace("enabled = true", "enabled = false").splitlines()
    file.write_text("\n".join(line for line in lines if "county/" not in line), encoding="utf-8")
    process = started(file)
    _, errors = process.communicate(timeout=50)
    assert process.returncode == 2
    assert "[paths] grids" in errors
    assert "因配置有误而结束" in errors
    assert "Traceback" not in errors


def test_footage_has_a_state_of_its_own_and_needs_a_simulated_county(short_dir: Path) -> None:
    file = county(short_dir, free_ports(4), "a")
    (short_dir / "films").mkdir()
    process = started(file, "--footage", str(short_dir / "films"))
    _, errors = process.communicate(timeout=50)
    assert process.returncode == 2
    assert "没有录像文件" in errors
    assert (short_dir / "a/footage-county/run").exists()
    assert not (short_dir / "a/run").exists()
    file.write_text(file.read_text(encoding="utf-8").replace("enabled = true", "enabled = false"), "utf-8")
    process = started(file, "--footage", str(short_dir / "films"))
    assert "--footage 需要模拟县" in process.communicate(timeout=50)[1]
    assert process.returncode == 2
