from __future__ import annotations

import pytest

from bench.ingest_soak import Heard, SoakPlan, judge
from bench.load.faults import Fault
from bench.load.rig import camera_id
from contracts.source import SourceState

RIGHT: dict[Fault, set[Heard]] = {
    Fault.FLAP: {(SourceState.SUSPECT, "flapping"), (SourceState.FAULTED, "broken"), (SourceState.LIVE, "")},
    Fault.STALL: {(SourceState.STALE, "stall"), (SourceState.SUSPECT, "flapping")},
    Fault.GARBAGE: {(SourceState.FAULTED, "garbage")},
    Fault.FROZEN: {(SourceState.SUSPECT, "frozen")},
    Fault.LOSS: {(SourceState.SUSPECT, "packet_loss")},
    Fault.WRONG_RTCP: {(SourceState.LIVE, "clock_skew"), (SourceState.SUSPECT, "clock_jump")},
    Fault.CLOCK_JUMP: {(SourceState.SUSPECT, "clock_jump"), (SourceState.LIVE, "")},
}
FAULTS = dict(enumerate(RIGHT))


def heard() -> dict[str, set[Heard]]:
    return {camera_id(number): set(RIGHT[fault]) for number, fault in FAULTS.items()}


def test_right_states_are_not_found_wrong() -> None:
    assert judge(FAULTS, heard(), 20) == []


@pytest.mark.parametrize("fault", list(Fault))
def test_fault_that_was_never_told_is_found(fault: Fault) -> None:
    told = heard()
    number = list(RIGHT).index(fault)
    told[camera_id(number)] = {(SourceState.LIVE, "")}
    assert judge(FAULTS, told, 20) == [f"{number} {fault}: never told as expected, but live:"]


@pytest.mark.parametrize("wrong", [(SourceState.STALE, "stall"), (SourceState.SUSPECT, "frozen")])
def test_good_camera_of_which_anything_else_was_told_is_found(wrong: Heard) -> None:
    told = heard() | {camera_id(9): {(SourceState.LIVE, ""), wrong}}
    assert judge(FAULTS, told, 20) == [f"9 good: told without a cause: {wrong[0]}:{wrong[1]}"]


@pytest.mark.parametrize("fault", list(Fault))
def test_bad_camera_of_which_more_than_its_fault_was_told_is_found(fault: Fault) -> None:
    told = heard()
    number = list(RIGHT).index(fault)
    told[camera_id(number)].add((SourceState.FAULTED, "bye"))
    assert judge(FAULTS, told, 20) == [f"{number} {fault}: told without a cause: faulted:bye"]


@pytest.mark.parametrize(("streams", "bad"), [(10, 7), (100, 7), (1_000, 50)])
def test_a_twentieth_is_bad_and_one_of_each_fault_at_least(streams: int, bad: int) -> None:
    faults = SoakPlan(streams, 60).faults()
    assert len(faults) == bad
    assert set(faults.values()) == set(Fault)
    assert max(faults) < streams
