from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from contracts.place import ZoneKind
from inference.config import TrafficConfig
from inference.traffic import UNSEEN_MAX, StandingVehicles, StoppedVehicles, likeness
from inference.zones import ZoneShape
from tests.inference.pictures import Bgr, at, found, noisy, picture, textured, zone

ROAD = textured(320, 192, seed=9)
LANE = ZoneShape.of(zone(ZoneKind.LANE, ((0, 0.3), (1, 0.3), (1, 1), (0, 1))))
Box = tuple[float, float, float, float]
HERE: Box = (100, 80, 160, 130)


def paint(*cars: tuple[Box, int]) -> Bgr:
    """The road with cars, each looking like its number."""
    scene = ROAD.copy()
    for (x1, y1, x2, y2), looks in cars:
        patch = textured(int(x2 - x1), int(y2 - y1), seed=100 + looks)
        scene[int(y1) : int(y2), int(x1) : int(x2)] = patch
    return scene


class Road:
    """A camera over a lane, told what is where every two seconds."""

    def __init__(self, config: TrafficConfig | None = None) -> None:
        self.watch = StoppedVehicles(config or TrafficConfig(), [LANE])
        self.t = 0.0

    def sees(
        self, *cars: tuple[Box, int], confidence: float = 0.8, hidden: bool = False, step_s: float = 2.0
    ) -> list[StandingVehicles]:
        scene = noisy(paint(*cars), int(self.t * 10))
        findings = [] if hidden else [("car", confidence, box) for box, _ in cars]
        detections = found(*findings)
        told = self.watch.look(picture(scene, at(self.t)), detections, detections.confidence >= 0.3)
        self.t += step_s
        return told

    def sees_all(self, pictures: Iterable[tuple[Box, int]]) -> list[list[StandingVehicles]]:
        return [self.sees(each) for each in pictures]


def moved(box: Box, dx: float) -> Box:
    return box[0] + dx, box[1], box[2] + dx, box[3]


def test_vehicle_that_stays_is_told_from_ten_seconds_on_with_its_time() -> None:
    road = Road()
    road.sees()
    told = [road.sees((HERE, 1)) for _ in range(9)]
    assert [bool(each) for each in told] == [False] * 5 + [True] * 4
    assert [each[0].seconds for each in told[5:]] == [10.0, 12.0, 14.0, 16.0]
    assert told[5][0].samples == 6
    assert told[5][0].boxes[0].tolist() == pytest.approx(list(HERE))
    assert not told[5][0].from_start


def test_moving_vehicle_is_never_told() -> None:
    road = Road()
    assert not any(road.sees_all((moved(HERE, -95 + 25 * n), 1) for n in range(10)))


def test_crawling_vehicle_is_never_told() -> None:
    road = Road()
    assert not any(road.sees_all((moved(HERE, -60 + 8 * n), 1) for n in range(20)))


def test_other_vehicles_that_come_to_the_same_spot_are_not_one_that_stands() -> None:
    road = Road()
    assert not any(road.sees_all((HERE, looks) for looks in range(12)))


def test_vehicle_that_leaves_is_cleared_after_two_pictures_without_it() -> None:
    road = Road()
    road.sees()
    for _ in range(8):
        road.sees((HERE, 1))
    assert road.sees() == []
    (cleared,) = road.sees()
    assert cleared.gone
    assert cleared.seconds == 0.0
    assert road.sees() == []


def test_vehicle_overlooked_once_goes_on_standing() -> None:
    road = Road()
    road.sees()
    for _ in range(8):
        road.sees((HERE, 1))
    assert road.sees((HERE, 1), hidden=True) == []
    (standing,) = road.sees((HERE, 1))
    assert standing.seconds == 18.0


def test_vehicle_overlooked_for_long_is_not_gone_while_its_pixels_stay() -> None:
    road = Road()
    road.sees()
    for _ in range(8):
        road.sees((HERE, 1))
    assert not any(road.sees((HERE, 1), hidden=True) for _ in range(UNSEEN_MAX))
    (standing,) = road.sees((HERE, 1))
    assert standing.seconds == 16.0 + 2.0 * UNSEEN_MAX


def test_vehicle_never_found_again_is_gone_in_the_end_whatever_its_pixels_say() -> None:
    road = Road()
    road.sees()
    for _ in range(8):
        road.sees((HERE, 1))
    told = [road.sees((HERE, 1), hidden=True) for _ in range(UNSEEN_MAX + 2)]
    assert [bool(each) for each in told] == [False] * (UNSEEN_MAX + 1) + [True]
    assert told[-1][0].gone


def test_vehicle_hidden_by_one_in_front_is_not_gone() -> None:
    road = Road()
    road.sees()
    for _ in range(8):
        road.sees((HERE, 1))
    in_front: Box = (80, 60, 200, 170)
    for looks in range(3):
        assert not any(each.gone for each in road.sees((in_front, 50 + looks)))
    told = road.sees((HERE, 1))
    assert [each.seconds for each in told] == [22.0]


def test_doubtful_findings_keep_a_spot_but_make_none_and_claim_none() -> None:
    road = Road()
    road.sees()
    assert not any(road.sees((HERE, 1), confidence=0.1) for _ in range(10))
    road.sees((HERE, 1))
    assert not any(road.sees((HERE, 1), confidence=0.1) for _ in range(10))


def test_vehicle_beside_the_lane_is_nobodys_business() -> None:
    road = Road()
    road.sees()
    beside: Box = (100, 5, 160, 50)
    assert not any(road.sees((beside, 1)) for _ in range(10))


def test_vehicle_there_from_the_first_picture_is_told_and_becomes_background_after_ten_minutes() -> None:
    road = Road()
    told = [road.sees((HERE, 1), step_s=10.0) for _ in range(70)]
    active = [each[0] for each in told if each and not each[0].gone]
    assert all(each.from_start for each in active)
    assert active[-1].seconds == 590.0
    (cleared,) = [each[0] for each in told if each and each[0].gone]
    assert cleared.background


def test_vehicle_seen_to_stop_never_becomes_background() -> None:
    road = Road()
    road.sees()
    told = [road.sees((HERE, 1), step_s=10.0) for _ in range(100)]
    assert told[-1][0].seconds == 990.0


def test_two_vehicles_are_one_claim_with_the_longest_time() -> None:
    road = Road()
    road.sees()
    road.sees((HERE, 1))
    for _ in range(8):
        told = road.sees((HERE, 1), (moved(HERE, 90), 2))
    assert [(each.vehicles, each.seconds) for each in told] == [(2, 16.0)]


def test_likeness_tells_same_from_other_under_noise_and_light() -> None:
    one = textured(24, 24, seed=1)[..., 0]
    assert likeness(one, noisy(one, 3)) > 0.9
    assert likeness(one, np.asarray(one // 2, np.uint8)) > 0.9
    assert likeness(one, textured(24, 24, seed=2)[..., 0]) < 0.5
    flat = np.full((24, 24), 80, np.uint8)
    assert likeness(flat, flat) == 1.0
    assert likeness(flat, np.full((24, 24), 200, np.uint8)) == 0.0
