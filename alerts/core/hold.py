"""Hold: when a sampled measure counts as a level, and when it no longer does.

Each level of a rule is a switch with two thresholds and two delays. It goes on when n samples at or over its
raise threshold span its hold, and off when samples below its clear threshold span the clear hold; between the
two thresholds it stays as it is, so that a value moving in the band changes nothing. A gap between samples, or
a moment in which the source was blind, starts both holds anew: what was not seen was not held.
"""

from __future__ import annotations

from alerts.core import limits
from alerts.core.policy import Rule
from alerts.core.state import Series
from contracts.incident import Level


def is_cold(series: Series) -> bool:
    """Nothing is held and no level is on."""
    return not series.first_id


def weigh(series: Series, rule: Rule, at: int, measured: float, observation_id: str) -> None:
    """Take one sample in, in order of event time, and work out the series' level."""
    broken = (
        series.last_time < series.broken_at <= at
        or at - series.last_time > rule.gap_max_ns
        # The clocks were set back.
        or at < series.last_time
    )
    series.last_time = at
    series.last_ids.append(observation_id)
    if len(series.last_ids) > limits.SEEN_PER_SERIES_MAX:
        del series.last_ids[0]
    series.measured = measured
    if not series.first_id and measured < rule.raise_at[0]:
        return
    if len(series.on) != len(rule.levels):
        _fit(series, rule)
    if broken:
        _break_runs(series)
    if not series.first_id:
        series.first_id, series.first_time = observation_id, at
    for index in range(len(rule.levels)):
        _weigh_level(series, rule, index, at, measured)
    _settle(series, rule)


def interrupt(series: Series, at: int) -> None:
    """Nothing may be held across `at`: the source is blind, or cannot tell."""
    series.broken_at = max(series.broken_at, at)
    series.unknown = True
    series.ended_said_at = 0
    _break_runs(series)


def end(series: Series, rule: Rule) -> None:
    """All levels go off at once: the source said so and its clear hold is over."""
    series.level = Level.NONE
    _fit(series, rule)
    _settle(series, rule)


def _weigh_level(series: Series, rule: Rule, index: int, at: int, measured: float) -> None:
    if measured >= rule.raise_at[index]:
        if series.above_n[index] == 0:
            series.above_since[index] = at
        series.above_n[index] += 1
        series.below_since[index] = 0
        held_ns = at - series.above_since[index]
        if held_ns >= rule.hold_ns[index] and series.above_n[index] >= rule.of.samples_min:
            series.on[index] = True
        return
    series.above_n[index] = 0
    if measured >= rule.clear_at[index] or not series.on[index]:
        series.below_since[index] = 0
        return
    series.below_since[index] = series.below_since[index] or at
    if at - series.below_since[index] >= rule.clear_hold_ns:
        series.on[index] = False
        series.below_since[index] = 0


def _settle(series: Series, rule: Rule) -> None:
    """Work out the level from the switches, and forget the candidate when nothing is left of it."""
    level = Level.NONE
    for index, on in enumerate(series.on):
        if on:
            level = rule.levels[index]
    series.level = level
    if level is Level.NONE and not any(series.above_n):
        series.first_id, series.first_time = "", 0


def _fit(series: Series, rule: Rule) -> None:
    """Switches for the levels of a rule, at birth or when a new policy has others; what was on stays on."""
    n = len(rule.levels)
    series.above_since, series.above_n, series.below_since = [0] * n, [0] * n, [0] * n
    series.on = [level <= series.level for level in rule.levels]


def _break_runs(series: Series) -> None:
    n = len(series.on)
    series.above_n, series.below_since = [0] * n, [0] * n
