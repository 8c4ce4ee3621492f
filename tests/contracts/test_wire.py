from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import wire
from contracts.coverage import CameraMinute, CoverageReport, CoverageStage
from contracts.detection import Detections
from contracts.errors import MalformedMessage
from contracts.instant import Instant
from contracts.observation import IncidentType, Observation, Phase, observation_id
from contracts.place import Place
from contracts.source import HealthReport, SourceChange, SourceKind, SourceState
from contracts.storm import StormReport

OBSERVATION = Observation(
    id="obs-1",
    site="152921",
    type=IncidentType.CROWD_DENSITY,
    phase=Phase.SAMPLE,
    source_id="15292100001320000001",
    source_kind=SourceKind.CAMERA,
    event_time=Instant(1),
    arrival_time=Instant(2),
    place=Place(lon=105.7, lat=38.8, grid_code="152921001001001"),
    confidence=0.9,
    count=63,
    density=2.1,
    detail=(("zone_kind", "standing"),),
)


@pytest.mark.parametrize(
    "record",
    [
        OBSERVATION,
        SourceChange(
            id="c",
            site="s",
            source_id="x",
            kind=SourceKind.CAMERA,
            state=SourceState.BLIND,
            at=Instant(3),
            reason="dark",
        ),
        HealthReport(
            id="h", site="s", service="ingest-cameras", instance="0", at=Instant(1), started_at=Instant(0)
        ),
        CoverageReport(
            id="v",
            site="s",
            service="ingest-cameras",
            instance="0",
            stage=CoverageStage.RECEIVED,
            at=Instant(1),
            started_at=Instant(0),
            window_s=60.0,
            cameras=(CameraMinute("x", 30, 1), CameraMinute("y", 0, None, 80)),
        ),
        StormReport(
            id="w",
            site="s",
            instance="0",
            began_at=Instant(1),
            at=Instant(2),
            cameras=30,
            away=2,
            places=(("p", 30),),
            places_away=(("p", 2),),
            reasons=(("closed", 30),),
            ended_at=Instant(2),
        ),
    ],
)
def test_log_records_round_trip(record: wire.LogRecord) -> None:
    assert wire.decode_log_record(wire.encode(record)) == record
    assert wire.decode(wire.encode(record), type(record)) == record


def test_other_schema_version_then_refused_with_the_way_out() -> None:
    data = b"\x63" + wire.encode(OBSERVATION)[1:]
    with pytest.raises(MalformedMessage, match="update the older process") as refused:
        wire.decode_log_record(data)
    assert refused.value.reason == "schema_version"


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for candidate in (data, bytes([wire.SCHEMA_VERSION]) + data):
        try:
            wire.decode_log_record(candidate)
        except MalformedMessage:
            continue


def test_unknown_field_from_a_newer_minor_release_is_ignored() -> None:
    raw = msgspec.msgpack.decode(wire.encode(OBSERVATION)[1:])
    raw["added_later"] = 1
    assert wire.decode_log_record(bytes([1]) + msgspec.msgpack.encode(raw)) == OBSERVATION


def test_same_claim_then_same_id_and_device_alarm_id_wins_over_time() -> None:
    def claim(time: int, external: str | None = None, source: str = "s") -> str:
        return observation_id(
            "152921", IncidentType.SMOKE_SENSOR, Phase.ACTIVE, source, None, Instant(time), external
        )

    assert claim(1) == claim(1) != claim(2)
    assert claim(1, "a") == claim(2, "a") != claim(1, "b")
    assert claim(1, "a") != claim(1, "a", source="other")


def test_check_36_no_record_has_a_field_that_identifies_a_person() -> None:
    """Domain check 36 for the records of the links."""
    import contracts.frame
    import contracts.incident
    import contracts.reading
    import contracts.ticket

    forbidden = (
        "face",
        "plate",
        "embedding",
        "track_id",
        "id_number",
        "gender",
        "age_group",
        "ethnic",
        "person_id",
    )
    modules = [contracts.frame, contracts.incident, contracts.reading, contracts.ticket, wire]
    structs = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct)
    }
    assert len(structs) > 10
    for struct in structs:
        for field in struct.__struct_fields__:
            assert not any(word in field for word in forbidden), f"{struct.__name__}.{field}"


def test_detections_refuse_wrong_shapes_and_index_by_mask() -> None:
    boxes = Detections(
        np.array([[0, 0, 1, 1], [0, 0, 2, 2]], np.float32),
        np.array([0.5, 0.9], np.float32),
        np.array([0, 3], np.int16),
    )
    assert len(boxes[boxes.confidence > 0.6]) == 1
    assert len(Detections.empty()) == 0
    with pytest.raises(ValueError, match="confidence"):
        Detections(boxes.xyxy, boxes.confidence[:1], boxes.class_id)
    with pytest.raises(ValueError, match="xyxy"):
        Detections(boxes.xyxy.astype(np.float64), boxes.confidence, boxes.class_id)


@given(st.binary(max_size=200))
def test_any_bytes_in_any_record_are_a_record_or_refused(noise: bytes) -> None:
    good = wire.encode(OBSERVATION)
    for data in (bytes([wire.SCHEMA_VERSION]) + noise, good[:20] + noise + good[20:], good[:-1] + noise):
        try:
            wire.decode_log_record(data)
        except MalformedMessage:
            continue


def test_text_that_is_not_utf8_is_refused() -> None:
    data = wire.encode(OBSERVATION).replace(b"obs-1", b"obs-\xff")
    with pytest.raises(MalformedMessage, match="does not parse"):
        wire.decode_log_record(data)
    with pytest.raises(MalformedMessage, match="does not parse"):
        wire.decode(data, Observation)
