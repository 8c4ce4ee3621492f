from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.evaluate.judge import Looked, judge_picture
from models.evaluate.report import write_html
from models.evaluate.run import AlarmFigures, ClassFigures, EvaluationReport, by_source, source_table, table
from models.train.pictures import Picture
from models.train.sets import CLASS_INDEX, CLASSES, SETS

SPEC = next(spec for spec in SETS if spec.name == "coco128")
CAR = CLASS_INDEX["car"]


@pytest.fixture
def looked(tmp_path: Path) -> list[Looked]:
    path = tmp_path / "street<1>.jpg"
    cv2.imwrite(str(path), np.full((100, 200, 3), 90, np.uint8))
    picture = Picture(SPEC, path, np.array([[CAR, 0.1, 0.1, 0.4, 0.6]], np.float32), np.zeros((0, 4), np.float32))
    found = np.array([[CAR, 0.9, 20, 10, 80, 60], [CAR, 0.7, 120, 20, 180, 70]], dtype=np.float32)
    return [Looked(picture, found, judge_picture(picture, found, 200, 100))]


@pytest.fixture
def report(looked: list[Looked]) -> EvaluationReport:
    return EvaluationReport(
        model="county-nano",
        version="1",
        sha256="0" * 64,
        size="416x256",
        pictures=len(looked),
        split_sha256="1" * 64,
        classes=[
            ClassFigures("car", 1, 1.0, 0.5, 0.3, 0.5, 1.0),
            ClassFigures("fire", 0, float("nan"), None, 0.4, 1, 0),
        ],
        alarms=[AlarmFigures("fire", 0, 0, 1, 0)],
        by_source=by_source(looked),
    )


def test_figures_are_told_per_source(looked: list[Looked]) -> None:
    boxes, ap50 = by_source(looked)["coco128"]["car"]
    assert boxes == 1
    assert ap50 == pytest.approx(1.0)


def test_tables_are_markdown_with_a_row_per_class_and_source(report: EvaluationReport) -> None:
    assert "| car | 1 | 1.000 | 0.500 | 0.30 | 0.50 | 1.00 |" in table(report).splitlines()
    assert source_table(report).splitlines()[-1].startswith("| coco128 |")
    assert table(report) in report.text()
    assert "fire: 0 of 0 pictures that show it, 0 of 1 that do not" in report.text()


def test_page_shows_curves_and_the_worst_mistake(
    looked: list[Looked], report: EvaluationReport, tmp_path: Path
) -> None:
    page = tmp_path / "reports" / "page.html"
    write_html(page, report, looked, looked, dict.fromkeys(CLASSES, 0.3))
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == len(CLASSES)
    assert text.count("<figure>") == 1
    assert "street&lt;1&gt;.jpg" in text
