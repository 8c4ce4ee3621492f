from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.train.pictures import Picture
from models.train.run import split_parts
from models.train.sets import SetSpec
from models.train.split import (
    contrast_vector,
    group_pictures,
    is_validation,
    near_duplicates,
    video_of,
    write_split,
)

SPLIT = Path(__file__).parents[2] / "models" / "train" / "split.json"
SPEC = SetSpec("some_set", "CC0-1.0", "a test", {}, frozenset(), videos=(r"^(.*?)_mp4",))
NO_BOXES = np.zeros((0, 5), np.float32)
NO_REGIONS = np.zeros((0, 4), np.float32)


def scene(
    seed: int, *, mirrored: bool = False, light: float = 1.0
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rough = np.random.default_rng(seed).uniform(0, 200, (12, 16, 3)).astype(np.float32)
    pixels = np.clip(cv2.resize(rough, (160, 120)) * light, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels


def picture(folder: Path, name: str, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Picture:
    path = folder / f"{name}.jpg"
    cv2.imwrite(str(path), pixels)
    return Picture(SPEC, path, NO_BOXES, NO_REGIONS)


@given(st.text(min_size=1, max_size=30))
def test_part_of_a_group_follows_from_its_name_alone(group: str) -> None:
    number = int.from_bytes(hashlib.sha256(group.encode()).digest(), "big")
    assert is_validation(group) == (number % 100 < 15)


def test_frames_of_one_video_are_one_group_by_name(tmp_path: Path) -> None:
    pictures = [picture(tmp_path, f"train_yard_mp4-{n}_jpg-00000{n}", scene(n)) for n in range(3)]
    assert video_of(pictures[0]) == "yard"
    assert set(group_pictures(pictures)) == {"some_set/yard"}


def test_same_place_in_other_light_or_mirrored_is_one_group(tmp_path: Path) -> None:
    pictures = [
        picture(tmp_path, "a_jpg-1", scene(1)),
        picture(tmp_path, "b_jpg-2", scene(1, light=0.6)),
        picture(tmp_path, "c_jpg-3", scene(1, mirrored=True)),
        picture(tmp_path, "d_jpg-4", scene(2)),
    ]
    groups = group_pictures(pictures)
    assert groups[0] == groups[1] == groups[2]
    assert groups[3] != groups[0]


def test_near_duplicate_of_a_video_frame_joins_the_video(tmp_path: Path) -> None:
    pictures = [picture(tmp_path, "still_jpg-1", scene(5)), picture(tmp_path, "yard_mp4-9_jpg-2", scene(5))]
    assert group_pictures(pictures) == ["some_set/yard", "some_set/yard"]


def test_unlike_pictures_are_no_duplicates() -> None:
    vectors = np.stack([contrast_vector(scene(seed)[..., 0]) for seed in range(30)])
    assert near_duplicates(vectors) == []


def test_split_file_names_validation_groups_and_no_picture(tmp_path: Path) -> None:
    pictures = [picture(tmp_path, f"p{n}_jpg-{n}", scene(n)) for n in range(40)]
    groups = group_pictures(pictures)
    write_split(tmp_path / "split.json", pictures, groups)
    document = json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))
    assert document["groups"] == 40
    assert set(document["validation_groups"]) == {group for group in groups if is_validation(group)}
    assert not any(item.path.name in json.dumps(document) for item in pictures)


@pytest.mark.data
def test_committed_split_is_that_of_the_data_folder(data_dir: Path) -> None:
    parts = split_parts(data_dir)
    committed = json.loads(SPLIT.read_text(encoding="utf-8"))
    assert parts.split_sha256 == committed["sha256"]
    assert len(parts.validation) == committed["validation_pictures"]
    assert {p.key for p in parts.train}.isdisjoint(p.key for p in parts.validation)
