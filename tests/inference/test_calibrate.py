from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from alerts.grids import load_catalogue, load_grids
from contracts.detection import Detections
from contracts.errors import ConfigError
from contracts.instant import SECOND
from contracts.observation import Observation
from contracts.place import ZoneKind
from inference.calibrate import by_points, points_of
from inference.ground import Ground
from sim.stack import toml
from tests.alerts.core.county import SQUARE
from tests.alerts.core.county import County as Engine
from tests.alerts.site_files import CAMERA_ID, write_site
from tests.inference.pictures import at, camera, found, textured, zone
from tests.inference.test_watch import Post

ROOT = Path(__file__).resolve().parents[2]
POINTS = ["0.2,0.9=0,0", "0.8,0.9=6,0", "0.6,0.5=6,12", "0.4,0.5=0,12"]
FIELD = ((0.2, 0.9), (0.8, 0.9), (0.6, 0.5), (0.4, 0.5))


def calibrate(folder: Path, kind: str, *arguments: str) -> tuple[int, str]:
    """The command as an operator runs it."""
    config = ["--config", str(folder / "gridwhistle.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "gridwhistle", "calibrate", kind, *arguments, *config],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def site(folder: Path) -> Path:
    write_site(folder)
    settings: dict[str, dict[str, object]] = {
        "site": {"id": "152921"},
        "paths": {"grids": "grids.geojson", "catalogue": "catalogue.json", "models": str(ROOT / "models")},
    }
    (folder / "gridwhistle.toml").write_text(toml(settings), encoding="utf-8")
    return folder


def test_points_are_shown_first_and_written_when_a_person_confirms(tmp_path: Path) -> None:
    folder = site(tmp_path)
    before = (folder / "catalogue.json").read_bytes()
    code, said = calibrate(folder, "points", CAMERA_ID, *POINTS)
    assert (code, "--confirm" in said) == (0, True)
    assert (folder / "catalogue.json").read_bytes() == before
    code, said = calibrate(folder, "points", CAMERA_ID, *POINTS, "--confirm")
    assert code == 0, said
    tree = load_grids(folder / "grids.geojson", "152921", "152921")
    (written,) = [each for each in load_catalogue(folder / "catalogue.json", tree).cameras if each.id == CAMERA_ID]
    assert written.homography is not None
    assert Ground.of(written.homography).area_m2(np.array(FIELD)) == pytest.approx(72.0)


def test_points_that_cannot_be_read_and_a_strange_camera_are_refused_in_words(tmp_path: Path) -> None:
    folder = site(tmp_path)
    for arguments, words in (
        (("points", CAMERA_ID, "0.2;0.9"), "0.2;0.9"),
        (("points", CAMERA_ID, *POINTS[:3]), "4"),
        (("points", "nobody", *POINTS), "nobody"),
        (("heights", CAMERA_ID, str(folder / "absent.mp4")), "absent.mp4"),
    ):
        code, said = calibrate(folder, *arguments)
        assert (code != 0, words in said) == (True, True), said


def test_points_beyond_four_tell_how_far_they_lie_apart() -> None:
    seen = camera(zone(ZoneKind.STANDING, FIELD))
    said = by_points(seen, [*POINTS, "0.5,0.7=3.4,4.6"])
    assert said.zones[0].area_m2 == pytest.approx(72.0, rel=0.15)
    assert said.zones[0].error > 0
    assert " m" in said.text()


@pytest.mark.parametrize("text", ["", "1,2", "a,b=c,d", "0.1,0.2=1,2,3", "0.1,0.2=nan,3"])
def test_point_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"0\.25,0\.80"):
        points_of([text])


def crowd_of(count: int) -> Detections:
    boxes = []
    for n in range(count):
        x, y = 90.0 + 9 * (n % 14), 80.0 + 16 * (n // 14)
        boxes.append(("person", 0.9, (x, y, x + 7, y + 18)))
    return found(*boxes)


@pytest.mark.parametrize("calibrated", [False, True])
def test_camera_without_a_measured_ground_counts_and_never_alarms_about_density(calibrated: bool) -> None:
    """Domain check 8: count present, density null, no density alert possible."""
    seen = camera(zone(ZoneKind.STANDING, FIELD))
    if calibrated:
        # The same place three times smaller: 8 m2 would be under the least area, 12 are dense with 40.
        ground = Ground.from_points(*points_of(POINTS)).homography
        small = tuple(value / 2.4 if row < 6 else value for row, value in enumerate(ground))
        seen = msgspec.structs.replace(seen, homography=small)
    post, engine = Post(seen), Engine()
    counts, densities = set(), set()
    for second in range(0, 140, 2):
        for record in post.sees(float(second), crowd_of(70), textured(320, 192, seed=second)):
            if isinstance(record, Observation):
                counts.add(record.count)
                densities.add(record.density)
                moved = msgspec.structs.replace(record, site=engine.engine.site, place=SQUARE)
                engine.at((record.event_time - at(0)) / SECOND).step(moved)
    assert max(count for count in counts if count is not None) >= 30
    if calibrated:
        assert None not in densities
        assert len(engine.incidents) == 1
    else:
        assert densities == {None}
        assert engine.incidents == {}
