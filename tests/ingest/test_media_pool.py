from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigError, GridwhistleError, ProtocolViolation, SourceMissing, SourceUnreachable
from contracts.frame import Codec
from ingest.media.link import Ended, Open
from ingest.media.pool import QUARANTINED, MediaPool, PoolLimits, _error
from ingest.media.taken import MediaFormat, MediaPicture
from runtime.child import child_environment, module_command
from runtime.clock import SystemClock
from runtime.metrics import StageCounters
from runtime.open_files import allow_all_open_files
from tests.ingest.test_probe import recording

_TGKILL = 234
"""System call number on x86-64."""


class Taken:
    """What a source of the pool hands over."""

    def __init__(self) -> None:
        self.pictures: list[tuple[Codec, MediaPicture, bool, int | None]] = []
        self.formats: list[MediaFormat] = []
        self.changed = asyncio.Event()

    def take(self, codec: Codec, picture: MediaPicture, first: bool, wall_ns: int | None) -> None:
        self.pictures.append((codec, picture, first, wall_ns))
        self.changed.set()

    async def until(self, count: int, within_s: float = 30) -> None:
        async with asyncio.timeout(within_s):
            while len(self.pictures) < count:
                self.changed.clear()
                await self.changed.wait()

    async def until_after(self, time_s: float, within_s: float = 30) -> None:
        """Wait for a picture from behind this time of the stream."""
        async with asyncio.timeout(within_s):
            while not any((picture.time_s or 0.0) > time_s for _, picture, _, _ in self.pictures):
                self.changed.clear()
                await self.changed.wait()


class Rig:
    """A pool and the sources that a test plays in it."""

    def __init__(self, **limits: Any) -> None:
        self.counters = StageCounters("test")
        self.pool = MediaPool(SystemClock(), self.counters, PoolLimits(**({"processes": 1} | limits)))
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def play(self, name: str, url: str, **asked: Any) -> Taken:
        taken = Taken()
        self.tasks[name] = asyncio.create_task(
            self.pool.play(
                Open(url=url, **({"stall_s": 3.0} | asked)),
                source_id=name,
                take=taken.take,
                playing=taken.formats.append,
            )
        )
        return taken

    async def reason(self, name: str, within_s: float = 30) -> str:
        """Why a source ended."""
        async with asyncio.timeout(within_s):
            with pytest.raises(GridwhistleError) as caught:
                await self.tasks[name]
        return caught.value.reason


@asynccontextmanager
async def pooled(**limits: Any) -> AsyncIterator[Rig]:
    rig = Rig(**limits)
    try:
        yield rig
    finally:
        pids = rig.pool.pids
        await rig.pool.close()
        for task in rig.tasks.values():
            task.cancel()
        await asyncio.gather(*rig.tasks.values(), return_exceptions=True)
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids), "close ends all children"


async def test_twenty_sources_share_two_children_evenly(tmp_path: Path) -> None:
    file = str(recording(tmp_path / "a.mp4"))
    async with pooled(processes=2) as rig:
        taken = [rig.play(f"s{index}", file, loop=True) for index in range(20)]
        for each in taken:
            await each.until(2)
        homes = [rig.pool.pid_of(f"s{index}") for index in range(20)]
        assert sorted(homes.count(pid) for pid in rig.pool.pids) == [10, 10]
        rig.pool.gauges()
        assert rig.counters.value("media_children") == 2
        assert rig.counters.value("media_sources_in_fullest") == 10


async def test_child_of_a_worker_with_thousands_of_connections_plays(tmp_path: Path) -> None:
    """Its link has the number that was free in the worker: far above what select() can bear."""
    assert allow_all_open_files() > 1_200
    files = [os.dup(0) for _ in range(1_100)]
    try:
        async with pooled() as rig:
            await rig.play("a", str(recording(tmp_path / "a.mp4")), loop=True).until(2)
    finally:
        for each in files:
            os.close(each)


async def test_killed_child_takes_only_its_own_sources_and_they_can_come_back(tmp_path: Path) -> None:
    file = str(recording(tmp_path / "a.mp4"))
    async with pooled(processes=2) as rig:
        hit, spared = rig.play("hit", file, loop=True), rig.play("spared", file, loop=True)
        await hit.until(1)
        await spared.until(1)
        pid = rig.pool.pid_of("hit")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert await rig.reason("hit") == "media_child_lost"
        again = rig.play("hit", file, loop=True)
        seen = len(spared.pictures)
        await again.until(1)
        await spared.until(seen + 1)
        assert not rig.tasks["spared"].done()
        assert rig.pool.pid_of("hit") not in (None, pid)
        assert rig.counters.total("media_children_restarted", "killed") == 1


