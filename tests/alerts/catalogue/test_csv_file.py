from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.catalogue import csv_file
from alerts.catalogue.csv_file import HEADINGS, MEANINGS, read_csv
from alerts.catalogue.refusals import Refused
from contracts.catalogue_entry import CatalogueEntry
from contracts.errors import MalformedMessage, RefusedInput, TooLarge
from tests.alerts.catalogue.entries import csv_bytes, entry


def entries(data: bytes) -> list[CatalogueEntry]:
    return [each for each in read_csv(data) if isinstance(each, CatalogueEntry)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_same_entries_from_every_encoding_of_a_spreadsheet(encoding: str) -> None:
    found = entries(csv_bytes([entry(1), entry(2, secrecy="1", coordinates="GCJ-02")], encoding))
    assert [(each.id, each.name, each.owner, each.secrecy, each.coordinates) for each in found] == [
        (entry(1).id, "广场1号", "公安局", "", ""),
        (entry(2).id, "广场2号", "公安局", "1", "GCJ-02"),
    ]
    assert found[1].origin == "第 3 行"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_english_headings_and_every_separator(separator: str) -> None:
    rows = [["DeviceID", "Name", "Longitude", "Latitude", "unknown"], [entry(1).id, "a", "105.7", "38.8", "x"]]
    (found,) = entries("\n".join(separator.join(row) for row in rows).encode())
    assert (found.id, found.name, found.lon, found.lat) == (entry(1).id, "a", "105.7", "38.8")


def test_id_that_a_spreadsheet_guards_with_an_apostrophe_is_read() -> None:
    (found,) = entries(f"id,lon,lat\n'{entry(1).id},1,2\n".encode())
    assert found.id == entry(1).id


def test_row_with_more_cells_than_headings_is_refused_with_its_line_and_the_rest_is_read() -> None:
    data = f"id,lon,lat\n{entry(1).id},1,2\n{entry(2).id},1,2,3\n\n{entry(3).id},1,2\n".encode()
    first, bad, last = read_csv(data)
    assert isinstance(bad, Refused)
    assert (bad.reason, bad.origin) == ("row", "第 3 行")
    assert isinstance(first, CatalogueEntry)
    assert isinstance(last, CatalogueEntry)
    assert last.origin == "第 5 行"


def test_missing_headings_are_named_in_both_languages() -> None:
    with pytest.raises(MalformedMessage, match="经度"):
        list(read_csv("设备编码,名称\n1,2\n".encode()))


def test_empty_file_and_bytes_of_a_picture_are_refused() -> None:
    for data in (b"", b"\xff\xd8\xff\xe0\x00\x10JFIF" * 50):
        with pytest.raises(MalformedMessage):
            list(read_csv(data))


def test_file_over_its_bound_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "BYTES_MAX", 10)
    with pytest.raises(TooLarge):
        list(read_csv(csv_bytes([entry(1)])))


@given(st.binary(max_size=400))
def test_any_bytes_give_entries_or_words(data: bytes) -> None:
    try:
        found = list(read_csv(b"id,lon,lat\n" + data))
    except RefusedInput:
        return
    assert all(isinstance(each, CatalogueEntry | Refused) for each in found)


def test_stream_written_in_the_column_of_the_street_is_the_stream() -> None:
    text = "设备编码,经度,纬度,地址\n1,2,3,rtsp://10.0.0.1/a\n2,2,3,王府街 1 号\n"
    first, second = (each for each in read_csv(text.encode()) if isinstance(each, CatalogueEntry))
    assert (first.url, first.address) == ("rtsp://10.0.0.1/a", "")
    assert (second.url, second.address) == ("", "王府街 1 号")


def test_every_column_has_its_meaning_for_the_reference() -> None:
    assert list(MEANINGS) == list(HEADINGS)


def test_sample_file_has_known_headings_alone() -> None:
    sample = (Path(__file__).resolve().parents[3] / "deploy" / "config" / "cameras.csv").read_bytes()
    headings = sample.decode().splitlines()[0].split(",")
    assert all(any(heading in names for names in HEADINGS.values()) for heading in headings)
    entries = [each for each in read_csv(sample) if isinstance(each, CatalogueEntry)]
    assert [(each.live, each.secrecy, bool(each.url)) for each in entries] == [
        ("是", "否", True),
        ("否", "否", True),
        ("否", "是", False),
    ]
