"""The training loop: one process, one loader worker, a budget of minutes, one resumable checkpoint."""

# mypy: disable-error-code="misc, untyped-decorator, no-any-return"
# (PyTorch is not installed where the types are checked, so its classes are Any.)

from __future__ import annotations

import dataclasses
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from contracts.errors import ModelRefused
from models.train.dataset import Batch, Batches
from models.train.loss import LossParts, teacher_loss, yolox_loss
from models.train.schedule import RunningMean, rate_share
from models.train.yolox import YoloxNano
from runtime.clock import Clock

CHECKPOINT_FORMAT = 1
CHECKPOINT_MINUTES = 15.0
_LOG_EVERY = 50
_GRADIENT_LIMIT = 15.0
_WEIGHT_DECAY = 5e-4
_TEACHER_WEIGHT = 1.0
_NS_PER_MINUTE = 60e9


@dataclass(frozen=True, slots=True)
class Rates:
    """Full learning rates of AdamW. The backbone moves slowly: the sets are small beside COCO."""

    backbone: float = 4e-4
    neck: float = 8e-4
    heads: float = 1e-3


class Trainer:
    """Holds everything that a checkpoint holds: network, running mean, optimiser, step, minutes spent, seed.

    `teacher` is the network with its COCO weights, by default `network` as it is handed over; it stays as it is.
    The first two stages are frozen and computed once for both.
    """

    def __init__(
        self,
        network: YoloxNano,
        out: Path,
        *,
        seed: int,
        rates: Rates | None = None,
        teacher: YoloxNano | None = None,
    ) -> None:
        rates = rates or Rates()
        self.network = network.to(memory_format=torch.channels_last).train()
        self.out = out
        self.seed = seed
        self.step = 0
        self.minutes = 0.0
        self.mean = RunningMean(network)
        for stage in (network.backbone.stem, network.backbone.stage2):
            stage.requires_grad_(False)
        self.teacher = YoloxNano(network.classes)
        self.teacher.load_state_dict((teacher or network).state_dict())
        self.teacher.to(memory_format=torch.channels_last).eval()
        parts = ((network.backbone, rates.backbone), (network.neck, rates.neck), (network.heads, rates.heads))
        self.optimiser = torch.optim.AdamW(
            [{"params": list(part.parameters()), "full": rate} for part, rate in parts],
            lr=rates.heads, weight_decay=_WEIGHT_DECAY,
        )  # fmt: skip

    @property
    def checkpoint(self) -> Path:
        """The one checkpoint file of this run; written beside itself first, then renamed."""
        return self.out / "checkpoint.pt"

    def save(self) -> None:
        """Writes the checkpoint."""
        self.out.mkdir(parents=True, exist_ok=True)
        state = {
            "format": CHECKPOINT_FORMAT, "classes": self.network.classes, "seed": self.seed, "step": self.step,
            "minutes": self.minutes, "network": self.network.state_dict(), "mean": self.mean.values,
            "mean_updates": self.mean.updates, "optimiser": self.optimiser.state_dict(),
        }  # fmt: skip
        fresh = self.checkpoint.with_suffix(".tmp")
        torch.save(state, fresh)
        fresh.replace(self.checkpoint)

    def restore(self) -> None:
        """Continues from the checkpoint. Raises ModelRefused where it is of another format, seed or head."""
        state = read_checkpoint(self.checkpoint)
        if state["seed"] != self.seed or state["classes"] != self.network.classes:
            raise ModelRefused(
                f"{self.checkpoint}: seed {state['seed']}, {state['classes']} classes; "
                "give the same, or an empty --out"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.mean.values, self.mean.updates = state["mean"], state["mean_updates"]
        self.step, self.minutes = state["step"], state["minutes"]

    def averaged(self) -> YoloxNano:
        """A copy with the running mean of the weights: what is exported."""
        return network_of({"classes": self.network.classes, "mean": self.mean.values})

    def run(self, batches: Batches, *, minutes: float, clock: Clock) -> None:
        """Trains until `minutes` of the schedule are spent, those before a resume included.

        SIGTERM and SIGINT end it after the step at hand, with a checkpoint; call it from the main thread.
        """
        stopping: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: stopping.append(received))
        loader = torch.utils.data.DataLoader(
            torch.utils.data.Subset(batches, range(self.step, len(batches))),
            batch_size=None, num_workers=1, prefetch_factor=4,
        )  # fmt: skip
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.1f} min"),
            TimeElapsedColumn(),
        )
        saved = self.minutes
        with Progress(*columns) as progress:
            bar = progress.add_task("Training", total=minutes)
            progress.update(bar, completed=self.minutes)
            before = clock.monotonic_ns()
            for batch in loader:
                parts = self._step(batch, self.minutes / minutes)
                now = clock.monotonic_ns()
                self.minutes += (now - before) / _NS_PER_MINUTE
                before = now
                progress.update(bar, completed=self.minutes, description=f"Loss {float(parts.total.detach()):.2f}")
                if self.step % _LOG_EVERY == 0:
                    self._log(parts)
                if self.minutes - saved >= CHECKPOINT_MINUTES:
                    self.save()
                    saved = self.minutes
                if self.minutes >= minutes or stopping:
                    break
        self.save()

    def _step(self, batch: Batch, progress: float) -> LossParts:
        share = rate_share(self.step, progress)
        for group in self.optimiser.param_groups:
            group["lr"] = group["full"] * share
        height, width = batch.pictures.shape[2:]
        pictures = batch.pictures.float().contiguous(memory_format=torch.channels_last)
        # Half of the forward time on processors with bfloat16; weights, loss and optimiser stay float32.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                begun = self.network.backbone.begin(pictures)
                opinion = self.teacher.finish(begun).float()
            logits = self.network.finish(begun).float()
        parts = yolox_loss(logits, batch.targets, width, height)
        kept = teacher_loss(logits, opinion, batch.targets, width, height)
        self.optimiser.zero_grad(set_to_none=True)
        (parts.total + _TEACHER_WEIGHT * kept).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _GRADIENT_LIMIT)
        self.optimiser.step()
        self.mean.update(self.network)
        self.step += 1
        return dataclasses.replace(parts, kept=float(kept.detach()))

    def _log(self, parts: LossParts) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        line = {
            "step": self.step, "minutes": round(self.minutes, 2), "total": round(float(parts.total.detach()), 4),
            "box": round(parts.box, 4), "objectness": round(parts.objectness, 4),
            "classes": round(parts.classes, 4), "kept": round(parts.kept, 4), "positives": parts.positives,
        }  # fmt: skip
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint's content. Raises ModelRefused where there is none or it is of another format."""
    if not path.is_file():
        raise ModelRefused(f"{path}: no checkpoint here; train first, or drop --resume")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state.get("format") != CHECKPOINT_FORMAT:
        raise ModelRefused(
            f"{path}: checkpoint format {state.get('format')}, this program reads {CHECKPOINT_FORMAT}"
        )
    return state


def network_of(state: dict[str, Any]) -> YoloxNano:
    """The network that a checkpoint would export, ready to answer."""
    network = YoloxNano(state["classes"])
    network.load_state_dict(state["mean"])
    return network.eval()
