from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.errors import ModelRefused
from inference.detector import Detector
from inference.families import FAMILIES
from inference.postprocess import suppress
from inference.registry import Model, load_model
from inference.session import check_model
from sim.scenes import SceneKind, make_scene
from tests.inference.families.rewritten import SHIPPED, SIZE, detr_joined, detr_named, detr_split, yolov8
from tests.inference.pictures import Bgr

FORMS = [yolov8, detr_joined, detr_split, detr_named]
Form = Callable[[Path], Path]
FLOORS = np.full(len(CLASS_NAMES), 0.3, np.float32)


@pytest.fixture(scope="module")
def pictures() -> list[Bgr]:
    kinds = [SceneKind.SQUARE_FILLING, SceneKind.ROAD_SLOWING, SceneKind.FIRE_STARTING]
    return [make_scene(kind, 3).render(90.0)[0] for kind in kinds]


def seen(model: Model, pictures: list[Bgr]) -> list[Detections]:
    return Detector(model, floor=0.2).detect(pictures)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_network_in_the_form_of_another_family_is_read_by_model_toml_alone_and_finds_the_same(
    form: Form, tmp_path: Path, pictures: list[Bgr]
) -> None:
    check_model(form(tmp_path / form.__name__))
    shipped = seen(load_model(SHIPPED), pictures)
    other = seen(load_model(tmp_path / form.__name__), pictures)
    assert sum(len(found) for found in shipped) > 40
    for ours, theirs in zip(shipped, other, strict=True):
        # A query has one label alone; what the second-best class of an anchor said is lost with it.
        lost = len(ours) - len(theirs)
        assert 0 <= lost <= (3 if form is detr_named else 0)
        for box, confidence, class_id in zip(theirs.xyxy, theirs.confidence, theirs.class_id, strict=True):
            near = (np.abs(ours.xyxy - box).max(axis=1) < 0.1) & (np.abs(ours.confidence - confidence) < 1e-3)
            assert (near & (ours.class_id == class_id)).any()


def test_classes_that_we_have_no_word_for_are_never_found(tmp_path: Path, pictures: list[Bgr]) -> None:
    labels = tuple("-" if name in ("person", "truck") else name for name in CLASS_NAMES)
    model = check_model(yolov8(tmp_path / "partly", labels=labels))
    assert model.labels == tuple(name for name in CLASS_NAMES if name not in ("person", "truck"))
    known = {CLASS_NAMES.index(name) for name in model.labels}
    shipped, partly = seen(load_model(SHIPPED), pictures), seen(model, pictures)
    for ours, theirs in zip(shipped, partly, strict=True):
        assert len(theirs) == np.isin(ours.class_id, list(known)).sum()
        assert set(theirs.class_id.tolist()) <= known


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize(
    ("field", "old", "new", "reason"),
    [
        ("labels.txt", "smoke\n", "", "model_shape"),
        ("model.toml", 'family = "', 'family = "x', "model_family"),
        ("model.toml", 'output_name = "', 'output_name = "x', "model_shape"),
    ],
)
def test_model_whose_toml_does_not_fit_is_refused(
    form: Form, field: str, old: str, new: str, reason: str, tmp_path: Path
) -> None:
    folder = form(tmp_path / "spoilt")
    text = (folder / field).read_text(encoding="utf-8")
    assert old in text
    (folder / field).write_text(text.replace(old, new), encoding="utf-8")
    if form is detr_named and field == "labels.txt":
        # It names labels by number: a list that is too short hides the last class, and nothing shows it.
        check_model(folder)
        return
    with pytest.raises(ModelRefused) as refusal:
        check_model(folder)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(("missing", "words"), [("boxes_output", "boxes_output"), ("sizes_input", "sizes_input")])
def test_labels_without_boxes_or_size_are_refused(missing: str, words: str, tmp_path: Path) -> None:
    folder = detr_named(tmp_path / "spoilt")
    lines = (folder / "model.toml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(missing)]
    (folder / "model.toml").write_text("\n".join(kept), encoding="utf-8")
    with pytest.raises(ModelRefused, match=words) as refusal:
        check_model(folder)
    assert refusal.value.reason == "model_toml"


anything = st.floats(width=32, allow_nan=True, allow_infinity=True)
MODEL = load_model(SHIPPED)


@given(st.data(), st.sampled_from(sorted(FAMILIES)))
def test_any_answer_of_a_network_gives_finite_boxes(data: st.DataObject, family: str) -> None:
    head = FAMILIES[family]
    shapes = [tuple(20 if side is None else side for side in shape[1:]) for shape in head.shapes(MODEL.toml, 8)]
    answer = tuple(
        data.draw(hnp.arrays(np.float32, shape, elements=anything, fill=st.just(0.0))) for shape in shapes
    )
    with np.errstate(all="ignore"):
        found = suppress(head(MODEL, SIZE)(answer, FLOORS), 0.65)
    assert np.isfinite(found.xyxy).all()
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


@given(st.data())
def test_labels_of_any_number_are_ours_or_nothing(data: st.DataObject) -> None:
    named = msgspec.structs.replace(MODEL.toml, boxes_output="b", labels_output="l", sizes_input="s")
    head = FAMILIES["detr"](replace(MODEL, toml=named), SIZE)
    scores, boxes, labels = (
        data.draw(hnp.arrays(np.float32, shape, elements=anything)) for shape in ((6,), (6, 4), (6,))
    )
    with np.errstate(all="ignore"):
        found = head((scores, boxes, labels), FLOORS)
    assert ((found.class_id >= 0) & (found.class_id < len(CLASS_NAMES))).all()
    assert np.isfinite(found.xyxy).all()


@pytest.mark.data
def test_network_of_eighty_classes_loads_by_its_model_toml(
    tmp_path: Path, data_dir: Path, pictures: list[Bgr]
) -> None:
    weights = (data_dir / "models" / "yolox_nano_416.onnx").read_bytes()
    rows = {0: "person", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}
    (tmp_path / "weights.onnx").write_bytes(weights)
    (tmp_path / "labels.txt").write_text("\n".join(rows.get(row, "-") for row in range(80)), encoding="utf-8")
    thresholds = "\n".join(f"{name} = 0.35" for name in rows.values())
    (tmp_path / "model.toml").write_text(
        'schema = 1\nname = "coco"\nversion = "1"\nfamily = "yolox"\nweights = "weights.onnx"\n'
        f'sha256 = "{hashlib.sha256(weights).hexdigest()}"\nlabels = "labels.txt"\ninput_name = "images"\n'
        'input_width = 416\ninput_height = 416\noutput_name = "output"\nlicence = "Apache-2.0"\n'
        f"[thresholds]\n{thresholds}\n",
        encoding="utf-8",
    )
    model = check_model(tmp_path)
    found = Detector(model, floor=0.05).detect(pictures[:1])[0]
    people = found[found.class_id == CLASS_NAMES.index("person")]
    assert (people.confidence >= 0.35).sum() > 5, "a filling square"
