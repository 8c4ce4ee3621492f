from __future__ import annotations

from pathlib import Path

import pytest

from alerts.config import AlertsConfig, WebhookConfig
from contracts.errors import ConfigError
from runtime.config import load

BAD = [
    ("alerts", "batch_records = 0", "batch_records"),
    ("alerts", "idle_s = 0", "idle_s"),
    ("alerts", "reserve_mib = -1", "reserve_mib"),
    ("alerts", "lease_s = 1", "lease_s"),
    ("alerts", "inbox_records = 10", "inbox_records"),
    ("alerts", 'polizy = "x"', "policy"),
    ("webhook", 'url = "ftp://x/"\nsecret_file = "s"', "https://"),
    ("webhook", 'url = "https:///tickets"\nsecret_file = "s"', "host"),
    ("webhook", 'url = "https://user:pw@x/"\nsecret_file = "s"', "secret_file"),
    ("webhook", 'url = "https://x/"', "secret_file"),
    ("webhook", "retry_first_s = 0", "retry_first_s"),
    ("webhook", "retry_max_s = 0.5", "retry_max_s"),
    ("webhook", "timeout_s = -1", "timeout_s"),
    ("webhook", "in_flight = 0", "in_flight"),
]


@pytest.mark.parametrize(("section", "text", "words"), BAD, ids=[row[1].split("\n")[0] for row in BAD])
def test_wrong_setting_is_refused_by_name(tmp_path: Path, section: str, text: str, words: str) -> None:
    file = tmp_path / "gridwhistle.toml"
    file.write_text(f"[{section}]\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load(file, {"alerts": AlertsConfig, "webhook": WebhookConfig})
    assert words in str(refusal.value)
    assert str(file) in str(refusal.value)


def test_defaults_are_good_and_the_webhook_is_off(tmp_path: Path) -> None:
    file = tmp_path / "gridwhistle.toml"
    file.write_text("[alerts]\n", encoding="utf-8")
    loaded = load(file, {"alerts": AlertsConfig, "webhook": WebhookConfig})
    assert loaded["alerts"] == AlertsConfig()
    assert loaded["webhook"] == WebhookConfig()
    assert WebhookConfig().url == ""
