"""Logs: constant sentences with key-value fields, one JSON object a line (or colours on a terminal).

`CountedLog` turns a storm (a thousand failing cameras) into one line a second with a count.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from contracts.errors import ConfigError
from contracts.instant import SECOND

if TYPE_CHECKING:
    from runtime.clock import Clock

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_log(service: str, level: str = "info") -> None:
    """Set up logging of this process; every line carries the service's name. Call once at start.

    Raises ConfigError for an unknown level.
    """
    if level not in _LEVELS:
        raise ConfigError(f"--log-level {level!r}: 未知 (unknown); 可用 (known): {', '.join(_LEVELS)}")
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def get_log() -> structlog.typing.FilteringBoundLogger:
    """The log of this process."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log


class CountedLog:
    """At most one line per key and interval; what was held back is counted in the next line."""

    def __init__(self, clock: Clock, interval_s: float = 1.0, keys_max: int = 1_000) -> None:
        self._clock = clock
        self._interval_ns = round(interval_s * SECOND)
        self._keys_max = keys_max
        self._next_ns: dict[str, int] = {}
        self._held: dict[str, int] = {}

    @property
    def remembered(self) -> int:
        """Keys in memory, those with lines held back included."""
        return len(self._next_ns.keys() | self._held.keys())

    def warning(self, key: str, sentence: str, **fields: object) -> None:
        """Log `sentence` unless `key` was logged within the interval."""
        now = self._clock.monotonic_ns()
        if now < self._next_ns.get(key, 0):
            self._held[key] = self._held.get(key, 0) + 1
            return
        self._next_ns.pop(key, None)
        if len(self._next_ns) >= self._keys_max:
            # Keys come from outside; the one that has been quiet for longest goes, with what was held back of it.
            oldest = next(iter(self._next_ns))
            del self._next_ns[oldest]
            self._held.pop(oldest, None)
        self._next_ns[key] = now + self._interval_ns
        held = self._held.pop(key, 0)
        get_log().warning(sentence, held_back=held, **fields) if held else get_log().warning(sentence, **fields)
