from __future__ import annotations

import numpy as np
import pytest

from sim.scenes import Scene, SceneClass, SceneKind, SceneTruth, make_scene

ONSET_S = 20.0
VEHICLES = (SceneClass.CAR, SceneClass.BUS, SceneClass.TRUCK)


def scene(kind: SceneKind, seed: int = 3, *, night: bool = False) -> Scene:
    return make_scene(kind, seed, night=night, width=320, height=180, onset_s=ONSET_S)


def of_class(truth: SceneTruth, *classes: SceneClass) -> set[tuple[float, float]]:
    return {(b.ground_x_m, b.ground_y_m) for b in truth.boxes if b.cls in classes}


@pytest.mark.parametrize("night", [False, True])
@pytest.mark.parametrize("kind", list(SceneKind))
def test_same_kind_seed_and_time_gives_the_same_pixels_whatever_was_drawn_before(
    kind: SceneKind, night: bool
) -> None:
    fresh, used = scene(kind, night=night), scene(kind, night=night)
    for t_s in (1.0, ONSET_S + 7.0, ONSET_S + 40.0, 3.0):
        used.render(t_s)
    picture, truth = fresh.render(ONSET_S + 31.4)
    again, truth_again = used.render(ONSET_S + 31.4)
    assert picture.dtype == np.uint8
    assert picture.shape == (180, 320, 3)
    assert np.array_equal(picture, again)
    assert truth == truth_again == used.truth(ONSET_S + 31.4)


def test_another_seed_gives_another_place() -> None:
    a, _ = scene(SceneKind.EMPTY, 1).render(0.0)
    b, _ = scene(SceneKind.EMPTY, 2).render(0.0)
    assert np.mean(np.abs(a.astype(int) - b.astype(int))) > 5


@pytest.mark.parametrize("kind", list(SceneKind))
def test_boxes_lie_inside_the_picture_and_shares_between_none_and_all(kind: SceneKind) -> None:
    for seed in (1, 2):
        played = scene(kind, seed, night=seed == 2)
        for t_s in (0.0, ONSET_S + 1.0, ONSET_S + 65.0, ONSET_S + 1000.0):
            for box in played.truth(t_s).boxes:
                assert 0 <= box.x1 < box.x2 <= played.width
                assert 0 <= box.y1 < box.y2 <= played.height
                assert 0.0 <= box.visible <= 1.0


@pytest.mark.parametrize("seed", range(6))
def test_crowd_passes_three_per_square_metre_within_a_minute_and_stays(seed: int) -> None:
    square = scene(SceneKind.SQUARE_FILLING, seed)
    area_m2 = next(z.area_m2 for z in square.view.zones if z.kind == "standing")
    assert 12 <= area_m2 <= 22
    before = square.truth(ONSET_S - 1).density_per_m2
    assert before is not None
    assert before < 0.6
    for t_s in (ONSET_S + 60, ONSET_S + 150, ONSET_S + 400):
        density = square.truth(t_s).density_per_m2
        assert density is not None
        assert density > 3.2


@pytest.mark.parametrize("seed", range(6))
def test_stopped_vehicle_stands_in_a_lane_zone_while_others_move(seed: int) -> None:
    road = make_scene(SceneKind.VEHICLE_STOPPING, seed, width=320, height=180, onset_s=ONSET_S)
    moments = [road.truth(ONSET_S + 1 + 0.5 * i) for i in range(60)]
    assert road.truth(ONSET_S - 6).stopped_vehicles == 0
    assert all(truth.stopped_vehicles == 1 for truth in moments)
    still = set.intersection(*(of_class(truth, *VEHICLES) for truth in moments))
    assert len(still) == 1
    box = next(b for b in moments[0].boxes if (b.ground_x_m, b.ground_y_m) in still)
    assert all(
        any(b == box or (b.x1, b.y1, b.x2, b.y2) == (box.x1, box.y1, box.x2, box.y2) for b in m.boxes)
        for m in moments
    )
    assert len(set.union(*(of_class(truth, *VEHICLES) for truth in moments)) - still) > 20


@pytest.mark.parametrize("seed", range(4))
def test_slowing_road_comes_to_a_stand(seed: int) -> None:
    road = scene(SceneKind.ROAD_SLOWING, seed)
    assert road.truth(ONSET_S - 2).stopped_vehicles == 0
    assert road.truth(ONSET_S + 60).stopped_vehicles >= 4
    assert road.truth(ONSET_S + 300).stopped_vehicles >= 4


@pytest.mark.parametrize("night", [False, True])
def test_fire_begins_at_onset_small_and_grows(night: bool) -> None:
    yard = scene(SceneKind.FIRE_STARTING, 5, night=night)
    assert not yard.truth(ONSET_S - 0.5).fire

    def burning_px(t_s: float) -> float:
        return max(
            ((b.x2 - b.x1) * (b.y2 - b.y1) for b in yard.truth(t_s).boxes if b.cls is SceneClass.FIRE), default=0.0
        )

    small, large = burning_px(ONSET_S + 1), burning_px(ONSET_S + 40)
    assert yard.truth(ONSET_S + 1).fire
    assert 0 < small * 3 < large
    assert any(b.cls is SceneClass.SMOKE for b in yard.truth(ONSET_S + 40).boxes)
    assert burning_px(ONSET_S + 40.0) != burning_px(ONSET_S + 40.4)


def test_plume_has_a_truth_at_every_moment_also_when_a_puff_is_just_born() -> None:
    yard = scene(SceneKind.FIRE_STARTING, 9)
    for i in range(400):
        assert yard.truth(ONSET_S + i * 0.28).fire


@pytest.mark.parametrize("seed", range(5))
def test_empty_scene_has_no_boxes_and_quiet_scene_no_incident(seed: int) -> None:
    night = seed % 2 == 1
    for t_s in (0.0, 90.0, 3600.0):
        nothing = scene(SceneKind.EMPTY, seed, night=night).truth(t_s)
        assert nothing.boxes == ()
        assert (nothing.people, nothing.stopped_vehicles, nothing.fire) == (0, 0, False)
        quiet = scene(SceneKind.QUIET, seed, night=night).truth(t_s)
        assert (quiet.stopped_vehicles, quiet.fire) == (0, False)
        assert not of_class(quiet, SceneClass.FIRE, SceneClass.SMOKE)
        assert (quiet.density_per_m2 or 0.0) < 0.6


@pytest.mark.parametrize("kind", [SceneKind.SQUARE_FILLING, SceneKind.VEHICLE_STOPPING, SceneKind.FIRE_STARTING])
def test_what_changes_between_pictures_lies_in_true_boxes(kind: SceneKind) -> None:
    """Differences above the grain lie in the boxes of either moment, but for glow and shadow close to them."""
    played = scene(kind, 4)
    first, before = played.render(ONSET_S + 30.0)
    second, after = played.render(ONSET_S + 32.0)
    changed = np.abs(first.astype(int) - second.astype(int)).max(axis=2) > 45
    assert changed.sum() > 30
    allowed = np.zeros_like(changed)
    for box in (*before.boxes, *after.boxes):
        margin = 0.25 * max(box.x2 - box.x1, box.y2 - box.y1) + 3
        allowed[
            max(int(box.y1 - margin), 0) : int(box.y2 + margin),
            max(int(box.x1 - margin), 0) : int(box.x2 + margin),
        ] = True
    assert (changed & ~allowed).sum() <= 0.05 * changed.sum()


def test_sizes_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        make_scene(SceneKind.QUIET, 1, width=641)
