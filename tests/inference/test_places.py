from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from inference.config import PLACES_MIN, InferenceConfig, PromotionConfig
from inference.detector import Detector
from inference.places import PLACES_MAX, measure_network_ms, places
from inference.registry import load_model
from runtime.cores import cores_allowed
from tests.inference.county import MODELS

CONFIG = InferenceConfig()


def test_more_cores_or_a_faster_network_give_more_places() -> None:
    counts = [places(CONFIG, cores, 8.5).count for cores in (1, 2, 4, 8, 32)]
    assert counts == sorted(counts)
    assert counts[0] < counts[2] < counts[4]
    assert places(CONFIG, 8, 4.0).count > places(CONFIG, 8, 8.5).count > places(CONFIG, 8, 30.0).count


def test_cost_of_all_places_stays_within_the_share_of_the_cores() -> None:
    for cores in (2, 4, 16):
        made = places(CONFIG, cores, 8.5)
        assert made.count * made.cost <= CONFIG.promotion.share * cores < (made.count + 1) * made.cost


def test_tiny_box_keeps_a_place_for_a_fire_and_a_huge_one_has_a_limit() -> None:
    assert places(CONFIG, 0.1, 50.0).count == PLACES_MIN
    assert places(CONFIG, 1000, 2.0).count == PLACES_MAX


def test_configured_number_holds_whatever_the_cores() -> None:
    config = replace(CONFIG, promotion=PromotionConfig(cameras_max=7))
    assert places(config, 1, 8.5).count == 7
    assert "7" in places(config, 1, 8.5).sentence


def test_network_is_measured_on_this_box() -> None:
    assert measure_network_ms(Detector(load_model(MODELS / "county-nano", {}), floor=0.05)) > 0


@pytest.mark.parametrize(
    ("text", "limit"), [("50000 100000", 0.5), ("max 100000", None), ("", None), ("0 0", None), ("x y", None)]
)
def test_quota_of_a_container_bounds_the_cores_and_what_is_no_quota_does_not(
    tmp_path: Path, text: str, limit: float | None
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    whole = cores_allowed(tmp_path / "absent")
    assert whole >= 1
    assert cores_allowed(file) == (whole if limit is None else limit)
