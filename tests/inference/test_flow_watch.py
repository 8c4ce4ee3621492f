from __future__ import annotations

import numpy as np
import pytest

from alerts.core.limits import SEEN_NS
from contracts.incident import Level
from contracts.instant import SECOND
from contracts.observation import IncidentType, Phase
from contracts.place import ZoneKind
from contracts.source import SourceKind
from inference.config import FlowConfig
from inference.detector import Detector
from inference.flow_watch import FlowWatch, LaneState
from inference.ground import Ground
from inference.picture import Picture
from inference.registry import load_model
from inference.zones import ZoneShape
from sim.scenario import normalised_homography
from sim.scenes import SceneKind, make_scene
from tests.alerts.core.county import SQUARE, moved
from tests.alerts.core.county import County as Engine
from tests.inference.county import MODELS
from tests.inference.pictures import at, zone
from tests.inference.roadside import Car, Roadside, lane, steady

QUEUE = [Car(steady(16 + 6.5 * n, 0.0), x=(-2.0, 2.0)[n % 2]) for n in range(6)]
ROAD = moved(SQUARE, 5_000.0, zone_id="lane", name="新华路")


def wishes(road: Roadside, seconds: range) -> list[int]:
    wished = []
    for second in seconds:
        road.sees(float(second))
        if road.watch.wants:
            wished.append(second)
    return wished


def test_busy_lane_asks_for_a_burst_until_it_gets_one_and_then_rests() -> None:
    road = Roadside(*QUEUE)
    assert wishes(road, range(0, 14, 2)) == [0, 4, 8, 12]
    road.burst(14.0)
    assert wishes(road, range(22, 60, 2)) == [46, 50, 54, 58]


def test_lane_with_few_vehicles_asks_for_nothing_and_is_measured_when_looked_at_all_the_same() -> None:
    road = Roadside(Car(steady(30.0, 0.0)))
    assert wishes(road, range(0, 60, 2)) == []
    assert [each.congestion.vehicles for each in road.burst(60.0) if each.congestion] == [1]


def test_pictures_too_far_apart_are_no_burst() -> None:
    road = Roadside(*QUEUE)
    assert not [each for n in range(40) for each in road.sees(n * 0.8)]


def test_burst_that_broke_off_early_says_nothing() -> None:
    road = Roadside(*QUEUE)
    assert road.burst(0.0, seconds=1.5) == []
    assert road.sees(4.0) == []


def test_vehicle_against_the_stated_direction_is_told_once_a_burst_and_taken_back_later() -> None:
    wrong = Car(steady(50.0, -30.0))
    road = Roadside(wrong, shape=lane(outwards=True))
    said = [each.wrong for each in road.burst(0.0) if each.wrong is not None]
    assert len(said) == 1
    assert said[0].metres is not None
    assert said[0].seconds >= 3
    assert said[0].metres >= 10
    assert said[0].kmh == pytest.approx(30.0, rel=0.05)
    assert not any(each.right_again for each in road.sees(12.0))
    assert [each.right_again for each in road.sees(24.0)] == [True]
    assert road.sees(26.0) == []


@pytest.mark.parametrize("kmh", [30.0, -4.0], ids=["along", "rolls back 6 m"])
def test_vehicle_along_the_lane_or_that_hardly_rolls_back_is_not_wrong(kmh: float) -> None:
    road = Roadside(Car(steady(30.0, kmh)), shape=lane(outwards=True))
    assert not [each for each in road.burst(0.0) if each.wrong is not None]


def platoon(begin_s: float, *, both_ways: bool) -> list[Car]:
    """Six cars in the lane from `begin_s` on, every other one on the other side, the other way."""
    cars = []
    for k in range(6):
        back = both_ways and k % 2 == 1
        kmh = -25.0 if back else 25.0
        cars.append(Car(steady(14 + 6 * k - kmh / 3.6 * begin_s, kmh), x=-2.0 if back else 2.0))
    return cars


@pytest.mark.parametrize("both_ways", [False, True])
def test_direction_is_learnt_where_all_go_one_way_and_never_where_they_go_both(both_ways: bool) -> None:
    road = Roadside()
    for n in range(8):
        road.cars[:] = platoon(60.0 * n, both_ways=both_ways)
        assert not [each for each in road.burst(60.0 * n) if each.wrong is not None]
    road.cars[:] = [Car(lambda t_s: 50.0 - 30 / 3.6 * (t_s - 600.0))]
    assert len([each for each in road.burst(600.0) if each.wrong is not None]) == (not both_ways)


