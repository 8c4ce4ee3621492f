from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.observation import IncidentType
from contracts.place import ZoneKind
from inference.config import FireConfig
from inference.fire import FireClaim, FireWatch, seen_twice
from inference.zones import ZoneShape
from tests.inference.pictures import Bgr, at, found, noisy, picture, textured, zone

SCENE = textured(320, 192, seed=5)
Box = tuple[float, float, float, float]
SPOT: Box = (100, 60, 140, 110)


class Yard:
    """A camera that looks for fire, told what its detector found."""

    def __init__(self, *zones: ZoneShape, config: FireConfig | None = None) -> None:
        self.watch = FireWatch(config or FireConfig(), zones)
        self.t = 0.0

    def sees(
        self, *findings: tuple[str, float, Box], pixels: int | None = None, step_s: float = 2.0, sure: bool = True
    ) -> list[FireClaim]:
        """`pixels`: what burns in the boxes, a different flame per number; None = nothing of its own."""
        scene: Bgr = noisy(SCENE, int(self.t * 7))
        for index, (_, _, (x1, y1, x2, y2)) in enumerate(findings):
            if pixels is not None:
                flame = np.random.default_rng(pixels + index * 1000).integers(80, 255, (6, 5, 3), dtype=np.uint8)
                scene[int(y1) : int(y2), int(x1) : int(x2)] = np.kron(
                    flame, np.ones((int(y2 - y1) // 6 + 1, int(x2 - x1) // 5 + 1, 1), np.uint8)
                )[: int(y2) - int(y1), : int(x2) - int(x1)]
        claims = self.watch.look(
            picture(scene, at(self.t)), found(*findings), np.full(len(findings), sure, np.bool_)
        )
        self.t += step_s
        return claims


def flame(box: Box = SPOT, confidence: float = 0.8) -> tuple[str, float, Box]:
    return "fire", confidence, box


def test_flickering_flame_is_claimed_at_the_third_sight_and_again_every_ten_seconds() -> None:
    yard = Yard()
    told = [yard.sees(flame(), pixels=n) for n in range(12)]
    assert [bool(each) for each in told] == [n in (2, 7) for n in range(12)]
    claim = told[2][0]
    assert claim.type is IncidentType.FLAME_SUSPECTED
    assert claim.samples == 3
    assert claim.span_ns == 4_000_000_000
    assert claim.confidence == pytest.approx(0.8)
    assert claim.box.tolist() == pytest.approx(list(SPOT))
    assert yard.watch.suspicious


def test_lamp_that_never_changes_is_never_claimed_however_sure_the_detector_is() -> None:
    yard = Yard()
    assert not any(yard.sees(flame(confidence=0.99), pixels=1) for _ in range(30))
    assert yard.watch.steady > 20


def test_lamp_whose_box_jitters_is_never_claimed() -> None:
    yard = Yard()
    rng = np.random.default_rng(1)
    for _ in range(30):
        jitter = rng.uniform(-3, 3, 4)
        box = tuple(float(side + shift) for side, shift in zip(SPOT, jitter, strict=True))
        scene = noisy(SCENE, int(yard.t * 7))
        scene[60:110, 100:140] = 250
        claims = yard.watch.look(picture(scene, at(yard.t)), found(("fire", 0.9, box)))
        yard.t += 2.0
        assert claims == []


def test_light_that_changes_for_the_whole_picture_is_no_flicker() -> None:
    yard = Yard()
    for n in range(20):
        scene = np.clip(SCENE.astype(np.int16) + (40 if n % 2 else 0), 0, 255).astype(np.uint8)
        assert yard.watch.look(picture(scene, at(2.0 * n)), found(flame())) == []


def test_growing_plume_with_little_change_is_claimed_as_smoke() -> None:
    yard = Yard(config=FireConfig(flicker_smoke=60.0))
    told = []
    for n in range(5):
        box = (100 - 8 * n, 60 - 8 * n, 140 + 8 * n, 110)
        told.append(yard.sees(("smoke", 0.7, box), pixels=n))
    assert any(told)
    claim = next(each[0] for each in told if each)
    assert claim.type is IncidentType.SMOKE_SUSPECTED
    assert claim.growth > 1.25


def test_two_sights_are_not_enough_and_neither_are_three_within_a_second() -> None:
    assert not any(Yard().sees(flame(), pixels=n) for n in range(2))
    quick = Yard()
    assert not any(quick.sees(flame(), pixels=n, step_s=0.4) for n in range(3))


def test_three_of_five_with_gaps_between_are_enough() -> None:
    yard = Yard()
    told = [yard.sees(*([flame()] if n in (0, 1, 3, 4) else []), pixels=n) for n in range(5)]
    assert any(told)


def test_flame_that_is_gone_is_not_claimed_and_never_cleared() -> None:
    yard = Yard()
    for n in range(3):
        yard.sees(flame(), pixels=n)
    assert not any(yard.sees() for _ in range(20))
    assert not yard.watch.suspicious


def test_headlights_that_pass_are_not_joined_to_one_flame() -> None:
    yard = Yard()
    boxes = [(20.0 + 60 * n, 60.0, 40.0 + 60 * n, 75.0) for n in range(5)]
    assert not any(yard.sees(flame(box), pixels=n) for n, box in enumerate(boxes))


def test_pictures_too_far_apart_begin_anew() -> None:
    yard = Yard()
    assert not any(yard.sees(flame(), pixels=n, step_s=40.0) for n in range(10))


def test_only_fire_zones_count_where_there_are_some() -> None:
    left = ZoneShape.of(zone(ZoneKind.FIRE, ((0, 0), (0.2, 0), (0.2, 1), (0, 1))))
    outside, within = Yard(left), Yard(left)
    assert not any(outside.sees(flame(), pixels=n) for n in range(6))
    told = [within.sees(flame((10, 60, 50, 110)), pixels=n) for n in range(6)]
    assert [each[0].shape for each in told if each] == [left]


def test_two_fires_in_one_picture_are_two_claims() -> None:
    yard = Yard()
    for n in range(3):
        told = yard.sees(flame(), flame((220, 60, 260, 110)), pixels=n)
    assert len(told) == 2


@given(
    st.lists(
        st.tuples(st.sampled_from(["fire", "smoke"]), st.floats(0.3, 1), st.floats(0, 300), st.floats(0, 180)),
        max_size=40,
    ),
    st.lists(st.floats(-5, 60), min_size=1, max_size=8),
)
def test_any_findings_at_any_times_stay_within_bounds(
    findings: list[tuple[str, float, float, float]], steps: list[float]
) -> None:
    watch, t = FireWatch(FireConfig(), ()), 0.0
    detections = found(*[(name, p, (x, y, x + 20, y + 12)) for name, p, x, y in findings])
    for step in steps:
        t += step
        for claim in watch.look(picture(SCENE, at(t)), detections):
            assert claim.samples >= 3
            assert 0 <= claim.confidence <= 1


def doubted(*confidences: float) -> list[bool]:
    """What is claimed of a flame that is surely seen from 0.5 on, and weakly from 0.3."""
    yard, told = Yard(), []
    for n, confidence in enumerate(confidences):
        seen = [flame(confidence=confidence)] if confidence >= 0.3 else []
        told.append(bool(yard.sees(*seen, pixels=n, sure=confidence >= 0.5)))
    return told


def test_fire_seen_weakly_twice_and_surely_once_is_claimed_and_weakly_alone_never() -> None:
    assert doubted(0.35, 0.55, 0.4) == [False, False, True]
    assert not any(doubted(*[0.49] * 20))
    assert doubted(0.9, 0.1, 0.35, 0.1, 0.35) == [False] * 4 + [True]


def test_doubt_rises_with_the_second_sight_and_suspicion_with_a_sure_one() -> None:
    yard = Yard()
    weak, strong = np.array([False]), np.array([True])
    states = []
    for n, sure in enumerate((weak, weak, strong)):
        yard.watch.look(picture(noisy(SCENE, n), at(2.0 * n)), found(flame()), sure)
        states.append((yard.watch.doubtful, yard.watch.suspicious))
    assert states == [(False, False), (True, False), (True, True)]


def test_light_that_stays_steady_for_a_minute_is_learnt_and_no_longer_urgent_until_it_changes() -> None:
    yard = Yard()
    urgent = []
    for _ in range(45):
        yard.sees(flame(), pixels=1)
        urgent.append(yard.watch.suspicious)
    assert urgent[:30] == [True] * 30
    assert not any(urgent[36:])
    assert yard.watch.lights == 1
    assert not yard.watch.strange(picture(SCENE, at(90)), found(flame()))
    told = [yard.sees(flame(), pixels=n) for n in range(2, 8)]
    assert any(told)
    assert yard.watch.suspicious
    assert yard.watch.lights == 0


def test_learnt_light_says_nothing_of_a_fire_beside_it() -> None:
    yard = Yard()
    for _ in range(45):
        yard.sees(flame(), pixels=1)
    beside: Box = (220, 60, 270, 120)
    assert yard.watch.strange(picture(SCENE, at(90)), found(flame(beside)))


def test_second_look_gives_the_mean_of_both_and_half_where_it_sees_nothing() -> None:
    first = found(
        flame(confidence=0.4), flame((220, 60, 260, 110), 0.6), ("smoke", 0.5, SPOT), ("person", 0.7, SPOT)
    )
    again = found(flame((98, 58, 142, 112), 0.8), ("smoke", 0.9, (0, 0, 20, 20)))
    assert seen_twice(first, again).confidence == pytest.approx([0.6, 0.3, 0.25, 0.7])


def test_nothing_seen_again_and_nothing_seen_first_are_no_error() -> None:
    assert len(seen_twice(found(), found(flame()))) == 0
    assert seen_twice(found(flame(confidence=0.4)), found()).confidence == pytest.approx([0.2])
