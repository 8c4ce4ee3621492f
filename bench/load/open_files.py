"""The limit of open files of this process: each stream is one."""

from __future__ import annotations

from contracts.errors import ConfigError
from runtime.open_files import allow_all_open_files


def allow_open_files(wanted: int) -> None:
    """Raise our soft limit (children inherit it) as far as it goes. Raises ConfigError when that is too low."""
    allowed = allow_all_open_files()
    if allowed < wanted:
        raise ConfigError(
            f"打开文件数上限 {allowed} 不足, 需要 {wanted} (the limit of open files is too low); 请以 root 执行 "
            f"ulimit -Hn {wanted} 后重试, 或减少 --streams (raise it as root, or measure fewer streams)"
        )
