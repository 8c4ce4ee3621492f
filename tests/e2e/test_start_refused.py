"""Wrong files never start anything: they are refused in words, with the file, the place in it and the way out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gridwhistle
from contracts.errors import ConfigError
from sim.alarm_drill import smoke_county
from sim.export import catalogue_json, grids_geojson
from sim.stack import toml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests" / "data" / "config"
BAD = sorted(EXAMPLES.glob("bad.*.toml"))
GOOD = sorted([*EXAMPLES.glob("good.*.toml"), *(ROOT / "deploy" / "config").glob("*.toml")])
MODEL = ROOT / "models" / "county-nano"


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The real command line, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gridwhistle", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def site(folder: Path, **sections: dict[str, object]) -> Path:
    """A good site's files in `folder`; the configuration file, with `sections` over it."""
    grids, catalogue = smoke_county(3)
    (folder / "grids.geojson").write_bytes(grids_geojson(grids))
    (folder / "catalogue.json").write_bytes(catalogue_json(catalogue))
    settings: dict[str, dict[str, object]] = {
        "site": {"id": "152921"},
        "paths": {"grids": "grids.geojson", "catalogue": "catalogue.json", "models": str(ROOT / "models")},
    }
    for name, values in sections.items():
        settings.setdefault(name, {}).update(values)
    file = folder / "gridwhistle.toml"
    file.write_text(toml(settings), encoding="utf-8")
    return file


@pytest.mark.parametrize("file", BAD, ids=[file.stem.removeprefix("bad.") for file in BAD])
def test_bad_example_is_refused_with_line_and_words(file: Path) -> None:
    """The first line of an example says what is expected: `# line 6,8: words | words`."""
    expected = re.match(r"# line ([\d,]+|-): (.+)", file.read_text(encoding="utf-8"))
    assert expected is not None
    with pytest.raises(ConfigError) as refused:
        gridwhistle.load(file)
    sentence = str(refused.value)
    for line in expected[1].split(",") if expected[1] != "-" else ():
        assert f"{file}:{line}:" in sentence
    for words in expected[2].split(" | "):
        assert words in sentence


@pytest.mark.parametrize("file", GOOD, ids=[file.name for file in GOOD])
def test_good_example_and_shipped_configuration_load(file: Path) -> None:
    loaded_site, sections = gridwhistle.load(file)
    assert loaded_site.county == "152921"
    assert sections.keys() == gridwhistle.sections().keys()


def test_there_are_bad_examples_of_every_kind() -> None:
    assert len(BAD) >= 15
    assert len(GOOD) >= 4


@pytest.mark.parametrize("arguments", [("run",), ("ingest", "--sensors"), ("check-config",)])
def test_unknown_key_then_nothing_starts_and_the_way_out_is_named(
    short_dir: Path, arguments: tuple[str, ...]
) -> None:
    file = site(short_dir, mqtt={"max_payload_byte": 1000})
    option = () if arguments == ("check-config",) else ("--config",)
    done = command(*arguments, *option, file)
    assert done.returncode == 2
    line = file.read_text(encoding="utf-8").splitlines().index("max_payload_byte = 1000") + 1
    assert f"{file}:{line}: mqtt.max_payload_byte: 未知的键" in done.stderr
    assert "'max_payload_bytes'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (short_dir / "var").exists()


def test_folder_of_sockets_with_too_long_a_name_then_nothing_starts(short_dir: Path) -> None:
    file = site(short_dir, paths={"run": "r" * 90})
    for done in (command("run", "--config", file), command("check-config", file)):
        assert done.returncode == 2
        assert "paths.run" in done.stderr
        assert "80 bytes" in done.stderr
    assert not (short_dir / "var").exists()


def test_model_with_a_wrong_hash_then_check_and_inference_are_refused_in_words(short_dir: Path) -> None:
    folder = short_dir / "models" / "county-nano"
    shutil.copytree(MODEL, folder)
    weights = next(folder.glob("*.onnx"))
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    file = site(short_dir, paths={"models": "models"})
    for done in (
        command("models", "check", folder),
        command("inference", "--config", file),
        command("check-config", file),
    ):
        assert done.returncode == 1
        assert str(weights) in done.stderr
        assert "SHA-256" in done.stderr
        assert "fetch the model again" in done.stderr
        assert "Traceback" not in done.stderr
    listed = command("models", "list", "--config", file)
    assert listed.returncode == 0
    assert "SHA-256" in listed.stdout


