from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.detection import Detections
from contracts.place import ZoneKind
from inference.config import CrowdConfig
from inference.crowd import CrowdTalk, count_people
from inference.zones import ZoneShape
from tests.inference.pictures import at, found, zone

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
SIZE = (100, 100)
SURE = 0.3


def person(x: float, confidence: float = 0.9) -> tuple[str, float, tuple[float, float, float, float]]:
    return "person", confidence, (x - 5, 40, x + 5, 66)


def test_only_confident_persons_in_the_zone_count() -> None:
    shape = ZoneShape.of(zone(ZoneKind.STANDING, LEFT, area_m2=10.0))
    findings = found(person(10), person(20), person(30, 0.1), person(80), ("car", 0.9, (20, 20, 60, 60)))
    counted = count_people(shape, findings, SURE, SIZE, 0.15)
    assert counted.count == 2
    assert counted.density == pytest.approx(0.2)
    assert len(counted.counted) == 2
    assert counted.confidence == pytest.approx(0.9)


def test_zone_without_a_measured_area_has_no_density() -> None:
    shape = ZoneShape.of(zone(ZoneKind.STANDING))
    assert count_people(shape, found(person(10)), SURE, SIZE, 0.15).density is None


def test_empty_zone_is_zero_and_surer_the_less_is_seen() -> None:
    shape = ZoneShape.of(zone(ZoneKind.STANDING))
    nothing = count_people(shape, Detections.empty(), SURE, SIZE, 0.15)
    doubtful = count_people(shape, found(person(10, 0.29)), SURE, SIZE, 0.15)
    assert (nothing.count, nothing.error, nothing.confidence) == (0, 0.0, 1.0)
    assert doubtful.count == 0
    assert doubtful.error > 0
    assert doubtful.confidence < nothing.confidence


@given(st.lists(st.floats(0.05, 1), max_size=40), st.floats(0, 0.5))
def test_error_covers_what_the_confidences_leave_open(confidences: list[float], recall_error: float) -> None:
    shape = ZoneShape.of(zone(ZoneKind.STANDING))
    findings = found(*[person(10 + index, p) for index, p in enumerate(confidences)])
    counted = count_people(shape, findings, SURE, SIZE, recall_error)
    expected = float(np.sum(np.array(confidences, np.float32)))
    assert counted.count == sum(np.float32(p) >= SURE for p in confidences)
    assert counted.error >= abs(counted.count - expected) - 1e-3
    assert counted.error >= recall_error * counted.count - 1e-3


def test_zero_is_said_once_then_every_ten_seconds_and_people_always() -> None:
    talk = CrowdTalk(CrowdConfig(repeat_s=10.0))
    counts = [(0, 0), (2, 0), (4, 0), (10, 0), (12, 3), (14, 3), (16, 0), (18, 0)]
    assert [talk.worth(count, at(t)) for t, count in counts] == [True, False, False, True, True, True, True, False]


def test_after_unknown_any_count_is_news() -> None:
    talk = CrowdTalk(CrowdConfig())
    assert talk.worth(0, at(0))
    talk.unknown()
    assert talk.worth(0, at(1))
