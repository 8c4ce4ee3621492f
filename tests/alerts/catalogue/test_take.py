"""Passes over files and platforms into the catalogue of a site, on disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.catalogue.book import CatalogueBook
from alerts.catalogue.config import FeedConfig
from alerts.catalogue.feed_files import Pass, read_files
from alerts.catalogue.spool import Spool
from alerts.catalogue.take import ImportReport, open_spool, read_platform, report_file, take
from alerts.grids import load_catalogue
from contracts.catalogue_entry import CatalogueEntry, CataloguePage
from contracts.errors import GridwhistleError, ProtocolViolation, SourceUnreachable
from contracts.instant import HOUR, Instant
from contracts.place import Zone, ZoneKind
from contracts.source import Camera, Catalogue
from runtime.site import Site
from tests.alerts.catalogue.entries import FEED, camera_id, catalog_xml, csv_bytes, entry
from tests.alerts.site_files import CAMERA_ID, write_site

NOW = Instant(1_764_000_000_000_000_000)


def held(site: Site) -> Catalogue:
    with CatalogueBook(site) as book:
        return book.read()


def cameras(site: Site) -> dict[str, Camera]:
    return {camera.id: camera for camera in held(site).cameras}


def sync(
    site: Site,
    entries: Sequence[CatalogueEntry],
    feed: FeedConfig = FEED,
    *,
    gaps: tuple[str, ...] = (),
    whole: bool = True,
    confirm_removal: bool = False,
) -> ImportReport:
    with CatalogueBook(site) as book:
        said = Pass(tuple(entries), gaps)
        return take(book, feed, said, whole=whole, confirm_removal=confirm_removal)


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    merged = report.merged
    return len(merged.added), len(merged.changed), merged.unchanged, len(merged.removed)


def edit(site: Site, camera_id: str, **changes: object) -> None:
    """A person's hand in the catalogue."""
    with CatalogueBook(site) as book:
        now = book.read()
        edited = tuple(
            msgspec.structs.replace(each, **changes) if each.id == camera_id else each for each in now.cameras
        )
        book.write(msgspec.structs.replace(now, cameras=edited, version=now.version + 1))


def test_import_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    before = held(site).version
    assert counts(sync(site, [entry(n) for n in range(1, 51)])) == (50, 0, 0, 0)
    file = (tmp_path / "catalogue.json").read_bytes()
    assert counts(sync(site, [entry(n) for n in range(50, 0, -1)])) == (0, 0, 50, 0)
    assert (tmp_path / "catalogue.json").read_bytes() == file
    assert held(site).version == before + 1
    assert CAMERA_ID in cameras(site), "what a person wrote is no feed's to remove"


@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["甲", "乙"]), st.sampled_from(["0", "1"]))))
def test_any_pass_taken_twice_changes_nothing_the_second_time(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[int, str, str]]
) -> None:
    site = write_site(tmp_path_factory.mktemp("site"))
    sync(site, [entry(n) for n in range(1, 7)])
    entries = [entry(n, name=name, secrecy=secrecy) for n, name, secrecy in said]
    sync(site, entries, confirm_removal=True)
    once = held(site)
    again = sync(site, entries, confirm_removal=True)
    assert held(site) == once
    assert counts(again)[:2] == (0, 0)
    secret = {entry(n).id for n, _, secrecy in said if secrecy == "1"}
    assert secret <= {camera.id for camera in once.cameras if camera.secrecy}, "one that says secret is believed"


