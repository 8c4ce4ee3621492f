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
    allowed, most = _bounded(soft), min(_bounded(hard), _OPEN_MAX)
    if allowed < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(allowed, most)


def _bounded(limit: int) -> int:
    return _OPEN_MAX if limit == resource.RLIM_INFINITY else limit
