"""The YOLOX loss (arXiv 2107.08430, 2.1): SimOTA assignment, squared IoU for boxes, cross entropy for the rest.

Two things are added for sets that label only part of what they show: anchors inside an ignored region give no
background signal, and neither do anchors that see a class where that class is not labelled.
"""

# mypy: disable-error-code="misc, untyped-decorator, no-any-return"
# (PyTorch is not installed where the types are checked, so its classes are Any.)

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.train.yolox import BOX_VALUES, OBJECTNESS, STRIDES

BOX_WEIGHT = 5.0
_CENTRE_RADIUS = 2.5  # in cells
_TOP_OVERLAPS = 10
_OUTSIDE_COST = 1e5
_IOU_COST = 3.0
_SILENT_PROBABILITY = 0.3
TEACHER_ROWS = 6  # the classes before fire and smoke
_TEACHER_FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class Targets:
    """What one picture of a batch shows, in pixels of the network input.

    boxes: n x 5 (class, x1, y1, x2, y2); ignored: m x 4; silent: k x 5 (class, region where it is not labelled);
    rendered: drawn by us, so that its labels are exact and the teacher's opinion of it is worth nothing.
    """

    boxes: Tensor
    ignored: Tensor
    silent: Tensor
    rendered: bool = False


@dataclass(frozen=True, slots=True)
class LossParts:
    """The total to minimise, its parts per positive anchor, and `kept`, the distance from the teacher."""

    total: Tensor
    box: float
    objectness: float
    classes: float
    positives: int
    kept: float = 0.0


def anchor_points(width: int, height: int) -> Tensor:
    """A x 3: centre x, centre y, stride in pixels of every anchor, in the order of the network's output."""
    levels = []
    for stride in STRIDES:
        ys, xs = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        flat = torch.stack((xs.flatten() + 0.5, ys.flatten() + 0.5), dim=1) * stride
        levels.append(torch.cat((flat, torch.full((len(flat), 1), float(stride))), dim=1))
    return torch.cat(levels)


def decode_boxes(raw: Tensor, points: Tensor) -> Tensor:
    """N x A x 4 raw values as x1, y1, x2, y2 in pixels."""
    stride = points[:, 2:3]
    corner_of_cell = points[:, :2] - stride / 2
    centre = raw[..., :2] * stride + corner_of_cell
    half = raw[..., 2:4].clamp(max=8.0).exp() * stride / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def yolox_loss(logits: Tensor, targets: list[Targets], width: int, height: int) -> LossParts:
    """Loss of a batch; `logits` is N x A x (5 + classes) as YoloxNano gives them."""
    points = anchor_points(width, height)
    boxes = decode_boxes(logits[..., :BOX_VALUES], points)
    zero = logits.sum() * 0.0
    box_loss, object_loss, class_loss, positives = zero, zero, zero, 0
    for index, target in enumerate(targets):
        objectness, classes = logits[index, :, OBJECTNESS], logits[index, :, OBJECTNESS + 1 :]
        anchors, matched, overlaps = assign(
            boxes[index].detach(), objectness.detach(), classes.detach(), points, target
        )
        wanted = torch.zeros_like(objectness)
        wanted[anchors] = 1.0
        weight = background_weight(classes.detach(), points, target)
        weight[anchors] = 1.0
        object_loss = object_loss + functional.binary_cross_entropy_with_logits(
            objectness, wanted, weight, reduction="sum"
        )
        if len(anchors):
            truth = target.boxes[matched]
            overlap = paired_iou(boxes[index][anchors], truth[:, 1:])
            box_loss = box_loss + (1 - overlap * overlap).sum()
            soft = functional.one_hot(truth[:, 0].long(), classes.shape[1]) * overlaps[:, None]
            class_loss = class_loss + functional.binary_cross_entropy_with_logits(
                classes[anchors], soft, reduction="sum"
            )
            positives += len(anchors)
    count = max(positives, 1)
    total = (BOX_WEIGHT * box_loss + object_loss + class_loss) / count
    return LossParts(
        total, float(box_loss.detach()) / count, float(object_loss.detach()) / count,
        float(class_loss.detach()) / count, positives,
    )  # fmt: skip