def test_changed_entry_is_one_change_and_what_is_ours_stays(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    sync(site, [entry(n) for n in range(1, 6)])
    zone = Zone("z-9", "门前", ZoneKind.STANDING, ((0, 0), (1, 0), (0, 1)))
    edit(site, camera_id(2), zones=(zone,), keep_ring=True, key_interval_s=4.0)
    before = cameras(site)
    report = sync(site, [entry(n, url=f"rtsp://10.0.0.2/{n}" if n == 2 else entry(n).url) for n in range(1, 6)])
    assert counts(report) == (0, 1, 4, 0)
    after = cameras(site)
    assert [each for each in after if after[each] != before[each]] == [camera_id(2)]
    changed = after[camera_id(2)]
    assert (changed.url, changed.zones, changed.key_interval_s) == ("rtsp://10.0.0.2/2", (zone,), 4.0)


def test_correction_by_hand_stays_while_the_feed_says_the_same(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    sync(site, [entry(1)])
    edit(site, camera_id(1), name="改好的名字", live=False)
    assert counts(sync(site, [entry(1)])) == (0, 0, 1, 0)
    assert cameras(site)[camera_id(1)].name == "改好的名字"
    sync(site, [entry(1, name="新名")])
    assert (cameras(site)[camera_id(1)].name, cameras(site)[camera_id(1)].live) == ("新名", False)


def test_camera_that_becomes_secret_is_closed_even_when_the_entry_is_otherwise_refused(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    sync(site, [entry(1), entry(2)])
    report = sync(site, [entry(1, secrecy="1"), entry(2, secrecy="1", lon="")])
    assert [each.reason for each in report.refused] == ["no_position"]
    for serial in (1, 2):
        camera = cameras(site)[camera_id(serial)]
        assert (camera.secrecy, camera.live, camera.url) == (True, False, None)
    sync(site, [entry(1), entry(2)])
    assert not any(cameras(site)[camera_id(n)].secrecy for n in (1, 2))


def test_removal_needs_a_complete_pass_and_a_stated_share_or_a_person(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    all_ = [entry(n) for n in range(1, 21)]
    sync(site, all_)
    assert counts(sync(site, all_[:19], gaps=("one page is missing",)))[3] == 0
    assert counts(sync(site, all_[:19], whole=False))[3] == 0
    assert counts(sync(site, all_[:18]))[3] == 2
    empty = sync(site, [])
    assert (counts(empty)[3], empty.merged.held_back, len(empty.merged.kept)) == (0, True, 18)
    assert "--confirm-removal" in empty.text()
    assert len(cameras(site)) == 19
    assert counts(sync(site, [], confirm_removal=True))[3] == 18
    assert list(cameras(site)) == [CAMERA_ID]


def test_refused_entry_is_not_taken_for_gone(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    sync(site, [entry(n) for n in range(1, 21)])
    report = sync(site, [entry(1, lon="116.3", lat="39.9"), *(entry(n) for n in range(2, 21))])
    assert (counts(report)[3], len(report.refused)) == (0, 1)
    assert camera_id(1) in cameras(site)


def test_camera_of_another_feed_is_refused_but_its_secrecy_is_believed(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    other = msgspec.structs.replace(FEED, platform="wvp-2")
    sync(site, [entry(1), entry(2)])
    report = sync(site, [entry(1), entry(2, secrecy="1"), entry(3)], other)
    assert [each.reason for each in report.refused] == ["other_feed", "other_feed"]
    found = cameras(site)
    assert (found[camera_id(1)].platform, found[camera_id(2)].secrecy) == ("wvp-1", True)
    assert found[camera_id(3)].platform == "wvp-2"


def test_contradicting_duplicates_keep_the_first_unless_the_second_closes_it(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    report = sync(site, [entry(1), entry(1, name="另"), entry(2), entry(2, secrecy="1"), entry(3), entry(3)])
    assert (report.duplicates, [each.reason for each in report.refused]) == (3, ["duplicate", "duplicate"])
    found = cameras(site)
    assert (found[camera_id(1)].name, found[camera_id(2)].secrecy) == ("广场1号", True)


def test_check_5_secret_cameras_of_4000_are_closed_and_counted(tmp_path: Path) -> None:
    """Domain check 5 and M30, the catalogue's part."""
    site = write_site(tmp_path)
    (tmp_path / "all.csv").write_bytes(
        csv_bytes([entry(n, secrecy="1" if n in (7, 70, 700) else "0") for n in range(1, 4001)], "gb18030")
    )
    with CatalogueBook(site) as book:
        report = take(book, FEED, read_files(FEED, [tmp_path / "all.csv"]), whole=True)
    assert (counts(report), report.secret, report.refused) == ((4000, 0, 0, 0), 3, ())
    assert site.catalogue_file is not None
    secret = [each for each in held(site).cameras if each.secrecy]
    assert [each.url for each in secret] == [None] * 3
    assert not any(each.live for each in secret)


def test_xml_answers_of_a_device_are_taken_and_a_missing_message_removes_nothing(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    feed = FeedConfig(platform="gb-1", kind="xml", owner="公安局", base_url="http://10.0.0.5:18080")
    whole = [tmp_path / "1.xml", tmp_path / "2.xml"]
    whole[0].write_bytes(catalog_xml([1, 2], total=4))
    whole[1].write_bytes(catalog_xml([3, 4], total=4))
    with CatalogueBook(site) as book:
        assert counts(take(book, feed, read_files(feed, whole), whole=True)) == (4, 0, 0, 0)
        short = take(book, feed, read_files(feed, whole[:1]), whole=True, confirm_removal=True)
    assert (counts(short), len(short.gaps)) == ((0, 0, 2, 0), 1)
    found = held(site)
    assert all(each.live for each in found.cameras if each.platform == "gb-1"), "their URL is asked for"
    assert [each.id for each in found.platforms] == ["gb-1"]


def test_report_lists_every_refusal_with_its_line(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    bad = [entry(n, lon="0", lat="0") for n in range(1, 31)]
    with CatalogueBook(site) as book:
        report = take(book, FEED, Pass((*bad, entry(40, lon="105.69"))), whole=True)
        lines = report_file(book, FEED).read_text(encoding="utf-8-sig").splitlines()
    assert len([each for each in lines if each.startswith("no_position,")]) == 30
    assert any(each.startswith("no_grid,") and camera_id(40) in each for each in lines)
    assert "no_position: 30" in report.text()
    assert "第 2 行" in report.text()


def test_report_tells_what_is_not_switched_on_and_why(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    entries = [entry(1), entry(2, url=""), entry(3, live="否"), entry(4, live="否"), entry(5, secrecy="1")]
    report = sync(site, entries)
    assert (report.unplayable, report.switched_off, report.secret) == (1, 2, 1)
    text = report.text()
    assert "未启用 1 路: 没有取流地址或通道" in text
    assert "未启用 2 路: 目录、接入源或人工设为不接入" in text
    assert "未启用" not in sync(site, [entry(n, live="是") for n in range(1, 5)]).text()


def test_only_one_import_at_a_time_holds_the_catalogue(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    with CatalogueBook(site), pytest.raises(GridwhistleError) as busy:
        CatalogueBook(site)
    assert busy.value.reason == "catalogue_busy"


def test_written_catalogue_finds_its_grids_anew_under_other_grids(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    sync(site, [entry(1)])
    text = (tmp_path / "grids.geojson").read_text(encoding="utf-8")
    (tmp_path / "grids.geojson").write_text(text.replace("152921001001001", "152921001001009"), encoding="utf-8")
    assert cameras(site)[camera_id(1)].place.grid_code == "152921001001009"


class Pages:
    """A platform of `pages` pages of ten that dies at some of the requests."""

    def __init__(self, pages: int, dies_at: set[int]) -> None:
        self.pages = pages
        self.dies_at = dies_at
        self.asked: list[str | None] = []

    async def page(self, cursor: str | None) -> CataloguePage:
        self.asked.append(cursor)
        if len(self.asked) in self.dies_at:
            raise SourceUnreachable("died", reason="platform_unreachable")
        at = int(cursor or 0)
        entries = tuple(entry(at * 10 + n) for n in range(1, 11))
        return CataloguePage(entries, str(at + 1) if at + 1 < self.pages else None, (), at + 1, self.pages)


async def one_run(site: Site, source: Pages, now: Instant = NOW) -> ImportReport | None:
    """What one call of the command does; None when the platform died."""
    with CatalogueBook(site) as book:
        spool = open_spool(book, FEED, now)
        try:
            said = await read_platform(source, spool, lambda *_: None)
        except SourceUnreachable:
            return None
        finally:
            spool.close()
        report = take(book, FEED, said, whole=True)
        spool.done()
        return report


async def test_pass_that_was_broken_off_goes_on_at_the_page_it_had_reached(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    source = Pages(6, dies_at={3, 6})
    assert await one_run(site, source) is None
    assert await one_run(site, source) is None
    report = await one_run(site, source)
    assert report is not None
    assert counts(report) == (60, 0, 0, 0)
    assert source.asked == [None, "1", "2", "2", "3", "4", "4", "5"]
    assert await one_run(site, source) is not None
    assert source.asked.count(None) == 2, "the next pass begins anew"


async def test_platform_without_an_end_is_given_up_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.catalogue.take._PASS_MAX", 50)
    site = write_site(tmp_path)
    source = Pages(10**9, dies_at=set())
    with CatalogueBook(site) as book:
        spool = open_spool(book, FEED, NOW)
        with pytest.raises(ProtocolViolation) as endless:
            await read_platform(source, spool, lambda *_: None)
        spool.close()
        with closing(open_spool(book, FEED, NOW)) as again:
            assert again.pages == [], "the next pass begins anew"
    assert endless.value.reason == "platform_protocol"
    assert len(source.asked) == 5


async def test_old_or_foreign_or_torn_spool_is_not_gone_on_with(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    source = Pages(4, dies_at={3})
    assert await one_run(site, source) is None
    assert await one_run(site, source, Instant(NOW + 7 * HOUR)) is not None
    assert source.asked == [None, "1", "2", None, "1", "2", "3"]


@given(st.integers(0, 3_000))
def test_spool_cut_anywhere_keeps_its_whole_pages(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    file = tmp_path_factory.mktemp("spool") / "a.pass"
    spool = Spool(file, "key", NOW, hours_max=1)
    for number in range(3):
        spool.add(CataloguePage((entry(number),), str(number + 1)))
    spool.close()
    data = file.read_bytes()
    file.write_bytes(data[:cut])
    again = Spool(file, "key", NOW, hours_max=1)
    assert again.pages == [CataloguePage((entry(n),), str(n + 1)) for n in range(len(again.pages))]
    again.add(CataloguePage((entry(9),), None))
    again.close()
    with closing(Spool(file, "key", NOW, hours_max=1)) as last:
        assert last.over


def test_load_of_what_was_written_is_what_was_merged(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    report = sync(site, [entry(n, secrecy="1" if n == 3 else "0") for n in range(1, 9)])
    with CatalogueBook(site) as book:
        assert site.catalogue_file is not None
        assert load_catalogue(site.catalogue_file, book.tree) == report.merged.catalogue
