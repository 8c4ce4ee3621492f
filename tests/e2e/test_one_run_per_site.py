from __future__ import annotations

from pathlib import Path

import pytest

import gridwhistle
from contracts.errors import GridwhistleError
from runtime.site import PathsConfig, Site, SiteConfig


def test_second_run_in_the_same_folder_is_refused_until_the_first_has_ended(short_dir: Path) -> None:
    site = Site(SiteConfig(id="152921"), PathsConfig(), short_dir)
    first = gridwhistle.sole_run(site)
    with pytest.raises(GridwhistleError, match="another one works there") as refused:
        gridwhistle.sole_run(site)
    assert refused.value.reason == "already_running"
    first.close()
    gridwhistle.sole_run(site).close()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8600/"),
        ("0.0.0.0", "http://127.0.0.1:8600/"),
        ("::1", "http://[::1]:8600/"),
        ("[::1]", "http://[::1]:8600/"),
        ("::", "http://127.0.0.1:8600/"),
    ],
)
def test_address_of_the_wall_is_one_that_a_browser_opens(host: str, address: str) -> None:
    assert gridwhistle.wall_address(host, 8600) == address
