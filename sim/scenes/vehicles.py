"""Vehicles in true perspective: faces turned to the camera, shaded, painted in order into a patch."""

from __future__ import annotations

import cv2
import numpy as np

from sim.scenes.camera_view import CameraView
from sim.scenes.drawn import Drawn
from sim.scenes.light import Colour, Light
from sim.scenes.truth import F64, SceneClass
from sim.scenes.vehicle_models import FaceTable, VehicleModel

BRAKE_LIGHT: Colour = (70.0, 60.0, 255.0)


def pose(points: F64, x: float, y: float, heading_rad: float) -> F64:
    """Model points into the world: turned by heading (0 faces +x) and moved."""
    c, s = np.cos(heading_rad), np.sin(heading_rad)
    return np.stack(
        [x + c * points[:, 0] - s * points[:, 1], y + s * points[:, 0] + c * points[:, 1], points[:, 2]], 1
    )


def outline_px(model: VehicleModel, view: CameraView, x: float, y: float, heading_rad: float) -> F64:
    """Convex hull of the vehicle in the picture (unclipped px)."""
    px = view.project(pose(model.corners, x, y, heading_rad))
    return np.asarray(cv2.convexHull(px.astype(np.float32))[:, 0], dtype=np.float64)


def draw_vehicle(
    model: VehicleModel, view: CameraView, x: float, y: float, heading_rad: float, light: Light, braking: bool
) -> Drawn:
    """Draw one vehicle into its own patch."""
    outline = outline_px(model, view, x, y, heading_rad)
    distance = float(np.hypot(x, y))
    eye = np.array([0.0, 0.0, view.height_m])
    low = np.maximum(np.floor(outline.min(axis=0)) - 2, -200.0)
    high = np.minimum(np.ceil(outline.max(axis=0)) + 2, [view.width + 200.0, view.height + 200.0])
    w, h = (high - low).astype(int).tolist()
    off_picture = (high < 0).any() or low[0] > view.width or low[1] > view.height
    if w < 3 or h < 3 or off_picture:
        return Drawn(distance, outline, (), (x, y))
    k = 4 if max(w, h) < 90 else 3 if max(w, h) < 200 else 2
    canvas = np.zeros((h * k, w * k, 4), np.uint8)
    table = model.table
    world = pose(table.points, x, y, heading_rad)
    normals = pose(table.normals, 0.0, 0.0, heading_rad)
    facing = np.einsum("ij,ij->i", normals, eye - world[table.starts[:-1]]) > 0
    px = view.project(world)
    fixed = np.round((px - low) * (k * 16)).astype(np.int32)
    colours = _face_colours(table, normals, light, distance)
    heads: list[tuple[float, float, float]] = []
    tails: list[tuple[float, float, float]] = []
    size = view.focal_px / max(view.ahead_m(y, 0.8), 1.0)
    for i in _painters_order(model, x, y, heading_rad):
        if not facing[i]:
            continue
        a, b, face = table.starts[i], table.starts[i + 1], table.faces[i]
        lit = BRAKE_LIGHT if face.lamp == "tail" and braking else colours[i]
        cv2.fillPoly(canvas, [fixed[a:b]], (*lit, 255.0), cv2.LINE_8, 4)
        if face.lamp:
            u, v = px[a:b].mean(axis=0).tolist()
            (heads if face.lamp == "head" else tails).append((u, v, size))
    small = np.asarray(cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return Drawn(
        distance, outline, (), (x, y), small, int(low[0]), int(low[1]), heads=tuple(heads), tails=tuple(tails)
    )


def _painters_order(model: VehicleModel, x: float, y: float, heading_rad: float) -> list[int]:
    """Indices of faces, solids farther from the camera first (a car's cabin always after its body)."""
    solids = list(range(len(model.solids)))
    if model.cls is not SceneClass.CAR:
        centres = pose(np.array([solid.centre for solid in model.solids]), x, y, heading_rad)
        solids.sort(key=lambda i: -float(np.hypot(centres[i, 0], centres[i, 1])))
    ends = np.cumsum([len(solid.faces) for solid in model.solids]).tolist()
    return [f for i in solids for f in range(ends[i] - len(model.solids[i].faces), ends[i])]


def _face_colours(table: FaceTable, normals: F64, light: Light, distance_m: float) -> list[list[float]]:
    """Paint, sky in the gloss, sun, air between; BGR per face."""
    sky = np.array((70.0, 62.0, 58.0) if light.night else (215.0, 200.0, 185.0))
    mirror = (table.gloss * (0.45 + 0.55 * np.maximum(normals[:, 2], 0.0)))[:, None]
    lit = np.minimum((table.colours * (1 - mirror) + sky * mirror) * light.shade(normals)[:, None], 255.0)
    clear = np.exp(-distance_m * light.haze_per_m)
    faded: list[list[float]] = (lit * clear + np.array(light.haze_colour) * (1 - clear)).tolist()
    return faded
