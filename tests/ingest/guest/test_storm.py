from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from contracts import wire
from contracts.errors import LinkOverflow
from contracts.instant import MS, SECOND
from contracts.storm import StormReport
from ingest.guest.storm import StormBegan, StormEnded, StormWatch
from ingest.guest.storm_news import StormNews
from runtime.clock import SimClock
from runtime.metrics import StageCounters


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


class Watched:
    """A watch of which somebody tells, looked at as the worker does: every two seconds."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.clock.advance(1_000.0)
        self.watch = StormWatch()
        self.news = StormNews("s", "ingest-0")
        self.told: list[StormReport] = []

    def lose(self, *numbers: int, place: str = "p") -> None:
        for number in numbers:
            self.watch.lost(f"c{number}", place, "closed", self.clock.monotonic_ns())

    def look(self, seconds: float) -> None:
        for _ in range(round(seconds / 2)):
            self.clock.advance(2.0)
            now, now_ns = self.clock.now(), self.clock.monotonic_ns()
            report = self.news.look(self.watch, self.watch.tell(now_ns), now, now_ns)
            self.told += [report] if report is not None else []


def test_operators_hear_of_a_storm_when_it_begins_changes_and_ends_and_of_nothing_else() -> None:
    one = Watched()
    one.look(10)
    began_at = one.clock.now()
    one.lose(*range(30), place="wvp-1")
    one.look(2)
    assert one.told == [], "it gathers"
    one.look(2)
    [began] = one.told
    assert (began.began_at, began.cameras, began.away, began.ended_at) == (began_at, 30, 30, None)
    assert (began.places, began.places_away, began.reasons) == ((("wvp-1", 30),),) * 2 + ((("closed", 30),),)
    one.look(10)
    assert len(one.told) == 1, "nothing changed"
    for number in range(25):
        one.watch.back(f"c{number}")
    one.lose(30, place="host-2")
    one.look(2)
    assert (one.told[-1].cameras, one.told[-1].away) == (31, 6)
    assert one.told[-1].places_away == (("wvp-1", 5), ("host-2", 1))
    for number in range(25, 31):
        one.watch.back(f"c{number}")
    one.look(2)
    ended = one.told[-1]
    assert (ended.away, ended.ended_at, ended.at) == (0, one.clock.now(), one.clock.now())
    assert len(one.told) == 3
    one.look(100)
    assert len(one.told) == 3
    assert {each.id for each in one.told} == {began.id}


def test_storm_in_which_nothing_moves_is_told_again_so_that_nobody_takes_its_ingest_for_dead() -> None:
    one = Watched()
    one.lose(*range(40))
    one.look(58)
    assert [each.ended_at for each in one.told] == [None] * 4
    assert all(later.at - former.at <= 16 * SECOND for former, later in itertools.pairwise(one.told))
    one.look(10)
    assert one.told[-1].ended_at is not None, "a minute after the last change it is over"
    assert one.told[-1].away == 40
    later = one.clock.now()
    one.lose(*range(100, 130))
    one.look(4)
    assert one.told[-1].began_at == later
    assert one.told[-1].id != one.told[0].id
    assert one.told[-1].cameras == 30


class Link:
    """A log link that commits what it takes, unless it is down."""

    def __init__(self) -> None:
        self.down = True
        self.attempts = 0
        self.committed: list[StormReport] = []

    async def send(self, payloads: Sequence[bytes], *, deadline_s: float | None = None) -> None:
        assert deadline_s is None
        self.attempts += 1
        if self.down:
            raise LinkOverflow("full")
        self.committed += [wire.decode(payload, StormReport) for payload in payloads]

    async def close(self) -> None:
        raise AssertionError("not the news' to close")


async def test_news_that_could_not_be_sent_wait_the_newest_of_each_storm() -> None:
    one, link, counters = Watched(), Link(), StageCounters("ingest-cameras")
    one.lose(*range(30))
    one.look(80)
    one.lose(*range(100, 130))
    one.look(4)
    telling = asyncio.create_task(one.news.tell_forever(link, counters, SimClock()))
    await until(lambda: link.attempts == 3)
    assert counters.total("storms_not_sent", "link_overflow") >= 3
    link.down = False
    await until(lambda: len(link.committed) >= 2)
    newest = {report.id: report for report in one.told}
    assert link.committed == list(newest.values())
    assert [report.ended_at is None for report in link.committed] == [False, True]
    one.look(70)
    await until(lambda: len(link.committed) >= 3)
    telling.cancel()
    assert link.committed[2] == one.told[-1]
    assert one.told[-1].ended_at is not None


async def until(condition: Callable[[], bool]) -> None:
    """Let the teller run, by its own simulated clock, until the condition holds."""
    while not condition():
        await asyncio.sleep(0)  # noqa: TID251 - gives way to the teller
