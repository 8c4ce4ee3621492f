"""Reanalyse: the same analytics over recorded files; what they give is told in inference.tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.progress import Progress

from contracts.errors import GridwhistleError
from contracts.instant import Instant, after, seconds
from contracts.place import Place, Zone, ZoneKind
from contracts.source import Camera
from inference.config import InferenceConfig
from inference.detector import Detector
from inference.evidence import EvidenceStore
from inference.footage import Pace, duration_s, is_still, list_files, read_still, sample_video
from inference.picture import Bgr, Picture
from inference.registry import load_model
from inference.tables import ReanalysisReport, Tables
from inference.watch import Observer
from runtime.metrics import StageCounters
from runtime.site import Site

WHOLE: Final = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


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
    Pace. `series_s`: stills are pictures of one camera, so many seconds apart; None = each still stands
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
        second=detector.second_look(config.fire.second_look),
    )
    plan = _Plan(files, camera, start, every_s, tuple(kinds), series_s)
    bar = _Bar(progress, len(files))
    with Tables(report) as tables:
        for recording in plan.recordings():
            observer.cameras([recording.camera])
            try:
                for batch in _batched(recording, config):
                    _look(batch, recording, detector, observer, tables, config)
                    bar.at(recording, batch[-1])
            except GridwhistleError as error:
                report.refused[recording.name] = str(error)
                tables.refuse(recording.name, recording.camera.id, error.reason)
            except OSError as error:
                report.refused[recording.name] = f"无法读取 (cannot be read: {error.strerror})"
                tables.refuse(recording.name, recording.camera.id, "unreadable")
            bar.finished(recording)
    return report


class _Bar:
    """The progress bar, in files; within a video by its time."""

    def __init__(self, progress: Progress | None, files: int) -> None:
        self._progress = progress
        self._done = 0
        self._length_s = 0.0
        self._task = progress.add_task("重新分析 (reanalyse)", total=files) if progress is not None else None

    def at(self, recording: _Recording, last: tuple[Path, float, Bgr]) -> None:
        """The recording is analysed up to this picture."""
        path, offset_s, _ = last
        if is_still(path):
            self._show(self._done + recording.files.index(path) + 1)
        elif self._progress is not None:
            self._length_s = self._length_s or _length_s(path)
            self._show(self._done + min(offset_s / self._length_s, 1.0) if self._length_s else self._done)

    def finished(self, recording: _Recording) -> None:
        """The next recording begins."""
        self._done += len(recording.files)
        self._length_s = 0.0
        self._show(self._done)

    def _show(self, completed: float) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=completed)


@dataclass(slots=True)
class _Recording:
    """One source's pictures: a video, a still, or stills that follow one another."""

    name: str
    files: list[Path]
    camera: Camera
    start: Instant
    pace: Pace
    step_s: float

    def pictures(self, pixels_max: int) -> Iterator[tuple[Path, float, Bgr]]:
        """(file, seconds since the recording began, picture)."""
        for index, path in enumerate(self.files):
            if is_still(path):
                yield path, index * self.step_s, read_still(path, pixels_max)
                continue
            for sampled in sample_video(path, self.pace, pixels_max):
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
        return _Recording(name, files, camera, start, Pace(self.every_s), step_s)


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
    tables: Tables,
    config: InferenceConfig,
) -> None:
    found = detector.detect([bgr for _, _, bgr in batch])
    for (path, offset_s, bgr), each in zip(batch, found, strict=True):
        moment = after(recording.start, seconds(offset_s))
        picture = Picture(recording.camera.id, bgr, moment, moment)
        outcome = observer.look(picture, each, moment)
        if outcome.burst:
            # As a live camera is promoted for it; of recordings all pictures are there at once.
            recording.pace.burst(config.flow.look_s, offset_s + config.flow.burst_s + config.flow.look_s)
        tables.add_records(outcome.records)
        tables.add_picture(path, offset_s, picture, detector.confident(each))
