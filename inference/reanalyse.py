"""Reanalyse: the same analytics over recorded files. Observations come out as Parquet, one row each.

`observations.parquet`: kind (`observation` | `source_change`), id, source_id, event_time (UTC), type, phase,
zone_id, grid_code, count, count_error, density, value, unit, confidence, samples, span_s, model, record (the
record itself as it would have travelled: contracts.wire). `pictures.parquet`: file, source_id, offset_s,
event_time (UTC), width, height, one column per class with the number of confident findings, refused (reason, or
empty).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import Progress

from contracts import wire
from contracts.detection import CLASS_NAMES, Detections
from contracts.errors import GridwhistleError
from contracts.instant import SECOND, Instant, after, seconds
from contracts.observation import Observation
from contracts.place import Place, Zone, ZoneKind
from contracts.source import Camera, SourceChange
from inference.config import InferenceConfig
from inference.detector import Detector
from inference.evidence import EvidenceStore
from inference.footage import duration_s, is_still, list_files, read_still, sample_video
from inference.picture import Bgr, Picture
from inference.registry import load_model
from inference.watch import Observer, Record
from runtime.metrics import StageCounters
from runtime.site import Site

WHOLE: Final = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
_ROWS = 2_000
_TIME = pa.timestamp("us", "UTC")  # what every reader can turn into its own type; `record` has the nanoseconds
OBSERVATION_COLUMNS: Final = pa.schema(
    [
        ("kind", pa.string()), ("id", pa.string()), ("source_id", pa.string()), ("event_time", _TIME),
        ("type", pa.string()), ("phase", pa.string()), ("zone_id", pa.string()), ("grid_code", pa.string()),
        ("count", pa.int32()), ("count_error", pa.float32()), ("density", pa.float32()), ("value", pa.float64()),
        ("unit", pa.string()), ("confidence", pa.float32()), ("samples", pa.int32()), ("span_s", pa.float64()),
        ("model", pa.string()), ("record", pa.binary()),
    ]
)  # fmt: skip
PICTURE_COLUMNS: Final = pa.schema(
    [
        ("file", pa.string()), ("source_id", pa.string()), ("offset_s", pa.float64()), ("event_time", _TIME),
        ("width", pa.int32()), ("height", pa.int32()),
        *((name, pa.int32()) for name in CLASS_NAMES),
        ("refused", pa.string()),
    ]
)  # fmt: skip


@dataclass(slots=True)
class ReanalysisReport:
    """What a re-analysis did. `people`: persons counted per file, summed over its pictures."""

    observations_file: Path
    pictures_file: Path
    pictures: int = 0
    observations: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)

    def records(self) -> Iterator[Record]:
        """The observations and source changes in the order in which they arose, for the engine."""
        return read_records(self.observations_file)

    def text(self) -> str:
        """For people."""
        lines = [
            f"图片 (pictures) {self.pictures}, 观测 (observations) {self.observations}, "
            f"人次 (people counted) {sum(self.people.values())}",
            f"{self.observations_file}",
            f"{self.pictures_file}",
        ]
        return "\n".join(lines + [f"拒绝 (refused) {name}: {why}" for name, why in self.refused.items()])


def read_records(path: Path) -> Iterator[Record]:
    """The stored records of an observations.parquet, in order."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["record"]):
            for data in batch.column("record").to_pylist():
                record = wire.decode_log_record(data)
                assert isinstance(record, Observation | SourceChange)
                yield record


