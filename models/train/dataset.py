"""Batches for training: which pictures, how joined, with which targets. Batch `step` depends on the seed alone."""

# mypy: disable-error-code="misc, untyped-decorator, no-any-return"
# (PyTorch is not installed where the types are checked, so its classes are Any.)

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.evaluate.detect import Found
from models.train.augment import Boxes, Sample, compose, relight
from models.train.loss import Targets
from models.train.pictures import Picture
from models.train.sets import CLASS_INDEX, SCENES
from models.train.teacher import complete

# Width, height and share of the batches: mostly the rectangles of a 16:9 camera, squares so that pictures of the
# sets, which are mostly square, are also seen at the size at which they are judged.
SIZES: tuple[tuple[tuple[int, int], float], ...] = (
    ((416, 256), 0.38), ((416, 416), 0.3), ((320, 320), 0.08), ((512, 320), 0.12), ((640, 384), 0.12),
)  # fmt: skip
Weights = NDArray[np.float64]

_PIXELS_PER_BATCH = 16 * 416 * 256
_LAYOUTS = ((1, 0.6), (2, 0.27), (4, 0.13))

# Share of the pictures drawn from each set. Scenes stay a minor part.
SHARES: Mapping[str, float] = {
    "fire_cctv_v8": 12, "fire_smoke_v12": 16, "forest_fire_v1": 7, "fire_indoor_v10": 8,
    "fire_detection_rzosn_v1": 6, "highway_object_v40": 9, "atl_traffic_v12": 7, "vehicle_detection_utebm": 3,
    "vehicle_cctv_ahmetozlu": 3, "smart_traffic_v2": 4, "trapedesveh": 6, "person_capston2_v11": 5,
    "person_openimages": 7, "coco128": 6,
}  # fmt: skip
SCENE_SHARE = 0.22
"""Share of the network inputs that are rendered; real and rendered pictures are never joined in one input."""


@dataclass(frozen=True, slots=True)
class Batch:
    """pictures: N x 3 x H x W uint8 BGR; targets: one per picture."""

    pictures: Tensor
    targets: list[Targets]


class Batches(torch.utils.data.Dataset[Batch]):
    """Batch number `step` for any step; a loader with workers may ask in any order."""

    def __init__(
        self,
        pictures: Sequence[Picture],
        groups: Sequence[str],
        taught: Mapping[str, Found],
        *,
        seed: int,
        steps: int,
    ) -> None:
        self._pictures = list(pictures)
        self._labels = [_labels(picture, taught.get(picture.key)) for picture in pictures]
        rendered = np.array([picture.spec is SCENES for picture in pictures])
        self._real = _only(draw_weights(pictures, groups), ~rendered)
        self._rendered = _only(draw_weights(pictures, groups), rendered) if rendered.any() else None
        self._seed = seed
        self._steps = steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self._seed, step))
        size = SIZES[rng.choice(len(SIZES), p=[share for _, share in SIZES])][0]
        count = max(4, round(_PIXELS_PER_BATCH / (size[0] * size[1])))
        made = [self._one(size, rng) for _ in range(count)]
        pixels = np.stack([sample.pixels.transpose(2, 0, 1) for sample, _ in made])
        return Batch(torch.from_numpy(np.ascontiguousarray(pixels)), [_targets(*one) for one in made])

    def _one(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[Sample, bool]:
        parts = _LAYOUTS[rng.choice(len(_LAYOUTS), p=[share for _, share in _LAYOUTS])][0]
        rendered = self._rendered is not None and rng.random() < SCENE_SHARE
        # A scene is shown whole more often: that is how a camera shows it.
        parts = 1 if rendered and rng.random() < 0.4 else parts
        chosen = rng.choice(len(self._pictures), size=parts, p=self._rendered if rendered else self._real)
        sample = compose([self._sample(int(index)) for index in chosen], size, rng)
        return Sample(relight(sample.pixels, rng), sample.boxes, sample.ignored, sample.silent), rendered

    def _sample(self, index: int) -> Sample:
        picture = self._pictures[index]
        pixels = picture.read()
        height, width = pixels.shape[:2]
        scale = np.array([width, height, width, height], dtype=np.float32)
        boxes, ignored = self._labels[index]
        quiet = [CLASS_INDEX[name] for name in ("fire", "smoke") if name not in picture.spec.labelled]
        silent = np.array([(row, 0, 0, width, height) for row in quiet], dtype=np.float32).reshape(-1, 5)
        moved = np.concatenate((boxes[:, :1], boxes[:, 1:] * scale), axis=1)
        return Sample(pixels, moved, ignored * scale, silent)


def draw_weights(pictures: Sequence[Picture], groups: Sequence[str]) -> Weights:
    """Probability of each picture: the set's share, inside it less for each picture of a large group."""
    sizes = Counter(groups)
    inside = np.array([sizes[group] ** -0.5 for group in groups])
    names = np.array([picture.spec.name for picture in pictures])
    weights = np.zeros(len(pictures))
    for name in sorted(set(names)):
        mine = names == name
        weights[mine] = SHARES.get(name, 1.0) * inside[mine] / inside[mine].sum()
    return np.asarray(weights / weights.sum())


def _labels(picture: Picture, found: Found | None) -> tuple[Boxes, Boxes]:
    return (picture.boxes, picture.ignored) if found is None else complete(picture, found)


def _only(weights: Weights, mask: NDArray[np.bool_]) -> Weights:
    kept = np.where(mask, weights, 0.0)
    return kept / kept.sum()


def _targets(sample: Sample, rendered: bool) -> Targets:
    tensor = torch.from_numpy
    return Targets(tensor(sample.boxes), tensor(sample.ignored), tensor(sample.silent), rendered)
