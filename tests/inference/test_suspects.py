from __future__ import annotations

from inference.suspects import SuspectLog
from runtime.clock import SimClock


def test_suspicion_is_news_once_and_again_after_a_quiet_time_for_each_reason() -> None:
    clock = SimClock()
    log = SuspectLog(clock)
    told = []
    for second in range(100):
        if second < 20 or second >= 70:
            told.append((second, log.tell("a", "fire")))
        clock.advance(1.0)
    assert [second for second, news in told if news] == [0, 70]
    assert log.tell("a", "burst")
    assert log.tell("b", "fire")
