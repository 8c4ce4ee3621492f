"""The sections of the configuration that all services share: which site this is, and where its files lie."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from pathlib import Path

import msgspec

from contracts.errors import ConfigError

_SITE_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_COUNTY = re.compile(r"[0-9]{6}")


class SiteConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[site]`: the county or edge box that this installation serves."""

    id: str
    """Site id in every record, e.g. `152921`; letters, digits and dashes."""
    name: str = ""
    """Name for people, e.g. `阿拉善左旗`."""
    county: str = "152921"
    """County code (GB/T 2260, 6 digits)."""
    exercise: bool = False
    """True: everything of this site is a drill (演练) and marked so."""

    def __post_init__(self) -> None:
        """Raises ValueError with a sentence."""
        if not _SITE_ID.fullmatch(self.id):
            raise ValueError(f"id {self.id!r} 应为 1 至 64 个字母、数字或短横 (letters, digits and dashes)")
        if not _COUNTY.fullmatch(self.county):
            raise ValueError(f"county {self.county!r} 应为 6 位县级代码 (6 digits, GB/T 2260), e.g. 152921")


class PathsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[paths]`: folders, relative to the configuration file."""

    state: str = "var"
    """Database, evidence, archive; must survive restarts."""
    run: str = ""
    """Sockets between our processes; empty = `<state>/run`. At most 80 bytes long (a limit of Unix sockets)."""
    grids: str = ""
    """Grid tree: GeoJSON (RFC 7946) file."""
    catalogue: str = ""
    """Catalogue of cameras and sensors: JSON file."""
    models: str = "models"
    """Folder with one folder per model."""


class Site:
    """Resolved paths and names of one site."""

    def __init__(self, site: SiteConfig, paths: PathsConfig, base: Path) -> None:
        self.id = site.id
        self.name = site.name or site.id
        self.county = site.county
        self.exercise = site.exercise
        self.base_dir = base
        self.state_dir = (base / paths.state).resolve()
        self.run_dir = (base / paths.run).resolve() if paths.run else self.state_dir / "run"
        self.grids_file = (base / paths.grids).resolve() if paths.grids else None
        self.catalogue_file = (base / paths.catalogue).resolve() if paths.catalogue else None
        self.models_dir = (base / paths.models).resolve()
        self.evidence_dir = self.state_dir / "evidence"
        self.archive_dir = self.state_dir / "archive"
        self.database_file = self.state_dir / "gridwhistle.sqlite"
        self.state_name = hashlib.sha256(os.fsencode(self.state_dir)).hexdigest()[:8]
        """Tells two installations of one site apart, e.g. at a broker that they share."""

    def check_state_dir(self) -> None:
        """Make the folder of state if missing and try to write into it. Raises ConfigError when that fails."""
        try:
            try_writing(self.state_dir)
        except OSError as error:
            raise ConfigError(
                f"状态文件夹 {self.state_dir} 无法写入 (the state folder cannot be written: {error.strerror}); "
                "请检查 [paths].state 与权限 (check it and its permissions)"
            ) from None

    def check_run_dir(self) -> None:
        """Raises ConfigError when the folder of sockets has a name too long for Unix sockets."""
        if len(str(self.run_dir).encode()) > 80:
            raise ConfigError(
                f"套接字目录 {self.run_dir} 过长 (the folder of sockets is over 80 bytes); "
                "set paths.run to a shorter one, e.g. /run/gridwhistle"
            )

    def endpoint(self, topic: str) -> str:
        """ZeroMQ address of a link on this machine. Raises ConfigError, see `check_run_dir`."""
        self.check_run_dir()
        return f"ipc://{self.run_dir}/{topic}.sock"


def try_writing(folder: Path) -> None:
    """Make `folder` if missing, and a file in it for a moment. Raises OSError; a full disk is no reason."""
    folder.mkdir(parents=True, exist_ok=True)
    trial = folder / f".writable-{os.getpid()}"
    try:
        trial.touch(mode=0o600)
        trial.unlink()
    except OSError as error:
        # Alerting goes on from its reserve when the disk is full, so a start must be possible then, too.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