def footage_camera(name: str, index: int, kinds: Sequence[ZoneKind]) -> Camera:
    """A stand-in camera for a file: the whole picture as a zone of each kind, uncalibrated, in no grid.

    Its point is made up, and 1.1 km from that of every other file, so that nothing of two files is ever joined.
    """
    zones = tuple(Zone(f"{name}/{kind}", name, kind, WHOLE) for kind in kinds)
    place = Place(lon=round(index % 9_000 * 0.01, 6), lat=round(index // 9_000 * 0.01, 6), name=name)
    return Camera(id=f"footage:{name}", name=name, place=place, owner="", zones=zones)


def reanalyse(
    paths: Sequence[Path],
    *,
    site: Site,
    config: InferenceConfig,
    out: Path,
    camera: Camera | None = None,
    start: Instant | None = None,
    every_s: float = 1.0,
    kinds: Sequence[ZoneKind] = (ZoneKind.STANDING,),
    series_s: float | None = None,
    keep_evidence: bool = True,
    progress: Progress | None = None,
) -> ReanalysisReport:
    """Analyse videos and stills; a file that cannot be read is named in the report, and the others go on.

    `camera`: every file is a recording of it, one after the other; else each file is a camera of its own with
    zones of `kinds`. `start`: when the first file began; None = each file's own time stamp. `every_s`: see
    sample_video. `series_s`: stills are pictures of one camera, so many seconds apart; None = each still stands
    alone.

    Raises SourceMissing for paths that do not exist and ModelRefused for the model.
    """
    files = list_files(paths)
    model = load_model(site.models_dir / config.model, config.thresholds)
    detector = Detector(model, floor=config.evidence.floor, threads=config.threads, batch_max=config.batch_max)
    out.mkdir(parents=True, exist_ok=True)
    report = ReanalysisReport(out / "observations.parquet", out / "pictures.parquet")
    # Re-analysis may wait for nobody: evidence of every second would only fill the disk, so its limits stay.
    evidence = EvidenceStore(out / "evidence", config.evidence) if keep_evidence else None
    observer = Observer(
        site=site.id,
        exercise=site.exercise,
        config=config,
        model=model,
        evidence=evidence,
        counters=StageCounters("reanalyse"),
    )
    plan = _Plan(files, camera, start, every_s, tuple(kinds), series_s)
    task = progress.add_task("重新分析 (reanalyse)", total=len(files)) if progress is not None else None
    with _Tables(report) as tables:
        for recording in plan.recordings():
            observer.cameras([recording.camera])
            try:
                for batch in _batched(recording, config):
                    _look(batch, recording, detector, observer, tables)
            except GridwhistleError as error:
                report.refused[recording.name] = str(error)
                tables.refuse(recording, error.reason)
            except OSError as error:
                report.refused[recording.name] = f"无法读取 (cannot be read: {error.strerror})"
                tables.refuse(recording, "unreadable")
            if progress is not None and task is not None:
                progress.advance(task, len(recording.files))
    return report


@dataclass(slots=True)
class _Recording:
    """One source's pictures: a video, a still, or stills that follow one another."""

    name: str
    files: list[Path]
    camera: Camera
    start: Instant
    every_s: float
    step_s: float

    def pictures(self, pixels_max: int) -> Iterator[tuple[Path, float, Bgr]]:
        """(file, seconds since the recording began, picture)."""
        for index, path in enumerate(self.files):
            if is_still(path):
                yield path, index * self.step_s, read_still(path, pixels_max)
                continue
            for sampled in sample_video(path, self.every_s, pixels_max):
                yield path, sampled.offset_s, sampled.bgr


@dataclass(slots=True)
class _Plan:
    files: list[Path]
    camera: Camera | None
    start: Instant | None
    every_s: float
    kinds: tuple[ZoneKind, ...]
    series_s: float | None

    def recordings(self) -> Iterator[_Recording]:
        """What belongs together, with the time at which each began."""
        stills = [path for path in self.files if is_still(path)]
        if self.series_s is not None and stills:
            yield self._recording(0, "stills", stills, self.start, self.series_s)
        moment = self.start
        for index, path in enumerate(self.files):
            if self.series_s is not None and is_still(path):
                continue
            yield self._recording(index, str(path), [path], moment, 0.0)
            if moment is not None:
                moment = after(moment, seconds(1.0 if is_still(path) else _length_s(path)))

    def _recording(
        self, index: int, name: str, files: list[Path], start: Instant | None, step_s: float
    ) -> _Recording:
        camera = self.camera if self.camera is not None else footage_camera(name, index, self.kinds)
        if start is None:
            start = Instant(files[0].stat().st_mtime_ns)
        return _Recording(name, files, camera, start, self.every_s, step_s)


def _length_s(path: Path) -> float:
    try:
        return duration_s(path)
    except GridwhistleError:
        # It is refused with its reason when its turn comes.
        return 0.0


def _batched(recording: _Recording, config: InferenceConfig) -> Iterator[list[tuple[Path, float, Bgr]]]:
    batch: list[tuple[Path, float, Bgr]] = []
    for each in recording.pictures(config.picture_pixels_max):
        batch.append(each)
        if len(batch) == config.batch_max:
            yield batch
            batch = []
    if batch:
        yield batch


def _look(
    batch: list[tuple[Path, float, Bgr]],
    recording: _Recording,
    detector: Detector,
    observer: Observer,
    tables: _Tables,
) -> None:
    found = detector.detect([bgr for _, _, bgr in batch])
    for (path, offset_s, bgr), each in zip(batch, found, strict=True):
        moment = after(recording.start, seconds(offset_s))
        picture = Picture(recording.camera.id, bgr, moment, moment)
        outcome = observer.look(picture, each, moment)
        tables.add_records(outcome.records)
        tables.add_picture(path, offset_s, picture, detector.confident(each))


class _Tables:
    """The two Parquet files, written in row groups."""

    def __init__(self, report: ReanalysisReport) -> None:
        self._report = report
        self._records: list[dict[str, Any]] = []
        self._pictures: list[dict[str, Any]] = []

    def __enter__(self) -> _Tables:
        self._record_file = pq.ParquetWriter(self._report.observations_file, OBSERVATION_COLUMNS)
        self._picture_file = pq.ParquetWriter(self._report.pictures_file, PICTURE_COLUMNS)
        return self

    def __exit__(self, *_: object) -> None:
        self._flush(rows_min=1)
        self._record_file.close()
        self._picture_file.close()

    def add_records(self, records: list[Record]) -> None:
        """One row per record."""
        self._records += [_record_row(record) for record in records]
        self._report.observations += sum(isinstance(record, Observation) for record in records)
        self._flush(_ROWS)

    def add_picture(self, path: Path, offset_s: float, picture: Picture, sure: Detections) -> None:
        """One row per picture; `sure`: confident findings."""
        counts = np.bincount(sure.class_id, minlength=len(CLASS_NAMES))
        row: dict[str, Any] = {name: int(counts[index]) for index, name in enumerate(CLASS_NAMES)}
        row |= {"file": str(path), "source_id": picture.source_id, "offset_s": offset_s, "refused": ""}
        row |= {"event_time": picture.event_time // 1000, "width": picture.width, "height": picture.height}
        self._pictures.append(row)
        self._report.pictures += 1
        self._report.people[str(path)] = self._report.people.get(str(path), 0) + row["person"]
        self._flush(_ROWS)

    def refuse(self, recording: _Recording, reason: str) -> None:
        """A row for a file that could not be read, or not to its end."""
        row = dict.fromkeys(PICTURE_COLUMNS.names)
        self._pictures.append(row | {"file": recording.name, "source_id": recording.camera.id, "refused": reason})

    def _flush(self, rows_min: int) -> None:
        if len(self._records) >= rows_min:
            self._record_file.write_table(pa.Table.from_pylist(self._records, OBSERVATION_COLUMNS))
            self._records.clear()
        if len(self._pictures) >= rows_min:
            self._picture_file.write_table(pa.Table.from_pylist(self._pictures, PICTURE_COLUMNS))
            self._pictures.clear()


def _record_row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"id": record.id, "source_id": record.source_id, "record": wire.encode(record)}
    if not isinstance(record, Observation):
        return row | {"kind": "source_change", "event_time": record.at // 1000, "phase": record.state}
    same = ("type", "phase", "count", "count_error", "density", "value", "unit", "confidence")
    values = msgspec.structs.asdict(record)
    row |= {name: values[name] for name in (*same, "samples", "model")}
    row |= {"kind": "observation", "event_time": record.event_time // 1000, "span_s": record.span_ns / SECOND}
    return row | {"zone_id": record.place.zone_id, "grid_code": record.place.grid_code}
