from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contracts.errors import ConfigError
from ingest.config import IngestConfig, MqttConfig
from ingest.rtsp.credentials import Credentials, find_credentials, read_credentials
from runtime.config import load

SECTIONS: dict[str, type[msgspec.Struct]] = {"ingest": IngestConfig, "mqtt": MqttConfig}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[ingest]\nstal_s = 3", "stall_s"),
        ("[ingest]\nstall_s = 0", "stall_s"),
        ("[ingest]\nconnect_rate_per_s = -1", "connect_rate_per_s"),
        ("[ingest]\nbackoff_first_s = 90", "backoff_max_s"),
        ("[ingest]\nkey_stall_s = 1", "key_stall_s"),
        ("[ingest]\nsuspect_after_s = 0", "suspect_after_s"),
        ("[ingest]\nsuspect_loss_share = 1.5", "suspect_loss_share"),
        ("[ingest]\nflapping_ends = 0", "flapping_ends"),
        ('[ingest]\nkey_pictures = "all"', "key_pictures"),
        ("[ingest]\npicture_budget_mb = 1\npicture_bytes_max = 2000000", "picture_bytes_max"),
        ("[ingest]\n[ingest.platform_sessions]\nnvr = -1", "platform_sessions"),
        ('[mqtt]\nurl = "mqtt://user:secret@host"', "credentials"),
        ('[mqtt]\nurl = "http://host"', "mqtt://host:port"),
        ('[mqtt]\nurl = "mqtt://host:99999"', "port"),
        ('[mqtt]\nprotocol = "4"', "protocol"),
        ("[mqtt]\nmapping = []", "mapping"),
        ("[mqtt]\ninflight_max = 70000", "inflight_max"),
        ("[mqtt]\nmax_payload_bytes = 10", "max_payload_bytes"),
        ('[[mqtt.mapping]]\ntopic = "a/{sensor_id}"\nvalue = "value"', "/"),
        ('[[mqtt.mapping]]\ntopic = "a/b"', "sensor_id"),
    ],
)
def test_wrong_configuration_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "gridwhistle.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load(file, SECTIONS)
    assert "secret@" not in str(caught.value)


def test_defaults_are_usable(tmp_path: Path) -> None:
    file = tmp_path / "gridwhistle.toml"
    file.write_text("")
    assert load(file, SECTIONS) == {"ingest": IngestConfig(), "mqtt": MqttConfig()}


def test_credentials_are_found_by_name_and_never_printed(tmp_path: Path) -> None:
    file = tmp_path / "secrets.toml"
    file.write_text('[gate]\nuser = "admin"\npassword = "hidden"\n')
    file.chmod(0o600)
    known = read_credentials(file)
    assert known == {"gate": Credentials("admin", "hidden")}
    assert "hidden" not in repr(known)
    assert find_credentials(known, None, "cam") is None
    with pytest.raises(ConfigError) as caught:
        find_credentials(known, "yard", "cam")
    assert caught.value.reason == "no_credentials"


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ('[gate]\nuser = "a"\npassword = "hidden"\n', 0o640),
        ('[gate]\nuser = "a"\npasword = "hidden"\n', 0o600),
        ('[gate]\nuser = "a"\npassword = hidden\n', 0o600),
        ('gate = "hidden"\n', 0o600),
    ],
)
def test_unusable_secrets_file_is_refused_without_repeating_it(tmp_path: Path, text: str, mode: int) -> None:
    file = tmp_path / "secrets.toml"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        read_credentials(file)
    assert "hidden" not in str(caught.value)


def test_missing_secrets_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_credentials(tmp_path / "none.toml")
