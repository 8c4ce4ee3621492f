"""Clips for tests of the load server: real encoders' pictures, drawn once."""

from __future__ import annotations

from functools import cache

from bench.load.clips import Clip, ClipName, make_clip


@cache
def clip(name: ClipName = ClipName.NORMAL) -> Clip:
    """A clip of the load server, made once."""
    return make_clip(name)
