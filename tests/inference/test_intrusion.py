from __future__ import annotations

from contracts.place import ZoneKind
from inference.config import IntrusionConfig
from inference.intrusion import Intrusion, IntrusionWatch, on_foot
from inference.zones import ZoneShape
from tests.inference.pictures import at, found, picture, textured, zone

ROAD = textured(320, 192, seed=9)
LANE = ZoneShape.of(zone(ZoneKind.LANE, ((0, 0.5), (1, 0.5), (1, 1), (0, 1))))
Box = tuple[float, float, float, float]
IN_LANE: Box = (100, 100, 116, 150)
ON_PAVEMENT: Box = (100, 20, 116, 70)


def told(*pictures: tuple[float, tuple[tuple[str, Box], ...]]) -> list[list[Intrusion]]:
    watch = IntrusionWatch(IntrusionConfig(), [LANE])
    return [
        watch.look(picture(ROAD, at(t_s)), found(*((name, 0.8, box) for name, box in things)))
        for t_s, things in pictures
    ]


def test_person_in_a_lane_in_pictures_that_span_three_seconds_is_told_and_again_after_ten() -> None:
    said = told(*((t_s, (("person", IN_LANE),)) for t_s in (0.0, 2.0, 4.0, 6.0, 14.0)))
    assert [len(each) for each in said] == [0, 0, 1, 0, 1]
    assert said[2][0].people == 1
    assert said[2][0].samples == 3
    assert said[2][0].boxes.tolist() == [list(IN_LANE)]


def test_person_on_the_pavement_or_in_a_lane_for_a_moment_is_nothing() -> None:
    assert not any(told(*((t_s, (("person", ON_PAVEMENT),)) for t_s in range(0, 20, 2))))
    crossing = [(0.0, (("person", IN_LANE),)), (2.0, ()), (4.0, ()), (6.0, (("person", IN_LANE),)), (8.0, ())]
    assert not any(told(*crossing))


def test_riders_whose_vehicle_is_overlooked_are_too_fast_to_walk() -> None:
    passing = [(2.0 * n, (("person", (20 + 130 * (n % 3), 110, 30 + 130 * (n % 3), 135)),)) for n in range(12)]
    assert not any(told(*passing))
    strolling = [(2.0 * n, (("person", (20.0 + 40 * n, 100.0, 36.0 + 40 * n, 150.0)),)) for n in range(4)]
    assert [len(each) for each in told(*strolling)] == [0, 0, 1, 0]


def test_lane_is_clear_after_two_pictures_without_anybody_and_one_is_the_detectors() -> None:
    there: tuple[tuple[str, Box], ...] = (("person", IN_LANE),)
    said = told((0, there), (2, there), (4, there), (6, ()), (8, there), (10, ()), (12, ()), (14, ()))
    assert [[each.gone for each in told_] for told_ in said] == [[], [], [False], [], [], [], [True], []]


def test_pictures_far_apart_are_no_span() -> None:
    there: tuple[tuple[str, Box], ...] = (("person", IN_LANE),)
    assert not any(told((0, there), (20, there), (40, there)))


def test_riders_and_drivers_are_not_on_foot() -> None:
    things = found(
        ("person", 0.8, (100, 90, 120, 140)), ("motorcycle", 0.8, (95, 115, 130, 150)),
        ("person", 0.8, (200, 100, 212, 118)), ("car", 0.8, (190, 90, 260, 140)),
        ("person", 0.8, (20, 90, 36, 140)), ("bicycle", 0.8, (50, 100, 80, 140)),
    )  # fmt: skip
    assert on_foot(things).tolist() == [False, False, False, False, True, False]
