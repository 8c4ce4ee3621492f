"""county-nano rewritten to answer in the form of another family: the same network, told by model.toml alone.

Nodes are put behind its output, so whatever a family's head reads can be held against what the shipped one reads.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contracts.class_names import CLASS_NAMES
from inference.families.yolox import anchor_grid

SHIPPED = Path(__file__).resolve().parents[3] / "models" / "county-nano"
SIZE = (416, 256)
LABELS = len(CLASS_NAMES)


class Rewriting:
    """county-nano with fixed input size; `add` puts a node behind what is there, `write` makes a model folder."""

    def __init__(self) -> None:
        self._model = onnx.load(str(SHIPPED / "weights.onnx"))
        self._graph = self._model.graph
        self._number = 0
        self._outputs: list[Any] = []
        cells, strides = anchor_grid(*SIZE, (8, 16, 32))
        centre = self.add("Add", self._part("output", 0, 2), self.constant(cells[None]))
        self.centre = self.add("Mul", centre, self.constant(strides[None, :, None]))
        sides = self.add("Exp", self._part("output", 2, 4))
        self.sides = self.add("Mul", sides, self.constant(strides[None, :, None]))
        self.scores = self.add("Mul", self._part("output", 4, 5), self._part("output", 5, 5 + LABELS))

    def constant(self, values: np.ndarray[Any, Any]) -> str:
        """A name for these values."""
        self._number += 1
        name = f"constant_{self._number}"
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The output of one more node."""
        self._number += 1
        name = f"added_{self._number}"
        self._graph.node.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _part(self, of: str, begin: int, end: int) -> str:
        bounds = [self.constant(np.array([each], np.int64)) for each in (begin, end, 2)]
        return self.add("Slice", of, *bounds)

    def output(self, value: str, name: str, kind: int = TensorProto.FLOAT) -> None:
        """Give a value out under this name."""
        self._graph.node.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, None))

    def sizes(self) -> str:
        """A second input: width and height, int64 (n, 2); as floats."""
        self._graph.input.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["n", 2]))
        return self.add("Cast", "orig_target_sizes", to=TensorProto.FLOAT)

    def write(self, folder: Path, family: str, *, labels: tuple[str, ...] = CLASS_NAMES, **toml: object) -> Path:
        """A model folder whose model.toml says all there is to know."""
        del self._graph.output[:]
        self._graph.output.extend(self._outputs)
        dims = self._graph.input[0].type.tensor_type.shape.dim
        dims[2].dim_value, dims[3].dim_value = SIZE[1], SIZE[0]
        folder.mkdir()
        onnx.save(self._model, str(folder / "weights.onnx"))
        (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
        digest = hashlib.sha256((folder / "weights.onnx").read_bytes()).hexdigest()
        kept = (SHIPPED / "model.toml").read_text(encoding="utf-8").splitlines()
        fields = {"family": family, "name": folder.name, "sha256": digest} | toml
        table = kept.index("[thresholds]")
        head = [line for line in kept[:table] if line.partition(" = ")[0] not in fields]
        said = [f"{name} = {_toml(value)}" for name, value in fields.items()]
        tail = [line for line in kept[table:] if line.partition(" = ")[0] not in set(CLASS_NAMES) - set(labels)]
        (folder / "model.toml").write_text("\n".join((*head, *said, "", *tail)) + "\n", encoding="utf-8")
        return folder


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def yolov8(folder: Path, *, labels: tuple[str, ...] = CLASS_NAMES) -> Path:
    """(n, 4 + labels, anchors), boxes in pixels of the input."""
    made = Rewriting()
    rows = made.add("Concat", made.centre, made.sides, made.scores, axis=2)
    made.output(made.add("Transpose", rows, perm=[0, 2, 1]), "output0")
    return made.write(folder, "yolov8", labels=labels, output_name="output0")


def _shares(made: Rewriting) -> str:
    whole = made.constant(np.array([*SIZE, *SIZE], np.float32))
    return made.add("Div", made.add("Concat", made.centre, made.sides, axis=2), whole)


def detr_joined(folder: Path) -> Path:
    """(n, queries, 4 + labels)."""
    made = Rewriting()
    made.output(made.add("Concat", _shares(made), made.scores, axis=2), "output0")
    return made.write(folder, "detr", output_name="output0")


def detr_split(folder: Path) -> Path:
    """Logits and boxes apart."""
    made = Rewriting()
    one = made.constant(np.array(1.0, np.float32))
    clipped = made.add(
        "Clip",
        made.scores,
        made.constant(np.array(1e-7, np.float32)),
        made.constant(np.array(1 - 1e-6, np.float32)),
    )
    odds = made.add("Div", clipped, made.add("Sub", one, clipped))
    made.output(made.add("Log", odds), "logits")
    made.output(_shares(made), "pred_boxes")
    return made.write(
        folder, "detr", output_name="logits", boxes_output="pred_boxes", scores_are_probabilities=False
    )


def detr_named(folder: Path) -> Path:
    """Scores, boxes in the size that goes in, and labels: one per query."""
    made = Rewriting()
    made.output(made.add("ReduceMax", made.scores, axes=[2], keepdims=0), "scores")
    made.output(made.add("ArgMax", made.scores, axis=2, keepdims=0), "labels", TensorProto.INT64)
    half = made.add("Mul", made.sides, made.constant(np.array(0.5, np.float32)))
    corners = [made.add("Sub", made.centre, half), made.add("Add", made.centre, half)]
    shares = made.add(
        "Div", made.add("Concat", *corners, axis=2), made.constant(np.array([*SIZE, *SIZE], np.float32))
    )
    sizes = made.sizes()
    four = made.add("Concat", sizes, sizes, axis=1)
    apart = made.add("Unsqueeze", four, made.constant(np.array([1], np.int64)))
    made.output(made.add("Mul", shares, apart), "boxes")
    return made.write(
        folder, "detr", output_name="scores", boxes_output="boxes", labels_output="labels",
        sizes_input="orig_target_sizes",
    )  # fmt: skip
