from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from alerts.rematch import live_incidents, match
from contracts.errors import StoreError
from contracts.incident import Incident, IncidentState, Level
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType
from contracts.place import Place

T0 = 1_790_000_000


def incident(id_: str, first: float, last: float, **change: object) -> Incident:
    moments = [Instant(round((T0 + second) * SECOND)) for second in (first, last)]
    made = Incident(
        id=id_, site="s", type=IncidentType.FLAME_SUSPECTED, code="23001", state=IncidentState.PENDING_REVIEW,
        level=Level.ORANGE, place=Place(105.7, 38.8, zone_id="yard"), first_event_time=moments[0],
        last_event_time=moments[1], opened_at=moments[0], updated_at=moments[1], version=1, source_ids=("cam",),
    )  # fmt: skip
    return structs.replace(made, **change)


def test_incident_of_the_footage_is_the_live_one_of_its_type_and_zone_that_it_overlaps() -> None:
    live = [incident("old", -900, -800), incident("it", 0.6, 30, ticket_id="T1"), incident("later", 20, 40)]
    [found] = match([incident("f", 0, 25)], live)
    assert found.live is live[1]
    assert found.apart_s == pytest.approx(-0.6)
    assert "T1" in found.text()


@pytest.mark.parametrize(
    "change",
    [
        {"type": IncidentType.SMOKE_SUSPECTED},
        {"place": Place(105.7, 38.8, zone_id="gate")},
        {"place": Place(105.7, 38.8)},
        {"first_event_time": Instant((T0 + 40) * SECOND), "last_event_time": Instant((T0 + 50) * SECOND)},
    ],
)
def test_other_type_zone_or_time_is_another_incident(change: dict[str, object]) -> None:
    [found] = match([incident("f", 0, 25, **change)], [incident("it", 0, 30)])
    assert found.live is None
    assert "no live incident" in found.text()


def test_without_a_zone_the_camera_stands_for_it() -> None:
    here = Place(105.7, 38.8)
    live = [incident("it", 0, 30, place=here)]
    same, other = (incident(id_, 0, 5, place=here, source_ids=(id_,)) for id_ in ("cam", "cam 2"))
    assert [each.live is not None for each in match([same, other], live)] == [True, False]


def test_moments_within_a_second_of_one_another_overlap() -> None:
    live = [incident("it", 10, 12)]
    assert [match([incident("f", s, s)], live)[0].live is not None for s in (8.9, 9.1, 12.9, 13.1)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_nothing_found_needs_no_database_and_a_missing_one_is_said(tmp_path: Path) -> None:
    assert live_incidents(tmp_path / "absent.sqlite", []) == []
    with pytest.raises(StoreError):
        live_incidents(tmp_path / "absent.sqlite", [incident("f", 0, 1)])
