"""Batch: everything that one step of the engine takes in; its bytes are what the journal stores."""

from __future__ import annotations

import msgspec

from contracts.command import Command
from contracts.observation import Observation
from contracts.source import SourceChange


class Batch(msgspec.Struct, frozen=True):
    """The input of one `Engine.step`, each part in order of arrival. An empty batch lets time pass.

    The engine has no catalogue: whoever builds a batch fills `SourceChange.place` from the catalogue, so that
    a device fault knows its grid (without it, the place of the source's latest observation is used).
    """

    observations: tuple[Observation, ...] = ()
    source_changes: tuple[SourceChange, ...] = ()
    commands: tuple[Command, ...] = ()


EMPTY = Batch()
"""Lets time pass and nothing else."""
