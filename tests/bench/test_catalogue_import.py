from __future__ import annotations

import msgspec
import pytest

from alerts.catalogue.assemble import CatalogMessages
from alerts.catalogue.csv_file import read_csv
from bench.catalogue_import import SECRET, ImportResult, answers, spreadsheet
from bench.load.rig import camera_id
from contracts.catalogue_entry import CatalogueEntry
from sim.alarm_drill import smoke_county

PLACES = list(smoke_county(1)[1].cameras)
RESULT = ImportResult(
    entries=4_000,
    csv_s=2.0,
    xml_s=3.0,
    wvp_s=4.0,
    wvp_requests=42,
    csv_again_s=2.0,
    live=100,
    in_force_s=12.0,
    reconnects=1,
    lost_of_the_rest=0,
    key_pictures_of_the_rest=900,
)


def rows(*, changed: int | None = None) -> list[CatalogueEntry]:
    found = list(read_csv(spreadsheet(PLACES, 50, 10, "rtsp://h/{i}", changed=changed)))
    assert all(isinstance(each, CatalogueEntry) for each in found)
    return [each for each in found if isinstance(each, CatalogueEntry)]


def test_spreadsheet_and_answers_are_read_whole_and_hold_the_same_cameras() -> None:
    messages = CatalogMessages()
    messages.add_file(answers(PLACES, 50), "answers.xml")
    assert (messages.gaps(), messages.refused) == ([], [])
    assert list(messages.entries) == [each.id for each in rows()] == [camera_id(number) for number in range(50)]
    for said in (rows(), list(messages.entries.values())):
        assert [each.id for each in said if each.secrecy == "1"] == [
            camera_id(50 - n) for n in range(SECRET, 0, -1)
        ]


def test_changed_entry_differs_alone_and_plays_what_nobody_else_does() -> None:
    before, after = rows(), rows(changed=5)
    assert [number for number, each in enumerate(after) if each != before[number]] == [5]
    assert after[5].url not in {each.url for each in before}


@pytest.mark.parametrize(
    "change",
    [
        {"csv_s": 60.1},
        {"xml_s": 61.0},
        {"csv_again_s": 99.0},
        {"reconnects": 2},
        {"reconnects": 0},
        {"lost_of_the_rest": 1},
        {"key_pictures_of_the_rest": 0},
    ],
)
def test_result_beyond_a_bound_is_not_good(change: dict[str, object]) -> None:
    assert RESULT.good
    assert not msgspec.structs.replace(RESULT, **change).good
