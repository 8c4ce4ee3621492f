"""The fingerprint of what a step answered; a replay that answers otherwise is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from alerts.core.effects import Effect


def effects_digest(effects: Sequence[Effect]) -> bytes:
    """SHA-256 over the effects in order, each with its kind."""
    digest = hashlib.sha256()
    for effect in effects:
        body = msgspec.msgpack.encode(effect)
        digest.update(f"{type(effect).__name__}:{len(body)}:".encode())
        digest.update(body)
    return digest.digest()
