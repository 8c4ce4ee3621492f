"""EngineState: all that the engine remembers between two steps, as plain records."""

from __future__ import annotations

import msgspec


class EngineState(msgspec.Struct):
    """Everything that a snapshot holds."""
