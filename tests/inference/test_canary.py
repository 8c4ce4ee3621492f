from __future__ import annotations

import random
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ModelRefused
from contracts.instant import DAY, SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase
from contracts.place import ZoneKind
from inference.canary import Canary, Models, RolledBack, chance, is_canary
from inference.config import CanaryConfig, InferenceConfig, ShadowConfig
from inference.detector import Detector
from inference.registry import Model, load_model
from inference.trials import CANARY_FILE, open_trials
from runtime.metrics import StageCounters
from runtime.site import PathsConfig, Site, SiteConfig
from sim.scenes import SceneKind, make_scene
from tests.alerts.core.county import observe
from tests.inference import pictures
from tests.inference.county import CONFIG, MODELS, county, until
from tests.inference.pictures import at, catalogue, encode, picture, textured, zone

MODEL = load_model(MODELS / "county-nano", {})
CAMERAS = [f"1529210000132{n:07d}" for n in range(1000)]


def alarm(camera: str, now: Instant, type_: IncidentType = IncidentType.FLAME_SUSPECTED) -> Observation:
    return observe(camera, type_, now)


def run_day(canary: Canary, seed: int, rate: float, canary_rate: float) -> RolledBack | None:
    """Every camera is looked at in turn, some of them alarm; alarming cameras alarm again and again."""
    rng = random.Random(seed)
    alarming = {
        camera for camera in CAMERAS if rng.random() < (canary_rate if canary.looks_after(camera) else rate)
    }
    for turn in range(3):
        for n, camera in enumerate(CAMERAS):
            now = at(turn * 1000.0 + n)
            verdict = canary.looked(camera, [alarm(camera, now)] if camera in alarming else [], now)
            if verdict is not None:
                return verdict
    return None


def test_identical_model_is_never_rolled_back_whatever_the_rate_of_alerts(tmp_path: Path) -> None:
    for seed in range(60):
        canary = Canary(MODEL, 0.1, tmp_path / "state")
        assert run_day(canary, seed, *[(0.01, 0.05, 0.3)[seed % 3]] * 2) is None


@pytest.mark.parametrize(("rate", "canary_rate"), [(0.01, 0.3), (0.05, 0.6), (0.6, 0.05)])
def test_model_that_alarms_far_more_or_far_less_goes_back_and_stays_back(
    tmp_path: Path, rate: float, canary_rate: float
) -> None:
    canary = Canary(MODEL, 0.1, tmp_path / "state")
    ours = [camera for camera in CAMERAS if canary.looks_after(camera)]
    verdict = run_day(canary, 1, rate, canary_rate)
    assert verdict is not None
    assert (verdict.reason, verdict.model) == ("drift", MODEL.tag)
    assert "fire.flame_suspected" in verdict.sentence
    assert not any(canary.looks_after(camera) for camera in ours)
    again = Canary(MODEL, 0.1, tmp_path / "state")
    assert again.ended == verdict
    assert not any(again.looks_after(camera) for camera in ours)


def test_one_camera_that_alarms_all_day_is_one_camera(tmp_path: Path) -> None:
    canary = Canary(MODEL, 0.1, tmp_path / "state")
    lamp = next(camera for camera in CAMERAS if canary.looks_after(camera))
    for n in range(5000):
        camera = CAMERAS[n % 1000]
        now = at(float(n))
        assert canary.looked(camera, [alarm(camera, now)] if camera == lamp else [], now) is None
        assert canary.looked(lamp, [alarm(lamp, now)], now) is None


def test_each_day_begins_anew(tmp_path: Path) -> None:
    canary = Canary(MODEL, 0.1, tmp_path / "state")
    ours = [camera for camera in CAMERAS if canary.looks_after(camera)]
    for day in range(20):
        for n, camera in enumerate(CAMERAS):
            now = Instant(at(0) + day * DAY + n * SECOND)
            alarms = [alarm(camera, now)] if camera == ours[day % len(ours)] else []
            assert canary.looked(camera, alarms, now) is None


def test_other_model_file_is_not_condemned_by_the_verdict_on_this_one(tmp_path: Path) -> None:
    canary = Canary(MODEL, 0.1, tmp_path / "state")
    assert run_day(canary, 1, 0.01, 0.3) is not None
    other = Model(
        msgspec.structs.replace(MODEL.toml, sha256="0" * 64), MODEL.folder, b"", MODEL.labels, MODEL.class_ids,
        MODEL.thresholds,
    )  # fmt: skip
    assert Canary(other, 0.1, tmp_path / "state").ended is None
    (tmp_path / "state").write_bytes(b"no json")
    assert Canary(MODEL, 0.1, tmp_path / "state").ended is None


def test_share_of_the_cameras_is_as_stated_and_another_model_has_others() -> None:
    chosen = {camera for camera in CAMERAS if is_canary(camera, "a" * 64, 0.1)}
    assert 70 <= len(chosen) <= 130
    assert chosen != {camera for camera in CAMERAS if is_canary(camera, "b" * 64, 0.1)}


@given(st.integers(1, 30), st.integers(0, 60), st.integers(0, 30), st.data())
def test_chance_is_a_probability_and_the_tails_overlap_in_the_outcome_itself(
    n: int, total_k: int, more: int, data: st.DataObject
) -> None:
    total_n = n + total_k + more
    k = data.draw(st.integers(max(0, n - (total_n - total_k)), min(n, total_k)))
    assert 0 < chance(k, n, total_k, total_n) <= 1


