"""Entry points of the command line: train, and export what was trained. PyTorch is imported only inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ModelRefused
from models.train.pictures import Picture, read_set, read_sets
from models.train.sets import SCENES
from models.train.split import group_pictures, is_validation, split_hash, write_split
from runtime.clock import Clock, SystemClock

COCO_WEIGHTS = Path("models/yolox_nano_416.onnx")  # below the data folder
WEIGHTS_FILE = "weights.onnx"  # in a model folder
MAX_STEPS = 1_000_000


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training run did."""

    steps: int
    minutes: float
    pictures: int
    validation_pictures: int
    split_sha256: str
    checkpoint: Path

    def text(self) -> str:
        """One line per figure."""
        return "\n".join(f"{name}: {value}" for name, value in dataclasses.asdict(self).items())


@dataclass(frozen=True, slots=True)
class Parts:
    """All pictures in two parts; `groups` belong to the training part."""

    train: list[Picture]
    groups: list[str]
    validation: list[Picture]
    split_sha256: str


def split_parts(data: Path, *, split_file: Path | None = None) -> Parts:
    """Reads DATA/images and splits it by groups; writes the committed split where `split_file` is given."""
    pictures = read_sets(data / "images")
    groups = group_pictures(pictures)
    if split_file is not None:
        write_split(split_file, pictures, groups)
    pairs = list(zip(pictures, groups, strict=True))
    training = [(picture, group) for picture, group in pairs if not is_validation(group)]
    return Parts(
        train=[picture for picture, _ in training],
        groups=[group for _, group in training],
        validation=[picture for picture, group in pairs if is_validation(group)],
        split_sha256=split_hash(pictures, groups),
    )


def train(
    data: Path,
    out: Path,
    *,
    minutes: float,
    resume: bool,
    seed: int,
    scenes: Path | None = None,
    threads: int = 1,
    start: Path | None = None,
    clock: Clock | None = None,
) -> TrainReport:
    """Fine-tunes the COCO weights of the data folder for `minutes`; the checkpoint lands in `out`.

    `start` is a model folder of county-nano whose weights are trained further; COCO's remain the teacher.

    `scenes` is a folder written by models.train.scenes; without it the real pictures are the whole. With `resume`
    a checkpoint in `out` goes on with the same seed and schedule; without it a checkpoint there is refused.
    """
    try:
        import torch

        from models.train.dataset import Batches
        from models.train.import_onnx import load_county, start_county
        from models.train.teacher import teach
        from models.train.trainer import Trainer
    except ImportError as error:
        raise ModelRefused("training needs PyTorch: pip install 'gridwhistle[train]'") from error

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    weights = data / COCO_WEIGHTS
    coco = start_county(weights)
    network = coco if start is None else load_county(start / WEIGHTS_FILE)
    trainer = Trainer(network, out, seed=seed, teacher=coco)
    if resume and trainer.checkpoint.exists():
        trainer.restore()
    elif trainer.checkpoint.exists():
        raise ModelRefused(f"{trainer.checkpoint}: there is a run here already; give --resume, or another --out")
    parts = split_parts(data)
    taught = teach(weights, parts.train, out / "teacher.npz")
    pictures, groups = list(parts.train), list(parts.groups)
    if scenes is not None:
        rendered = read_set(scenes, SCENES)
        pictures += rendered
        groups += group_names(rendered)
    batches = Batches(pictures, groups, taught, seed=seed, steps=MAX_STEPS)
    trainer.run(batches, minutes=minutes, clock=clock or SystemClock())
    return TrainReport(
        trainer.step, trainer.minutes, len(pictures), len(parts.validation), parts.split_sha256, trainer.checkpoint
    )


def export(
    checkpoint: Path, folder: Path, *, version: str, thresholds: Mapping[str, float], nms_iou: float
) -> str:
    """Writes the model folder from a checkpoint and returns the sha256 of its weights."""
    from models.train.export import export as export_network
    from models.train.trainer import network_of, read_checkpoint

    network = network_of(read_checkpoint(checkpoint))
    return export_network(network, folder, version=version, thresholds=thresholds, nms_iou=nms_iou)


def group_names(pictures: list[Picture]) -> list[str]:
    """Groups of rendered pictures: one per scene, by file name."""
    return [f"{picture.spec.name}/{picture.path.stem.rpartition('-')[0]}" for picture in pictures]
