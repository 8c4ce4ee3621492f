"""Output families: how the answer of a network is read as findings. One class per family, named in model.toml."""

from __future__ import annotations

from typing import Final

from inference.families.detr import DetrHead
from inference.families.head import Answer, Head
from inference.families.yolov8 import Yolov8Head
from inference.families.yolox import YoloxHead

FAMILIES: Final[dict[str, type[Head]]] = {"yolox": YoloxHead, "yolov8": Yolov8Head, "detr": DetrHead}
"""Output families that this release reads, by the name in model.toml."""

__all__ = ["FAMILIES", "Answer", "DetrHead", "Head", "Yolov8Head", "YoloxHead"]
