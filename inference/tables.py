"""Tables: the two Parquet files of a re-analysis.

`observations.parquet`: kind (`observation` | `source_change`), id, source_id, event_time (UTC), type, phase,
zone_id, grid_code, count, count_error, density, value, unit, confidence, samples, span_s, model, record (the
record itself as it would have travelled: contracts.wire). `pictures.parquet`: file, source_id, offset_s,
event_time (UTC), width, height, one column per class with the number of confident findings, refused (reason, or
empty).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts import wire
from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.instant import SECOND
from contracts.observation import Observation
from contracts.source import SourceChange
from inference.picture import Picture
from inference.watch import Record

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

    def records(self) -> Iterator[Observation | SourceChange]:
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


def read_records(path: Path) -> Iterator[Observation | SourceChange]:
    """The stored records of an observations.parquet, in order."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["record"]):
            for data in batch.column("record").to_pylist():
                record = wire.decode_log_record(data)
                assert isinstance(record, Observation | SourceChange)
                yield record


class Tables:
    """The two Parquet files, written in row groups."""

    def __init__(self, report: ReanalysisReport) -> None:
        self._report = report
        self._records: list[dict[str, Any]] = []
        self._pictures: list[dict[str, Any]] = []

    def __enter__(self) -> Tables:
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

    def refuse(self, name: str, source_id: str, reason: str) -> None:
        """A row for a file that could not be read, or not to its end."""
        row = dict.fromkeys(PICTURE_COLUMNS.names)
        self._pictures.append(row | {"file": name, "source_id": source_id, "refused": reason})

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
