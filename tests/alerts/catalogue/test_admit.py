from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.catalogue.admit import Admitted, Gate, NotACamera
from alerts.catalogue.config import FeedConfig
from alerts.catalogue.coordinates import CoordinateSystem, wgs84_to_gcj02
from alerts.catalogue.refusals import Refused
from alerts.grids import load_grids
from contracts.catalogue_entry import CatalogueEntry
from contracts.grid import GridTree
from contracts.source import SystemKind
from tests.alerts.catalogue.entries import FEED, camera_id, entry
from tests.alerts.records import COUNTY, SITE
from tests.alerts.site_files import SOUTH, WEST, grid_code, grids


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> GridTree:
    file: Path = tmp_path_factory.mktemp("grids") / "grids.geojson"
    file.write_text(json.dumps(grids()), encoding="utf-8")
    return load_grids(file, SITE, COUNTY)


def admitted(tree: GridTree, feed: FeedConfig = FEED, **more: Any) -> Admitted:
    found = Gate(tree, feed).admit(entry(1, **more))
    assert isinstance(found, Admitted), found
    return found


def refused(tree: GridTree, feed: FeedConfig = FEED, **more: Any) -> Refused:
    found = Gate(tree, feed).admit(entry(1, **more))
    assert isinstance(found, Refused), found
    return found


def test_good_entry_becomes_a_camera_in_the_grid_that_it_stands_in(tree: GridTree) -> None:
    found = admitted(tree, address="王府街")
    camera = found.camera
    assert (camera.id, camera.owner, camera.platform, camera.live) == (camera_id(1), "公安局", "wvp-1", True)
    assert camera.place.grid_code == grid_code(0, 0)
    assert found.registration.address == camera.place.name == "王府街"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": "1529210000132000001"}, "device_id_length"),
        ({"id": "15292100009990000001"}, "device_id_type"),
        ({"id": "99999900001320000001"}, "device_id_county"),
        ({"id": "１5292100001320000001"}, "device_id_length"),
        ({"lon": ""}, "no_position"),
        ({"lon": "0", "lat": "0.0"}, "no_position"),
        ({"lon": "x"}, "no_position"),
        ({"lon": "nan"}, "no_position"),
        ({"lon": "1e999"}, "no_position"),
        ({"lon": "116.39", "lat": "39.90"}, "outside_county"),
        ({"lon": f"{SOUTH}", "lat": f"{WEST}"}, "swapped_position"),
        ({"coordinates": "BD09"}, "coordinates_bd09"),
        ({"coordinates": "北京54"}, "coordinate_system"),
        ({"url": "rtsp://admin:12345@10.0.0.1/1"}, "password_in_url"),
        ({"url": "10.0.0.1/1"}, "url"),
        ({"secrecy": "也许"}, "flag"),
        ({"retention_days": "29"}, "retention_days"),
        ({"retention_days": "-1"}, "retention_days"),
        ({"system_kind": "第八条"}, "system_kind"),
        ({"filed_on": "昨天"}, "date"),
    ],
)
def test_wrong_entry_is_refused_with_its_own_reason_and_place(
    tree: GridTree, fields: dict[str, Any], reason: str
) -> None:
    found = refused(tree, **fields)
    assert found.reason == reason
    assert found.origin == "第 2 行"
    assert "12345" not in found.sentence.replace(camera_id(1), "")


def test_gcj02_position_is_put_right_before_its_grid_is_looked_for(tree: GridTree) -> None:
    right = (WEST + 0.0002, SOUTH + 0.0002)
    lon, lat = wgs84_to_gcj02(*right)
    found = admitted(tree, lon=repr(lon), lat=repr(lat), coordinates="GCJ-02").camera.place
    assert abs(found.lon - right[0]) < 1e-6
    assert abs(found.lat - right[1]) < 1e-6
    assert found.grid_code == grid_code(0, 0)
    by_feed = msgspec.structs.replace(FEED, coordinates=CoordinateSystem.GCJ02)
    assert admitted(tree, by_feed, lon=repr(lon), lat=repr(lat)).camera.place == found


def test_camera_near_the_county_but_in_no_grid_waits_for_a_place(tree: GridTree) -> None:
    assert admitted(tree, lon=f"{WEST - 0.01}").camera.place.grid_code is None


