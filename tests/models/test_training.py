from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch: pip install -e '.[train]'")

from models.train.augment import Sample, compose  # noqa: E402
from models.train.loss import (  # noqa: E402
    Targets,
    anchor_points,
    assign,
    background_weight,
    decode_boxes,
    teacher_loss,
    yolox_loss,
)
from models.train.schedule import RunningMean, rate_share  # noqa: E402
from models.train.trainer import Trainer  # noqa: E402
from models.train.yolox import OBJECTNESS, Deployed, YoloxNano  # noqa: E402

WIDTH, HEIGHT = 128, 96
ANCHORS = 16 * 12 + 8 * 6 + 4 * 3


def targets(
    *boxes: tuple[float, ...], ignored: list[list[float]] | None = None, rendered: bool = False
) -> Targets:
    return Targets(
        torch.tensor(boxes).reshape(-1, 5), torch.tensor(ignored or []).reshape(-1, 4), torch.zeros(0, 5), rendered
    )


def quiet_logits(pictures: int = 1) -> Any:
    logits = torch.zeros(pictures, ANCHORS, 13)
    logits[..., OBJECTNESS:] = -6.0
    return logits


def test_network_has_one_answer_per_anchor_and_exports_probabilities() -> None:
    network = YoloxNano(8).eval()
    with torch.no_grad():
        raw = network(torch.zeros(2, 3, HEIGHT, WIDTH))
        shipped = Deployed(network)(torch.zeros(2, 3, HEIGHT, WIDTH))
    assert raw.shape == (2, ANCHORS, 13)
    assert torch.equal(raw[..., :4], shipped[..., :4])
    assert ((shipped[..., 4:] > 0) & (shipped[..., 4:] < 1)).all()


def test_box_decoding_matches_the_judge() -> None:
    from models.evaluate.detect import decode, grid_points

    points = anchor_points(WIDTH, HEIGHT)
    grid = torch.from_numpy(grid_points((WIDTH, HEIGHT)))
    assert torch.equal(points[:, :2], (grid[:, :2] + 0.5) * grid[:, 2:])
    raw = torch.zeros(ANCHORS, 13)
    raw[40, :4] = torch.tensor([0.3, 0.6, 0.5, 0.2])
    raw[40, 4:6] = 1.0
    found = decode(raw.numpy(), np.arange(8), (WIDTH, HEIGHT), 1.0, (WIDTH, HEIGHT), floor=0.5, nms_iou=0.65)
    assert found[0, 2:] == pytest.approx(decode_boxes(raw[None, :, :4], points)[0, 40].numpy(), abs=1e-4)


def test_each_box_gets_anchors_near_its_centre_and_none_is_shared() -> None:
    target = targets((0, 20, 20, 50, 60), (3, 70, 30, 120, 80))
    logits = quiet_logits()
    points = anchor_points(WIDTH, HEIGHT)
    boxes = decode_boxes(logits[..., :4], points)[0]
    anchors, matched, overlaps = assign(boxes, logits[0, :, 4], logits[0, :, 5:], points, target)
    assert set(matched.tolist()) == {0, 1}
    assert len(set(anchors.tolist())) == len(anchors)
    assert (overlaps <= 1).all()
    for anchor, box in zip(anchors.tolist(), matched.tolist(), strict=True):
        centre = (target.boxes[box, 1:3] + target.boxes[box, 3:5]) / 2
        assert (points[anchor, :2] - centre).abs().max() < 2.5 * points[anchor, 2]


def test_picture_without_boxes_teaches_background_alone() -> None:
    loud = quiet_logits()
    loud[..., OBJECTNESS] = 4.0
    quiet = yolox_loss(quiet_logits(), [targets()], WIDTH, HEIGHT)
    assert quiet.positives == 0
    assert float(yolox_loss(loud, [targets()], WIDTH, HEIGHT).total) > 50 * float(quiet.total)


def test_ignored_region_teaches_nothing() -> None:
    loud = quiet_logits()
    loud[..., OBJECTNESS] = 4.0
    everything = [[-1.0, -1.0, WIDTH + 1.0, HEIGHT + 1.0]]
    assert float(yolox_loss(loud, [targets(ignored=everything)], WIDTH, HEIGHT).total) == 0.0