def teacher_loss(logits: Tensor, teacher: Tensor, targets: list[Targets], width: int, height: int) -> Tensor:
    """Distance from a frozen teacher where it sees one of the classes that it knows: keeps what COCO taught.

    Both are N x A x (5 + classes) logits; the teacher's first TEACHER_ROWS classes count. Every anchor weighs as
    much as the teacher is sure.
    """
    real = torch.tensor([not target.rendered for target in targets])
    known = slice(OBJECTNESS + 1, OBJECTNESS + 1 + TEACHER_ROWS)
    sure = teacher[..., OBJECTNESS].sigmoid() * teacher[..., known].sigmoid().amax(dim=-1)
    chosen = (sure > _TEACHER_FLOOR) & real[:, None]
    if not chosen.any():
        return logits.sum() * 0.0
    weight = sure[chosen]
    own, theirs = logits[chosen], teacher[chosen]
    points = anchor_points(width, height).expand(len(logits), -1, -1)[chosen]
    overlap = paired_iou(decode_boxes(own[:, :BOX_VALUES], points), decode_boxes(theirs[:, :BOX_VALUES], points))
    objectness = functional.binary_cross_entropy_with_logits(
        own[:, OBJECTNESS], theirs[:, OBJECTNESS].sigmoid(), weight, reduction="sum"
    )
    classes = functional.binary_cross_entropy_with_logits(
        own[:, known], theirs[:, known].sigmoid(), weight[:, None], reduction="sum"
    )
    boxes = (weight * (1 - overlap * overlap)).sum()
    return (BOX_WEIGHT * boxes + objectness + classes) / weight.sum()


@torch.no_grad()
def assign(
    boxes: Tensor, objectness: Tensor, classes: Tensor, points: Tensor, target: Targets
) -> tuple[Tensor, Tensor, Tensor]:
    """SimOTA: (positive anchors, the box each belongs to, its IoU with it), each of length P.

    Every box takes its k cheapest anchors, k being the sum of its ten best overlaps; an anchor that several boxes
    want goes to the cheapest.
    """
    none = torch.zeros(0, dtype=torch.long)
    if not len(target.boxes):
        return none, none, torch.zeros(0)
    truth = target.boxes[:, 1:]
    inside = _within(points, truth)
    centres = (truth[:, :2] + truth[:, 2:]) / 2
    near = (points[None, :, :2] - centres[:, None]).abs().amax(dim=2) < _CENTRE_RADIUS * points[None, :, 2]
    candidates = (inside | near).any(dim=0).nonzero().squeeze(1)
    if not len(candidates):
        return none, none, torch.zeros(0)
    overlaps = pairwise_iou(truth, boxes[candidates])
    probability = (classes[candidates].sigmoid() * objectness[candidates].sigmoid()[:, None]).sqrt()
    probability = probability.clamp(1e-6, 1 - 1e-6)
    absent = -torch.log1p(-probability)
    present = -probability.log()
    labels = target.boxes[:, 0].long()
    class_cost = absent.sum(dim=1)[None] - absent[:, labels].T + present[:, labels].T
    good = (inside & near)[:, candidates]
    cost = class_cost - _IOU_COST * (overlaps + 1e-8).log() + _OUTSIDE_COST * (~good)
    return _cheapest(cost, overlaps, candidates)


def background_weight(classes: Tensor, points: Tensor, target: Targets) -> Tensor:
    """1 for an anchor that may be taught as background, 0 where the labels cannot say."""
    weight = torch.ones(len(points))
    if len(target.ignored):
        weight[_within(points, target.ignored).any(dim=0)] = 0.0
    if len(target.silent):
        best, seen = classes.sigmoid().max(dim=1)
        same = seen[None] == target.silent[:, 0].long()[:, None]
        hidden = _within(points, target.silent[:, 1:]) & same & (best > _SILENT_PROBABILITY)[None]
        weight[hidden.any(dim=0)] = 0.0
    return weight


def pairwise_iou(left: Tensor, right: Tensor) -> Tensor:
    """n x m intersection over union of boxes x1, y1, x2, y2."""
    low = torch.maximum(left[:, None, :2], right[None, :, :2])
    high = torch.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    union = _area(left)[:, None] + _area(right)[None] - shared
    return shared / union.clamp(min=1e-6)


def paired_iou(left: Tensor, right: Tensor) -> Tensor:
    """IoU of row i of `left` with row i of `right`."""
    low = torch.maximum(left[:, :2], right[:, :2])
    high = torch.minimum(left[:, 2:], right[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    return shared / (_area(left) + _area(right) - shared).clamp(min=1e-6)


def _cheapest(cost: Tensor, overlaps: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    boxes, width = cost.shape
    top = overlaps.topk(min(_TOP_OVERLAPS, width), dim=1).values
    wanted = top.sum(dim=1).int().clamp(min=1, max=width)
    order = cost.argsort(dim=1)
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(width).expand(boxes, -1))
    chosen = rank < wanted[:, None]
    contested = chosen.sum(dim=0) > 1
    if contested.any():
        winner = cost[:, contested].argmin(dim=0)
        chosen[:, contested] = False
        chosen[winner, contested.nonzero().squeeze(1)] = True
    columns = chosen.any(dim=0).nonzero().squeeze(1)
    matched = chosen[:, columns].float().argmax(dim=0)
    return candidates[columns], matched, overlaps[matched, columns]


def _within(points: Tensor, regions: Tensor) -> Tensor:
    x, y = points[None, :, 0], points[None, :, 1]
    return (x > regions[:, 0:1]) & (x < regions[:, 2:3]) & (y > regions[:, 1:2]) & (y < regions[:, 3:4])


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)
