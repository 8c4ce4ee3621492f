from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.grid_index import GridIndex, gaps
from alerts.grids import load_catalogue, load_grids
from contracts.errors import ConfigError
from contracts.grid import GridLevel, GridTree
from contracts.source import Catalogue
from tests.alerts import site_files
from tests.alerts.records import COUNTY, SITE
from tests.alerts.site_files import SOUTH, STEP, WEST, feature, grid_code, square

Change = Callable[[dict[str, Any]], None]


def load(folder: Path, change: Change | None = None) -> GridTree:
    content = site_files.grids()
    if change is not None:
        change(content)
    file = folder / "grids.geojson"
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return load_grids(file, SITE, COUNTY)


def test_good_file_becomes_a_tree_with_parents_first(tmp_path: Path) -> None:
    tree = load(tmp_path)
    assert (tree.site, tree.version, len(tree.grids)) == (SITE, 4, 7)
    seen: set[str | None] = {None}
    for grid in tree.grids:
        assert grid.parent in seen
        seen.add(grid.code)
    assert tree.grids[-1].level is GridLevel.GRID


def overlapping(content: dict[str, Any]) -> None:
    content["features"][-1]["geometry"]["coordinates"] = [
        [[x - 0.001, y] for x, y in square(1, 1)],
    ]


def set_property(index: int, key: str, value: object) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["features"][index]["properties"][key] = value

    return change


def set_ring(ring: list[list[float]]) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["features"][-1]["geometry"]["coordinates"] = [ring]

    return change


def set_top(key: str, value: object) -> Change:
    def change(content: dict[str, Any]) -> None:
        content[key] = value

    return change


def with_hole(content: dict[str, Any]) -> None:
    west, south = WEST + STEP, SOUTH + STEP
    hole = [[west + 0.002, south + 0.002], [west + 0.004, south + 0.002], [west + 0.003, south + 0.004]]
    content["features"][-1]["geometry"]["coordinates"].append([*hole, hole[0]])


def without_ground(content: dict[str, Any]) -> None:
    content["features"][-1]["geometry"] = None


def twice(content: dict[str, Any]) -> None:
    content["features"].append(content["features"][-1])


BAD: list[tuple[str, Change, str]] = [
    ("another county's file", set_top("county", "620981"), "620981"),
    ("no FeatureCollection", set_top("type", "Feature"), "GeoJSON"),
    ("a code of 14 digits", set_property(-1, "code", "15292100100104"), "15 位数字"),
    ("letters in a code", set_property(-1, "code", "15292100100100A"), "15292100100100A"),
    ("sequence 000", set_property(-1, "code", "152921001001000"), "000"),
    ("a grid of another county", set_property(-1, "code", "620981001001004"), "不属于本县"),
    ("an unknown level", set_property(-1, "level", "village"), "village"),
    ("an unknown parent", set_property(-1, "parent", "152921001009"), "152921001009"),
    ("no parent", set_property(-1, "parent", None), "unknown parent"),
    ("a parent that is no prefix", set_property(-1, "parent", grid_code(0, 0)), "not a prefix"),
    ("a code twice", twice, "code used twice"),
    ("a hole", with_hole, "holes"),
    ("no ground", without_ground, "needs a polygon"),
    ("an open ring", set_ring(square(1, 1)[:-1]), "not closed"),
    ("a ring of two points", set_ring([[105.7, 38.8], [105.8, 38.8], [105.7, 38.8]]), "not closed"),
    ("metres instead of degrees", set_ring([[x * 111_320, y] for x, y in square(1, 1)]), "lon, lat"),
    (
        "a bow tie",
        set_ring([[105.72, 38.82], [105.73, 38.83], [105.73, 38.82], [105.72, 38.83], [105.72, 38.82]]),
        "Self-intersection",
    ),
    ("overlapping polygons", overlapping, "overlap"),
]


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_wrong_grid_file_is_refused_with_file_and_cause(tmp_path: Path, change: Change, words: str) -> None:
    with pytest.raises(ConfigError, match=r"grids\.geojson") as refusal:
        load(tmp_path, change)
    assert words in str(refusal.value)


