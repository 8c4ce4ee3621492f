"""What recorders say of time against RFC 2326, and what we do about it: one named policy for each.

Neither can be seen from outside: pictures of a wrong time look like those of the right one. So each acts only when
`[ingest] recorder_policies` names it, for a camera or a platform, after somebody has compared the clock within the
pictures with the times that are shown.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from contracts.errors import ConfigError


class RecorderPolicy(enum.StrEnum):
    """A named policy. Each docstring says what was seen, and what is done."""

    RANGE_UNSTATED = "range_unstated"
    """The reply to PLAY has no Range (RFC 2326, 12.29) although the recorder plays what was asked for: its first
    picture is taken to be of the asked time. Without the policy nothing of it is shown: a server that ignores
    Range and plays what is now answers just so."""
    RANGE_LOCAL = "range_local"
    """The recorder reads and writes `clock=...Z` as Beijing time: asked and understood eight hours on."""


def read_policies(names: Iterable[str]) -> frozenset[RecorderPolicy]:
    """Policies by name. Raises ConfigError for a name that is no policy."""
    found = set()
    for name in names:
        try:
            found.add(RecorderPolicy(name))
        except ValueError:
            raise ConfigError(
                f"ingest.recorder_policies 中没有策略 '{name[:40]}' (no such policy); "
                f"可用 (choose from): {', '.join(RecorderPolicy)}",
                reason="policy",
            ) from None
    return frozenset(found)
