"""The limit of open files of this process: each stream is one."""

from __future__ import annotations

import resource

from contracts.errors import ConfigError


def allow_open_files(wanted: int) -> None:
    """Raise our soft limit (children inherit it) to `wanted`. Raises ConfigError when the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ConfigError(
            f"打开文件数上限 {hard} 不足, 需要 {wanted} (the limit of open files is too low); 请以 root 执行 "
            f"ulimit -Hn {wanted} 后重试, 或减少 --streams (raise it as root, or measure fewer streams)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
