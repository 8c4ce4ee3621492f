from __future__ import annotations

import pytest

from bench.ingest_soak import Heard, SoakPlan, judge
from bench.load.faults import Fault
from bench.load.rig import camera_id
from contracts.source import SourceState

RIGHT: dict[Fault, set[Heard]] = {
    Fault.FLAP: {(SourceState.FAULTED, "broken"), (SourceState.LIVE, "")},
    Fault.STALL: {(SourceState.STALE, "stall")},
    Fault.GARBAGE: {(SourceState.FAULTED, "garbage")},
    Fault.WRONG_RTCP: {(SourceState.LIVE, "clock_skew")},
    Fault.CLOCK_JUMP: {(SourceState.LIVE, "clock_skew"), (SourceState.LIVE, "")},
}
FAULTS = dict(enumerate(RIGHT))


def heard() -> dict[str, set[Heard]]:
    return {camera_id(number): set(RIGHT[fault]) for number, fault in FAULTS.items()}


def test_right_states_are_not_found_wrong() -> None:
    assert judge(FAULTS, heard(), 20) == []


@pytest.mark.parametrize("fault", [Fault.FLAP, Fault.STALL, Fault.GARBAGE, Fault.CLOCK_JUMP])
def test_fault_that_was_never_told_is_found(fault: Fault) -> None:
    told = heard()
    number = list(RIGHT).index(fault)
    told[camera_id(number)] = {(SourceState.LIVE, "")}
    (wrong,) = judge(FAULTS, told, 20)
    assert wrong.startswith(f"{number} {fault}")


def test_good_camera_that_was_impaired_is_found() -> None:
    told = heard() | {camera_id(9): {(SourceState.STALE, "stall")}}
    assert judge(FAULTS, told, 20) == ["9 good: impaired without a cause: stale:stall"]


def test_wrong_rtcp_must_not_impair() -> None:
    told = heard()
    told[camera_id(3)] = {(SourceState.FAULTED, "closed")}
    assert judge(FAULTS, told, 20) == ["3 wrong_rtcp: impaired without a cause: faulted:closed"]


@pytest.mark.parametrize(("streams", "bad"), [(10, 5), (100, 5), (1_000, 50)])
def test_a_twentieth_is_bad_with_every_fault_among_them(streams: int, bad: int) -> None:
    faults = SoakPlan(streams, 60).faults()
    assert len(faults) == bad
    assert set(faults.values()) == set(Fault)
    assert max(faults) < streams
