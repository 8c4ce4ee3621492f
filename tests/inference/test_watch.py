from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts import wire
from contracts.detection import Detections
from contracts.errors import StoreFull
from contracts.observation import EvidenceRef, IncidentType, Observation, Phase
from contracts.place import Zone, ZoneKind
from contracts.source import Camera, SourceChange, SourceState
from inference.config import EvidenceConfig, InferenceConfig
from inference.evidence import Drawing, EvidenceStore
from inference.picture import Picture
from inference.registry import load_model
from inference.watch import Observer, Record
from runtime.metrics import StageCounters
from tests.inference.pictures import at, camera, found, header, noisy, picture, textured, zone

MODEL = load_model(Path(__file__).resolve().parents[2] / "models" / "county-nano", {"fire": 0.4, "person": 0.3})
CONFIG = InferenceConfig(evidence=EvidenceConfig(reserve_mb=0))
PEOPLE = [("person", 0.8, (20.0 + 12 * n, 60.0, 30.0 + 12 * n, 90.0)) for n in range(12)]


class Post:
    """One camera in front of an observer."""

    def __init__(self, cam: Camera, evidence: EvidenceStore | None = None, *, exercise: bool = False) -> None:
        self.counters = StageCounters("inference")
        self.camera = cam
        self.observer = Observer(
            site="t", exercise=exercise, config=CONFIG, model=MODEL, evidence=evidence, counters=self.counters
        )
        self.observer.cameras([cam])

    def sees(self, second: float, findings: Detections, bgr: np.ndarray | None = None) -> list[Record]:
        scene = noisy(textured(), int(second * 10)) if bgr is None else bgr
        shot = picture(scene, at(second), self.camera.id)
        return self.observer.look(shot, findings, at(second)).records


def observations(records: list[Record]) -> list[Observation]:
    return [record for record in records if isinstance(record, Observation)]


def changes(records: list[Record]) -> list[SourceState]:
    return [record.state for record in records if isinstance(record, SourceChange)]


def test_count_carries_place_zone_model_and_times() -> None:
    own = Zone("z9", "广场", ZoneKind.STANDING, ((0, 0), (1, 0), (1, 1), (0, 1)), 40.0, 7, None, "F3", 105.5, 38.5)
    post = Post(camera(own))
    (sample,) = observations(post.sees(0, found(*PEOPLE)))
    assert (sample.type, sample.phase, sample.count) == (IncidentType.CROWD_DENSITY, Phase.SAMPLE, 12)
    assert sample.density == pytest.approx(0.3)
    assert (sample.place.lon, sample.place.lat) == (105.5, 38.5)
    assert sample.place.grid_code == post.camera.place.grid_code
    assert (sample.place.zone_id, sample.place.fire_zone, sample.zone_version) == ("z9", "F3", 7)
    assert sample.event_time == at(0)
    assert sample.model == f"{MODEL.tag} Apache-2.0 t=0.30"
    assert wire.decode_log_record(wire.encode(sample)) == sample


@pytest.mark.parametrize(("site", "cam"), [(True, False), (False, True)])
def test_drill_of_the_site_or_the_camera_marks_every_record(site: bool, cam: bool) -> None:
    post = Post(camera(zone(ZoneKind.STANDING), exercise=cam), exercise=site)
    assert {record.exercise for record in post.sees(0, found(*PEOPLE))} == {True}


def test_blind_camera_says_unknown_instead_of_zero_and_then_counts_again() -> None:
    post = Post(camera(zone(ZoneKind.STANDING), zone(ZoneKind.MOVING, zone_id="z2")))
    assert changes(post.sees(0, found(*PEOPLE))) == [SourceState.LIVE]
    grey = np.full((192, 320, 3), 90, np.uint8)
    records = [record for n in range(3) for record in post.sees(2 + 2 * n, Detections.empty(), noisy(grey, n))]
    assert changes(records) == [SourceState.BLIND]
    unknown = [o for o in observations(records) if o.phase is Phase.UNKNOWN]
    assert {o.place.zone_id for o in unknown} == {"z1", "z2"}
    assert all(o.count is None and o.density is None for o in unknown)
    assert not observations(post.sees(8, Detections.empty(), noisy(grey, 9)))
    again = post.sees(10, found(*PEOPLE))
    assert changes(again) == [SourceState.LIVE]
    assert [o.count for o in observations(again)] == [12, 12]


def test_nothing_is_claimed_from_the_picture_of_a_blind_camera() -> None:
    post = Post(camera(zone(ZoneKind.STANDING)))
    grey = np.full((192, 320, 3), 90, np.uint8)
    for n in range(3):
        post.sees(2.0 * n, Detections.empty(), noisy(grey, n))
    burning = found(("fire", 0.9, (10, 10, 60, 60)), *PEOPLE)
    assert observations(post.sees(6, burning, noisy(grey, 4))) == []


def test_late_camera_is_said_to_be_unknown_once_and_news_when_it_is_back() -> None:
    post = Post(camera(zone(ZoneKind.STANDING)))
    post.sees(0, Detections.empty())
    assert post.observer.late(at(CONFIG.late_s)) == []
    (unknown,) = observations(post.observer.late(at(CONFIG.late_s + 1)))
    assert unknown.phase is Phase.UNKNOWN
    assert dict(unknown.detail)["reason"] == "late"
    assert post.observer.late(at(CONFIG.late_s + 2)) == []
    assert [o.count for o in observations(post.sees(70, Detections.empty()))] == [0]


