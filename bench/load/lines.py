"""JSON lines on standard output, as the helper processes answer."""

from __future__ import annotations

import sys

import msgspec


def say(line: msgspec.Struct) -> None:
    """One JSON line on standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()