def overlapping(file: Path) -> tuple[str, str]:
    """Make two neighbouring grids of a grid file overlap; their codes."""
    document = json.loads(file.read_text(encoding="utf-8"))
    leaves: list[dict[str, Any]] = [
        each for each in document["features"] if each["properties"]["level"] == "grid" and each["geometry"]
    ]
    first, second = leaves[:2]
    ring = second["geometry"]["coordinates"][0]
    first["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return first["properties"]["code"], second["properties"]["code"]


def test_overlapping_grids_then_refused_with_both_codes(short_dir: Path) -> None:
    file = site(short_dir)
    codes = overlapping(short_dir / "grids.geojson")
    for done in (command("check-config", file), command("alerts", "--config", file)):
        assert done.returncode == 2
        assert "重叠" in done.stderr
        assert str(short_dir / "grids.geojson") in done.stderr
        for code in codes:
            assert code in done.stderr
        assert "Traceback" not in done.stderr


def test_files_without_a_mistake_are_called_good(short_dir: Path) -> None:
    done = command("check-config", site(short_dir))
    assert (done.returncode, "good" in done.stdout) == (0, True)


SECRETS: dict[str, dict[str, object]] = {
    "webhook": {"url": "https://platform.invalid/events", "secret_file": "platform-secret"},
    "api": {"token_file": "api-token"},
    "ingest": {"secrets": "cameras.toml"},
    "mqtt": {"secrets": "broker.toml", "credentials": "broker"},
}
SECRET_FILES = {
    "platform-secret": "signs\n",
    "api-token": "t" * 40,
    "cameras.toml": '[gate]\nuser = "u"\npassword = "p"\n',
    "broker.toml": '[broker]\nuser = "u"\npassword = "p"\n',
}


@pytest.mark.parametrize(
    ("name", "content", "mode", "words"),
    [
        ("platform-secret", "signs\n", 0o644, "他人可读"),
        ("platform-secret", None, 0o600, "无法读取"),
        ("api-token", "short", 0o600, "at least 32"),
        ("cameras.toml", "[gate]\nuser = 1\n", 0o600, "user"),
        ("broker.toml", '[other]\nuser = "u"\npassword = "p"\n', 0o600, "mqtt.credentials"),
    ],
    ids=["open", "missing", "short", "malformed", "not-in-it"],
)
def test_secret_file_that_its_service_would_refuse_then_the_check_refuses_it_in_the_same_words(
    short_dir: Path, name: str, content: str | None, mode: int, words: str
) -> None:
    file = site(short_dir, **SECRETS)
    absent = command("check-config", file)
    assert (absent.returncode, "secret files not checked" in absent.stdout) == (0, True)
    (short_dir / "var").mkdir()
    for each, text in SECRET_FILES.items():
        (short_dir / "var" / each).touch(0o600)
        (short_dir / "var" / each).write_text(text, encoding="utf-8")
    good = command("check-config", file)
    assert (good.returncode, good.stderr, "not checked" in good.stdout) == (0, "", False)
    wrong = short_dir / "var" / name
    wrong.unlink()
    if content is not None:
        wrong.touch(mode)
        wrong.write_text(content, encoding="utf-8")
        wrong.chmod(mode)
    done = command("check-config", file)
    assert done.returncode == 2
    assert words in done.stderr
    assert (name in done.stderr) == (name != "broker.toml")
    assert "Traceback" not in done.stderr


def test_secret_that_a_simulated_county_writes_at_its_start_is_not_missed_by_the_check(short_dir: Path) -> None:
    (short_dir / "var").mkdir()
    file = site(short_dir, sim={"enabled": True}, webhook=SECRETS["webhook"])
    assert command("check-config", file).returncode == 0


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"\xc3\xdc\xc2\xeb\n", ("--user", "admin", "--password-file"), "不是 UTF-8 文本"),
        (b"\n", ("--user", "admin", "--password-file"), "密钥文件为空"),
        (None, ("--user", "admin"), "须同时给出"),
        (b"secret\n", ("--password-file",), "须同时给出"),
    ],
    ids=["not-utf-8", "empty", "no-password", "no-user"],
)
def test_probe_with_half_a_login_or_an_unreadable_password_is_refused_in_words(
    short_dir: Path, content: bytes | None, options: tuple[str, ...], words: str
) -> None:
    given: list[str | Path] = [*options]
    if content is not None:
        file = short_dir / "password"
        file.touch(0o600)
        file.write_bytes(content)
        given.append(file)
    done = command("probe", "rtsp://127.0.0.1:1/none", *given)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("state", ["/proc/x", "taken"])
def test_state_folder_that_cannot_be_written_then_nothing_starts_and_the_key_is_named(
    short_dir: Path, state: str
) -> None:
    (short_dir / "taken").write_text("a file")
    file = site(short_dir, paths={"state": state, "run": "run"})
    for done in (
        command("run", "--config", file),
        command("alerts", "--config", file),
        command("check-config", file),
    ):
        assert done.returncode == 2
        assert "无法写入" in done.stderr
        assert "[paths].state" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--out", "/proc/x"), 2, "--out"),
        (("--every-s", "-1"), 2, "应为 0 或正的秒数"),
        (("--every-s", "nan"), 2, "应为 0 或正的秒数"),
        (("--start", "gestern"), 2, "--start 'gestern': 不是"),
        ((), 1, "没有一个文件可读"),
    ],
)
def test_reanalysis_with_a_wrong_wish_or_nothing_readable_is_refused_in_words(
    short_dir: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    (short_dir / "broken.mp4").write_bytes(bytes(4000))
    out = () if "--out" in options else ("--out", str(short_dir / "out"))
    done = command("reanalyse", short_dir / "broken.mp4", "--config", site(short_dir), *out, *options)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
