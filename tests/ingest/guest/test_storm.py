from __future__ import annotations

from contracts.instant import MS, SECOND
from ingest.guest.storm import StormBegan, StormEnded, StormWatch


def test_power_cut_of_1000_cameras_is_told_twice_in_all() -> None:
    storms = StormWatch()
    for number in range(1000):
        storms.lost(f"c{number}", f"street {number % 8}", "closed", number * MS)
    told = [storms.tell(second * SECOND) for second in range(1, 5)]
    for number in range(1000):
        if number == 995:
            told.append(storms.tell(40 * SECOND))
        storms.back(f"c{number}")
    told += [storms.tell(second * SECOND) for second in range(41, 50)]
    began, ended = [each for each in told if each is not None]
    assert isinstance(began, StormBegan)
    assert began.cameras == 1000
    assert began.reasons == (("closed", 1000),)
    assert sum(count for _, count in began.places) == 1000
    assert isinstance(ended, StormEnded)
    assert (ended.cameras, ended.back, ended.away) == (1000, 1000, 0)
    assert ended.seconds == 41.0
    assert not storms.rages


def test_storm_ends_a_minute_after_the_last_came_back_and_names_who_is_away() -> None:
    storms = StormWatch()
    for number in range(30):
        storms.lost(f"c{number}", "dead" if number < 5 else "alive", "unreachable", 0)
    assert isinstance(storms.tell(3 * SECOND), StormBegan)
    assert (storms.lost_total, storms.away) == (30, 30)
    for number in range(5, 30):
        storms.back(f"c{number}")
    assert storms.tell(20 * SECOND) is None
    assert storms.tell(79 * SECOND) is None
    ended = storms.tell(80 * SECOND)
    assert isinstance(ended, StormEnded)
    assert (ended.back, ended.away, ended.places_away) == (25, 5, (("dead", 5),))
    assert (storms.lost_total, storms.away) == (0, 0)


def test_losses_one_by_one_and_one_flapping_camera_are_no_storm() -> None:
    storms = StormWatch()
    for number in range(200):
        storms.lost(f"c{number}", "p", "closed", number * SECOND)
        storms.lost("flapping", "p", "closed", number * SECOND)
    assert not storms.rages
    assert storms.tell(300 * SECOND) is None


def test_camera_that_left_the_catalogue_is_not_waited_for() -> None:
    storms = StormWatch()
    for number in range(20):
        storms.lost(f"c{number}", "p", "closed", 0)
    storms.tell(3 * SECOND)
    for number in range(19):
        storms.back(f"c{number}")
    storms.forget("c19")
    ended = storms.tell(4 * SECOND)
    assert isinstance(ended, StormEnded)
    assert ended.away == 0


def test_storms_are_numbered_and_there_is_none_between_them() -> None:
    storms = StormWatch()
    numbers = [storms.number]
    for storm in range(2):
        at_ns = storm * 100 * SECOND
        for number in range(20):
            storms.lost(f"c{number}", "p", "closed", at_ns)
        numbers.append(storms.number)
        for number in range(20):
            storms.back(f"c{number}")
        storms.tell(at_ns + 4 * SECOND)
        storms.tell(at_ns + 5 * SECOND)
        numbers.append(storms.number)
    assert numbers == [0, 1, 0, 2, 0]