def test_chance_agrees_with_a_case_worked_out_by_hand() -> None:
    # 2 of 2 from 2 of 4: one of six ways.
    assert chance(2, 2, 2, 4) == pytest.approx(1 / 6)
    assert chance(1, 2, 2, 4) == pytest.approx(5 / 6)


class Broken(Detector):
    """A session that fails from its second call on, as one on a bad device would."""

    def detect(self, pictures: object, *, longer_side: int | None = None) -> list[object]:  # type: ignore[override]
        raise ModelRefused("it failed", reason="model_run")


def test_canary_that_fails_costs_no_picture_and_ends(tmp_path: Path) -> None:
    live = Detector(MODEL, floor=0.05)
    canary = Canary(MODEL, 0.5, tmp_path / "state")
    models = Models(live, canary, Broken(MODEL, floor=0.05))
    shots = [picture(textured(seed=n), at(float(n)), camera) for n, camera in enumerate(CAMERAS[:6])]
    assert len(models.detect(shots)) == 6
    assert models.failure is not None
    verdict = canary.fail(models.failure, at(0))
    assert (verdict.reason, canary.looks_after(CAMERAS[0])) == ("failed", False)


def test_each_camera_is_looked_at_by_the_model_of_its_group(tmp_path: Path) -> None:
    live = Detector(MODEL, floor=0.05)
    other = Detector(load_model(MODELS / "county-nano", {"person": 0.9}), floor=0.05)
    canary = Canary(other.model, 0.5, tmp_path / "state")
    models = Models(live, canary, other)
    tags = {camera: models.of(camera) is other.model for camera in CAMERAS[:20]}
    assert tags == {camera: canary.looks_after(camera) for camera in CAMERAS[:20]}
    assert set(tags.values()) == {True, False}
    alike = models.detect([picture(textured(seed=1), at(0), camera) for camera in CAMERAS[:4]])
    assert all(np.array_equal(each.xyxy, alike[0].xyxy) for each in alike)


def site(tmp_path: Path) -> Site:
    shutil.copytree(MODELS / "county-nano", tmp_path / "models" / "new")
    broken = tmp_path / "models" / "broken"
    shutil.copytree(MODELS / "county-nano", broken)
    (broken / "weights.onnx").write_bytes(b"nothing")
    (tmp_path / "state").mkdir()
    return Site(SiteConfig(id="t"), PathsConfig(state="state", models="models"), tmp_path)


def test_models_beside_the_live_one_are_opened_and_a_broken_one_is_told_and_left_out(tmp_path: Path) -> None:
    live, here = Detector(MODEL, floor=0.05), site(tmp_path)
    counters = StageCounters("inference")
    config = InferenceConfig(shadow=ShadowConfig(model="new"), canary=CanaryConfig(model="new"))
    models, canary, shadow = open_trials(here, config, live, counters)
    assert (canary is not None, shadow is not None, models.live is live) == (True, True, True)
    config = InferenceConfig(shadow=ShadowConfig(model="broken"), canary=CanaryConfig(model="absent"))
    models, canary, shadow = open_trials(here, config, live, counters)
    assert (canary, shadow) == (None, None)
    assert len(models.detect([picture(textured(), at(0))])) == 1
    refused = {(note.reason, note.source_id) for note in counters.take_refused()}
    assert {name for _, name in refused} == {"broken", "absent"}
    assert CANARY_FILE


def test_other_phases_than_alarms_are_no_alerts(tmp_path: Path) -> None:
    canary = Canary(MODEL, 0.5, tmp_path / "state")
    for camera in CAMERAS:
        clear = observe(camera, IncidentType.STOPPED_VEHICLE, at(0), phase=Phase.CLEAR)
        assert canary.looked(camera, [clear] if canary.looks_after(camera) else [], at(0)) is None


@pytest.mark.slow
async def test_running_service_uses_the_new_model_on_its_cameras_and_the_shadow_on_all(
    short_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "new"
    shutil.copytree(MODELS / "county-nano", tmp_path / "models" / "county-nano")
    shutil.copytree(MODELS / "county-nano", folder)
    toml = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(toml.replace(f'version = "{MODEL.toml.version}"', 'version = "next"'))
    ids = sorted(CAMERAS[:20], key=lambda each: is_canary(each, MODEL.toml.sha256, 0.5))
    old, new = ids[0], ids[-1]
    assert (is_canary(old, MODEL.toml.sha256, 0.5), is_canary(new, MODEL.toml.sha256, 0.5)) == (False, True)
    square = encode(make_scene(SceneKind.SQUARE_FILLING, 9200, onset_s=10.0).render(90.0)[0])
    config = msgspec.structs.replace(
        CONFIG, canary=CanaryConfig(model="new", share=0.5), shadow=ShadowConfig(model="new", share=1.0)
    )
    cameras = [pictures.camera(zone(ZoneKind.STANDING, zone_id=each), camera_id=each) for each in (old, new)]

    def offer() -> None:
        for each in (old, new):
            made.offer(square, each)

    async with county(short_dir, catalogue(*cameras), config, models=tmp_path / "models") as made:
        await until(
            made,
            lambda: (
                {each.source_id for each in made.observations} == {old, new}
                and made.counted("shadow_both:person") >= 10
            ),
            offer,
        )
    tags = {each.source_id: each.model.split(" ")[:2] for each in made.observations}
    assert tags[old] == [MODEL.tag, "Apache-2.0"]
    assert tags[new] == [MODEL.tag.replace(MODEL.toml.version, "next"), "Apache-2.0"]
