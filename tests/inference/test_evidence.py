from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import StoreFull
from contracts.instant import beijing_date
from contracts.observation import IncidentType
from inference.config import EvidenceConfig
from inference.evidence import BLOCKS_ACROSS, Drawing, EvidenceStore, pixelate, render
from tests.inference.pictures import at, picture, textured

NONE = np.empty((0, 4), np.float32)
FLAME = IncidentType.FLAME_SUSPECTED
CONFIG = EvidenceConfig(reserve_mb=0)


def drawing(*hidden: tuple[float, float, float, float]) -> Drawing:
    return Drawing(np.array(hidden, np.float32).reshape(-1, 4), NONE)


@given(st.tuples(*[st.floats(-50, 400)] * 2), st.tuples(*[st.floats(0, 300)] * 2))
def test_any_box_leaves_no_detail_inside_and_nothing_changed_far_outside(
    corner: tuple[float, float], size: tuple[float, float]
) -> None:
    original = np.random.default_rng(1).integers(0, 255, (200, 320, 3), dtype=np.uint8)
    shown = original.copy()
    box = np.array([*corner, corner[0] + size[0], corner[1] + size[1]], np.float32)
    pixelate(shown, box)
    x1, y1 = (int(max(0, side)) for side in box[:2])
    x2, y2 = int(min(320, box[2])), int(min(200, box[3]))
    if x2 > x1 and y2 > y1:
        inside = shown[y1:y2, x1:x2].reshape(-1, 3)
        # With the margin the blocks are at most BLOCKS_ACROSS + 1 on each side.
        assert len(np.unique(inside, axis=0)) <= (BLOCKS_ACROSS + 1) ** 2
    far = np.ones((200, 320), np.bool_)
    reach = 0.12 * np.array(size) + 5
    far[
        max(0, int(corner[1] - reach[1])) : max(0, int(corner[1] + size[1] + reach[1]) + 2),
        max(0, int(corner[0] - reach[0])) : max(0, int(corner[0] + size[0] + reach[0]) + 2),
    ] = False
    assert (shown[far] == original[far]).all()


def test_picture_is_made_small_and_boxes_follow() -> None:
    large = textured(1280, 720)
    shown = render(large, drawing((600, 300, 700, 500)), 640)
    assert shown.shape == (360, 640, 3)
    body = shown[150:250, 300:350].reshape(-1, 3)
    assert len(np.unique(body, axis=0)) <= (BLOCKS_ACROSS + 1) ** 2
    assert large.shape == (720, 1280, 3)


def test_source_picture_is_left_alone() -> None:
    scene = textured()
    before = scene.copy()
    zone = np.array([[0, 0], [100, 0], [50, 90]], np.float64)
    measured = np.array([[70, 70, 90, 90]], np.float32)
    shown = render(scene, Drawing(np.array([[5, 5, 60, 60]], np.float32), measured, zone), 640)
    assert (scene == before).all()
    assert (shown != before).any()


def test_kept_picture_is_whole_on_disk_under_its_hash(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, CONFIG)
    ref = store.keep(picture(textured(), at(0)), drawing((10, 10, 60, 90)), FLAME)
    data = (tmp_path / ref.path).read_bytes()
    assert hashlib.sha256(data).hexdigest() == ref.sha256
    assert ref.path == f"{beijing_date(at(0))}/{ref.sha256}.jpg"
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (ref.height, ref.width, 3)
    assert len(data) == ref.size
    assert [path.name for path in (tmp_path / beijing_date(at(0))).iterdir()] == [f"{ref.sha256}.jpg"]


def test_one_picture_per_camera_and_type_in_twenty_seconds(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, CONFIG)
    store.keep(picture(textured(), at(0)), drawing(), FLAME)
    assert not store.due("cam", FLAME, at(19.9))
    assert store.due("cam", FLAME, at(20))
    assert store.due("cam", IncidentType.CROWD_DENSITY, at(1))
    assert store.due("other", FLAME, at(1))


def test_budget_reached_refuses_until_retention_made_room(tmp_path: Path) -> None:
    day = tmp_path / "2020-01-01"
    day.mkdir()
    (day / "old.jpg").write_bytes(b"\0" * 1_000_000)
    store = EvidenceStore(tmp_path, EvidenceConfig(budget_mb=1, reserve_mb=0))
    with pytest.raises(StoreFull) as refusal:
        store.keep(picture(textured(), at(0)), drawing(), FLAME)
    assert refusal.value.reason == "budget"
    shutil.rmtree(day)
    with pytest.raises(StoreFull):
        store.keep(picture(textured(), at(30)), drawing(), FLAME)
    assert store.keep(picture(textured(), at(61)), drawing(), FLAME).size > 0


def test_reserve_of_the_disk_is_never_touched(tmp_path: Path) -> None:
    free_mb = shutil.disk_usage(tmp_path).free // 1_000_000
    store = EvidenceStore(tmp_path, EvidenceConfig(reserve_mb=free_mb + 1_000_000))
    with pytest.raises(StoreFull) as refusal:
        store.keep(picture(textured(), at(0)), drawing(), FLAME)
    assert refusal.value.reason == "disk_full"
    assert list(tmp_path.rglob("*.jpg*")) == []
