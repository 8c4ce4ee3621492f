"""The zones of a simulated scene as a catalogue names them."""

from __future__ import annotations

from contracts.place import Zone, ZoneKind
from sim.scenes import Scene


def zones_of(scene: Scene) -> tuple[Zone, ...]:
    """With their measured ground."""
    return tuple(
        Zone(
            id=shape.name,
            name=shape.name,
            kind=ZoneKind(shape.kind),
            polygon=tuple((min(x / scene.width, 1.0), min(y / scene.height, 1.0)) for x, y in shape.polygon),
            area_m2=shape.area_m2,
        )
        for shape in scene.view.zones
    )
