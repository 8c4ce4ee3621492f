"""The one tree of errors. Each class says at birth whether trying again can help.

GridwhistleError
├── ConfigError           a file an operator wrote is wrong; the start stops      not retriable
├── RefusedInput          bad input from outside; refused, counted, shown        not retriable
│   ├── MalformedMessage      bytes that do not parse
│   ├── UnknownSource         a source that the catalogue does not hold
│   └── TooLarge              over a stated bound
├── SourceError           a camera, broker or file that we read from
│   ├── SourceUnreachable     no connection, stall, time-out                        retriable
│   ├── SourceRefused         401, 403, wrong password                              retriable, slowly
│   ├── SourceMissing         404, no such file                                     retriable, slowly
│   └── ProtocolViolation     the peer does not speak the protocol                  retriable
├── ModelRefused          hash, shape or labels differ from model.toml           not retriable
├── LinkError             a link between our processes
│   ├── LinkClosed            the other end went away                               retriable
│   └── LinkOverflow          a bounded queue is full past its deadline             retriable
├── StoreError            database, journal, evidence
│   ├── StoreFull             no space; reserve in use                              retriable
│   ├── StoreBusy             locked by another                                     retriable
│   ├── StoreCorrupt          a journal or snapshot that cannot be read          not retriable
│   └── LeaseLost             another engine holds the lease                     not retriable
├── CommandRefused        a person's or system's wish that the rules do not allow not retriable
└── DeliveryFailed        an outside system did not take a change
    ├── DeliveryUnavailable   time-out, 5xx, 429                                    retriable
    └── DeliveryRejected      4xx: the message itself is refused                 not retriable
"""

from __future__ import annotations

from typing import ClassVar


class GridwhistleError(Exception):
    """Root of the tree. `str(error)` is a sentence: the thing, the cause, the way out.

    `reason` is a short stable code (snake_case) for counters, journals and the API.
    """

    retriable: ClassVar[bool] = False
    reason: str = "error"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class ConfigError(GridwhistleError):
    """A configuration, policy, grid or catalogue file is wrong; the start stops with its message."""

    reason = "config"


class RefusedInput(GridwhistleError):
    """Input from outside that is refused, counted and shown; nothing else is disturbed."""

    reason = "refused_input"


class MalformedMessage(RefusedInput):
    """Bytes that do not parse as what they claim to be."""

    reason = "malformed"


class UnknownSource(RefusedInput):
    """A message from a source that the catalogue does not hold."""

    reason = "unknown_source"


class TooLarge(RefusedInput):
    """A message over its stated bound."""

    reason = "too_large"


class SourceError(GridwhistleError):
    """A camera, broker or file that we read from."""

    retriable = True
    reason = "source"


class SourceUnreachable(SourceError):
    """No connection, a stall, or a time-out."""

    reason = "unreachable"


class SourceRefused(SourceError):
    """The source refuses our credentials or our right; retried slowly, since it may lock us out."""

    reason = "refused_credentials"


class SourceMissing(SourceError):
    """The source does not know this stream or file; retried slowly."""

    reason = "not_found"


class ProtocolViolation(SourceError):
    """The peer does not speak the protocol it should."""

    reason = "protocol_violation"


class ModelRefused(GridwhistleError):
    """A model whose hash, shapes or labels differ from its model.toml."""

    reason = "model_refused"


class LinkError(GridwhistleError):
    """A link between our own processes."""

    retriable = True
    reason = "link"


class LinkClosed(LinkError):
    """The other end went away or did not answer in time."""

    reason = "link_closed"


class LinkOverflow(LinkError):
    """A bounded queue stayed full past its deadline."""

    reason = "link_overflow"


class StoreError(GridwhistleError):
    """The database, the journal or the evidence store."""

    reason = "store"


class StoreFull(StoreError):
    """No space left; tickets go on from the reserve."""

    retriable = True
    reason = "disk_full"


class StoreBusy(StoreError):
    """Locked by another process for longer than the bound."""

    retriable = True
    reason = "store_busy"


class StoreCorrupt(StoreError):
    """A journal row or snapshot that cannot be read back."""

    reason = "store_corrupt"


class LeaseLost(StoreError):
    """Another engine took the lease; this one must stop before it writes again."""

    reason = "lease_lost"


class CommandRefused(GridwhistleError):
    """A wish that the rules do not allow. `allowed` lists what is allowed instead."""

    reason = "command_refused"

    def __init__(self, message: str, *, reason: str | None = None, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message, reason=reason)
        self.allowed = allowed


class DeliveryFailed(GridwhistleError):
    """An outside system did not take a change."""

    reason = "delivery"


class DeliveryUnavailable(DeliveryFailed):
    """Time-out, 5xx or 429: try again later, not before `retry_after_s` if the target asked for it."""

    retriable = True
    reason = "delivery_unavailable"

    def __init__(self, message: str, *, reason: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class DeliveryRejected(DeliveryFailed):
    """4xx: the message itself is refused; it goes to the dead letters for a person to see."""

    reason = "delivery_rejected"
