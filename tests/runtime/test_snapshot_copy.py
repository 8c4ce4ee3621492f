from __future__ import annotations

from pathlib import Path

import pytest

from contracts import wire
from contracts.errors import LinkClosed, MalformedMessage
from contracts.source import Catalogue
from runtime.snapshot_copy import SnapshotCopy
from runtime.whole_file import write_whole


class Alerts:
    """The answering end, without a link: the link has its own tests."""

    def __init__(self) -> None:
        self.answer: bytes | None = None

    async def request(self, kind: str, body: bytes, *, timeout_s: float) -> bytes:
        assert kind == "catalogue"
        if self.answer is None:
            raise LinkClosed("away")
        return self.answer

    async def close(self) -> None:
        return None


def catalogue(version: int) -> Catalogue:
    return Catalogue(site="152921", county="152921", version=version, cameras=(), sensors=())


def copy_in(folder: Path, alerts: Alerts) -> SnapshotCopy[Catalogue]:
    return SnapshotCopy(alerts, "catalogue", Catalogue, folder / "state" / "catalogue.bin")


async def test_alerts_away_then_the_copy_of_the_last_answer_serves(tmp_path: Path) -> None:
    alerts = Alerts()
    assert await copy_in(tmp_path, alerts).stored() is None
    for version in (1, 2):
        alerts.answer = wire.encode(catalogue(version))
        assert await copy_in(tmp_path, alerts).ask() == catalogue(version)
    alerts.answer = None
    later = copy_in(tmp_path, alerts)
    with pytest.raises(LinkClosed):
        await later.ask()
    assert await later.stored() == catalogue(2)


async def test_answer_that_does_not_parse_is_refused_and_never_kept(tmp_path: Path) -> None:
    alerts = Alerts()
    alerts.answer = wire.encode(catalogue(1))
    copy = copy_in(tmp_path, alerts)
    await copy.ask()
    alerts.answer = b"\x01garbage"
    with pytest.raises(MalformedMessage):
        await copy.ask()
    assert await copy.stored() == catalogue(1)


async def test_same_answer_again_then_the_same_object_and_another_once_it_changed(tmp_path: Path) -> None:
    alerts = Alerts()
    copy = copy_in(tmp_path, alerts)
    alerts.answer = wire.encode(catalogue(1))
    first = await copy.ask()
    assert await copy.ask() is first
    alerts.answer = wire.encode(catalogue(2))
    assert await copy.ask() == catalogue(2)
    assert await copy_in(tmp_path, alerts).stored() == catalogue(2)


async def test_unreadable_copy_is_left_aside_and_a_copy_that_cannot_be_written_costs_only_itself(
    tmp_path: Path,
) -> None:
    alerts = Alerts()
    alerts.answer = wire.encode(catalogue(1))
    copy = copy_in(tmp_path, alerts)
    (tmp_path / "state").write_bytes(b"a file where the folder should be")
    assert await copy.ask() == catalogue(1)
    (tmp_path / "state").unlink()
    assert await copy.ask() == catalogue(1), "what could not be kept is kept at the next chance"
    assert await copy.stored() == catalogue(1)
    (tmp_path / "state" / "catalogue.bin").write_bytes(b"\x01garbage")
    assert await copy.stored() is None


def test_write_fails_then_the_old_content_stands_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", b"not over a folder")
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["deep", "file", "folder"]
