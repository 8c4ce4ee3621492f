from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from runtime.site import PathsConfig, Site, SiteConfig


def site(base: Path, state: str = "var") -> Site:
    return Site(SiteConfig(id="152921"), PathsConfig(state=state), base)


def test_state_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    one = site(tmp_path, "a/b")
    one.check_state_dir()
    assert list(one.state_dir.iterdir()) == []


def test_state_folder_that_cannot_be_written_is_refused_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for state in ("file", "file/below", "/proc/x"):
        with pytest.raises(ConfigError, match=r"状态文件夹 .* 无法写入 .*\[paths\]\.state"):
            site(tmp_path, state).check_state_dir()


def test_two_installations_of_one_site_have_different_names(tmp_path: Path) -> None:
    assert site(tmp_path).state_name == site(tmp_path).state_name != site(tmp_path, "other").state_name
