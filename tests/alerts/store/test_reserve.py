from __future__ import annotations

from pathlib import Path

from alerts.store.reserve import Reserve

MIB = 1024 * 1024


def test_reserve_takes_real_space_and_gives_it_back_once(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve.bin", 3 * MIB + 5)
    assert reserve.hold()
    assert reserve.held
    status = (tmp_path / "reserve.bin").stat()
    assert status.st_size == 3 * MIB + 5
    assert status.st_blocks * 512 >= 3 * MIB
    assert reserve.release()
    assert not reserve.held
    assert not reserve.release()


def test_reserve_of_zero_is_none(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve.bin", 0)
    assert not reserve.hold()
    assert not reserve.held


def test_reserve_larger_than_the_disk_is_not_taken(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve.bin", 1 << 60)
    assert not reserve.hold()
    assert not (tmp_path / "reserve.bin").exists()


def test_reserve_in_a_missing_folder_is_not_held(tmp_path: Path) -> None:
    assert not Reserve(tmp_path / "gone" / "reserve.bin", MIB).hold()