def test_recorders_and_directories_are_no_cameras_and_no_errors(tree: GridTree) -> None:
    for other in ("15292100001180000001", "15292100002160000001", "152921", "15292101"):
        assert isinstance(Gate(tree, FEED).admit(entry(1, id=other)), NotACamera)


def test_secret_and_forbidden_cameras_keep_no_address(tree: GridTree) -> None:
    closing: list[dict[str, Any]] = [{"secrecy": "1"}, {"forbidden_place": "是"}]
    for fields in closing:
        camera = admitted(tree, channel="a/b", recording_url="rtsp://10.0.0.1/r", live="1", **fields).camera
        assert (camera.url, camera.channel, camera.recording_url, camera.live) == (None, "", None, False)


def test_refused_entry_that_says_secret_or_does_not_say_clearly_counts_as_secret(tree: GridTree) -> None:
    assert refused(tree, lon="", secrecy="1").secret
    assert refused(tree, secrecy="也许").secret
    assert not refused(tree, lon="", secrecy="0").secret


def test_owner_is_a_name_that_the_entry_says_else_by_industry_else_of_the_feed(tree: GridTree) -> None:
    feed = FeedConfig(platform="a", owner="公安局", owners={"04": "公安交警"})
    traffic = f"{camera_id(1)[:8]}04{camera_id(1)[10:]}"
    assert admitted(tree, feed, owner="教育局", id=traffic).camera.owner == "教育局"
    assert admitted(tree, feed, owner="Owner", id=traffic).camera.owner == "公安交警"
    assert admitted(tree, feed, owner="0").camera.owner == "公安局"


def test_fields_of_the_799_regulation_are_taken_over(tree: GridTree) -> None:
    register = admitted(
        tree,
        manager="阿左旗公安局",
        near_secret_unit="是",
        secrecy_consent="已同意",
        signage_ok="有",
        in_use_since="2026/3/1",
        filed_on="2026年3月20日",
        filing_number="阿公备〔2026〕7号",
        retention_days="90",
    ).registration
    assert (register.near_secret_unit, register.secrecy_consent, register.signage_ok) == (True, True, True)
    assert (register.in_use_since, register.filed_on) == ("2026-03-01", "2026-03-20")
    assert (register.retention_days, register.filing_number) == (90, "阿公备〔2026〕7号")
    assert admitted(tree).registration.signage_ok is None


def test_thirty_days_bind_systems_of_article_seven_alone(tree: GridTree) -> None:
    found = admitted(tree, retention_days="15", system_kind="第九条")
    assert found.camera.system_kind is SystemKind.ART9_OTHER
    assert found.registration.retention_days == 15


def test_fingerprint_follows_content_and_rules_and_neither_line_nor_status(tree: GridTree) -> None:
    gate = Gate(tree, FEED)
    base = gate.fingerprint(entry(1))
    assert gate.fingerprint(entry(1, origin="第 900 行", status="OFF")) == base
    assert gate.fingerprint(entry(1, name="改名")) != base
    assert Gate(tree, msgspec.structs.replace(FEED, owner="教育局")).fingerprint(entry(1)) != base
    assert Gate(tree, msgspec.structs.replace(FEED, sessions_max=9)).fingerprint(entry(1)) == base


@given(
    st.fixed_dictionaries(
        {name: st.one_of(st.just(""), st.text(max_size=30)) for name in CatalogueEntry.__struct_fields__}
    )
)
def test_whatever_an_entry_says_it_is_judged_and_nothing_is_raised(tree: GridTree, fields: dict[str, str]) -> None:
    assert isinstance(Gate(tree, FEED).admit(CatalogueEntry(**fields)), Admitted | NotACamera | Refused)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "wvp"}, "base_url"),
        ({"base_url": "http://u:p@h"}, "no password"),
        ({"base_url": "h:18080"}, "http://host:port"),
        ({"retention_days": 29}, "第十七条"),
        ({"removal_share_max": 1.5}, "removal_share_max"),
        ({"platform": "a/b"}, "platform"),
        ({"sessions_max": 0}, "sessions_max"),
    ],
)
def test_wrong_feed_is_refused_in_words(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FeedConfig(**({"platform": "wvp-1"} | fields))
