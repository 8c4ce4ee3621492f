"""Targets that bring cameras and sensors in: the catalogue on the link and as a file."""

from __future__ import annotations

from contracts import wire
from contracts.errors import MalformedMessage
from contracts.source import Catalogue
from tests.fuzz.campaign import Target


def _on_the_link(data: bytes) -> None:
    """As ingest takes it from alerts, and every other record of the links with it."""
    refusals = []
    for read in (lambda: wire.decode(data, Catalogue), lambda: wire.decode_log_record(data)):
        try:
            wire.encode(read())
        except MalformedMessage as error:
            refusals.append(error)
    if len(refusals) == 2:
        raise refusals[0]


def catalogue_targets() -> list[Target]:
    """All of them."""
    return [
        Target(
            "catalogue",
            _on_the_link,
            refuses=(MalformedMessage,),
            words=(b"\x81", b"\xdd\xff\xff\xff\xff", b"\xc1"),
        )
    ]
