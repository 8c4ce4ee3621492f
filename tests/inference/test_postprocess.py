from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from inference.families import YoloxHead
from inference.families.yolox import anchor_grid, anchors
from inference.postprocess import box_areas, iou, suppress
from inference.registry import load_model
from models.evaluate.detect import keep_best

MODEL = load_model(Path(__file__).resolve().parents[2] / "models" / "county-nano")
SIZE = (416, 256)
FLOORS = np.full(len(CLASS_NAMES), 0.3, np.float32)
F32 = npt.NDArray[np.float32]


@st.composite
def detections(draw: st.DrawFn) -> Detections:
    n = draw(st.integers(0, 30))
    corner = draw(hnp.arrays(np.float32, (n, 2), elements=st.floats(0, 60, width=32)))
    size = draw(hnp.arrays(np.float32, (n, 2), elements=st.floats(0, 40, width=32)))
    confidence = draw(hnp.arrays(np.float32, (n,), elements=st.floats(0, 1, width=32), unique=True))
    class_id = draw(hnp.arrays(np.int16, (n,), elements=st.integers(0, 2)))
    return Detections(np.concatenate((corner, corner + size), axis=1), confidence, class_id)


def raw_with(anchor: int, xy: tuple[float, float], wh: tuple[float, float], label: int, score: float) -> F32:
    """A network's answer with one finding and silence everywhere else."""
    raw = np.zeros((anchors(MODEL.toml), 5 + len(MODEL.labels)), np.float32)
    raw[anchor, :5] = (*xy, *wh, 1.0)
    raw[anchor, 5 + label] = score
    return raw


def test_one_anchor_decodes_by_the_formula_of_the_paper() -> None:
    # Anchor 52 is the first of the second row of the 8-pixel grid of 416 x 256.
    raw = raw_with(52, (0.5, 0.25), (np.log(2.0), np.log(4.0)), 3, 0.9)
    found = YoloxHead(MODEL, SIZE)((raw,), FLOORS)
    assert found.class_id.tolist() == [CLASS_NAMES.index("car")]
    assert found.confidence.tolist() == pytest.approx([0.9])
    assert found.xyxy[0].tolist() == pytest.approx([4 - 8, 10 - 16, 4 + 8, 10 + 16])


def test_grid_covers_all_strides_in_order() -> None:
    cells, strides = anchor_grid(416, 256, (8, 16, 32))
    assert len(cells) == 52 * 32 + 26 * 16 + 13 * 8
    assert strides[0] == 8
    assert strides[-1] == 32
    assert cells[-1].tolist() == [12.0, 7.0]


def test_score_is_objectness_times_class_and_the_floor_is_per_class() -> None:
    raw = raw_with(0, (0, 0), (0, 0), 0, 0.8)
    raw[0, 4] = 0.5
    floors = FLOORS.copy()
    floors[0] = 0.39
    assert len(YoloxHead(MODEL, SIZE)((raw,), floors)) == 1
    floors[0] = 0.41
    assert len(YoloxHead(MODEL, SIZE)((raw,), floors)) == 0


anything = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(hnp.arrays(np.float32, (2184, 13), elements=anything, fill=st.just(0.0)))
def test_any_answer_of_a_network_gives_finite_boxes(raw: F32) -> None:
    with np.errstate(all="ignore"):
        found = suppress(YoloxHead(MODEL, SIZE)((raw,), FLOORS), 0.65)
    assert np.isfinite(found.xyxy).all()
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


@given(detections(), st.floats(0.1, 0.9))
def test_suppression_agrees_with_the_judges_own(found: Detections, limit: float) -> None:
    mine = suppress(found, limit)
    order = np.argsort(-found.confidence, kind="stable")
    rows = np.column_stack((found.class_id, found.confidence, found.xyxy))[order].astype(np.float32)
    # Overlaps within rounding of the limit may fall either way.
    overlaps = iou(found.xyxy, found.xyxy)
    if (np.abs(overlaps - limit) < 1e-5).any() or (box_areas(found.xyxy) < 1e-3).any():
        return
    theirs = rows[keep_best(rows, limit)]
    assert mine.confidence.tolist() == theirs[:, 1].tolist()


@given(detections(), st.floats(0.1, 0.9), st.floats(0, 1, width=32))
def test_cutting_before_or_after_suppression_is_the_same(found: Detections, limit: float, cut: float) -> None:
    after_it = suppress(found, limit)
    after_it = after_it[after_it.confidence >= cut]
    before_it = suppress(found[found.confidence >= cut], limit)
    assert after_it.xyxy.tolist() == before_it.xyxy.tolist()


@given(detections(), st.floats(0.1, 0.9))
def test_suppressed_findings_of_a_class_never_overlap_and_each_loser_has_a_winner(
    found: Detections, limit: float
) -> None:
    kept = suppress(found, limit)
    for class_id in set(found.class_id.tolist()):
        boxes = kept.xyxy[kept.class_id == class_id]
        overlaps = iou(boxes, boxes)
        np.fill_diagonal(overlaps, 0)
        assert (overlaps <= limit).all()
    winners = iou(found.xyxy, kept.xyxy) > limit
    same = found.class_id[:, None] == kept.class_id[None, :]
    stronger = kept.confidence[None, :] >= found.confidence[:, None]
    beaten = (winners & same & stronger).any(axis=1)
    assert (beaten | np.isin(found.confidence, kept.confidence)).all()


@given(detections())
def test_iou_is_symmetric_bounded_and_one_for_itself(found: Detections) -> None:
    overlaps = iou(found.xyxy, found.xyxy)
    assert np.allclose(overlaps, overlaps.T, atol=1e-5)
    assert ((overlaps >= 0) & (overlaps <= 1 + 1e-5)).all()
    solid = box_areas(found.xyxy) > 1e-3
    assert np.allclose(np.diag(overlaps)[solid], 1.0, atol=1e-4)
