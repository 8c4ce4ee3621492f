from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.blind import BlindWatch
from inference.config import BlindConfig
from inference.picture import Bgr
from inference.view import View, edges, likeness
from sim.scenes import SceneKind, make_scene
from tests.inference.test_blind import look

CONFIG = BlindConfig()
KINDS = [SceneKind.SQUARE_FILLING, SceneKind.ROAD_SLOWING, SceneKind.VEHICLE_STOPPING, SceneKind.QUIET]
EVERY_S = 2.0


def shots(kind: SceneKind, seed: int, begin: float, count: int, *, night: bool = False) -> list[Bgr]:
    """Key pictures of a rendered scene."""
    scene = make_scene(kind, seed, night=night)
    return [scene.render(begin + EVERY_S * n)[0] for n in range(count)]


def turned(bgr: Bgr, share: float) -> Bgr:
    """The picture of a camera that was turned to the side by this share of its width: the rest is new."""
    shift = round(bgr.shape[1] * share)
    other = make_scene(SceneKind.EMPTY, 99).render(3.0)[0]
    other = np.asarray(cv2.resize(other, (bgr.shape[1], bgr.shape[0])), np.uint8)
    return np.concatenate((bgr[:, shift:], other[:, :shift]), axis=1)


def blurred(bgr: Bgr, sigma: float = 4.0) -> Bgr:
    return np.asarray(cv2.GaussianBlur(bgr, (0, 0), sigma), np.uint8)


def infrared(bgr: Bgr) -> Bgr:
    """As at night, lit by the camera: grey, bright in the middle, dark at the edges."""
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.float32)
    rows, columns = np.mgrid[-1 : 1 : grey.shape[0] * 1j, -1 : 1 : grey.shape[1] * 1j]
    lit = 255 * (grey / 255) ** 0.6 * np.exp(-(rows**2 + columns**2))
    return np.repeat(lit.astype(np.uint8)[..., None], 3, axis=2)


def watched(kind: SceneKind, *, zoned: bool = True, seed: int = 3) -> BlindWatch:
    """A watch that knows the scene, and was never blind."""
    watch = BlindWatch(CONFIG, zoned=zoned)
    assert not any(look(watch, bgr, EVERY_S * n).blind for n, bgr in enumerate(shots(kind, seed, 0.0, 15)))
    return watch


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(blurred, "blurred"), (lambda bgr: turned(bgr, 0.6), "moved"), (lambda bgr: bgr[::-1].copy(), "moved")],
    ids=["blurred", "turned", "upside down"],
)
def test_camera_that_is_blurred_or_turned_is_blind_within_thirty_seconds_and_sees_when_put_right(
    kind: SceneKind, spoil: object, reason: str
) -> None:
    watch = watched(kind)
    sights = [
        look(watch, spoil(bgr), 30 + EVERY_S * n)  # type: ignore[operator]
        for n, bgr in enumerate(shots(kind, 3, 30.0, 15))
    ]
    blind_s = next(EVERY_S * n for n, sight in enumerate(sights) if sight.blind)
    assert blind_s <= 30 - EVERY_S
    assert {sight.reason for sight in sights if sight.blind} == {reason}
    assert sights[-1].blind
    assert not look(watch, shots(kind, 3, 62.0, 1)[0], 62).blind


@pytest.mark.parametrize("kind", [*KINDS, SceneKind.EMPTY, SceneKind.FIRE_STARTING])
@pytest.mark.parametrize("night", [False, True])
def test_what_happens_in_a_scene_makes_no_camera_blind(kind: SceneKind, night: bool) -> None:
    """Squares fill, cars stop, something burns: ten minutes of it."""
    watch = BlindWatch(CONFIG)
    for n, bgr in enumerate(shots(kind, 5, 0.0, 60, night=night)):
        assert not look(watch, bgr, 10.0 * n).blind


def test_night_vision_is_another_light_and_no_other_place() -> None:
    watch = watched(SceneKind.ROAD_SLOWING)
    night = [look(watch, infrared(bgr), 30 + EVERY_S * n) for n, bgr in enumerate(shots(KINDS[1], 3, 30.0, 20))]
    day = [look(watch, bgr, 70 + EVERY_S * n) for n, bgr in enumerate(shots(KINDS[1], 3, 70.0, 10))]
    assert not any(sight.blind for sight in (*night, *day))


def test_lights_that_go_down_slowly_make_no_camera_blind() -> None:
    watch = watched(SceneKind.QUIET)
    for n, bgr in enumerate(shots(SceneKind.QUIET, 3, 30.0, 40)):
        dimmed = np.asarray(bgr * (1.0 - 0.7 * n / 40), np.uint8)
        assert not look(watch, dimmed, 30 + EVERY_S * n).blind


def test_something_large_in_front_of_the_lens_for_a_moment_is_no_other_place() -> None:
    watch = watched(SceneKind.SQUARE_FILLING)
    others = [make_scene(SceneKind.ROAD_SLOWING, seed).render(5.0)[0] for seed in range(20, 28)]
    for n, other in enumerate(others):
        assert not look(watch, other, 30 + EVERY_S * n).blind, "each picture shows another thing"


def test_camera_without_zones_may_look_where_it_likes() -> None:
    watch = watched(SceneKind.QUIET, zoned=False)
    sights = [look(watch, turned(bgr, 0.6), 30 + EVERY_S * n) for n, bgr in enumerate(shots(KINDS[3], 3, 30, 15))]
    assert not any(sight.blind for sight in sights)


def test_views_of_different_places_are_unlike_and_of_one_place_alike() -> None:
    maps = {kind: [edges(bgr).directions for bgr in shots(kind, 7, 0.0, 4)] for kind in KINDS}
    for kind, own in maps.items():
        assert min(likeness(own[0], each) for each in own) > 0.45
        for other in set(KINDS) - {kind}:
            assert likeness(own[0], maps[other][0]) < 0.25


def test_picture_without_edges_says_nothing() -> None:
    view = View(CONFIG)
    flat = np.full((192, 320, 3), 128, np.uint8)
    assert [view.judge(flat) for _ in range(30)] == [""] * 30
