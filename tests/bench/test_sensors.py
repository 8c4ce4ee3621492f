from __future__ import annotations

import pytest

from alerts.core.batch import Batch
from bench.sensors import Books, figures, good
from contracts import wire
from contracts.instant import SECOND, Instant
from tests.alerts.records import T0, smoke

RESULT = {"lost": 0, "duplicates": 0, "rate_per_s": 3_000}


def books(published: int, committed: list[int]) -> Books:
    """Alarms published one a second, those of `committed` written by a step each and heard half a second later."""
    found = Books()
    for number in range(published):
        found.sent[f"alarm-{number}"] = Instant(T0 + number * SECOND)
    for seq, number in enumerate(committed, start=1):
        at = Instant(T0 + number * SECOND + SECOND // 4)
        found.journal.append((at, wire.encode(Batch(observations=(smoke(number),)))))
        found.first_change[at] = seq
        found.heard[seq] = Instant(T0 + number * SECOND + SECOND // 2)
    return found


def test_all_committed_then_none_is_lost_and_each_way_is_its_own() -> None:
    run = figures("alarm", books(4, [0, 1, 2, 3]), T0, T0, {})
    assert (run.count, run.lost, run.p50_ms, run.p99_ms, run.seconds) == (4, 0, 500.0, 500.0, 3.5)


def test_alarm_that_the_journal_does_not_hold_is_lost() -> None:
    assert figures("alarm", books(4, [0, 2, 3]), T0, T0, {}).lost == 1
    nothing = figures("alarm", books(4, []), T0, Instant(T0 + SECOND), {})
    assert (nothing.lost, nothing.seconds) == (4, 1.0)
    assert figures("other", books(4, []), T0, Instant(T0 + SECOND), {}).lost == 0


def test_alarm_that_the_journal_holds_twice_is_counted() -> None:
    assert books(2, [0, 1]).commits()[1] == 0
    assert books(2, [0, 1, 1]).commits()[1] == 1


@pytest.mark.parametrize("change", [{"lost": 1}, {"duplicates": 1}, {"rate_per_s": 2_999}])
def test_loss_repetition_or_a_slow_flood_is_not_good(change: dict[str, int]) -> None:
    assert good(RESULT, 3_000)
    assert not good(RESULT | change, 3_000)
