"""Wire: how records cross a process border. One byte schema version, then MessagePack; JSON for people.

Encoders and decoders are built once here. A record of an unknown schema version is refused with a reason.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from contracts.coverage import CoverageReport
from contracts.errors import MalformedMessage
from contracts.filmstrip import Filmstrip
from contracts.observation import Observation
from contracts.source import HealthReport, SourceChange
from contracts.storm import StormReport

SCHEMA_VERSION: Final = 1
"""Version of all records; grows when a field changes its meaning. New optional fields do not change it."""

LogRecord = Observation | SourceChange | Filmstrip | HealthReport | CoverageReport | StormReport
"""What travels on the Log link: to alerts, ordered per producer, acknowledged after commit."""

DOES_NOT_PARSE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises for bytes that are not what they should be: text that is not UTF-8 and nesting without
end do not come as its own errors."""

_PREFIX: Final = bytes([SCHEMA_VERSION])
_encoder: Final = msgspec.msgpack.Encoder()
_json_encoder: Final = msgspec.json.Encoder()
_log_decoder: Final[msgspec.msgpack.Decoder[LogRecord]] = msgspec.msgpack.Decoder(LogRecord)

T = TypeVar("T")


def encode(record: msgspec.Struct | list[msgspec.Struct]) -> bytes:
    """Version byte + MessagePack of a record (or a list of records)."""
    return _PREFIX + _encoder.encode(record)


def _body(data: bytes | memoryview) -> memoryview:
    view = memoryview(data)
    if len(view) < 2:
        raise MalformedMessage("an empty record arrived on a link; the sender is not a gridwhistle process")
    if view[0] != SCHEMA_VERSION:
        raise MalformedMessage(
            f"a record of schema version {view[0]} arrived, this process reads {SCHEMA_VERSION}; "
            "update the older process",
            reason="schema_version",
        )
    return view[1:]


def decode(data: bytes | memoryview, type_: type[T]) -> T:
    """The record of `type_` in `data`. Raises MalformedMessage."""
    try:
        return msgspec.msgpack.decode(_body(data), type=type_)
    except DOES_NOT_PARSE as error:
        raise MalformedMessage(f"a {type_.__name__} on a link does not parse: {error}") from None


def decode_log_record(data: bytes | memoryview) -> LogRecord:
    """Any record of the Log link. Raises MalformedMessage."""
    try:
        return _log_decoder.decode(_body(data))
    except DOES_NOT_PARSE as error:
        raise MalformedMessage(f"a log record does not parse: {error}") from None


def to_json(record: object) -> bytes:
    """JSON of a record for people, files and the API (Instants stay integers; views translate them)."""
    return _json_encoder.encode(record)
