"""Learning rate over the budget of minutes, and the running mean of the weights."""

# mypy: disable-error-code="misc, untyped-decorator, no-any-return"
# (PyTorch is not installed where the types are checked, so its classes are Any.)

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

WARM_UP_STEPS = 200
FINAL_SHARE = 0.03


def rate_share(step: int, progress: float) -> float:
    """Share of the full rate: linear warm-up by steps, times a cosine over `progress` 0..1 of the budget."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    cosine = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return warm * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)


class RunningMean:
    """Exponential moving average of a network's weights; short memory at first, `decay` later."""

    def __init__(self, network: nn.Module, decay: float = 0.9985) -> None:
        self.values: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in network.state_dict().items()
        }
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Takes the present weights into the mean."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / 300))
        for name, value in network.state_dict().items():
            self.values[name].mul_(decay).add_(value, alpha=1 - decay)
