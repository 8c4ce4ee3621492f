from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from contracts.errors import ModelRefused
from models.evaluate.folder import read_folder
from models.train.sets import CLASSES

COUNTY_NANO = Path(__file__).parents[2] / "models" / "county-nano"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(COUNTY_NANO, tmp_path / "county-nano"))


def test_shipped_folder_is_whole() -> None:
    folder = read_folder(COUNTY_NANO)
    assert folder.longer_side == 416
    assert set(folder.thresholds) == set(CLASSES)
    assert (COUNTY_NANO / "card.md").is_file()


@pytest.mark.parametrize(
    ("batch", "width", "height"), [(1, 416, 256), (4, 416, 256), (2, 320, 320), (1, 640, 384)]
)
def test_weights_take_any_batch_and_any_rectangle_of_32(batch: int, width: int, height: int) -> None:
    session = onnxruntime.InferenceSession(str(COUNTY_NANO / "weights.onnx"), providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(1).uniform(0, 255, (batch, 3, height, width)).astype(np.float32)
    (answer,) = session.run(["output"], {"images": pictures})
    values = np.asarray(answer)
    anchors = sum((width // stride) * (height // stride) for stride in (8, 16, 32))
    assert values.shape == (batch, anchors, 5 + len(CLASSES))
    assert ((values[..., 4:] >= 0) & (values[..., 4:] <= 1)).all()


def test_pictures_of_a_batch_do_not_touch_one_another() -> None:
    session = onnxruntime.InferenceSession(str(COUNTY_NANO / "weights.onnx"), providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(2).uniform(0, 255, (3, 3, 256, 416)).astype(np.float32)
    together = np.asarray(session.run(None, {"images": pictures})[0])
    alone = np.asarray(session.run(None, {"images": pictures[1:2]})[0])
    assert np.abs(together[1] - alone[0]).max() < 1e-3


def test_changed_weights_are_refused(copy: Path) -> None:
    weights = copy / "weights.onnx"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ModelRefused, match="sha256"):
        read_folder(copy)


def test_missing_file_is_refused_in_words(copy: Path) -> None:
    (copy / "labels.txt").unlink()
    with pytest.raises(ModelRefused, match=r"labels\.txt"):
        read_folder(copy)


def test_missing_class_is_refused_by_name(copy: Path) -> None:
    (copy / "labels.txt").write_text("person\ncar\n", encoding="utf-8")
    with pytest.raises(ModelRefused, match="bicycle"):
        read_folder(copy)