def test_blind_camera_forgets_and_names_the_lanes_whose_congestion_is_unknown_now() -> None:
    road = Roadside(*QUEUE)
    road.burst(0.0)
    assert [shape.zone.id for shape in road.watch.blind()] == ["lane"]
    assert road.watch.blind() == []


def tell(engine: Engine, t_s: float, said: list[LaneState]) -> None:
    """Samples as inference sends them, into the engine that makes incidents of them."""
    for each in said:
        if each.congestion is not None:
            engine.at(t_s).camera("C-9", ROAD).says(
                IncidentType.CONGESTION,
                Phase.SAMPLE,
                kind=SourceKind.CAMERA,
                value=float(each.congestion.grade),
                detail=(("zone_kind", "lane"),),
            )


def drive(road: Roadside, engine: Engine, seconds: int) -> None:
    """Key pictures every 2 s, a burst whenever one is wanted."""
    t_s = 0.0
    while t_s < seconds:
        said = road.sees(t_s)
        if road.watch.wants:
            said += road.burst(t_s + 0.5)
            t_s += 6.0
        t_s += 2.0
        tell(engine, t_s, said)
    engine.at(seconds + SEEN_NS / SECOND)


def test_queue_at_a_red_light_of_40_s_is_no_congestion() -> None:
    """Domain check 12: red for 40 of 90 s, then the queue goes off at 40 km/h and others follow."""

    def at_light(place: int) -> Car:
        def way(t_s: float) -> float:
            green_s = t_s % 90 - 40
            return 50.0 - 7.0 * place + (max(0.0, green_s - 0.8 * place) * 11.0)

        return Car(way, x=(-2.0, 2.0)[place % 2])

    engine = Engine()
    drive(Roadside(*[at_light(place) for place in range(30)]), engine, 540)
    assert engine.incidents == {}


def test_mean_speed_of_12_kmh_for_three_minutes_is_severe_on_an_arterial_road() -> None:
    """Domain check 12."""
    engine = Engine()

    def round_and_round(n: int) -> Car:
        return Car(lambda t_s: (12 / 3.6 * t_s + 8.0 * n) % 400 - 20, x=2.0)

    creeping = [round_and_round(n) for n in range(50)]
    drive(Roadside(*creeping), engine, 260)
    assert (engine.incident().level, engine.incident().code) == (Level.YELLOW, "22001")


def test_full_and_slow_road_without_measured_ground_is_moderate_at_most() -> None:
    engine = Engine()
    jam = [Car(steady(15 + 5.0 * (n // 2), 0.0), x=(-2.0, 2.0)[n % 2]) for n in range(16)]
    drive(Roadside(*jam, ground=None), engine, 400)
    assert (engine.incident().level, engine.incident().code) == (Level.BLUE, "22001")


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "night"), [(9001, False), (9002, True)])
def test_network_sees_a_rendered_road_flow_and_stand(seed: int, night: bool) -> None:
    """Nothing is shared with the renderer but pixels; 8.5 to 12.5 m/s is what its vehicles drive."""
    width, height = 640, 360
    scene = make_scene(SceneKind.ROAD_SLOWING, seed, night=night, width=width, height=height, onset_s=60.0)
    ground = Ground.of(normalised_homography(scene.view, width, height))
    shapes = [
        ZoneShape.of(
            zone(ZoneKind.LANE, tuple((x / width, y / height) for x, y in each.polygon), zone_id=each.name)
        )
        for each in scene.view.zones
    ]
    detector = Detector(load_model(MODELS / "county-nano", {}), floor=0.05)
    speeds: dict[float, list[float]] = {}
    for begin_s in (25.0, 110.0):
        watch, said = FlowWatch(FlowConfig(), shapes, ground), []
        for t_s in np.arange(begin_s, begin_s + 6.2, 0.16):
            bgr, _ = scene.render(float(t_s))
            found = detector.detect([bgr])[0]
            sure = found.confidence >= detector.model.thresholds[found.class_id]
            said += watch.look(Picture("cam", bgr, at(t_s), at(t_s)), found, sure)
        told = [each.congestion.kmh for each in said if each.congestion is not None]
        speeds[begin_s] = [kmh for kmh in told if kmh is not None]
    assert speeds[25.0]
    assert all(25 < kmh < 52 for kmh in speeds[25.0])
    assert min(speeds[110.0]) < 3
