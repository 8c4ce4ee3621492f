"""Policy rules: parsed from data, and looked up in constant time."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.policy import Policy


def parse(mapping: Mapping[str, object]) -> Policy:
    """The policy that a parsed TOML file holds. Raises ValueError with a sentence that names the key."""
    raise NotImplementedError
