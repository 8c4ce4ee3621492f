"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "contracts",
    "runtime",
    "ingest",
    "inference",
    "alerts",
    "dashboard_api",
    "models",
    "sim",
    "bench",
    "tests",
)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_no_module_is_called_after_nothing() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "tools"}
    assert [path for path in tracked() if path.suffix == ".py" and path.stem in banned] == []


def test_no_leftover_marks_machine_paths_or_registry_hosts() -> None:
    marks = re.compile(
        r"\b(TO"
        r"DO|FIX"
        r"ME|X"
        r"XX)\b|/wor"
        r"k/|/tmp/g"
        r"w/|\.\./sha"
        r"red|files\.python"
        r"hosted|registry\.npm"
        r"js"
    )
    allowed = {"tests/conftest.py", "requirements.lock", "requirements-runtime.lock"}
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts()
        if str(path.relative_to(ROOT)) not in allowed
        for match in marks.finditer(text)
    ]
    assert found == []


def test_readmes_hold_no_placeholder() -> None:
    for name in ("README.md", "README.zh-CN.md"):
        assert not re.search(r"\b[A-Z]+_(TABLE|EN|ZH)\b", (ROOT / name).read_text(encoding="utf-8"))


def test_queues_state_their_bound() -> None:
    unbounded = re.compile(r"\b(?:asyncio|queue|multiprocessing|mp)\.(?:Simple)?Queue\(\s*\)")
    product = [(path, text) for path, text in texts() if path.relative_to(ROOT).parts[0] in PACKAGES[:-1]]
    assert [path for path, text in product if path.suffix == ".py" and unbounded.search(text)] == []


def test_nothing_waits_in_a_way_that_can_swallow_its_cancellation() -> None:
    """`asyncio.wait_for` does before Python 3.12 (python/cpython#86296), and a service then never stops;
    `asyncio.timeout` does not."""
    product = [(path, text) for path, text in texts() if path.relative_to(ROOT).parts[0] in PACKAGES[:-1]]
    found = [str(path.relative_to(ROOT)) for path, text in product if "asyncio.wait_for(" in text]
    assert found == []


def pins(lock: str) -> dict[str, str]:
    """Of each package in a lock file: its version and hashes."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9_.-]+)(==.*(?:\n .*)*)", text, re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize(("lock", "names_min"), [("requirements.lock", 50), ("requirements-runtime.lock", 30)])
def test_lock_file_holds_no_addresses(lock: str, names_min: int) -> None:
    assert not re.search(r"https?://|file:/", (ROOT / lock).read_text(encoding="utf-8"))
    assert len(pins(lock)) > names_min
    assert [name for name, pin in pins(lock).items() if "--hash=sha256:" not in pin] == []


def test_image_runs_the_versions_that_were_tested_and_no_tools() -> None:
    runtime, everything = pins("requirements-runtime.lock"), pins("requirements.lock")
    assert {name: everything.get(name) for name in runtime} == runtime
    assert runtime.keys().isdisjoint({"pytest", "mypy", "ruff", "playwright", "hypothesis", "pip-tools"})
    dockerfile = (ROOT / "deploy" / "images" / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"--require-hashes.* -r (\S+)", dockerfile) == ["requirements-runtime.lock", "build.lock"]


def test_everything_that_the_product_imports_is_in_the_image() -> None:
    """Training alone needs more: PyTorch and ONNX, by the extra [train]."""
    owners = packages_distributions()
    locked = {re.sub(r"[-_.]+", "-", name).lower() for name in pins("requirements-runtime.lock")}
    missing = set()
    for path, text in texts():
        place = path.relative_to(ROOT)
        product = place.parts[0] in (*PACKAGES[:-2], "gridwhistle.py") and place.parts[:2] != ("models", "train")
        if path.suffix != ".py" or not product:
            continue
        for node in ast.walk(ast.parse(text)):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names - set(PACKAGES):
                distributions = {re.sub(r"[-_.]+", "-", each).lower() for each in owners.get(top, [top])}
                if not distributions & (locked | {"gridwhistle"}):
                    missing.add(f"{place}: {top}")
    assert missing == set()


def test_no_picture_clip_or_foreign_weight_is_tracked() -> None:
    weights = {path.relative_to(ROOT) for path in tracked() if path.suffix in {".onnx", ".pt", ".pth", ".h5"}}
    assert weights <= {Path("models/county-nano/weights.onnx")}
    footage = {".mp4", ".avi", ".mkv", ".jpg", ".jpeg", ".264", ".ts"}
    assert [path for path in tracked() if path.suffix in footage] == []


def test_files_stay_small_enough_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): text.count("\n")
        for path, text in texts()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES and text.count("\n") > 500
    }
    assert long == {}


def test_no_identifying_model_or_field_anywhere() -> None:
    words = re.compile(
        r"face_?(id|recog|embed|net)|licen[cs]e_?plate_?(number|text)|re_?id_?(model|embedding)", re.IGNORECASE
    )
    assert [
        path
        for path, text in texts()
        if path.suffix in {".py", ".toml", ".sql"} and words.search(text) and path != Path(__file__)
    ] == []
