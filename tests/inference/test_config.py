from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from inference.config import InferenceConfig
from runtime.config import load


def test_defaults_are_valid_and_keep_the_promises_of_the_product() -> None:
    config = InferenceConfig()
    assert config.evidence.width_max <= 640
    assert config.fire.persist_s >= 3
    assert config.blind.samples * 2.0 <= 30


WRONG = {
    "unknown key": ("colour = 1", "colour"),
    "unknown key in a table": ("[inference.fire]\nheat = 1", "heat"),
    "threshold of an unknown class": ("thresholds = { face = 0.5 }", "face"),
    "threshold over one": ("thresholds = { person = 1.5 }", "person"),
    "no thread": ("threads = 0", "threads"),
    "text for a number": ('rest_s = "soon"', "rest_s"),
    "wider evidence than the rule allows": ("[inference.evidence]\nwidth_max = 1280", "width_max"),
    "evidence that hides only what is certain": ("[inference.evidence]\nfloor = 0.9", "floor"),
    "n over m": ("[inference.fire]\nseen_min = 6\nwindow = 5", "seen_min"),
    "overlap over one": ("[inference.traffic]\noverlap_min = 1.0", "overlap_min"),
    "blind after no picture": ("[inference.blind]\nsamples = 0", "samples"),
    "crowd never said again": ("[inference.crowd]\nrepeat_s = 0", "repeat_s"),
    "room for no picture": ("picture_pixels_max = 100", "picture_pixels_max"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_file_is_refused_with_the_key(tmp_path: Path, case: str) -> None:
    text, key = WRONG[case]
    path = tmp_path / "gridwhistle.toml"
    path.write_text(f"[inference]\n{text}\n")
    with pytest.raises(ConfigError) as refusal:
        load(path, {"inference": InferenceConfig})
    assert str(path) in str(refusal.value)
    assert re.search(key, str(refusal.value))


def test_whole_section_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "gridwhistle.toml"
    path.write_text(
        "[inference]\nthreads = 2\nthresholds = { person = 0.35, fire = 0.6 }\n"
        "[inference.crowd]\nevidence_count_min = 5\n[inference.evidence]\nbudget_mb = 0\n"
    )
    config = load(path, {"inference": InferenceConfig})["inference"]
    assert isinstance(config, InferenceConfig)
    assert config.threads == 2
    assert config.thresholds == {"person": 0.35, "fire": 0.6}
    assert config.evidence.budget_mb == 0