def test_overlap_names_both_codes_and_the_area(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path, overlapping)
    sentence = str(refusal.value)
    assert grid_code(0, 1) in sentence
    assert grid_code(1, 1) in sentence
    area = int(sentence.split("重叠 ")[1].split(" ")[0])
    assert area == pytest.approx(0.001 * 111_320 * 0.7793 * STEP * 111_320, rel=0.01)


def test_slivers_between_neighbours_are_allowed(tmp_path: Path) -> None:
    tree = load(tmp_path, set_ring([[x - 1e-8, y] for x, y in square(1, 1)]))
    assert len(tree.grids) == 7


def test_file_that_is_not_utf8_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "grids.geojson"
    file.write_bytes(json.dumps({"type": "FeatureCollection", "name": "阿拉善"}, ensure_ascii=False).encode("gbk"))
    with pytest.raises(ConfigError, match="not the GeoJSON"):
        load_grids(file, SITE, COUNTY)


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_grids(tmp_path / "none.geojson", SITE, COUNTY)
    (tmp_path / "broken.geojson").write_text('{"type": "FeatureColl')
    with pytest.raises(ConfigError, match=r"broken\.geojson"):
        load_grids(tmp_path / "broken.geojson", SITE, COUNTY)


def test_hole_between_grids_is_reported_as_a_gap(tmp_path: Path) -> None:
    def narrow(content: dict[str, Any]) -> None:
        ring = [
            [WEST, SOUTH - STEP],
            [WEST + 2 * STEP, SOUTH - STEP],
            [WEST + 2 * STEP, SOUTH + 2 * STEP],
            [WEST, SOUTH + 2 * STEP],
            [WEST, SOUTH - STEP],
        ]
        content["features"][2] = feature(f"{COUNTY}001001", "community", f"{COUNTY}001", ring)

    assert gaps(load(tmp_path), 1.0) == []
    [gap] = gaps(load(tmp_path, narrow), 1.0)
    assert gap.parent == f"{COUNTY}001001"
    assert SOUTH - STEP < gap.lat < SOUTH
    assert gap.area_m2 == pytest.approx(2 * STEP**2 * 111_320**2 * 0.7793, rel=0.01)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> GridTree:
    return load(tmp_path_factory.mktemp("grids"))


@given(x=st.floats(0, 2, exclude_max=True), y=st.floats(0, 2, exclude_max=True))
def test_point_inside_lies_in_the_grid_of_its_column_and_row(tree: GridTree, x: float, y: float) -> None:
    column, row = int(x), int(y)
    inside = min(x - column, y - row) > 1e-6 and max(x - column, y - row) < 1 - 1e-6
    code = GridIndex(tree).locate(WEST + x * STEP, SOUTH + y * STEP)
    if inside:
        assert code == grid_code(column, row)
    else:
        assert code is None or code.startswith(COUNTY)


def test_point_on_a_border_gets_the_lowest_code_always(tree: GridTree) -> None:
    corner = square(1, 1)[0]
    assert {GridIndex(tree).locate(*corner) for _ in range(10)} == {grid_code(0, 0)}
    assert GridIndex(tree).locate(0.0, 0.0) is None


def test_retired_grid_owns_no_ground(tmp_path: Path) -> None:
    tree = load(tmp_path, set_property(-1, "retired", True))
    west, south = square(1, 1)[0]
    assert GridIndex(tree).locate(west + STEP / 2, south + STEP / 2) is None


def load_sources(folder: Path, tree: GridTree, change: Change | None = None) -> Catalogue:
    content = json.loads(msgspec.json.encode(site_files.catalogue()))
    if change is not None:
        change(content)
    file = folder / "catalogue.json"
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return load_catalogue(file, tree)


def test_sources_without_a_grid_get_the_one_they_lie_in(tmp_path: Path, tree: GridTree) -> None:
    catalogue = load_sources(tmp_path, tree)
    assert catalogue.cameras[0].place.grid_code == grid_code(0, 0)
    assert {sensor.place.grid_code for sensor in catalogue.sensors} == {grid_code(1, 0)}


