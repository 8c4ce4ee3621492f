from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from rich.progress import Progress

from contracts.errors import SourceMissing
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase
from contracts.place import ZoneKind
from inference.config import EvidenceConfig, InferenceConfig
from inference.footage import Pace, list_files, sample_video
from inference.reanalyse import reanalyse
from inference.tables import ReanalysisReport, read_records
from models.evaluate.counting import THRESHOLDS, best_threshold, countable, counts, truth
from models.evaluate.detect import Detector
from models.train.pictures import Picture as LabelledPicture
from models.train.run import split_parts
from runtime.site import PathsConfig, Site, SiteConfig
from sim.scenes import SceneKind, make_scene
from tests.inference.pictures import Bgr, at, camera, noisy, textured, zone

ROOT = Path(__file__).resolve().parents[2]
CONFIG = InferenceConfig(evidence=EvidenceConfig(reserve_mb=0))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(SiteConfig(id="t"), PathsConfig(state="state", models=str(ROOT / "models")), tmp_path)


def write_video(path: Path, pictures: list[Bgr], *, rate: int = 5, gop: int = 10) -> Path:
    """An MP4 with a key picture every `gop` pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "sc_threshold": "0"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        for index, bgr in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def square() -> Bgr:
    bgr, _ = make_scene(SceneKind.SQUARE_FILLING, 3).render(90.0)
    return bgr


def nanoseconds(path: Path) -> list[int]:
    return [1000 * us for us in pq.read_table(path).column("event_time").cast("int64").to_pylist()]


def samples(report: ReanalysisReport) -> list[Observation]:
    return [r for r in report.records() if isinstance(r, Observation) and r.phase is Phase.SAMPLE]


@pytest.mark.parametrize(("every_s", "offsets"), [(0.0, [0, 2, 4]), (1.0, [0, 1, 2, 3, 4, 5]), (2.5, [0, 2.5, 5])])
def test_video_is_sampled_at_key_pictures_or_every_so_often(
    tmp_path: Path, every_s: float, offsets: list[float]
) -> None:
    video = write_video(tmp_path / "v.mp4", [noisy(textured(), n) for n in range(30)])
    got = [sampled.offset_s for sampled in sample_video(video, Pace(every_s), 1_000_000)]
    assert got == pytest.approx(offsets, abs=0.25)


def test_people_of_a_video_become_samples_at_their_times(tmp_path: Path, site: Site, square: Bgr) -> None:
    video = write_video(tmp_path / "v.mp4", [noisy(square, n) for n in range(11)])
    own = camera(zone(ZoneKind.STANDING, area_m2=100.0))
    with Progress(disable=True) as progress:
        report = reanalyse(
            [video], site=site, config=CONFIG, out=tmp_path / "out", camera=own, start=at(0), progress=progress
        )
        assert progress.tasks[0].completed == progress.tasks[0].total == 1
    told = samples(report)
    assert [o.event_time for o in told] == [at(0), at(1), at(2)]
    assert all(o.count is not None and o.count >= 10 for o in told)
    assert all(o.source_id == own.id and o.place.grid_code == own.place.grid_code for o in told)
    assert told[0].evidence
    assert (tmp_path / "out" / "evidence" / told[0].evidence[0].path).exists()
    table = pq.read_table(report.pictures_file).to_pylist()
    assert [row["person"] for row in table] == [o.count for o in told]
    assert report.people == {str(video): sum(row["person"] for row in table)}


def test_stored_observations_have_columns_for_analysts(tmp_path: Path, site: Site, square: Bgr) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), square)
    report = reanalyse([tmp_path / "a.png"], site=site, config=CONFIG, out=tmp_path / "out", start=at(5))
    rows = pq.read_table(report.observations_file).to_pylist()
    row = next(row for row in rows if row["kind"] == "observation")
    assert row["type"] == IncidentType.CROWD_DENSITY
    assert nanoseconds(report.observations_file)[-1] == at(5)
    assert row["count"] >= 10
    assert row["density"] is None
    assert row["model"].startswith("county-nano@")
    assert list(read_records(report.observations_file)) == list(report.records())


def test_same_files_give_the_same_records(tmp_path: Path, site: Site, square: Bgr) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), square)
    reports = [
        reanalyse([tmp_path / "a.png"], site=site, config=CONFIG, out=tmp_path / name, start=at(0))
        for name in ("one", "two")
    ]
    assert list(reports[0].records()) == list(reports[1].records())


def test_stills_of_a_series_are_one_camera_and_stills_alone_are_many(tmp_path: Path, site: Site) -> None:
    folder = tmp_path / "stills"
    folder.mkdir()
    for n in range(3):
        cv2.imwrite(str(folder / f"{n}.png"), textured(seed=n))
    alone = reanalyse([folder], site=site, config=CONFIG, out=tmp_path / "o1", start=at(0))
    series = reanalyse([folder], site=site, config=CONFIG, out=tmp_path / "o2", start=at(0), series_s=2.0)
    assert len({record.source_id for record in alone.records()}) == 3
    assert len({record.source_id for record in series.records()}) == 1
    assert nanoseconds(series.pictures_file) == [at(0), at(2), at(4)]


def test_bad_files_are_named_with_a_reason_and_the_others_go_on(tmp_path: Path, site: Site, square: Bgr) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"no picture")
    (folder / "b.mp4").write_bytes(b"no video" * 100)
    whole = write_video(folder / "c.mp4", [square] * 5).read_bytes()
    (folder / "d.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "e.png").write_bytes(b"")
    report = reanalyse([folder], site=site, config=CONFIG, out=tmp_path / "out", start=at(0))
    assert {Path(name).name for name in report.refused} == {"a.jpg", "b.mp4", "d.mp4", "e.png"}
    assert report.pictures == 1
    assert len(samples(report)) == 1
    assert "a.jpg" in report.text()


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        list_files([tmp_path / "nothing"])
    with pytest.raises(SourceMissing):
        list_files([tmp_path])


def test_recordings_of_one_camera_follow_one_another(tmp_path: Path, site: Site) -> None:
    clips = [write_video(tmp_path / f"{n}.mp4", [noisy(textured(), n)] * 15) for n in range(2)]
    own = camera(zone(ZoneKind.STANDING))
    report = reanalyse(clips, site=site, config=CONFIG, out=tmp_path / "out", camera=own, start=at(0))
    assert nanoseconds(report.pictures_file) == [Instant(at(0) + round(s * SECOND)) for s in (0, 1, 2, 3, 4, 5)]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_people_are_counted_no_worse_than_the_base_model_does(data_dir: Path, tmp_path: Path, site: Site) -> None:
    """On labelled pictures that training has not seen, with thresholds as shipped."""
    parts = split_parts(data_dir)
    unseen = countable(parts.validation)
    paths = [picture.path for picture in unseen]
    report = reanalyse(paths, site=site, config=CONFIG, out=tmp_path / "out", keep_evidence=False)
    own = np.array([report.people[str(path)] for path in paths])
    base = base_model_counts(data_dir, countable(parts.train)[:300], unseen)
    own_error = np.abs(own - truth(unseen)).mean()
    base_error = np.abs(base - truth(unseen)).mean()
    print(f"pictures {len(unseen)}: mean absolute error {own_error:.3f}, YOLOX-Nano {base_error:.3f}")
    assert len(unseen) >= 60
    assert own_error <= base_error


def base_model_counts(
    data: Path, training: Sequence[LabelledPicture], unseen: Sequence[LabelledPicture]
) -> npt.NDArray[np.float64]:
    """YOLOX-Nano at its own 416x416 and at the threshold that is best for it on training pictures."""
    judge = Detector(data / "models" / "yolox_nano_416.onnx", [0])
    chosen = best_threshold(counts(judge, training, (416, 416), 0.65), truth(training))
    column = int(np.argmin(np.abs(THRESHOLDS - chosen)))
    return np.asarray(counts(judge, unseen, (416, 416), 0.65)[:, column])


def test_burst_takes_more_pictures_for_its_time_and_then_the_beat_goes_on(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [textured(seed=n) for n in range(125)], rate=25)
    pace, got = Pace(1.0), []
    for sampled in sample_video(video, pace, 1_000_000):
        got.append(round(sampled.offset_s, 2))
        if sampled.offset_s == 1.0:
            pace.burst(0.12, 2.0)
    assert got[:2] == [0.0, 1.0]
    burst = [each for each in got if 1.0 < each <= 2.1]
    assert len(burst) == 9
    assert got[-2:] == [3.08, 4.08]
