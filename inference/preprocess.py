"""Preprocess: a picture of any size into the model's rectangle, and boxes back out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from inference.picture import Bgr
from inference.registry import ModelToml

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture lies in the model's rectangle: scaled by `scale_x`, `scale_y`, shifted by the pads.

    `width`, `height`: pixels that the picture covers in the rectangle, at least 1. The two scales differ by the
    rounding of these alone, so that boxes come back without that error.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float
    pad_x: int
    pad_y: int

    @classmethod
    def of(
        cls, width: int, height: int, into: tuple[int, int], anchor: Literal["top-left", "centre"] = "top-left"
    ) -> Letterbox:
        """The largest picture of width x height pixels that fits `into` = (width, height), aspect kept."""
        scale = min(into[0] / width, into[1] / height)
        fit_width = min(into[0], max(1, round(width * scale)))
        fit_height = min(into[1], max(1, round(height * scale)))
        pad_x = (into[0] - fit_width) // 2 if anchor == "centre" else 0
        pad_y = (into[1] - fit_height) // 2 if anchor == "centre" else 0
        return cls(fit_width, fit_height, fit_width / width, fit_height / height, pad_x, pad_y)

    @classmethod
    def stretched(cls, width: int, height: int, into: tuple[int, int]) -> Letterbox:
        """A picture of width x height pixels that fills `into`, whatever becomes of its aspect."""
        return cls(*into, into[0] / width, into[1] / height, 0, 0)

    def forward(self, xyxy: F32) -> F32:
        """Boxes (n, 4) of the picture as boxes of the rectangle."""
        return (xyxy * self._scales() + self._pads()).astype(np.float32)

    def back(self, xyxy: F32, width: int, height: int) -> F32:
        """Boxes (n, 4) of the rectangle as boxes of the picture, clipped to its width x height."""
        boxes = (xyxy - self._pads()) / self._scales()
        return np.clip(boxes, 0, np.array([width, height, width, height])).astype(np.float32)

    def _scales(self) -> npt.NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y])

    def _pads(self) -> npt.NDArray[np.float64]:
        return np.array([self.pad_x, self.pad_y, self.pad_x, self.pad_y], np.float64)


class Preprocessor:
    """Fills the input of one model at one size; keeps its buffers, so one per thread."""

    def __init__(self, toml: ModelToml, into: tuple[int, int], batch_max: int) -> None:
        """`into`: width and height of the input."""
        self._toml = toml
        self._into = into
        self._canvas = np.empty((into[1], into[0], 3), np.uint8)
        self._batch = np.empty((batch_max, 3, into[1], into[0]), np.float32)

    def fill(self, pictures: list[Bgr]) -> tuple[F32, list[Letterbox]]:
        """Up to `batch_max` pictures as float32 (n, 3, height, width) and how each lies in it.

        The array is this object's own and holds until the next call.
        """
        boxes = [self._fill_one(picture, self._batch[i]) for i, picture in enumerate(pictures)]
        return self._batch[: len(pictures)], boxes

    def _fill_one(self, picture: Bgr, out: F32) -> Letterbox:
        height, width = picture.shape[:2]
        toml = self._toml
        if toml.resize == "stretch":
            box = Letterbox.stretched(width, height, self._into)
        else:
            box = Letterbox.of(width, height, self._into, toml.letterbox_anchor)
        right, low = box.pad_x + box.width, box.pad_y + box.height
        if (box.width, box.height) != self._into:
            self._canvas.fill(toml.letterbox_value)
        # INTER_AREA would be smoother on large pictures, but the weights were trained on INTER_LINEAR.
        self._canvas[box.pad_y : low, box.pad_x : right] = cv2.resize(
            picture, (box.width, box.height), interpolation=cv2.INTER_LINEAR
        )
        planes = self._canvas if toml.channel_order == "bgr" else self._canvas[:, :, ::-1]
        np.copyto(out, planes.transpose(2, 0, 1))
        if toml.pixel_scale != 1.0:
            out *= toml.pixel_scale
        for plane, mean, deviation in zip(out, toml.pixel_mean, toml.pixel_std, strict=True):
            if mean:
                plane -= mean
            if deviation != 1.0:
                plane /= deviation
        return box
