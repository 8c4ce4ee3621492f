"""What the files of a feed say: spreadsheets and catalogue messages, whole or from where they were left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from alerts.catalogue.assemble import CatalogMessages
from alerts.catalogue.config import FeedConfig
from alerts.catalogue.csv_file import read_csv
from alerts.catalogue.notified import Notified
from alerts.catalogue.refusals import Refused
from contracts.catalogue_entry import CatalogueEntry
from contracts.errors import ConfigError, RefusedInput


class Pass(msgspec.Struct, frozen=True):
    """What a feed said in one pass. `gaps`: sentences on what is missing; empty = the pass is complete.

    `deleted`: ids that notifications took away; `incremental`: there were notifications alone, so that what they
    do not name stays; `statuses`: how many notifications of each event told how a device is.
    """

    entries: tuple[CatalogueEntry | Refused, ...]
    gaps: tuple[str, ...] = ()
    duplicates: int = 0
    deleted: tuple[str, ...] = ()
    incremental: bool = False
    statuses: tuple[tuple[str, int], ...] = ()


def read_files(feed: FeedConfig, files: Iterable[Path], notified: Notified | None = None) -> Pass:
    """The entries of CSV or XML files, in the order given. `notified`: what was taken before; None reads all.

    Raises ConfigError when a file cannot be read or is no catalogue at all.
    """
    contents = [(file, _bytes(file)) for file in files]
    notes = [is_xml(file, feed) and b"<Notify" in data for file, data in contents]
    lists = [each for each, noted in zip(contents, notes, strict=True) if not noted]
    # Where notifications came after these lists, reading them again would undo what the notifications did. So they
    # are read when one of them is new, and then all of them: a list over several files is whole or nothing.
    known = notified is not None and notified.came_after(lists)
    rows: list[CatalogueEntry | Refused] = []
    spreadsheets = 0
    messages = CatalogMessages(notified.waiting if notified is not None else ())
    for (file, data), noted in zip(contents, notes, strict=True):
        if noted:
            _add_new(messages, file, data, notified)
            continue
        if known:
            continue
        if is_xml(file, feed):
            messages.add_file(data, file.name)
        else:
            rows += _rows(file, data)
            spreadsheets += 1
        if notified is not None:
            notified.took(file, data, len(data), notifications=False)
    if notified is not None:
        notified.read(messages.waiting)
    rows = [each for each in rows if isinstance(each, Refused) or each.id not in messages.told]
    return as_pass(messages, rows, incremental=known or (messages.incremental and not spreadsheets))


def as_pass(
    messages: CatalogMessages, rows: Sequence[CatalogueEntry | Refused] = (), *, incremental: bool
) -> Pass:
    """What messages say, and the rows of spreadsheets beside them."""
    return Pass(
        (*rows, *messages.refused, *messages.entries.values()),
        tuple(messages.gaps()),
        messages.duplicates,
        deleted=tuple(messages.deleted),
        incremental=incremental,
        statuses=tuple(messages.statuses.most_common()),
    )


def is_xml(file: Path, feed: FeedConfig) -> bool:
    """Whether a file is read as XML: by its name, else by the kind of the feed."""
    suffix = file.suffix.lower()
    return suffix == ".xml" or (suffix not in (".csv", ".tsv") and feed.kind == "xml")


def _add_new(messages: CatalogMessages, file: Path, data: bytes, notified: Notified | None) -> None:
    """Take those messages of a file with notifications that were not taken before."""
    begin = notified.begin(file, data) if notified is not None else 0
    if begin and not data[begin:].strip():
        return
    end = messages.add_file(data[begin:], file.name)
    if notified is not None:
        notified.took(file, data, begin + end, notifications=True)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: 无法读取 (cannot be read: {error.strerror})") from None


def _rows(file: Path, data: bytes) -> list[CatalogueEntry | Refused]:
    try:
        return list(read_csv(data))
    except RefusedInput as error:
        raise ConfigError(f"{file}: {error}") from None
