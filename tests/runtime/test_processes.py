from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from runtime.clock import SystemClock
from runtime.processes import ProcessGroup, ProcessSpec

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
)


async def until(group: ProcessGroup, name: str, other_than: int = 0) -> int:
    while group.pids.get(name, other_than) == other_than:
        await asyncio.sleep(0.01)  # noqa: TID251
    return group.pids[name]


async def test_killed_child_comes_back_and_all_end_when_stopped(tmp_path: Path) -> None:
    specs = [ProcessSpec(name, [sys.executable, "-c", SLEEPER]) for name in ("a", "b")]
    group, stop = ProcessGroup(specs, tmp_path, SystemClock(), first_s=0.01), asyncio.Event()
    task = asyncio.create_task(group.run(stop))
    first, other = await until(group, "a"), await until(group, "b")
    os.kill(first, signal.SIGKILL)
    second = await asyncio.wait_for(until(group, "a", first), 10)
    assert json.loads((tmp_path / "processes.json").read_text())["children"] == {"a": second, "b": other}
    assert group.restarts == {"a": 1, "b": 0}
    stop.set()
    await asyncio.wait_for(task, 20)
    assert not group.pids
    assert not (tmp_path / "processes.json").exists()


async def test_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    group = ProcessGroup([ProcessSpec("s", [sys.executable, "-c", STUBBORN])], tmp_path, SystemClock(), end_s=0.2)
    stop = asyncio.Event()
    task = asyncio.create_task(group.run(stop))
    await until(group, "s")
    await asyncio.sleep(0.3)  # noqa: TID251
    stop.set()
    await asyncio.wait_for(task, 20)
    assert not group.pids


async def test_cancelled_then_children_are_ended_first(tmp_path: Path) -> None:
    group = ProcessGroup([ProcessSpec("a", [sys.executable, "-c", SLEEPER])], tmp_path, SystemClock())
    task = asyncio.create_task(group.run(asyncio.Event()))
    pid = await until(group, "a")
    task.cancel()
    await asyncio.wait({task}, timeout=20)
    assert task.cancelled()
    assert not Path(f"/proc/{pid}").exists()
    assert not (tmp_path / "processes.json").exists()


async def test_child_that_cannot_be_started_is_tried_again_and_disturbs_no_other(tmp_path: Path) -> None:
    late = tmp_path / "late"
    specs = [ProcessSpec("good", [sys.executable, "-c", SLEEPER]), ProcessSpec("late", [str(late)])]
    group, stop = ProcessGroup(specs, tmp_path, SystemClock(), first_s=0.01), asyncio.Event()
    task = asyncio.create_task(group.run(stop))
    good = await until(group, "good")
    while group.restarts["late"] < 2:
        await asyncio.sleep(0.01)  # noqa: TID251
    late.with_suffix(".new").write_text(f"#!{sys.executable}\n{SLEEPER}\n")
    late.with_suffix(".new").chmod(0o700)
    late.with_suffix(".new").replace(late)
    await asyncio.wait_for(until(group, "late"), 10)
    assert group.pids["good"] == good
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_list_cannot_be_written_then_the_processes_live_on(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    group = ProcessGroup([ProcessSpec("a", [sys.executable, "-c", SLEEPER])], tmp_path / "run/x", SystemClock())
    stop = asyncio.Event()
    task = asyncio.create_task(group.run(stop))
    await until(group, "a")
    assert not task.done()
    stop.set()
    await asyncio.wait_for(task, 20)
    assert not group.pids


def test_parent_is_killed_then_its_children_end(tmp_path: Path) -> None:
    parent = (
        "import asyncio, sys; from pathlib import Path\n"
        "from runtime.clock import SystemClock; from runtime.processes import ProcessGroup, ProcessSpec\n"
        "spec = ProcessSpec('a', [sys.executable, '-c', 'import signal; print(1, flush=True); signal.pause()'])\n"
        "asyncio.run(ProcessGroup([spec], Path(sys.argv[1]), SystemClock()).run(asyncio.Event()))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.kill()
        assert process.stdout.read() == b"", "the end of the pipe comes when the child that holds it has ended"


async def test_child_with_a_wrong_configuration_then_all_end_and_it_is_not_started_again(tmp_path: Path) -> None:
    specs = [
        ProcessSpec("good", [sys.executable, "-c", SLEEPER]),
        ProcessSpec("wrong", [sys.executable, "-c", "raise SystemExit(2)"]),
    ]
    group, stop = ProcessGroup(specs, tmp_path, SystemClock(), first_s=0.01), asyncio.Event()
    with pytest.raises(ConfigError, match="进程 wrong 因配置有误而结束"):
        await asyncio.wait_for(group.run(stop), 20)
    assert stop.is_set()
    assert group.restarts == {"good": 0, "wrong": 0}
    assert not group.pids


async def test_list_of_another_group_is_left_alone(tmp_path: Path) -> None:
    group, stop = ProcessGroup([], tmp_path, SystemClock()), asyncio.Event()
    (tmp_path / "processes.json").write_text('{"parent": 1, "children": {}}')
    await group.run(stop)
    assert (tmp_path / "processes.json").exists()


async def test_child_that_asks_another_starts_when_that_one_listens(short_dir: Path) -> None:
    path = short_dir / "s.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    spec = ProcessSpec("late", [sys.executable, "-c", SLEEPER], after=path, after_s=1000)
    group, stop = ProcessGroup([spec], short_dir, SystemClock()), asyncio.Event()
    task = asyncio.create_task(group.run(stop))
    await asyncio.sleep(0.3)  # noqa: TID251
    assert not group.pids, "nobody listens on a file that was left behind"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        await asyncio.wait_for(until(group, "late"), 10)
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_interrupt_from_the_terminal_is_left_to_the_parent_while_a_child_is_not_ready(
    tmp_path: Path,
) -> None:
    group = ProcessGroup([ProcessSpec("a", [sys.executable, "-c", SLEEPER])], tmp_path, SystemClock())
    stop = asyncio.Event()
    task = asyncio.create_task(group.run(stop))
    pid = await until(group, "a")
    os.kill(pid, signal.SIGINT)
    await asyncio.sleep(0.2)  # noqa: TID251
    assert group.pids == {"a": pid}
    stop.set()
    await asyncio.wait_for(task, 20)
