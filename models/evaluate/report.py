"""One HTML page about a model: figures, precision-recall curves (inline SVG), the worst mistakes as pictures.

It shows pictures of the data sets, so it belongs in an ignored folder and is never committed.
"""

from __future__ import annotations

import base64
import html as markup
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.evaluate.average_precision import Curve
from models.evaluate.judge import Looked, class_curve
from models.train.sets import CLASS_INDEX, CLASSES, TEACHER_CLASSES

if TYPE_CHECKING:
    from models.evaluate.run import EvaluationReport

_WORST = 6
_PLOT = 220
_GREEN, _RED = (80, 200, 80), (60, 60, 230)

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 1200px }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: 2px 8px; text-align: right }
figure { display: inline-block; margin: 4px } figcaption { font-size: 12px; color: #555 }
"""


def write_html(
    path: Path,
    report: EvaluationReport,
    looked: Sequence[Looked],
    coco: Sequence[Looked],
    thresholds: Mapping[str, float],
) -> None:
    """Writes the page. Red boxes: found with the given score but not there; green boxes: there."""
    parts = [f"<h1>{report.model} {report.version} at {report.size}</h1>"]
    parts.append(f"<p>{report.pictures} validation pictures, split {report.split_sha256[:12]}</p>")
    parts.append(_figures(report))
    for name in CLASSES:
        other = class_curve(coco, name) if name in TEACHER_CLASSES else None
        parts.append(f"<h2>{name}</h2>{_plot(class_curve(looked, name), other)}")
        parts.append("".join(_mistake(item, name, thresholds[name]) for item in _worst(looked, name)))
    page = f"<!doctype html><meta charset=utf-8><title>{report.model}</title><style>{_STYLE}</style>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page + "\n".join(parts), encoding="utf-8")


def _figures(report: EvaluationReport) -> str:
    rows = "".join(
        f"<tr><th>{row.name}<td>{row.boxes}<td>{row.ap50:.3f}"
        f"<td>{'' if row.coco_ap50 is None else f'{row.coco_ap50:.3f}'}"
        f"<td>{row.threshold:.2f}<td>{row.precision:.2f}<td>{row.recall:.2f}"
        for row in report.classes
    )
    head = "<tr><th>class<th>boxes<th>AP50<th>YOLOX-Nano<th>threshold<th>precision<th>recall"
    return f"<table>{head}{rows}</table>"


def _plot(own: Curve, other: Curve | None) -> str:
    lines = _polyline(own, "#c33")
    if other is not None:
        lines += _polyline(other, "#999")
    return (
        f'<svg width="{_PLOT + 20}" height="{_PLOT + 20}" viewBox="-10 -10 {_PLOT + 20} {_PLOT + 20}">'
        f'<rect width="{_PLOT}" height="{_PLOT}" fill="none" stroke="#ccc"/>{lines}</svg>'
    )


def _polyline(curve: Curve, colour: str) -> str:
    step = max(1, len(curve.recall) // 300)
    points = " ".join(
        f"{recall * _PLOT:.1f},{(1 - precision) * _PLOT:.1f}"
        for recall, precision in zip(curve.recall[::step], curve.precision[::step], strict=True)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}"/>'


def _worst(looked: Sequence[Looked], name: str) -> list[Looked]:
    """The pictures with the highest-scored false detection of the class."""
    scored = []
    for index, item in enumerate(looked):
        judged = item.judged.get(name)
        if judged is not None:
            false = judged.scores[~judged.true]
            if len(false):
                scored.append((float(false.max()), index))
    return [looked[index] for _, index in sorted(scored, reverse=True)[:_WORST]]


def _mistake(item: Looked, name: str, threshold: float) -> str:
    pixels = item.picture.read()
    row = CLASS_INDEX[name]
    scale = np.array([pixels.shape[1], pixels.shape[0]] * 2)
    for box in item.picture.boxes[item.picture.boxes[:, 0] == row][:, 1:] * scale:
        _draw(pixels, box, _GREEN)
    for found in item.found[(item.found[:, 0] == row) & (item.found[:, 1] >= threshold)]:
        _draw(pixels, found[2:], _RED)
        corner = (int(found[2]) + 2, int(found[3]) + 12)
        cv2.putText(pixels, f"{found[1]:.2f}", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _RED, 1)
    _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])
    data = base64.b64encode(packed.tobytes()).decode()
    caption = markup.escape(item.picture.key)
    return (
        f'<figure><img width="300" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _draw(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    box: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    colour: tuple[int, int, int],
) -> None:
    x1, y1, x2, y2 = (int(value) for value in box)
    cv2.rectangle(pixels, (x1, y1), (x2, y2), colour, 1)
