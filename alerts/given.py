"""What a site is given: its grids, its catalogue and its rules, read and checked before anything starts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from alerts.core import policy as policy_rules
from alerts.grid_index import gaps
from alerts.grids import load_catalogue, load_grids
from contracts.errors import ConfigError
from contracts.grid import GridTree
from contracts.place import Place
from contracts.policy import Policy
from contracts.source import Camera, Catalogue, Sensor
from runtime.log import get_log

if TYPE_CHECKING:
    from alerts.config import AlertsConfig
    from runtime.site import Site

_DEFAULT_POLICY: Final = Path(__file__).parent / "policy" / "default.toml"
_GAP_SHOWN_M2: Final = 10_000.0
_GAPS_SHOWN_MAX: Final = 20


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the site's files say."""

    grids: GridTree
    catalogue: Catalogue
    policy: Policy
    policy_file: Path

    def places(self) -> dict[str, Place]:
        """Where each source is."""
        return {source.id: source.place for source in self._sources()}

    def names(self) -> dict[str, str]:
        """What people call each source; those without a name are left out."""
        return {source.id: source.name for source in self._sources() if source.name}

    def _sources(self) -> tuple[Camera | Sensor, ...]:
        return (*self.catalogue.cameras, *self.catalogue.sensors)


def load_given(site: Site, config: AlertsConfig) -> Given:
    """Read and check the files that a site is given. Raises ConfigError."""
    if site.grids_file is None or site.catalogue_file is None:
        raise ConfigError("[paths] grids 或 catalogue 未设置 (alerts needs both); set them")
    tree = load_grids(site.grids_file, site.id, site.county)
    policy_file = policy_file_of(site, config)
    return Given(
        grids=tree,
        catalogue=load_catalogue(site.catalogue_file, tree),
        policy=load_policy(policy_file),
        policy_file=policy_file,
    )


def policy_file_of(site: Site, config: AlertsConfig) -> Path:
    """The site's policy file, or the rules that come with the release."""
    return (site.base_dir / config.policy).resolve() if config.policy else _DEFAULT_POLICY


def load_policy(file: Path) -> Policy:
    """The rules of a policy file. Raises ConfigError."""
    try:
        return policy_rules.parse(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: 规则文件无法读取 (policy file cannot be read): {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: TOML 语法错误 (syntax): {error}") from None
    except ValueError as error:
        raise ConfigError(f"{file}: 规则不合要求 (policy): {error}") from None


def report_gaps(tree: GridTree) -> None:
    """Say which ground belongs to no grid; its incidents have no grid and wait for a person (待定位)."""
    for gap in gaps(tree, _GAP_SHOWN_M2)[:_GAPS_SHOWN_MAX]:
        get_log().warning(
            "Ground without a grid", inside=gap.parent, area_m2=round(gap.area_m2), lon=gap.lon, lat=gap.lat
        )