def test_source_outside_all_grids_stays_unlocated(tmp_path: Path, tree: GridTree) -> None:
    catalogue = load_sources(tmp_path, tree, in_camera("place", {"lon": 106.5, "lat": 39.5}))
    assert catalogue.cameras[0].place.grid_code is None


def in_camera(key: str, value: object) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["cameras"][0][key] = value

    return change


def in_zone(key: str, value: object) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["cameras"][0]["zones"][0][key] = value

    return change


def in_sensor(key: str, value: object) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["sensors"][0][key] = value

    return change


BAD_SOURCES: list[tuple[str, Change, str]] = [
    ("another site's file", set_top("site", "elsewhere"), "elsewhere"),
    ("a misspelt key", in_camera("key_intervall_s", 2), "key_intervall_s"),
    ("a misspelt key of a zone", in_zone("area", 12), "$.cameras[0].zones[0].area"),
    ("a password in the address", in_camera("url", "rtsp://user:secret@10.0.0.1/1"), "credentials"),
    ("an address without scheme", in_camera("url", "10.0.0.1/1"), "10.0.0.1/1"),
    ("a camera id of 19 digits", in_camera("id", "1529210100132100001"), "20"),
    ("a camera id of an unknown county", in_camera("id", "99999901001321000001"), "999999"),
    (
        "an unknown grid",
        in_camera("place", {"lon": 1, "lat": 1, "grid_code": "152921001001099"}),
        "152921001001099",
    ),
    ("latitude out of range", in_camera("place", {"lon": 38.8, "lat": 105.7}), "lon, lat"),
    ("a zone of two points", in_zone("polygon", [[0.1, 0.1], [0.2, 0.2]]), "z-1"),
    ("a zone in pixels", in_zone("polygon", [[10, 10], [200, 10], [100, 90]]), "0..1"),
    ("a zone that crosses itself", in_zone("polygon", [[0, 0], [1, 1], [1, 0], [0, 1]]), "crosses itself"),
    ("a zone of no area", in_zone("area_m2", 0), "area_m2"),
    ("a zone for nobody", in_zone("capacity", 0), "capacity"),
    ("eight numbers", in_camera("homography", [1, 0, 0, 0, 1, 0, 0, 0]), "homography"),
    ("no time between key pictures", in_camera("key_interval_s", 0), "key_interval_s"),
    ("live without an address", lambda c: c["cameras"][0].update(live=True, url=None), "live"),
    ("a sensor id twice", in_sensor("id", "S-00002"), "S-00002"),
    ("a sensor without id", in_sensor("id", " "), "without an id"),
    ("an empty range", in_sensor("valid_min", 5), "valid_min"),
    ("no period", in_sensor("period_s", 0), "period_s"),
    ("an unknown kind", in_sensor("kind", "sonar"), "$.sensors[0].kind"),
]


@pytest.mark.parametrize(("change", "words"), [x[1:] for x in BAD_SOURCES], ids=[x[0] for x in BAD_SOURCES])
def test_wrong_catalogue_is_refused_with_file_and_cause(
    tmp_path: Path, tree: GridTree, change: Change, words: str
) -> None:
    with pytest.raises(ConfigError, match=r"catalogue\.json") as refusal:
        load_sources(tmp_path, tree, change)
    assert words in str(refusal.value)


def test_refusal_of_a_password_does_not_repeat_it(tmp_path: Path, tree: GridTree) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_sources(tmp_path, tree, in_camera("url", "rtsp://user:secret@10.0.0.1/1"))
    assert "secret@" not in str(refusal.value)


def test_zone_id_on_two_cameras_is_refused(tmp_path: Path, tree: GridTree) -> None:
    def second(content: dict[str, Any]) -> None:
        content["cameras"].append({**content["cameras"][0], "id": "15292101001321000002"})

    with pytest.raises(ConfigError, match="zone id used twice"):
        load_sources(tmp_path, tree, second)
