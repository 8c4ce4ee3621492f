"""How many files this process may open: each connection is one."""

from __future__ import annotations

import resource

_OPEN_MAX = 1 << 20
"""More than any worker needs; some kernels refuse an unlimited number."""


def allow_all_open_files() -> int:
    """Raise our soft limit to the hard one, which needs no right; shells and containers often start with 1,024.

    Children inherit it. Returns how many files may be open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_MAX if hard == resource.RLIM_INFINITY else min(hard, _OPEN_MAX)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return _OPEN_MAX if soft == resource.RLIM_INFINITY else soft
