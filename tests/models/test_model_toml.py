from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from inference.registry import list_models, load_model
from models.train.model_toml import write_toml
from models.train.sets import CLASSES


def test_written_file_holds_every_key_that_inference_reads(tmp_path: Path) -> None:
    folder = tmp_path / "county-nano"
    folder.mkdir()
    thresholds = {name: 0.2 + 0.01 * index for index, name in enumerate(CLASSES)}
    write_toml(folder, sha256="ab" * 32, version="2026.11.9", thresholds=thresholds, nms_iou=0.65)
    document = tomllib.loads((folder / "model.toml").read_text(encoding="utf-8"))
    assert document["name"] == "county-nano"
    assert document["sha256"] == "ab" * 32
    assert document["strides"] == [8, 16, 32]
    assert document["thresholds"] == {name: pytest.approx(value) for name, value in thresholds.items()}
    assert document["nms"] == {"iou": 0.65}


def test_threshold_for_every_class_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="smoke"):
        write_toml(tmp_path, sha256="", version="1", thresholds=dict.fromkeys(CLASSES[:-1], 0.3), nms_iou=0.65)


def test_inference_takes_the_shipped_folder() -> None:
    folder = Path(__file__).parents[2] / "models" / "county-nano"
    model = load_model(folder)
    assert model.labels == CLASSES
    assert "county-nano" in list_models(folder.parent)
