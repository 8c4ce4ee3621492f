"""Entry point of the command line: judges a model folder on the validation groups of the labelled sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.evaluate.alarms import FolderAlarms, HardFigures, judge_alarms
from models.evaluate.counting import CountError, compare
from models.evaluate.detect import Detector, Seen
from models.evaluate.folder import ModelFolder, read_folder
from models.evaluate.judge import Looked, class_curve, look, picture_rates
from models.evaluate.report import write_html
from models.train.run import COCO_WEIGHTS, split_parts
from models.train.sets import CLASSES, TEACHER_CLASSES
from models.train.teacher import COCO_ROWS


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class: boxes to find, AP50, that of YOLOX-Nano (None where it does not know the class), and the
    precision and recall at the shipped threshold."""

    name: str
    boxes: int
    ap50: float
    coco_ap50: float | None
    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class AlarmFigures:
    """Pictures at the shipped threshold: that show it, of those alarmed, that do not, of those alarmed."""

    name: str
    shown: int
    alarmed: int
    clear: int
    false: int


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What the judge found; `by_source` maps a set to AP50 per class with boxes there."""

    model: str
    version: str
    sha256: str
    size: str
    pictures: int
    split_sha256: str
    classes: list[ClassFigures]
    alarms: list[AlarmFigures]
    by_source: dict[str, dict[str, tuple[int, float]]]
    counting: tuple[CountError, CountError] | None = None
    hard: tuple[Sequence[HardFigures], Sequence[FolderAlarms]] = ((), ())
    html: Path | None = None

    def text(self) -> str:
        """All figures as Markdown."""
        lines = [
            f"{self.model} {self.version} at {self.size}, {self.pictures} pictures",
            "",
            table(self),
        ]
        lines += ["", source_table(self), "", *(_alarm_line(alarm) for alarm in self.alarms)]
        lines += [hard_line(figures) for figures in self.hard[0]]
        lines += [folder_line(each) for each in self.hard[1]]
        lines += [_count_line(error) for error in self.counting or ()]
        if self.html is not None:
            lines.append(f"page: {self.html}")
        return "\n".join(lines)


def evaluate(
    model_dir: Path, data: Path, *, html: Path | None, size: Seen | None = None, counting: bool = True
) -> EvaluationReport:
    """Judges the folder at `size` (as inference shows pictures where None), beside YOLOX-Nano at 416 x 416.

    Writes one HTML page with curves and the worst mistakes to `html` where given. Raises ModelRefused or
    SourceMissing where the folder or the data are not usable.
    """
    folder = read_folder(model_dir)
    seen = size or folder.longer_side
    parts = split_parts(data)
    looked = look(folder.detector(), parts.validation, seen, nms_iou=folder.nms_iou, title=folder.name)
    coco = look(
        Detector(data / COCO_WEIGHTS, COCO_ROWS), parts.validation, (416, 416), nms_iou=0.65,
        title="yolox_nano_416", classes=TEACHER_CLASSES,
    )  # fmt: skip
    report = EvaluationReport(
        model=folder.name,
        version=folder.version,
        sha256=folder.sha256,
        size=f"longer side {seen}" if isinstance(seen, int) else f"{seen[0]}x{seen[1]}",
        pictures=len(looked),
        split_sha256=parts.split_sha256,
        classes=[_class_figures(folder, looked, coco, name) for name in CLASSES],
        alarms=[_alarm_figures(folder, looked, name) for name in ("fire", "smoke")],
        by_source=by_source(looked),
        counting=compare(model_dir, data, model_size=seen) if counting else None,
        hard=judge_alarms(
            folder.detector(), looked, data, seen, nms_iou=folder.nms_iou, thresholds=dict(folder.thresholds)
        ),
        html=html,
    )
    if html is not None:
        write_html(html, report, looked, coco, folder.thresholds)
    return report


def by_source(looked: Sequence[Looked]) -> dict[str, dict[str, tuple[int, float]]]:
    """AP50 with the number of boxes, per set and class that has boxes there."""
    table: dict[str, dict[str, tuple[int, float]]] = {}
    for source in sorted({item.picture.spec.name for item in looked}):
        mine = [item for item in looked if item.picture.spec.name == source]
        curves = {name: class_curve(mine, name) for name in CLASSES}
        table[source] = {name: (c.boxes, c.average_precision) for name, c in curves.items() if c.boxes}
    return table


def table(report: EvaluationReport) -> str:
    """The class figures as a Markdown table: what the model card shows."""
    lines = [
        "| class | boxes | AP50 | YOLOX-Nano 416x416 | threshold | precision | recall |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report.classes:
        coco = "-" if row.coco_ap50 is None else f"{row.coco_ap50:.3f}"
        lines.append(
            f"| {row.name} | {row.boxes} | {row.ap50:.3f} | {coco} | {row.threshold:.2f} "
            f"| {row.precision:.2f} | {row.recall:.2f} |"
        )
    return "\n".join(lines)


def source_table(report: EvaluationReport) -> str:
    """AP50 per source and class as a Markdown table, boxes in brackets."""
    lines = [f"| source | {' | '.join(CLASSES)} |", "|---|" + "---:|" * len(CLASSES)]
    for source, figures in report.by_source.items():
        cells = [f"{figures[name][1]:.2f} ({figures[name][0]})" if name in figures else "" for name in CLASSES]
        lines.append(f"| {source} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _alarm_line(alarm: AlarmFigures) -> str:
    return (
        f"{alarm.name}: {alarm.alarmed} of {alarm.shown} pictures that show it, "
        f"{alarm.false} of {alarm.clear} that do not"
    )


def hard_line(figures: HardFigures) -> str:
    """Recall at one false picture in a hundred hard negatives, and at the shipped threshold."""
    unseen = "" if figures.unseen_recall is None else f", {figures.unseen_recall:.3f} of unseen ones that burn"
    return (
        f"{figures.name}: recall {figures.recall:.3f}{unseen} at {figures.threshold:.2f} (1 % false pictures of "
        f"{figures.negatives} hard negatives); at the shipped {figures.shipped_threshold:.2f}: recall "
        f"{figures.shipped_recall:.3f}, false {figures.shipped_false:.3f}"
    )


def folder_line(each: FolderAlarms) -> str:
    """Alarms in a folder at the shipped thresholds."""
    return f"{each.name}: " + ", ".join(f"{name} in {n} of {each.pictures}" for name, n in each.alarmed.items())


def _count_line(error: CountError) -> str:
    bands = ", ".join(
        f"{band} people: {value:.2f}, bias {bias:+.2f} ({number})"
        for band, (number, value, bias) in error.by_band.items()
    )
    return (
        f"people, {error.model} at {error.threshold:.2f}: mean absolute error {error.mean_absolute_error:.3f}, "
        f"bias {error.bias:+.3f} on {error.pictures} pictures; {bands}"
    )


def _class_figures(
    folder: ModelFolder, looked: Sequence[Looked], coco: Sequence[Looked], name: str
) -> ClassFigures:
    own = class_curve(looked, name)
    threshold = folder.thresholds[name]
    precision, recall = own.at(threshold)
    theirs = class_curve(coco, name).average_precision if name in TEACHER_CLASSES else None
    return ClassFigures(name, own.boxes, own.average_precision, theirs, threshold, precision, recall)


def _alarm_figures(folder: ModelFolder, looked: Sequence[Looked], name: str) -> AlarmFigures:
    return AlarmFigures(name, *picture_rates(looked, name, folder.thresholds[name]))
