"""CatalogueEntry: one line of somebody else's catalogue, before anything of it is believed."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a file or a platform says of one device, as text; empty = it says nothing.

    `origin` tells a person where it stood ("第 17 行"); it and `status` are no part of the content: an entry that
    moves to another line, or a camera that goes offline, has not changed. `channel`: see contracts.source.Camera.
    Passwords are never taken over.
    """

    origin: str
    id: str
    name: str = ""
    owner: str = ""
    civil_code: str = ""
    address: str = ""
    parent: str = ""
    nvr: str = ""
    channel: str = ""
    url: str = ""
    recording_url: str = ""
    credentials: str = ""
    lon: str = ""
    lat: str = ""
    coordinates: str = ""
    status: str = ""
    secrecy: str = ""
    forbidden_place: str = ""
    system_kind: str = ""
    manager: str = ""
    near_secret_unit: str = ""
    secrecy_consent: str = ""
    signage_ok: str = ""
    view_note: str = ""
    in_use_since: str = ""
    filed_on: str = ""
    filing_number: str = ""
    retention_days: str = ""
    live: str = ""
    profile: str = ""

    def fingerprint(self, rules: str = "") -> str:
        """Digest of the content and of the rules that it is read by: 16 hex digits."""
        content = msgspec.structs.replace(self, origin="", status="")
        return hashlib.sha256(msgspec.msgpack.encode((content, rules))).hexdigest()[:16]


class CataloguePage(msgspec.Struct, frozen=True):
    """A part of a pass over a catalogue. `next_cursor` None = the pass is over.

    `gaps`: sentences on what could not be read, or was fewer than the platform said. The pass goes on, but it is
    not complete: what it did not hold may be there all the same. `done` of `total` is for the progress bar.
    """

    entries: tuple[CatalogueEntry, ...]
    next_cursor: str | None
    gaps: tuple[str, ...] = ()
    done: int = 0
    total: int = 0


class CatalogueFeed(Protocol):
    """A platform whose catalogue is read page by page."""

    async def page(self, cursor: str | None) -> CataloguePage:
        """The page behind `cursor`, the first for None. Raises SourceError; the same cursor may be asked again."""
