"""The documents are true: links lead somewhere, generated pages match the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [each for each in targets if "://" not in each and not (page.parent / each).exists()]
    assert missing == []


def test_generated_reference_matches_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "docs/reference/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_both_readmes_name_the_two_commands_and_the_same_headings() -> None:
    english = (ROOT / "README.md").read_text(encoding="utf-8")
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    for text in (english, chinese):
        assert "make run" in text
        assert "make test" in text
    assert len(re.findall(r"^##", english, re.M)) == len(re.findall(r"^##", chinese, re.M))


def test_every_design_note_states_its_status() -> None:
    notes = [*(ROOT / "docs/design").glob("*.md"), *(ROOT / "docs/adr").glob("0*.md")]
    assert len(notes) >= 6
    assert [note.name for note in notes if "Status: " not in note.read_text(encoding="utf-8")] == []


RUNBOOKS = sorted(each for each in (ROOT / "docs" / "runbooks").glob("*.md") if "zh-CN" not in each.name)


@pytest.mark.parametrize("english", RUNBOOKS, ids=lambda page: page.stem)
def test_runbook_stands_in_chinese_with_the_same_rows_and_the_same_codes(english: Path) -> None:
    pages = [english.read_text(encoding="utf-8"), english.with_suffix(".zh-CN.md").read_text(encoding="utf-8")]
    codes, rows, headings = (
        [sorted(re.findall(pattern, page, re.M)) for page in pages] for pattern in (r"`[^`\n]+`", r"^\|", r"^#+")
    )
    assert codes[0] == codes[1]
    assert rows[0] == rows[1]
    assert headings[0] == headings[1]
