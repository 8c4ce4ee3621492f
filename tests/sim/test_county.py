"""The simulated county keeps the rules of grid codes, device ids and polygons, and follows from its seed alone."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import msgspec
import pytest
import shapely

from contracts.grid import GridLevel
from contracts.ids import parse_device_id, parse_grid_code
from contracts.source import Catalogue, SensorKind
from sim.catalogue import OWNERS, SENSOR_SPECS
from sim.config import SimConfig
from sim.county import COMMUNITIES, County, build_county
from sim.export import catalogue_json, grids_geojson
from sim.scenario import alarming_sensor, cast_live, make_catalogue


@pytest.fixture(scope="module")
def county() -> County:
    return build_county(152921)


@pytest.fixture(scope="module")
def catalogue(county: County) -> Catalogue:
    config = SimConfig(live_cameras=4)
    return make_catalogue(county, config, cast_live(county, config))


def test_the_county_has_15_streets_147_communities_and_147_grids(county: County) -> None:
    levels = Counter(grid.level for grid in county.grids.grids)
    assert levels == {GridLevel.COUNTY: 1, GridLevel.STREET: 15, GridLevel.COMMUNITY: 147, GridLevel.GRID: 147}
    assert sum(COMMUNITIES[kind] * count for kind, count in (("街道", 3), ("镇", 8), ("苏木", 4))) == 147


def test_every_node_stands_behind_its_parent_whose_code_it_extends(county: County) -> None:
    known: set[str] = set()
    for grid in county.grids.grids:
        if grid.level is not GridLevel.COUNTY:
            assert grid.parent in known
            assert grid.code.startswith(grid.parent or "?")
        known.add(grid.code)
    assert len(known) == 1 + 15 + 147 + 147


def test_grid_codes_are_valid_and_streets_stay_in_the_range_of_their_kind(county: County) -> None:
    names = {grid.code: grid.name for grid in county.grids.grids}
    for community in county.communities:
        code = parse_grid_code(community.grid_code)
        assert code.sequence == "001"
        street = int(code.street)
        name = names[community.grid_code[:9]]
        kind = "街道" if street < 100 else "镇" if street < 200 else "苏木"
        assert name.endswith(kind)
    assert len(set(names.values())) == len(names)


def test_grids_tile_the_county_without_overlap_or_gap(county: County) -> None:
    polygons = [community.polygon for community in county.communities]
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(county.outline.area, rel=1e-9)
    assert county.outline.geom_type == "Polygon"
    assert not county.outline.interiors


def test_ten_thousand_random_points_lie_in_exactly_one_grid_each(county: County) -> None:
    random = Random(7)
    west, south, east, north = county.outline.bounds
    points: list[shapely.Point] = []
    while len(points) < 10_000:
        drawn = [shapely.Point(random.uniform(west, east), random.uniform(south, north)) for _ in range(5_000)]
        points += [p for p, inside in zip(drawn, shapely.contains(county.outline, drawn), strict=True) if inside]
    tree = shapely.STRtree([community.polygon for community in county.communities])
    found, _ = tree.query(points[:10_000], predicate="within")
    assert Counter(Counter(found.tolist()).values()) == {1: 10_000}


def test_3700_cameras_have_valid_ids_and_lie_in_their_grids(county: County) -> None:
    polygons = {community.grid_code: community.polygon for community in county.communities}
    assert len(county.cameras) == len({camera.id for camera in county.cameras}) == 3700
    for camera in county.cameras:
        assert parse_device_id(camera.id).device_type == "132"
        assert parse_device_id(camera.platform).device_type == "118"
        home = polygons[camera.place.grid_code or ""]
        assert home.contains(shapely.Point(camera.place.lon, camera.place.lat))
    assert {camera.owner for camera in county.cameras} == {owner for owner, *_ in OWNERS}
    assert len(OWNERS) == 6
    assert sum(camera.secrecy for camera in county.cameras) == 3


def test_every_grid_has_a_camera_and_towns_have_more(county: County) -> None:
    per_grid = Counter(camera.place.grid_code for camera in county.cameras)
    assert len(per_grid) == 147
    kinds = {community.grid_code: community.kind for community in county.communities}
    means = {
        kind: sum(n for code, n in per_grid.items() if kinds[code or ""] == kind)
        / list(kinds.values()).count(kind)
        for kind in COMMUNITIES
    }
    assert means["街道"] > means["镇"] > means["苏木"]


def test_700_sensors_share_fire_zones_of_their_grid(county: County) -> None:
    assert len({sensor.id for sensor in county.sensors}) == 700
    assert {sensor.kind for sensor in county.sensors} == set(SensorKind) == set(SENSOR_SPECS)
    zones: dict[str, set[str | None]] = {}
    for sensor in county.sensors:
        assert parse_device_id(sensor.id).device_type == "134"
        assert sensor.place.fire_zone is not None
        zones.setdefault(sensor.place.fire_zone, set()).add(sensor.place.grid_code)
    assert all(len(grids) == 1 for grids in zones.values())
    assert len(zones) > 80


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(county: County, catalogue: Catalogue) -> None:
    config = SimConfig(live_cameras=4)
    again = build_county(152921)
    assert grids_geojson(again.grids) == grids_geojson(county.grids)
    assert catalogue_json(make_catalogue(again, config, cast_live(again, config))) == catalogue_json(catalogue)
    assert grids_geojson(build_county(1).grids) != grids_geojson(county.grids)


@pytest.mark.parametrize("seed", range(5))
def test_any_seed_gives_a_county_that_tiles(seed: int) -> None:
    county = build_county(seed, cameras_total=200, sensors_total=20)
    assert shapely.coverage_is_valid([community.polygon for community in county.communities])
    assert len(county.communities) == 147


def test_the_catalogue_file_reads_back_as_it_was(catalogue: Catalogue) -> None:
    assert msgspec.json.decode(catalogue_json(catalogue), type=Catalogue) == catalogue


def test_the_grid_file_is_geojson_with_codes_and_counter_clockwise_rings(county: County) -> None:
    document = json.loads(grids_geojson(county.grids))
    assert document["type"] == "FeatureCollection"
    leaves = [f for f in document["features"] if f["properties"]["level"] == "grid"]
    assert len(leaves) == 147
    for feature in leaves:
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.exterior.is_ccw
        assert shape.is_valid
        parse_grid_code(feature["properties"]["code"])
    assert all(f["geometry"] is None for f in document["features"] if f["properties"]["level"] != "grid")


def test_live_cameras_are_surveyed_and_lie_in_different_grids(county: County, catalogue: Catalogue) -> None:
    live = [camera for camera in catalogue.cameras if camera.live]
    assert len(live) == 4
    assert len({camera.place.grid_code for camera in live}) == 4
    for camera in live:
        assert camera.url == f"rtsp://127.0.0.1:8654/live/{camera.id}"
        assert camera.homography is not None
        assert len(camera.homography) == 9
        assert camera.zones
        for zone in camera.zones:
            assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in zone.polygon)
            assert zone.area_m2 is not None
            assert zone.area_m2 > 1
    assert all(camera.url is None for camera in catalogue.cameras if not camera.live)
    assert not any(camera.live and camera.secrecy for camera in catalogue.cameras)


def test_a_zone_measured_through_its_homography_has_its_stated_area(catalogue: Catalogue) -> None:
    for camera in catalogue.cameras:
        for zone in camera.zones:
            assert camera.homography is not None
            h = camera.homography
            ground = []
            for x, y in zone.polygon:
                w = h[6] * x + h[7] * y + h[8]
                ground.append(((h[0] * x + h[1] * y + h[2]) / w, (h[3] * x + h[4] * y + h[5]) / w))
            assert shapely.Polygon(ground).area == pytest.approx(zone.area_m2, rel=0.01)


def test_the_alarming_detector_lies_in_a_grid_without_a_live_camera(county: County) -> None:
    parts = cast_live(county, SimConfig())
    sensor = alarming_sensor(county, parts)
    homes = {camera.place.grid_code for camera in county.cameras if camera.id in {p.camera_id for p in parts}}
    assert sensor.kind is SensorKind.SMOKE
    assert sensor.place.grid_code not in homes


def test_more_live_cameras_than_parts_share_the_quiet_scenes(county: County) -> None:
    parts = cast_live(county, SimConfig(live_cameras=200))
    assert len({part.camera_id for part in parts}) == 200
    assert len({(part.kind, part.seed, part.night) for part in parts}) == 12
