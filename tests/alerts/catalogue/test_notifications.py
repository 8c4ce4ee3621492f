"""Catalogue notifications of GB/T 28181: what each event does, parts that come late, files that grow, guards."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.catalogue.assemble import STATUS_EVENTS, CatalogMessages
from alerts.catalogue.book import CatalogueBook
from alerts.catalogue.config import FeedConfig
from alerts.catalogue.feed_files import read_files
from alerts.catalogue.merge import NAMED_MAX
from alerts.catalogue.take import ImportReport, open_notified, take
from contracts.source import Camera
from runtime.site import Site
from tests.alerts.catalogue.entries import camera_id, catalog_xml, csv_bytes, entry, status_xml
from tests.alerts.site_files import CAMERA_ID, write_site

FEED = FeedConfig(platform="gb-1", kind="xml", owner="公安局", base_url="http://10.0.0.5:18080")


def sync(site: Site, *files: Path, confirm_removal: bool = False, killed: bool = False) -> ImportReport:
    """As `catalogue sync` does it; `killed` before the notifications are noted as taken."""
    with CatalogueBook(site) as book:
        notified = open_notified(book, FEED)
        said = read_files(FEED, files, notified)
        report = take(book, FEED, said, whole=True, confirm_removal=confirm_removal)
        if not report.merged.held_back and not killed:
            notified.keep()
        return report


def ours(site: Site) -> dict[str, Camera]:
    """The feed's cameras."""
    with CatalogueBook(site) as book:
        return {each.id: each for each in book.read().cameras if each.platform == FEED.platform}


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    merged = report.merged
    return len(merged.added), len(merged.changed), merged.unchanged, len(merged.removed)


def taken(folder: Path, last: int = 20) -> tuple[Site, Path]:
    """A site that took an answer of cameras 1 to `last`, and the file in which notifications come."""
    site = write_site(folder)
    answer, notes = folder / "answer.xml", folder / "notify.xml"
    answer.write_bytes(catalog_xml(list(range(1, last + 1)), total=last))
    assert counts(sync(site, answer)) == (last, 0, 0, 0)
    return site, notes


def append(file: Path, *bodies: bytes) -> None:
    with file.open("ab") as out:
        out.write(b"".join(bodies))


