"""Catalogue messages put together: the entries that answers hold, and what notifications made of them since.

Events of a notification (GB/T 28181, Catalog): ADD and UPDATE carry an item as an answer does, DEL takes one
away; ON, OFF, VLOST and DEFECT tell how a device is. Those are counted and change nothing: whether a camera gives
pictures is seen by receiving it, and an entry whose device is offline for a while has not changed.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from alerts.catalogue.catalog_xml import CatalogMessage, parse_message, split_messages
from alerts.catalogue.refusals import Refused
from contracts.catalogue_entry import CatalogueEntry
from contracts.errors import RefusedInput
from contracts.ids import DEVICE_TYPES

STATUS_EVENTS: Final = ("ON", "OFF", "VLOST", "DEFECT")
_TEXT_MAX: Final = 2_000
_OPEN_MAX: Final = 256
_RECORDERS: Final = frozenset({"111", "118"})
_FIELDS: Final = {
    "DeviceID": "id",
    "Name": "name",
    "Owner": "owner",
    "CivilCode": "civil_code",
    "Address": "address",
    "ParentID": "parent",
    "Longitude": "lon",
    "Latitude": "lat",
    "Status": "status",
    "Secrecy": "secrecy",
}
"""Elements of an Item that the catalogue keeps; Password is among those that it does not."""


class Announced(msgspec.Struct):
    """Of one answer or notification over several messages: how many items it has in all, and which arrived."""

    notification: bool
    device_id: str
    sn: str
    total: int
    arrived: set[str]

    @property
    def missing(self) -> int:
        """Items that did not arrive."""
        return max(0, self.total - len(self.arrived))


class CatalogMessages:
    """Takes the messages of files in turn: answers in any order, twice or not at all; notifications in theirs.

    `waiting`: notifications of an earlier pass of which parts were missing.
    """

    def __init__(self, waiting: tuple[Announced, ...] = ()) -> None:
        self.entries: dict[str, CatalogueEntry] = {}
        self.deleted: dict[str, None] = {}
        """Ids that a notification took away and nothing brought back, in order."""
        self.told: set[str] = set()
        """Ids that a notification told of last: it counts before any spreadsheet."""
        self.refused: list[Refused] = []
        self.messages = 0
        self.notifications = 0
        self.duplicates = 0
        self.statuses: Counter[str] = Counter()
        self._announced = {(True, each.device_id, each.sn): each for each in waiting}
        self._touched: set[tuple[bool, str, str]] = set()

    @property
    def incremental(self) -> bool:
        """Whether there was no answer: what was not named is not gone."""
        return self.notifications == self.messages

    @property
    def waiting(self) -> tuple[Announced, ...]:
        """Notifications of which parts are missing, the latest; for the next pass."""
        open_ = [each for each in self._announced.values() if each.notification and each.missing]
        return tuple(open_[-_OPEN_MAX:])

    def add_file(self, data: bytes, name: str) -> int:
        """Take all messages of a file; what cannot be read is refused with its place.

        Returns where the last whole message ends, 0 when there is none: a file that grows is gone on with there.
        """
        try:
            bodies, cut_off = split_messages(data)
        except RefusedInput as error:
            self.refused.append(Refused(error.reason, name, "", str(error)))
            return 0
        if not bodies and not cut_off:
            self.refused.append(
                Refused("malformed", name, "", "文件中没有目录应答或通知 (no catalogue message in the file)")
            )
        if cut_off:
            self.refused.append(
                Refused("truncated", name, "", f"{cut_off} 条消息不完整 (messages that are cut off)")
            )
        for number, body in enumerate(bodies, start=1):
            place = f"{name} 第 {number} 条消息"
            try:
                self._add(parse_message(body.data), place)
            except RefusedInput as error:
                self.refused.append(Refused(error.reason, place, "", str(error)))
        return bodies[-1].end if bodies else 0

    def gaps(self) -> list[str]:
        """What did not arrive, in sentences; empty = complete."""
        found = []
        for key in self._announced:
            each = self._announced[key]
            if key in self._touched and each.missing:
                kind = "通知 (notification)" if each.notification else "应答 (answer)"
                found.append(
                    f"{kind} {each.device_id or '?'} SN {each.sn or '?'}: 应有 {each.total} 项, "
                    f"到达 {len(each.arrived)} 项 (items announced, arrived)"
                )
        unread = sum(each.reason in ("truncated", "malformed", "encoding", "too_large") for each in self.refused)
        return [*found, *([f"{unread} 处无法读取 (places that cannot be read)"] if unread else [])]

    def _add(self, message: CatalogMessage, place: str) -> None:
        key = (message.notification, message.device_id, message.sn)
        announced = self._announced.get(key)
        if announced is not None and announced.total != message.sum_num:
            if not message.notification:
                sentence = f"SumNum {message.sum_num} 与先前的 {announced.total} 不同 (differs)"
                self.refused.append(Refused("sum_num", place, "", sentence))
                return
            # A device that was switched on again counts from 1 again: another notification, not to be lost.
            announced = None
        if announced is None:
            announced = self._announced[key] = Announced(*key, message.sum_num, set())
        self._touched.add(key)
        if len(message.items) < message.num:
            sentence = f"DeviceList Num={message.num}, 实有 {len(message.items)} 项 (fewer items than it says)"
            self.refused.append(Refused("num", place, "", sentence))
        self.messages += 1
        self.notifications += message.notification
        for number, item in enumerate(message.items, start=1):
            entry = _entry(item, message.device_id, f"{place} 第 {number} 项")
            event = item.get("Event", "").upper()[:20] if message.notification else ""
            announced.arrived.add(f"{entry.id} {event}".rstrip())
            if message.notification:
                self._notified(entry, event)
            else:
                self.duplicates += entry.id in self.entries
                self._say(entry)

    def _notified(self, entry: CatalogueEntry, event: str) -> None:
        """One item of a notification. No event at all is an ADD, as platforms read it."""
        if event in ("ADD", "UPDATE", ""):
            self._say(entry)
            self.told.add(entry.id)
        elif event == "DEL":
            self.entries.pop(entry.id, None)
            self.deleted[entry.id] = None
            self.told.add(entry.id)
        elif event in STATUS_EVENTS:
            self.statuses[event] += 1
            if entry.secrecy == "1":
                sentence = f"状态通知 {event} 称其涉密, 已关闭 (a status event says that it is secret: closed)"
                self.refused.append(Refused("secrecy_notified", entry.origin, entry.id, sentence, secret=True))
        else:
            known = ", ".join((*STATUS_EVENTS, "ADD", "DEL", "UPDATE"))
            sentence = f"事件 {event!r} 未知 (unknown event); 可用 (known): {known}"
            self.refused.append(Refused("event", entry.origin, entry.id[:40], sentence))

    def _say(self, entry: CatalogueEntry) -> None:
        self.entries[entry.id] = entry
        self.deleted.pop(entry.id, None)


def _entry(item: dict[str, str], device_id: str, origin: str) -> CatalogueEntry:
    parent = item.get("ParentID", "").rpartition("/")[2]
    behind = parent if parent[10:13] in _RECORDERS and parent[10:13] in DEVICE_TYPES else device_id
    known = {field: item.get(element, "")[:_TEXT_MAX] for element, field in _FIELDS.items()}
    channel = f"{device_id}/{known['id']}" if device_id else ""
    return msgspec.convert(known | {"origin": origin, "nvr": behind, "channel": channel}, CatalogueEntry)
