"""A small county on the ground: four square grids of about a kilometre, one camera, some smoke detectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from alerts.config import WebhookConfig
from contracts.place import Place, Zone, ZoneKind
from contracts.source import Camera, Catalogue, Sensor, SensorKind
from runtime.site import PathsConfig, Site, SiteConfig
from tests.alerts.records import COUNTY, SITE

WEST, SOUTH, STEP = 105.70, 38.80, 0.01
CAMERA_ID = "15292101001321000001"


def square(column: int, row: int) -> list[list[float]]:
    west, south = WEST + column * STEP, SOUTH + row * STEP
    return [
        [west, south],
        [west + STEP, south],
        [west + STEP, south + STEP],
        [west, south + STEP],
        [west, south],
    ]


def grid_code(column: int, row: int) -> str:
    return f"{COUNTY}001001{1 + column + 2 * row:03d}"


def feature(code: str, level: str, parent: str | None, ring: list[list[float]] | None) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {"code": code, "name": f"第{code[-3:]}号", "level": level, "parent": parent},
        "geometry": None if ring is None else {"type": "Polygon", "coordinates": [ring]},
    }


def grids() -> dict[str, Any]:
    return {
        "type": "FeatureCollection",
        "site": SITE,
        "county": COUNTY,
        "version": 4,
        "features": [
            feature(COUNTY, "county", None, None),
            feature(f"{COUNTY}001", "street", COUNTY, None),
            feature(f"{COUNTY}001001", "community", f"{COUNTY}001", None),
            *(
                feature(grid_code(column, row), "grid", f"{COUNTY}001001", square(column, row))
                for row in range(2)
                for column in range(2)
            ),
        ],
    }


def catalogue(sensors: int = 3) -> Catalogue:
    here = Place(WEST + 0.004, SOUTH + 0.004, None, None, "fz-1", "广场")
    return Catalogue(
        site=SITE,
        county=COUNTY,
        version=7,
        cameras=(
            Camera(
                id=CAMERA_ID,
                name="广场东",
                place=here,
                owner="公安局",
                url="rtsp://127.0.0.1:8554/1",
                credentials="platform-1",
                zones=(Zone("z-1", "舞台前", ZoneKind.STANDING, ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9))),),
            ),
        ),
        sensors=tuple(
            Sensor(
                id=f"S-{number:05d}",
                name=f"烟感{number}",
                kind=SensorKind.SMOKE,
                place=Place(WEST + 0.015, SOUTH + 0.005 + number * 1e-6, None, None, f"fz-{number}", ""),
                owner="消防救援大队",
                unit="",
                valid_min=0,
                valid_max=1,
            )
            for number in range(1, sensors + 1)
        ),
    )


def write_site(folder: Path, *, sensors: int = 3) -> Site:
    """A site whose files lie in `folder`."""
    (folder / "grids.geojson").write_text(json.dumps(grids(), ensure_ascii=False), encoding="utf-8")
    (folder / "catalogue.json").write_bytes(msgspec.json.encode(catalogue(sensors)))
    return site_in(folder)


def write_webhook(site: Site, url: str) -> WebhookConfig:
    """Settings of a webhook to `url`, with a secret in the state folder."""
    site.state_dir.mkdir(parents=True, exist_ok=True)
    secret = site.state_dir / "webhook.secret"
    secret.write_bytes(b"shared\n")
    secret.chmod(0o600)
    return WebhookConfig(url=url, secret_file="webhook.secret", retry_first_s=0.05)


def site_in(folder: Path) -> Site:
    """The site whose files were written to `folder` before."""
    return Site(
        SiteConfig(id=SITE, county=COUNTY),
        PathsConfig(state="var", grids="grids.geojson", catalogue="catalogue.json"),
        folder,
    )