def test_each_event_does_what_it_says_and_what_it_does_not_name_stays(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    before = ours(site)
    append(
        notes,
        catalog_xml([21], total=1, sn=30, event="ADD"),
        catalog_xml([3], total=1, sn=31, event="UPDATE", name="改名{}"),
        status_xml("DEL", [4], total=1, sn=32),
        *(status_xml(event, [5, 6], total=2, sn=33 + number) for number, event in enumerate(STATUS_EVENTS)),
    )
    report = sync(site, notes)
    assert (counts(report), report.refused, report.gaps) == ((1, 1, 0, 1), (), ())
    after = ours(site)
    assert set(after) == {camera_id(serial) for serial in (*range(1, 4), *range(5, 22))}
    assert after[camera_id(3)].name == "改名3"
    others = [camera_id(serial) for serial in range(5, 21)]
    assert [after[each] for each in others] == [before[each] for each in others], "a status changes no entry"
    assert dict(report.statuses) == dict.fromkeys(STATUS_EVENTS, 2)
    assert "OFF 2" in report.text()


def test_notification_is_taken_once_and_a_file_that_grows_is_gone_on_with(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, status_xml("DEL", [4], total=1, sn=32))
    assert counts(sync(site, notes))[3] == 1
    # The platform has it again: the old notification in the file must not take it away a second time.
    (tmp_path / "answer.xml").write_bytes(catalog_xml(list(range(1, 21)), total=20, sn=18))
    sync(site, tmp_path / "answer.xml")
    assert camera_id(4) in ours(site)
    report = sync(site, notes)
    assert (counts(report), report.refused) == ((0, 0, 0, 0), ())
    assert camera_id(4) in ours(site)
    append(notes, catalog_xml([22], total=1, sn=33, event="ADD"))
    assert counts(sync(site, notes)) == (1, 0, 0, 0)
    notes.write_bytes(status_xml("DEL", [22], total=1, sn=34))
    assert counts(sync(site, notes))[3] == 1, "another file under the old name is read from its beginning"


@pytest.mark.parametrize("form", ["xml", "csv"])
def test_list_that_notifications_came_after_is_not_read_again_until_it_is_another(
    tmp_path: Path, form: str
) -> None:
    site = write_site(tmp_path)
    listed, notes = tmp_path / f"list.{form}", tmp_path / "notify.xml"

    def write_list(serials: range, sn: int) -> None:
        rows = csv_bytes([entry(serial) for serial in serials])
        listed.write_bytes(rows if form == "csv" else catalog_xml(list(serials), total=len(serials), sn=sn))

    write_list(range(1, 21), 17)
    sync(site, listed)
    append(notes, catalog_xml([21], total=1, sn=30, event="ADD"), status_xml("DEL", [4], total=1, sn=31))
    append(notes, catalog_xml([6], total=1, sn=33, event="UPDATE", name="改名{}"))
    for _ in range(3):
        assert sync(site, listed, notes).refused == ()
        assert ours(site)[camera_id(6)].name == "改名6"
        assert set(ours(site)) == {camera_id(serial) for serial in range(1, 22) if serial != 4}
    append(notes, status_xml("DEL", [5], total=1, sn=32))
    sync(site, listed, notes)
    assert set(ours(site)) == {camera_id(serial) for serial in range(1, 22) if serial not in (4, 5)}
    write_list(range(1, 20), 18)
    sync(site, listed, notes, confirm_removal=True)
    assert set(ours(site)) == {camera_id(serial) for serial in range(1, 20)}, "the newest whole list holds"


def test_one_new_file_of_a_list_over_two_reads_both(tmp_path: Path) -> None:
    site, notes = taken(tmp_path, last=2)
    other = tmp_path / "other.csv"
    other.write_bytes(csv_bytes([entry(serial) for serial in (5, 6)]))
    append(notes, status_xml("ON", [1], total=1))
    sync(site, tmp_path / "answer.xml", other, notes)
    other.write_bytes(csv_bytes([entry(serial) for serial in (5, 6, 7)]))
    report = sync(site, tmp_path / "answer.xml", other, notes, confirm_removal=True)
    assert counts(report) == (1, 0, 4, 0), "the unchanged file's cameras are not gone"


def test_person_who_imports_a_file_means_all_of_it(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, status_xml("DEL", [4], total=1, sn=32))
    sync(site, notes)
    with CatalogueBook(site) as book:
        take(book, FEED, read_files(FEED, [tmp_path / "answer.xml"]), whole=False)
        assert camera_id(4) in {each.id for each in book.read().cameras}
        report = take(book, FEED, read_files(FEED, [notes]), whole=True)
    assert counts(report)[3] == 1


def test_notification_of_another_kind_removes_nothing(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, status_xml("ON", [1], total=1).replace(b"Catalog<", b"MobilePosition<"))
    report = sync(site, notes, confirm_removal=True)
    assert [each.reason for each in report.refused] == ["not_a_catalogue_answer"]
    assert counts(report) == (0, 0, 0, 0)
    assert len(ours(site)) == 20


def test_message_that_is_still_being_written_waits_for_its_end(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    whole = catalog_xml([21], total=1, sn=30, event="ADD")
    late = catalog_xml([22], total=1, sn=31, event="ADD")
    append(notes, whole, late[:-40])
    report = sync(site, notes)
    assert (counts(report)[0], [each.reason for each in report.refused]) == (1, ["truncated"])
    append(notes, late[-40:])
    report = sync(site, notes)
    assert (counts(report)[0], report.refused) == (1, ())


def test_kill_between_catalogue_and_note_reads_again_and_changes_nothing(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, catalog_xml([21], total=1, sn=30, event="ADD"), status_xml("DEL", [4], total=1, sn=31))
    assert counts(sync(site, notes, killed=True)) == (1, 0, 0, 1)
    once = ours(site)
    assert counts(sync(site, notes)) == (0, 0, 1, 0)
    assert ours(site) == once


def test_parts_of_one_notification_over_two_passes_are_one_and_the_missing_part_is_told(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, catalog_xml([21, 22], total=3, sn=30, event="ADD"))
    first = sync(site, notes)
    assert counts(first)[0] == 2, "what is there is taken"
    assert len(first.gaps) == 1
    assert "3" in first.gaps[0]
    append(notes, catalog_xml([23], total=3, sn=30, event="ADD"))
    second = sync(site, notes)
    assert (counts(second)[0], second.gaps) == (1, ())


def test_device_that_counts_from_one_again_loses_no_notification(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, catalog_xml([21], total=2, sn=1, event="ADD"), catalog_xml([22], total=1, sn=1, event="ADD"))
    report = sync(site, notes)
    assert (counts(report)[0], report.refused) == (2, ())


def test_notifications_after_an_answer_in_one_file_are_taken_in_their_order(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    both = tmp_path / "both.xml"
    both.write_bytes(
        status_xml("DEL", [1], total=1, sn=9)
        + catalog_xml([1, 2, 3], total=3)
        + catalog_xml([4], total=1, sn=30, event="ADD")
        + status_xml("DEL", [2, 4], total=2, sn=31)
        + catalog_xml([2], total=1, sn=32, event="UPDATE", name="回来{}")
    )
    assert counts(sync(site, both)) == (3, 0, 0, 0)
    assert sorted(ours(site)) == [camera_id(serial) for serial in (1, 2, 3)]
    assert ours(site)[camera_id(2)].name == "回来2"


def test_many_deletions_at_once_wait_for_a_person_and_are_not_forgotten(tmp_path: Path) -> None:
    site, notes = taken(tmp_path, last=30)
    append(notes, status_xml("DEL", list(range(1, NAMED_MAX + 2)), total=NAMED_MAX + 1))
    for _ in range(2):
        held = sync(site, notes)
        assert (counts(held)[3], held.merged.held_back, len(held.merged.kept)) == (0, True, NAMED_MAX + 1)
        assert "--confirm-removal" in held.text()
    assert counts(sync(site, notes, confirm_removal=True))[3] == NAMED_MAX + 1
    assert len(ours(site)) == 30 - NAMED_MAX - 1


def test_deletion_never_touches_another_feeds_camera_nor_one_of_a_person(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    other = msgspec.structs.replace(FEED, platform="gb-2")
    foreign = tmp_path / "foreign.xml"
    foreign.write_bytes(catalog_xml([40], total=1))
    with CatalogueBook(site) as book:
        take(book, other, read_files(other, [foreign]), whole=True)
    append(notes, status_xml("DEL", [40], total=1).replace(b"</DeviceList>", by_hand() + b"</DeviceList>"))
    assert counts(sync(site, notes))[3] == 0
    with CatalogueBook(site) as book:
        assert {camera_id(40), CAMERA_ID} <= {each.id for each in book.read().cameras}


def by_hand() -> bytes:
    return f"<Item><DeviceID>{CAMERA_ID}</DeviceID><Event>DEL</Event></Item>".encode()


def test_status_that_says_secret_closes_the_camera_at_once(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, status_xml("ON", [7], total=1, secrecy="1"))
    report = sync(site, notes)
    assert [each.reason for each in report.refused] == ["secrecy_notified"]
    camera = ours(site)[camera_id(7)]
    assert (camera.secrecy, camera.live, camera.channel) == (True, False, "")


def test_unknown_event_is_refused_by_name_and_the_rest_is_taken(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, status_xml("REBOOT", [1], total=1, sn=8), catalog_xml([21], total=1, sn=30, event="ADD"))
    report = sync(site, notes)
    assert [each.reason for each in report.refused] == ["event"]
    assert "VLOST" in report.refused[0].sentence
    assert camera_id(21) in ours(site)


def test_update_without_a_position_is_refused_and_the_camera_stays_as_it_was(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    before = ours(site)
    append(notes, status_xml("UPDATE", [7], total=1))
    assert [each.reason for each in sync(site, notes).refused] == ["no_position"]
    assert ours(site) == before


def test_damaged_note_of_what_was_taken_reads_all_again(tmp_path: Path) -> None:
    site, notes = taken(tmp_path)
    append(notes, catalog_xml([21], total=1, sn=30, event="ADD"))
    sync(site, notes)
    (note,) = site.state_dir.rglob("gb-1.notified")
    note.write_bytes(note.read_bytes()[:-10])
    assert counts(sync(site, notes)) == (0, 0, 1, 0)


@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from(("ADD", "UPDATE", "DEL", "OFF", "ON"))),
        min_size=1,
        max_size=25,
    ),
    st.data(),
)
def test_any_cut_of_a_stream_of_notifications_into_passes_ends_in_the_same_catalogue(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, str]], data: st.DataObject
) -> None:
    """The model: a set of ids that ADD and UPDATE put into and DEL takes out of."""
    folder = tmp_path_factory.mktemp("site")
    site, notes = write_site(folder), folder / "notify.xml"
    stream = b"".join(
        status_xml(event, [serial], total=1, sn=number)
        if event in ("DEL", "ON", "OFF")
        else catalog_xml([serial], total=1, sn=number, event=event)
        for number, (serial, event) in enumerate(events)
    )
    at = 0
    for end in (*sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=3))), len(stream)):
        append(notes, stream[at:end])
        at = end
        if notes.stat().st_size:
            sync(site, notes, killed=data.draw(st.booleans()))
    sync(site, notes)
    model: set[int] = set()
    for serial, event in events:
        if event == "DEL":
            model.discard(serial)
        elif event in ("ADD", "UPDATE"):
            model.add(serial)
    assert set(ours(site)) == {camera_id(serial) for serial in model}


def test_number_of_waiting_notifications_is_bounded() -> None:
    messages = CatalogMessages()
    messages.add_file(b"".join(status_xml("ON", [1], total=2, sn=number) for number in range(400)), "n.xml")
    assert len(messages.waiting) == 256
    assert messages.waiting[-1].sn == "399"