def test_camera_never_seen_is_not_late() -> None:
    assert Post(camera(zone(ZoneKind.STANDING))).observer.late(at(10_000)) == []


def test_quarantined_camera_is_news_with_its_counts_unknown() -> None:
    post = Post(camera(zone(ZoneKind.STANDING)))
    post.sees(0, Detections.empty())
    records = post.observer.quarantined(post.camera.id, at(5), "crash")
    assert changes(records) == [SourceState.BLIND]
    assert [o.phase for o in observations(records)] == [Phase.UNKNOWN]
    assert changes(post.sees(4000, Detections.empty())) == [SourceState.LIVE]


def test_undecodable_pictures_make_the_camera_blind() -> None:
    post = Post(camera(zone(ZoneKind.STANDING)))
    records = [
        record
        for n in range(3)
        for record in post.observer.refused(header(post.camera.id, n, at(2.0 * n))).records
    ]
    assert changes(records) == [SourceState.BLIND]


def test_picture_out_of_order_is_dropped_and_counted_but_a_clock_set_back_is_not() -> None:
    post = Post(camera(zone(ZoneKind.STANDING)))
    post.sees(100, found(*PEOPLE))
    assert post.sees(99, found(*PEOPLE)) == []
    assert post.sees(100, found(*PEOPLE)) == []
    assert post.counters.total("pictures_dropped", "out_of_order") == 2
    assert observations(post.sees(10, found(*PEOPLE)))


def test_fire_makes_a_camera_most_urgent_before_it_is_believed() -> None:
    post = Post(camera())
    shot = picture(textured(), at(0), post.camera.id)
    calm = post.observer.look(shot, found(*PEOPLE), at(0))
    later = picture(textured(), at(2), post.camera.id)
    alarmed = post.observer.look(later, found(("fire", 0.6, (10, 10, 50, 60))), at(2))
    assert calm.urgency == 1.0
    assert alarmed.urgency == 8.0
    assert alarmed.records == []


class Spy(EvidenceStore):
    """Remembers what it was asked to draw."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, CONFIG.evidence)
        self.drawings: list[Drawing] = []

    def keep(
        self, picture: Picture, drawing: Drawing, type_: IncidentType | None, *, width_max: int | None = None
    ) -> EvidenceRef:
        self.drawings.append(drawing)
        return super().keep(picture, drawing, type_, width_max=width_max)


def test_evidence_hides_doubtful_persons_and_those_of_the_pictures_before(tmp_path: Path) -> None:
    spy = Spy(tmp_path)
    post = Post(camera(zone(ZoneKind.STANDING)), spy)
    post.sees(0, found(("person", 0.06, (200, 100, 220, 150))))
    post.sees(2, found(("car", 0.07, (250, 100, 300, 150))))
    (sample,) = observations(
        post.sees(4, found(*PEOPLE, ("bus", 0.05, (0, 0, 30, 30)), ("fire", 0.2, (5, 5, 9, 9))))
    )
    assert len(sample.evidence) == 1
    hidden = {tuple(round(float(side)) for side in box) for box in spy.drawings[0].hidden}
    assert {(200, 100, 220, 150), (250, 100, 300, 150), (0, 0, 30, 30)} <= hidden
    assert len(hidden) == len(PEOPLE) + 3, "a flame is not hidden"
    assert len(spy.drawings[0].measured) == 12


def test_full_disk_costs_the_picture_not_the_observation(tmp_path: Path) -> None:
    class Full(EvidenceStore):
        def keep(
            self, picture: Picture, drawing: Drawing, type_: IncidentType | None, *, width_max: int | None = None
        ) -> EvidenceRef:
            raise StoreFull("满")

    post = Post(camera(zone(ZoneKind.STANDING)), Full(tmp_path, CONFIG.evidence))
    (sample,) = observations(post.sees(0, found(*PEOPLE)))
    assert sample.evidence == ()
    assert sample.count == 12
    assert post.counters.total("evidence_dropped", "disk_full") == 1


def test_catalogue_change_keeps_the_memory_of_unchanged_cameras_and_drops_gone_ones() -> None:
    kept, changed = (
        camera(zone(ZoneKind.STANDING)),
        camera(zone(ZoneKind.STANDING), camera_id="15292100001320000002"),
    )
    post = Post(kept)
    post.observer.cameras([kept, changed])
    post.sees(0, Detections.empty())
    post.observer.cameras([kept, camera(zone(ZoneKind.MOVING), camera_id=changed.id)])
    assert post.sees(2, Detections.empty()) == [], "still knows that zero was said"
    post.observer.cameras([changed])
    assert post.sees(4, found(*PEOPLE)) == []


def test_same_pictures_give_the_same_records() -> None:
    def story() -> list[Record]:
        post = Post(camera(zone(ZoneKind.STANDING), zone(ZoneKind.LANE, zone_id="z2")))
        car = ("car", 0.9, (100.0, 80.0, 160.0, 130.0))
        return [record for n in range(10) for record in post.sees(2.0 * n, found(*PEOPLE, car))]

    assert story() == story()