def test_class_that_the_set_is_silent_about_is_no_background_where_it_is_seen() -> None:
    classes = torch.full((ANCHORS, 8), -6.0)
    classes[5, 7] = 3.0
    classes[6, 6] = 3.0
    target = Targets(torch.zeros(0, 5), torch.zeros(0, 4), torch.tensor([[7.0, 0, 0, WIDTH, HEIGHT]]))
    weight = background_weight(classes, anchor_points(WIDTH, HEIGHT), target)
    assert weight[5] == 0
    assert weight[6] == 1
    assert weight.sum() == ANCHORS - 1


def test_teacher_is_heard_on_real_pictures_only() -> None:
    teacher, student = quiet_logits(2), quiet_logits(2)
    teacher[:, 7, OBJECTNESS : OBJECTNESS + 2] = 4.0
    both = [targets(rendered=True), targets(rendered=True)]
    assert float(teacher_loss(student, teacher, both, WIDTH, HEIGHT)) == 0.0
    assert float(teacher_loss(student, teacher, [targets(), targets()], WIDTH, HEIGHT)) > 1.0
    same = float(teacher_loss(teacher, teacher, [targets(), targets()], WIDTH, HEIGHT))
    assert same < 0.3


def test_labels_follow_the_pixels_through_composition() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 80:120] = 255
    box = np.array([[3, 80, 40, 120, 60]], dtype=np.float32)
    none = np.zeros((0, 4), np.float32)
    sample = Sample(pixels, box, none, np.zeros((0, 5), np.float32))
    for seed in range(30):
        made = compose([sample] * (1, 2, 4)[seed % 3], (416, 256), np.random.default_rng(seed))
        for _, x1, y1, x2, y2 in made.boxes:
            inside = made.pixels[round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
            assert inside.size == 0 or inside.mean() > 225


def test_learning_rate_warms_up_and_falls() -> None:
    assert rate_share(0, 0.0) < 0.01
    assert rate_share(1000, 0.0) == pytest.approx(1.0)
    assert rate_share(1000, 0.5) < rate_share(1000, 0.2)
    assert rate_share(1000, 1.0) == pytest.approx(0.03)


def test_running_mean_moves_towards_the_weights() -> None:
    network = YoloxNano(8)
    mean = RunningMean(network)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1.0)
    before = mean.values["heads.0.object_out.bias"].clone()
    for _ in range(200):
        mean.update(network)
    assert (mean.values["heads.0.object_out.bias"] > before + 0.5).all()


def test_checkpoint_continues_where_it_stopped(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = Trainer(YoloxNano(8), tmp_path, seed=3)
    first.step, first.minutes = 17, 4.5
    first.save()
    second = Trainer(YoloxNano(8), tmp_path, seed=3)
    second.restore()
    assert (second.step, second.minutes) == (17, 4.5)
    for one, other in zip(first.averaged().parameters(), second.averaged().parameters(), strict=True):
        assert torch.equal(one, other)


def test_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    from contracts.errors import ModelRefused

    Trainer(YoloxNano(8), tmp_path, seed=3).save()
    with pytest.raises(ModelRefused, match="seed 3"):
        Trainer(YoloxNano(8), tmp_path, seed=4).restore()


@pytest.mark.data
def test_import_answers_as_the_published_file_does(data_dir: Path) -> None:
    pytest.importorskip("onnx", reason="training needs onnx: pip install -e '.[train]'")
    import cv2

    from models.train.import_onnx import PARITY_LIMIT, load_coco, parity
    from models.train.run import COCO_WEIGHTS

    weights = data_dir / COCO_WEIGHTS
    picture = cv2.imread(str(next(iter(sorted((data_dir / "images" / "coco128" / "images").iterdir())))))
    assert parity(load_coco(weights), weights, np.asarray(picture, dtype=np.uint8)) < PARITY_LIMIT


def test_shipped_weights_are_read_back_to_be_trained_further(tmp_path: Path) -> None:
    from models.train.import_onnx import load_county, parity

    weights = Path(__file__).resolve().parents[2] / "models" / "county-nano" / "weights.onnx"
    network = load_county(weights)
    picture = np.random.default_rng(1).integers(0, 255, (416, 416, 3), dtype=np.uint8)
    assert parity(network, weights, picture) < 1e-3
    teacher = YoloxNano(8)
    trainer = Trainer(network, tmp_path, seed=1, teacher=teacher)
    assert torch.equal(trainer.teacher.state_dict()["heads.0.class_out.bias"], teacher.heads[0].class_out.bias)
    assert not torch.equal(network.heads[0].class_out.bias, teacher.heads[0].class_out.bias)
