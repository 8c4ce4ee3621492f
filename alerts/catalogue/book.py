"""The catalogue file of a site: one writer at a time, whole or not at all, always one that the site accepts."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

import msgspec

from alerts import catalogue_rules
from alerts.grid_index import GridIndex
from alerts.grids import load_catalogue, load_grids
from contracts.errors import ConfigError, GridwhistleError
from contracts.source import Camera, Catalogue, Sensor
from runtime.lock import FileLock
from runtime.site import Site
from runtime.whole_file import write_whole

S = TypeVar("S", Camera, Sensor)


class CatalogueBook:
    """The catalogue file, held for changing; a context manager. The running site follows the file by itself.

    Raises ConfigError when grids or catalogue cannot be read, GridwhistleError with reason `catalogue_busy` while
    another import or sync holds it.
    """

    def __init__(self, site: Site) -> None:
        if site.grids_file is None or site.catalogue_file is None:
            raise ConfigError("[paths] grids 或 catalogue 未设置 (the catalogue needs both); set them")
        self._file = site.catalogue_file
        self.folder = site.state_dir / "catalogue"
        self.tree = load_grids(site.grids_file, site.id, site.county)
        self._index = GridIndex(self.tree)
        try:
            self._lock = FileLock(self.folder / "lock")
        except BlockingIOError:
            raise GridwhistleError(
                "目录正由另一次导入或同步改动 (another import or sync holds it); 请稍后再试 (try again later)",
                reason="catalogue_busy",
            ) from None
        except OSError as error:
            raise ConfigError(f"{self.folder} 无法写入 (cannot be written: {error.strerror})") from None

    def __enter__(self) -> CatalogueBook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()

    def read(self) -> Catalogue:
        """The catalogue as it is now; an empty one of version 0 where there is no file yet. Raises ConfigError."""
        if not self._file.exists():
            return Catalogue(site=self.tree.site, county=self.tree.county, version=0, cameras=(), sensors=())
        return load_catalogue(self._file, self.tree)

    def write(self, catalogue: Catalogue) -> None:
        """Put `catalogue` in the place of the file. Raises ConfigError when the site would not accept it.

        A grid that follows from the position is left out: it is found at each reading, so that a new grid file
        never makes the catalogue wrong.
        """
        bare = msgspec.structs.replace(
            catalogue,
            cameras=tuple(self._unlocated(each) for each in catalogue.cameras),
            sensors=tuple(self._unlocated(each) for each in catalogue.sensors),
        )
        try:
            catalogue_rules.check(bare, self.tree)
        except ValueError as error:
            raise ConfigError(
                f"新目录不合要求, 未写入 (the new catalogue is wrong; nothing written): {error}"
            ) from None
        try:
            write_whole(self._file, msgspec.json.format(msgspec.json.encode(bare), indent=1) + b"\n")
        except OSError as error:
            raise ConfigError(f"{self._file}: 无法写入 (cannot be written: {error.strerror})") from None

    def _unlocated(self, source: S) -> S:
        place = source.place
        if place.grid_code is None or self._index.locate(place.lon, place.lat) != place.grid_code:
            return source
        return msgspec.structs.replace(source, place=msgspec.structs.replace(place, grid_code=None))
