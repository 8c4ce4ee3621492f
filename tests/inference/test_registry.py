from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contracts.class_names import CLASS_NAMES
from contracts.errors import ModelRefused
from inference.registry import list_models, load_model
from inference.session import Session, check_model

MODELS = Path(__file__).resolve().parents[2] / "models"
SHIPPED = MODELS / "county-nano"
Spoil = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "county-nano"
    copy.mkdir()
    for name in ("model.toml", "labels.txt", "weights.onnx"):
        (copy / name).write_bytes((SHIPPED / name).read_bytes())
    return copy


def edit(name: str, old: str, new: str) -> Spoil:
    """Replace words in one file of the folder."""

    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return spoil


def test_shipped_model_loads_and_runs() -> None:
    model = check_model(SHIPPED)
    assert model.tag.startswith("county-nano@")
    assert set(model.labels) <= set(CLASS_NAMES)
    assert 0 < model.threshold("person") < 1
    assert "county-nano" in list_models(MODELS)
    assert "Apache-2.0" in model.describe()


SPOILT: dict[str, tuple[Spoil, str]] = {
    "weights changed by one byte": (
        lambda folder: (folder / "weights.onnx").write_bytes((folder / "weights.onnx").read_bytes()[:-1] + b"?"),
        "model_hash",
    ),
    "weights absent": (lambda folder: (folder / "weights.onnx").unlink(), "model_missing"),
    "no model.toml": (lambda folder: (folder / "model.toml").unlink(), "model_missing"),
    "unknown key": (edit("model.toml", "schema = 1", "schema = 1\ncolour = 2"), "model_toml"),
    "later schema": (edit("model.toml", "schema = 1", "schema = 9"), "model_toml"),
    "weights outside the folder": (
        edit("model.toml", '"weights.onnx"', '"../county-nano/weights.onnx"'), "model_toml",
    ),
    "input no multiple of the strides": (edit("model.toml", "width = 416", "width = 420"), "model_toml"),
    "a label that we have no word for": (edit("labels.txt", "truck", "lorry"), "model_labels"),
    "a label twice": (edit("labels.txt", "truck", "bus"), "model_labels"),
    "threshold missing": (edit("model.toml", "person = ", "# person = "), "model_thresholds"),
    "threshold over one": (edit("model.toml", "person = 0.", "person = 1."), "model_thresholds"),
    "fewer labels than outputs": (edit("labels.txt", "smoke\n", ""), "model_shape"),
    "another input name": (edit("model.toml", '"images"', '"pixels"'), "model_shape"),
    "another output name": (edit("model.toml", '"output"', '"boxes"'), "model_shape"),
    "other strides": (edit("model.toml", "[8, 16, 32]", "[8, 16]"), "model_shape"),
    "a family that we cannot read": (edit("model.toml", '"yolox"', '"oracle"'), "model_family"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(SPOILT))
def test_spoilt_model_is_refused_in_words(folder: Path, case: str) -> None:
    spoil, reason = SPOILT[case]
    spoil(folder)
    with pytest.raises(ModelRefused) as refusal:
        check_model(folder)
    assert refusal.value.reason == reason
    assert len(str(refusal.value)) > 40


def test_weights_that_are_no_onnx_are_refused(folder: Path) -> None:
    import hashlib

    garbage = b"not a network" * 100
    old = hashlib.sha256((folder / "weights.onnx").read_bytes()).hexdigest()
    (folder / "weights.onnx").write_bytes(garbage)
    edit("model.toml", old, hashlib.sha256(garbage).hexdigest())(folder)
    with pytest.raises(ModelRefused) as refusal:
        check_model(folder)
    assert refusal.value.reason == "model_onnx"


def test_operator_thresholds_replace_those_of_the_model() -> None:
    model = load_model(SHIPPED, {"person": 0.77})
    assert model.threshold("person") == pytest.approx(0.77)
    assert model.threshold("car") == pytest.approx(load_model(SHIPPED).threshold("car"))


def test_batch_gives_what_single_pictures_give() -> None:
    session = Session(load_model(SHIPPED))
    rng = np.random.default_rng(0)
    batch = rng.uniform(0, 255, (3, 3, 256, 416)).astype(np.float32)
    together = session.run(batch)
    for index in range(3):
        alone = session.run(batch[index : index + 1])
        assert np.allclose(together[index][0], alone[0][0], atol=1e-3)
