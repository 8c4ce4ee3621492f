from __future__ import annotations

import cv2
import numpy as np
import pytest

from contracts.instant import Instant
from inference.blind import BlindWatch, Sight, brightness
from inference.config import BlindConfig
from inference.picture import Picture
from tests.inference.pictures import Bgr, at, noisy, textured

CONFIG = BlindConfig()


def look(
    watch: BlindWatch, bgr: Bgr, second: float, fingerprint: int | None = None, activity: float = 1.0
) -> Sight:
    moment: Instant = at(second)
    own = int(second * 1000) + 1 if fingerprint is None else fingerprint
    return watch.look(Picture("cam", bgr, moment, moment, own, activity))


def night_street() -> Bgr:
    """Black, but for one lamp and its glow."""
    scene = np.zeros((192, 320, 3), np.uint8)
    cv2.circle(scene, (250, 40), 14, (200, 230, 255), -1)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 5), np.uint8)


BLIND_PICTURES = {
    "covered": np.full((192, 320, 3), 110, np.uint8),
    "dark": np.full((192, 320, 3), 4, np.uint8),
}


@pytest.mark.parametrize("reason", list(BLIND_PICTURES))
def test_three_pictures_in_a_row_make_a_camera_blind_with_a_reason(reason: str) -> None:
    watch = BlindWatch(CONFIG)
    look(watch, textured(), 0)
    sights = [look(watch, noisy(BLIND_PICTURES[reason], n), 2 + 2 * n) for n in range(4)]
    assert [sight.blind for sight in sights] == [False, False, True, True]
    assert (sights[2].changed, sights[2].reason, sights[2].say_unknown) == (True, reason, True)
    assert (sights[3].changed, sights[3].say_unknown) == (False, False)


def test_blind_within_thirty_seconds_at_one_key_picture_in_two_seconds() -> None:
    watch = BlindWatch(CONFIG)
    look(watch, textured(), 0)
    seconds = [2.0 * n for n in range(1, 20)]
    blind_at = next(s for s in seconds if look(watch, BLIND_PICTURES["covered"], s).blind)
    assert blind_at <= 30


def test_night_street_with_one_lamp_is_not_blind() -> None:
    watch = BlindWatch(CONFIG)
    assert not any(look(watch, noisy(night_street(), n), 2.0 * n).blind for n in range(20))


def test_one_covered_picture_among_good_ones_is_nothing() -> None:
    watch = BlindWatch(CONFIG)
    for n in range(20):
        bgr = BLIND_PICTURES["covered"] if n % 3 == 0 else textured(seed=n)
        assert not look(watch, bgr, 2.0 * n).blind


def test_same_bytes_five_times_are_frozen_and_a_still_scene_with_noise_is_not() -> None:
    frozen, still = BlindWatch(CONFIG), BlindWatch(CONFIG)
    sights = [look(frozen, textured(), 2.0 * n, fingerprint=42, activity=0.01) for n in range(6)]
    assert [sight.reason for sight in sights] == ["", "", "", "", "frozen", "frozen"]
    assert not any(look(still, noisy(textured(), n), 2.0 * n).blind for n in range(20))


def test_same_key_pictures_with_motion_between_them_are_a_loop_until_there_are_too_many() -> None:
    watch = BlindWatch(CONFIG)
    sights = [look(watch, textured(), 2.0 * n, fingerprint=42) for n in range(16)]
    assert [sight.blind for sight in sights] == [False] * 14 + [True] * 2
    assert sights[14].reason == "frozen"


def test_frozen_camera_whose_stillness_becomes_its_normal_stays_blind() -> None:
    watch = BlindWatch(CONFIG)
    sights = [look(watch, textured(), 2.0 * n, 42, activity=0.01 if n < 20 else 1.0) for n in range(40)]
    assert all(sight.blind for sight in sights[4:])


def test_one_moment_of_motion_between_same_pictures_begins_the_count_anew() -> None:
    watch = BlindWatch(CONFIG)
    sights = [look(watch, textured(), 2.0 * n, 42, activity=1.0 if n == 3 else 0.01) for n in range(8)]
    assert [sight.blind for sight in sights] == [False] * 7 + [True]


def test_pictures_without_a_fingerprint_are_never_frozen() -> None:
    watch = BlindWatch(CONFIG)
    assert not any(look(watch, textured(), 2.0 * n, fingerprint=0).blind for n in range(20))


def test_undecodable_pictures_make_blind_and_the_first_good_one_ends_it() -> None:
    watch = BlindWatch(CONFIG)
    assert [watch.undecodable(at(2.0 * n)).blind for n in range(3)] == [False, False, True]
    sight = look(watch, textured(), 8)
    assert (sight.blind, sight.changed) == (False, True)


def test_unknown_is_said_again_every_ten_seconds_while_blind() -> None:
    watch = BlindWatch(CONFIG)
    said = [2.0 * n for n in range(16) if look(watch, BLIND_PICTURES["dark"], 2.0 * n).say_unknown]
    assert said == [4.0, 14.0, 24.0]


def test_first_picture_of_a_camera_that_sees_is_news() -> None:
    watch = BlindWatch(CONFIG)
    assert look(watch, textured(), 0).changed
    assert not look(watch, textured(seed=2), 2).changed


def test_brightness_of_a_flat_picture() -> None:
    light = brightness(np.full((40, 70, 3), 77, np.uint8))
    assert (light.mean, light.deviation, light.peak) == (77.0, 0.0, 77.0)
