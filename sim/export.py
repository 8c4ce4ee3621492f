"""The two files that a site is given: the grid tree (GeoJSON, RFC 7946) and the catalogue (JSON)."""

from __future__ import annotations

import json

import msgspec

from contracts.grid import GridTree
from contracts.source import Catalogue


def grids_geojson(tree: GridTree) -> bytes:
    """A FeatureCollection, one feature a line, parents first.

    Properties: `code`, `name`, `level`, `parent`. Nodes that are the union of their children have a null geometry.
    """
    lines = []
    for grid in tree.grids:
        geometry = None
        if grid.rings:
            geometry = (
                {"type": "Polygon", "coordinates": [grid.rings[0]]}
                if len(grid.rings) == 1
                else {"type": "MultiPolygon", "coordinates": [[ring] for ring in grid.rings]}
            )
        properties = {"code": grid.code, "name": grid.name, "level": str(grid.level), "parent": grid.parent}
        feature = {"type": "Feature", "properties": properties, "geometry": geometry}
        lines.append(json.dumps(feature, ensure_ascii=False, separators=(",", ":")))
    head = {"site": tree.site, "county": tree.county, "version": tree.version, "crs_note": tree.crs_note}
    opening = json.dumps({"type": "FeatureCollection", **head}, ensure_ascii=False, separators=(",", ":"))
    return (opening[:-1] + ',"features":[\n' + ",\n".join(lines) + "\n]}\n").encode()


def catalogue_json(catalogue: Catalogue) -> bytes:
    """The catalogue as `msgspec.json.decode(data, type=Catalogue)` reads it back."""
    return msgspec.json.format(msgspec.json.encode(catalogue), indent=1) + b"\n"
