# ruff: noqa: D102 - forward() of a layer is told by its class
"""YOLOX-Nano as a PyTorch module, written from the paper (Ge et al., "YOLOX: Exceeding YOLO Series in 2021",
arXiv 2107.08430): CSPDarknet with a Focus stem and SPP, a path-aggregation neck, decoupled anchor-free heads,
depth 0.33, width 0.25, depthwise 3x3 convolutions.

The normalisation layers are folded into the convolutions (every convolution has a bias). The weights we start
from are published folded, and fine-tuning with frozen statistics is what small batches want in any case.
"""

# mypy: disable-error-code="misc, untyped-decorator, no-any-return"
# (PyTorch is not installed where the types are checked, so its classes are Any.)

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
BOX_VALUES = 4
OBJECTNESS = BOX_VALUES  # index of the objectness column; the classes follow it


class ConvUnit(nn.Module):
    """Convolution with bias and SiLU; keeps the size divided by `stride`."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.conv(x))


class SeparableUnit(nn.Sequential):
    """A depthwise 3x3 followed by a 1x1: the Nano model's replacement for a dense 3x3."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(ConvUnit(inputs, inputs, 3, stride, groups=inputs), ConvUnit(inputs, outputs))


class Bottleneck(nn.Module):
    """1x1, separable 3x3, and the sum with the input where `residual`."""

    def __init__(self, channels: int, *, residual: bool) -> None:
        super().__init__()
        self.reduce = ConvUnit(channels, channels)
        self.spatial = SeparableUnit(channels, channels)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out = cast(Tensor, self.spatial(self.reduce(x)))
        return out + x if self.residual else out


class CrossStage(nn.Module):
    """Cross-stage-partial block: half of the channels through `depth` bottlenecks, half past them."""

    def __init__(self, inputs: int, outputs: int, depth: int, *, residual: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.main = ConvUnit(inputs, half)
        self.bypass = ConvUnit(inputs, half)
        self.blocks = nn.Sequential(*(Bottleneck(half, residual=residual) for _ in range(depth)))
        self.merge = ConvUnit(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        main = self.main(x)
        bypass = self.bypass(x)
        return cast(Tensor, self.merge(torch.cat((self.blocks(main), bypass), dim=1)))


class Focus(nn.Module):
    """Four pixel-interleaved quarters of the picture stacked as channels, then a 3x3 convolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.unit = ConvUnit(12, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        quarters = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        return cast(Tensor, self.unit(torch.cat(quarters, dim=1)))


class PyramidPooling(nn.Module):
    """Spatial pyramid pooling: the map beside its 5, 9 and 13 wide maxima."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = ConvUnit(inputs, inputs // 2)
        self.pools = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (5, 9, 13))
        self.merge = ConvUnit(inputs * 2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        return cast(Tensor, self.merge(torch.cat((reduced, *(pool(reduced) for pool in self.pools)), dim=1)))


class Backbone(nn.Module):
    """CSPDarknet at width 0.25 and depth 0.33: maps of 64, 128 and 256 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Focus(16)
        self.stage2 = nn.Sequential(SeparableUnit(16, 32, 2), CrossStage(32, 32, 1))
        self.stage3 = nn.Sequential(SeparableUnit(32, 64, 2), CrossStage(64, 64, 3))
        self.stage4 = nn.Sequential(SeparableUnit(64, 128, 2), CrossStage(128, 128, 3))
        self.stage5 = nn.Sequential(
            SeparableUnit(128, 256, 2), PyramidPooling(256, 256), CrossStage(256, 256, 1, residual=False)
        )

    def begin(self, x: Tensor) -> Tensor:
        """The first two stages, up to stride 4: the most general part, and the costliest to train."""
        return cast(Tensor, self.stage2(self.stem(x)))

    def forward(self, begun: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rest, from what `begin` gave."""
        fine = self.stage3(begun)
        middle = self.stage4(fine)
        return fine, middle, self.stage5(middle)


class Neck(nn.Module):
    """Path aggregation: coarse meaning goes down to the fine map, fine position goes back up."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral32 = ConvUnit(256, 128)
        self.down16 = CrossStage(256, 128, 1, residual=False)
        self.lateral16 = ConvUnit(128, 64)
        self.down8 = CrossStage(128, 64, 1, residual=False)
        self.shrink8 = SeparableUnit(64, 64, 2)
        self.up16 = CrossStage(128, 128, 1, residual=False)
        self.shrink16 = SeparableUnit(128, 128, 2)
        self.up32 = CrossStage(256, 256, 1, residual=False)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        fine, middle, coarse = maps
        top32 = self.lateral32(coarse)
        top16 = self.lateral16(self.down16(torch.cat((self._double(top32), middle), dim=1)))
        out8 = self.down8(torch.cat((self._double(top16), fine), dim=1))
        out16 = self.up16(torch.cat((self.shrink8(out8), top16), dim=1))
        return out8, out16, self.up32(torch.cat((self.shrink16(out16), top32), dim=1))

    @staticmethod
    def _double(x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class LevelHead(nn.Module):
    """Decoupled head of one stride: class branch, and a branch shared by box and objectness."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.stem = ConvUnit(inputs, 64)
        self.class_branch = nn.Sequential(SeparableUnit(64, 64), SeparableUnit(64, 64))
        self.class_out = nn.Conv2d(64, classes, 1)
        self.box_branch = nn.Sequential(SeparableUnit(64, 64), SeparableUnit(64, 64))
        self.box_out = nn.Conv2d(64, BOX_VALUES, 1)
        self.object_out = nn.Conv2d(64, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        classes = self.class_out(self.class_branch(stem))
        boxes = self.box_branch(stem)
        return torch.cat((self.box_out(boxes), self.object_out(boxes), classes), dim=1)


class YoloxNano(nn.Module):
    """The whole detector.

    `forward` takes N x 3 x H x W float32, BGR, 0..255, H and W multiples of 32, and returns N x A x (5 + classes)
    *logits*: dx, dy, dw, dh, objectness, classes; A runs row by row over strides 8, 16, 32.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = Backbone()
        self.neck = Neck()
        self.heads = nn.ModuleList(LevelHead(inputs, classes) for inputs in (64, 128, 256))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.finish(self.backbone.begin(pictures))

    def finish(self, begun: Tensor) -> Tensor:
        """The logits from what the first two stages gave (Backbone.begin)."""
        maps = self.neck(self.backbone(begun))
        levels = [head(level).flatten(2) for head, level in zip(self.heads, maps, strict=True)]
        return torch.cat(levels, dim=2).transpose(1, 2)


class Deployed(nn.Module):
    """What is exported: objectness and classes through a sigmoid, the four box values left raw."""

    def __init__(self, network: YoloxNano) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        raw = self.network(pictures)
        return torch.cat((raw[..., :BOX_VALUES], raw[..., BOX_VALUES:].sigmoid()), dim=-1)
