"""What stands still: sky, ground, road marks, buildings, trees, lamps; painted once per scene."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from sim.scenes.camera_view import CameraView
from sim.scenes.lamps import Lamp, glare
from sim.scenes.light import Colour, Light
from sim.scenes.noise import fractal, sample
from sim.scenes.truth import F32, F64, U8
from sim.scenes.walls import wall_texture

SCALE = 2
# Nearer trees and posts would hide the road, and everything that moves is painted over what stands still.
NEAREST_THING_M = 15.0
Surface = Literal["pavers", "concrete", "asphalt", "grass", "sand"]


@dataclass(frozen=True)
class Road:
    """A straight road: a point on its middle line, its direction (rad from +x), lanes each way, lane width."""

    x: float
    y: float
    direction_rad: float
    lanes: int
    lane_m: float

    @property
    def half_m(self) -> float:
        """Half the width of the carriageway."""
        return self.lanes * self.lane_m + 0.3

    def at(self, along_m: float, left_m: float) -> tuple[float, float]:
        """Ground point from distance along the middle line and offset to the left of its direction."""
        c, s = float(np.cos(self.direction_rad)), float(np.sin(self.direction_rad))
        return self.x + c * along_m - s * left_m, self.y + s * along_m + c * left_m


class Backdrop:
    """A picture being painted at SCALE times the size; `glow` is added after the light of the night."""

    def __init__(self, view: CameraView, light: Light, rng: np.random.Generator) -> None:
        self.light = light
        self.rng = rng
        self.view = replace(
            view, focal_px=view.focal_px * SCALE, width=view.width * SCALE, height=view.height * SCALE
        )
        self.paint: F32 = np.zeros((self.view.height, self.view.width, 3), np.float32)
        self.glow: F32 = np.zeros_like(self.paint)
        v, u = np.mgrid[0 : self.view.height, 0 : self.view.width]
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = self.view.to_ground(u + 0.5, v + 0.5)
        self.below = v > self.view.horizon_px + 2
        self.x = np.where(self.below, np.clip(x, -260, 260), 0.0).astype(np.float32)
        self.y = np.where(self.below, np.clip(y, 0, 260), 260.0).astype(np.float32)
        self.distance = np.hypot(self.x, self.y)
        self.footprint = self.distance**2 / (self.view.focal_px * self.view.height_m)

    def sky(self) -> None:
        """Gradient and clouds; evening red for a sunset, dull glow at night."""
        rows = np.linspace(0, 1, self.view.height, dtype=np.float32)[:, None]
        top, low = self._sky_colours()
        image = np.array(top, np.float32) * (1 - rows[..., None]) + np.array(low, np.float32) * rows[..., None]
        v, u = np.mgrid[0 : self.view.height, 0 : self.view.width].astype(np.float32)
        cloud = sample(fractal(int(self.rng.integers(50))), u * 0.16, v * 0.5)
        lift = 14.0 if self.light.night else 42.0
        self.paint[:] = image + (cloud[..., None] - 0.5) * lift * np.array([0.9, 1.0, 1.05], np.float32)

    def _sky_colours(self) -> tuple[Colour, Colour]:
        if self.light.night:
            return (26.0, 20.0, 18.0), (62.0, 52.0, 52.0)
        if self.light.sunset:
            return (150.0, 120.0, 130.0), (70.0, 140.0, 250.0)
        return (
            ((225.0, 190.0, 150.0), (225.0, 218.0, 210.0))
            if self.light.shadow > 0.3
            else ((205.0, 198.0, 192.0), (215.0, 212.0, 208.0))
        )

    def ground(self, surface: Surface, where: F64 | None = None) -> None:
        """Cover the ground (or the part where the mask `where` is true) with a surface."""
        seen = self.below if where is None else self.below & (where > 0)
        seed = int(self.rng.integers(400))
        base, colour = self._surface(surface, seed)
        flat = colour * np.float32(self.light.shade(np.array([[0.0, 0.0, 1.0]]))[0]) * base[..., None]
        k = np.exp(-self.distance * self.light.haze_per_m)[..., None].astype(np.float32)
        self.paint[seen] = (flat * k + np.array(self.light.haze_colour, np.float32) * (1 - k))[seen]

    def _surface(self, surface: Surface, seed: int) -> tuple[F32, F32]:
        rng = np.random.default_rng(seed)
        fine = np.clip(1.4 - self.footprint / 0.06, 0.15, 1.0)
        stains = sample(fractal(seed % 50), self.x * 9, self.y * 9) - 0.5
        wide = sample(fractal(seed % 50 + 50), self.x * 2.1, self.y * 2.1) - 0.5
        speck = sample(fractal(seed % 50 + 100, 256, 7, 0.9), self.x * 60, self.y * 60) - 0.5
        value = 1.0 + stains * 0.10 + wide * 0.16 + speck * 0.42 * fine
        tone = {
            "pavers": (148, 152, 158),
            "concrete": (160, 164, 166),
            "asphalt": (92, 92, 92),
            "grass": (62, 105, 88),
            "sand": (120, 150, 170),
        }[surface]
        colour = np.array(tone, np.float32) * np.float32(rng.uniform(0.85, 1.12)) + rng.normal(0, 5, 3).astype(
            np.float32
        )
        if surface in ("pavers", "concrete"):
            size = float(rng.choice([0.4, 0.6, 0.8])) if surface == "pavers" else 3.5
            joint = 0.02 if surface == "pavers" else 0.03
            half_row = np.floor(self.y / size) % 2 * 0.5 if rng.random() < 0.5 else 0.0
            gx, gy = self.x / size + half_row, self.y / size
            gap = np.minimum(np.abs(gx - np.round(gx)), np.abs(gy - np.round(gy))) * size
            soft = np.maximum(self.footprint, 0.004)
            lines = np.clip((joint / 2 - gap) / soft + 0.5, 0, 1) * np.clip(joint / soft, 0, 1)
            value = value * (1 - 0.35 * lines)
            tile = np.sin(np.floor(gx) * 12.9898 + np.floor(gy) * 78.233) * 43758.5453
            value = value * (
                1 + 0.12 * ((tile - np.floor(tile)) - 0.5) * np.clip(1.2 - self.footprint / size, 0, 1)
            )
        return value.astype(np.float32), np.broadcast_to(colour, (*value.shape, 3)).astype(np.float32)

    def road(self, road: Road) -> None:
        """Asphalt, kerbs and marks."""
        c, s = float(np.cos(road.direction_rad)), float(np.sin(road.direction_rad))
        dx, dy = self.x - road.x, self.y - road.y
        along, left = dx * c + dy * s, -dx * s + dy * c
        self.ground("asphalt", (np.abs(left) < road.half_m).astype(np.float64))
        soft = np.maximum(self.footprint * 0.5, 0.012)
        wear = 0.75 + 0.35 * sample(fractal(3), self.x * 20, self.y * 20)

        def line(at: float, half_m: float, dashed: bool) -> F32:
            strength = np.clip((half_m - np.abs(left - at)) / soft + 0.5, 0, 1)
            if dashed:
                strength = strength * (np.mod(along, 15.0) < 6.0)
            return np.asarray(strength * wear * 0.8 * self.below, dtype=np.float32)

        def mark(strength: F32, colour: Colour) -> None:
            lit = np.array(colour, np.float32) * np.float32(self.light.ambient + self.light.diffuse * 0.6)
            self.paint *= (1 - strength)[..., None]
            self.paint += strength[..., None] * lit

        for i in range(1, road.lanes):
            for side in (-1, 1):
                mark(line(side * i * road.lane_m, 0.08, True), (215, 218, 220))
        for side in (-1, 1):
            mark(line(side * 0.15, 0.07, False), (60, 170, 215))
            mark(line(side * road.lanes * road.lane_m, 0.08, False), (215, 218, 220))
            mark(line(side * (road.half_m + 0.08), 0.1, False), (165, 168, 170))

    def facade(self, a: tuple[float, float], b: tuple[float, float], height_m: float) -> None:
        """A building's wall from ground point a to b, with windows and perhaps shop fronts."""
        px = self.view.project(np.array([[*a, 0.0], [*b, 0.0], [*b, height_m], [*a, height_m]]))
        if min(self.view.ahead_m(p[1], 0.0) for p in (a, b)) < 1.5:
            return
        length = float(np.hypot(b[0] - a[0], b[1] - a[1]))
        wall, lit = wall_texture(self.rng, length, height_m)
        th, tw = wall.shape[:2]
        corners = np.array([[0, th], [tw, th], [tw, 0], [0, 0]], np.float32)
        low = np.maximum(np.floor(px.min(axis=0)), 0).astype(int)
        high = np.minimum(np.ceil(px.max(axis=0)) + 1, [self.view.width, self.view.height]).astype(int)
        if (high <= low).any():
            return
        m = cv2.getPerspectiveTransform(corners, (px - low).astype(np.float32))
        w, h = (high - low).tolist()
        here = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
        mask = cv2.warpPerspective(np.ones((th, tw), np.float32), m, (w, h), flags=cv2.INTER_LINEAR)[..., None]
        face = np.array([b[1] - a[1], a[0] - b[0], 0.0]) / max(length, 1e-6)
        if face[:2] @ np.array([-(a[0] + b[0]), -(a[1] + b[1])]) < 0:
            face = -face
        shade = float(self.light.shade(face[None])[0])
        middle = float(np.hypot((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))
        k = float(np.exp(-middle * self.light.haze_per_m))
        drawn = cv2.warpPerspective(wall, m, (w, h), flags=cv2.INTER_LINEAR)
        air = np.array(self.light.haze_colour, np.float32) * np.float32(1 - k)
        self.paint[here] = self.paint[here] * (1 - mask) + drawn * np.float32(shade * k) + air * mask
        self.glow[here] *= 1 - mask
        if self.light.night:
            self.glow[here] += cv2.warpPerspective(lit, m, (w, h), flags=cv2.INTER_LINEAR)

    def tree(self, x: float, y: float, tall_m: float) -> None:
        """A trunk and a crown of leaf clusters lit from the sun's side."""
        rng = self.rng
        ahead = self.view.ahead_m(y, tall_m / 2)
        if ahead < NEAREST_THING_M:
            return
        k = self.view.focal_px / ahead
        foot, fork = self.view.project(np.array([[x, y, 0.0], [x, y, tall_m * 0.5]]))
        shade = float(self.light.ambient)
        trunk = tuple(c * shade for c in (55, 70, 85))
        cv2.line(self.paint, _at(foot), _at(fork), trunk, max(int(0.22 * k), 1), cv2.LINE_AA)
        green = np.array([(48, 92, 70), (40, 80, 60), (55, 105, 95)][int(rng.integers(3))], np.float32)
        for _ in range(220):
            a, e, r = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1), rng.uniform(0.5, 1) * tall_m * 0.3
            out = np.array([np.cos(a) * np.sqrt(1 - e * e), np.sin(a) * np.sqrt(1 - e * e), e])
            centre = np.array([x, y, tall_m * 0.66]) + out * r
            p = self.view.project(centre[None])[0]
            b = float(self.light.shade(out[None])[0]) * float(rng.uniform(0.7, 1.15)) * (0.75 + 0.25 * e)
            colour = self.light.fade(tuple((green * b).tolist()), ahead)
            cv2.circle(self.paint, _at(p), max(int(rng.uniform(0.12, 0.32) * k), 1), colour, -1, cv2.LINE_AA)
            cv2.circle(self.glow, _at(p), max(int(0.2 * k), 1), (0, 0, 0), -1)

    def lamp_post(self, lamp: Lamp, foot: tuple[float, float]) -> None:
        """The post of a street lamp and, at night, its glare."""
        if self.view.ahead_m(foot[1], 0.0) < NEAREST_THING_M:
            return
        k = self.view.focal_px / self.view.ahead_m(foot[1], lamp.z)
        base, top, head = self.view.project(np.array([[*foot, 0.0], [*foot, lamp.z], [lamp.x, lamp.y, lamp.z]]))
        grey = tuple(c * self.light.ambient for c in (120, 120, 118))
        cv2.line(self.paint, _at(base), _at(top), grey, max(int(0.14 * k), 1), cv2.LINE_AA)
        cv2.line(self.paint, _at(top), _at(head), grey, max(int(0.09 * k), 1), cv2.LINE_AA)
        cv2.ellipse(
            self.paint, _at(head), (max(int(0.4 * k), 2), max(int(0.14 * k), 1)), 0, 0, 360, grey, -1, cv2.LINE_AA
        )
        if self.light.night:
            glare(self.glow, float(head[0]), float(head[1]), 1.6 * k, lamp.colour, 0.8)
            cv2.circle(self.glow, _at(head), max(int(0.25 * k), 2), (250, 252, 255), -1, cv2.LINE_AA)

    def box(self, x: float, y: float, size: tuple[float, float, float], turn_rad: float, colour: Colour) -> None:
        """A plain box on the ground (bench, bin, pallet, container)."""
        dx, dy, dz = size
        c, s = np.cos(turn_rad), np.sin(turn_rad)
        base = np.array([[-dx, -dy], [dx, -dy], [dx, dy], [-dx, dy]]) / 2
        base = base @ np.array([[c, s], [-s, c]]) + [x, y]
        if min(self.view.ahead_m(float(p[1]), 0.0) for p in base) < 1.0:
            return
        self.shade_ground(np.concatenate([base, base + np.array([0.15, 0.1]) * dz]), 0.35)
        for i in range(4):
            a, b = base[i], base[(i + 1) % 4]
            n = np.array([b[1] - a[1], a[0] - b[0], 0.0])
            n /= max(float(np.linalg.norm(n)), 1e-9)
            if n[:2] @ ((a + b) / 2) < 0:
                self._quad(np.array([[*a, 0], [*b, 0], [*b, dz], [*a, dz]]), n, colour)
        if dz < self.view.height_m:
            self._quad(np.column_stack([base, np.full(4, dz)]), np.array([0.0, 0.0, 1.0]), colour)

    def _quad(self, points: F64, normal: F64, colour: Colour) -> None:
        shade = float(self.light.shade(normal[None])[0])
        px = self.view.project(points)
        low = np.clip(np.floor(px.min(axis=0)) - 1, 0, [self.view.width, self.view.height]).astype(int)
        high = np.clip(np.ceil(px.max(axis=0)) + 2, 0, [self.view.width, self.view.height]).astype(int)
        w, h = (high - low).tolist()
        if w <= 0 or h <= 0:
            return
        mask = np.zeros((h, w), np.uint8)
        cv2.fillPoly(mask, [np.round((px - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        cover = mask.astype(np.float32)[..., None] / 255
        rough = fractal(61, 256, 7, 0.8)[np.arange(h)[:, None] % 256, np.arange(w)[None] % 256, None]
        lit = np.array(colour, np.float32) * np.float32(shade) * (0.86 + 0.28 * rough)
        here = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
        self.paint[here] = self.paint[here] * (1 - cover) + lit * cover

    def shade_ground(self, ground: F64, strength: float) -> None:
        """A soft shadow over the convex hull of ground points (N x 2 m)."""
        px = self.view.project(np.column_stack([ground, np.zeros(len(ground))]))
        size = [self.view.width, self.view.height]
        low = np.clip(np.floor(px.min(axis=0)) - 12, 0, size).astype(int)
        high = np.clip(np.ceil(px.max(axis=0)) + 12, 0, size).astype(int)
        if (high <= low).any():
            return
        mask = np.zeros((high - low)[::-1].tolist(), np.float32)
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(px - low).astype(np.int32)), 1.0, cv2.LINE_AA)
        soft = cv2.GaussianBlur(mask, (0, 0), 4)[..., None] * np.float32(strength)
        self.paint[low[1] : high[1], low[0] : high[0]] *= 1 - soft

    def finished(self) -> tuple[U8, U8]:
        """The picture and its own shine at camera size."""
        size = (self.view.width // SCALE, self.view.height // SCALE)
        tinted = self.paint * np.array(self.light.tint, np.float32)
        small = cv2.resize(np.clip(tinted, 0, 255), size, interpolation=cv2.INTER_AREA)
        shine = cv2.resize(np.clip(self.glow, 0, 255), size, interpolation=cv2.INTER_AREA)
        return small.astype(np.uint8), shine.astype(np.uint8)


def _at(p: F64) -> tuple[int, int]:
    return int(np.clip(p[0], -5000, 5000)), int(np.clip(p[1], -5000, 5000))