async def test_children_of_a_killed_worker_end_too(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *module_command("tests.ingest.media_parent", recording(tmp_path / "a.mp4")),
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    assert parent.stdout is not None
    try:
        async with asyncio.timeout(30):
            pids = [int(text) for text in (await parent.stdout.readline()).split()]
            assert len(pids) == 1
            assert Path(f"/proc/{pids[0]}").exists()
    finally:
        parent.kill()
        await parent.wait()
    async with asyncio.timeout(10):
        while any(runs(pid) for pid in pids):
            await asyncio.sleep(0.05)  # noqa: TID251


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie that waits for its reaper."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_stopped_child_is_found_silent_and_replaced(tmp_path: Path) -> None:
    file = str(recording(tmp_path / "a.mp4"))
    async with pooled(silent_s=2.5) as rig:
        await rig.play("a", file, loop=True).until(1)
        pid = rig.pool.pid_of("a")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        assert await rig.reason("a") == "media_child_lost"
        assert rig.counters.total("media_children_restarted", "silent") == 1
        await rig.play("a", file, loop=True).until(1)


async def test_child_over_its_memory_is_begun_anew(tmp_path: Path) -> None:
    file = str(recording(tmp_path / "a.mp4"))
    async with pooled(memory_bytes=256 << 20) as rig:
        await rig.play("a", file, loop=True).until(1)
        member = rig.pool._members[0]
        assert member.child is not None
        member.child._memory_bytes = 8 << 20
        assert await rig.reason("a") == "media_child_lost"
        assert rig.counters.total("media_children_restarted", "memory") == 1


async def test_source_whose_thread_crashes_two_children_is_named_and_quarantined(tmp_path: Path) -> None:
    file = str(recording(tmp_path / "a.mp4"))
    async with pooled() as rig:
        for _ in range(2):
            await rig.play("good", file, loop=True).until(1)
            await rig.play("bad", file, loop=True).until(1)
            pid = rig.pool.pid_of("bad")
            assert pid is not None
            crash_newest_thread(pid)
            assert await rig.reason("bad") == "media_crash"
            assert await rig.reason("good") == "media_child_lost"
        rig.play("bad", file)
        assert await rig.reason("bad") == QUARANTINED
        await rig.play("good", file).until(1)
        assert rig.counters.total("media_children_restarted", "crash") == 2
        assert rig.counters.total("media_sources_quarantined", "crash") == 1


def crash_newest_thread(pid: int) -> None:
    """Send SIGSEGV to the newest thread of a process (tgkill), as a fault in it would."""
    thread = max(int(each) for each in os.listdir(f"/proc/{pid}/task"))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(_TGKILL, pid, thread, signal.SIGSEGV) == 0


async def test_bad_sources_have_their_reasons_and_end_no_child(tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"\x00\x01noise" * 500)
    whole = recording(tmp_path / "a.ts").read_bytes()
    (tmp_path / "cut.ts").write_bytes(whole[: len(whole) // 2])
    async with pooled() as rig:
        good = rig.play("good", str(tmp_path / "a.ts"), loop=True)
        await good.until(1)
        pids = rig.pool.pids
        rig.play("noise", str(tmp_path / "noise.mp4"))
        assert await rig.reason("noise") == "garbage"
        rig.play("gone", str(tmp_path / "gone.mp4"))
        with pytest.raises(SourceMissing):
            await rig.tasks["gone"]
        rig.play("scheme", "concat://etc")
        with pytest.raises(ConfigError):
            await rig.tasks["scheme"]
        cut = rig.play("cut", str(tmp_path / "cut.ts"), paced=False)
        await rig.tasks["cut"]
        assert 1 <= len(cut.pictures) < 4
        assert rig.pool.pids == pids


async def test_pool_takes_no_more_sources_than_allowed(tmp_path: Path) -> None:
    file = str(recording(tmp_path / "a.mp4"))
    async with pooled(sources_max=1) as rig:
        await rig.play("a", file, loop=True).until(1)
        rig.play("b", file)
        assert await rig.reason("b") == "media_pool_full"


async def test_recording_is_paced_by_its_own_time_and_played_again(tmp_path: Path) -> None:
    async with pooled() as rig:
        taken = rig.play("a", str(recording(tmp_path / "a.mp4")), loop=True)
        begun_ns = SystemClock().monotonic_ns()
        await taken.until(5)
        assert [first for _, _, first, _ in taken.pictures] == [True, False, False, False, True]
        assert SystemClock().monotonic_ns() - begun_ns > 3e9, "four seconds long"


async def test_ended_source_leaves_its_child_and_the_child_reads_on(tmp_path: Path) -> None:
    file = str(recording(tmp_path / "a.mp4"))
    async with pooled() as rig:
        await rig.play("a", file, loop=True).until(1)
        pids = rig.pool.pids
        rig.tasks["a"].cancel()
        await asyncio.gather(rig.tasks["a"], return_exceptions=True)
        assert rig.pool.pid_of("a") is None
        await rig.play("b", file, loop=False, paced=False).until(4)
        assert rig.pool.pids == pids


def test_errors_of_a_child_keep_their_class() -> None:
    assert isinstance(_error(Ended(kind="ProtocolViolation", reason="x", text="t")), ProtocolViolation)
    assert type(_error(Ended(kind="SourceUnreachable", reason="x", text="t"))) is SourceUnreachable
    assert type(_error(Ended(kind="CommandRefused", reason="x", text="t"))) is GridwhistleError
