"""Answers to a catalogue query of GB/T 28181 (MESSAGE bodies, CmdType Catalog), as files hold them.

A device answers with several messages, each with a part of the list (`SumNum` in all, `DeviceList Num` in this
one); messages come twice, in any order, or not at all. XML is read without a DTD, entities, or anything that could
grow: the text is small or it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

import msgspec

from alerts.catalogue.refusals import Refused
from alerts.catalogue.text import decode_chinese
from contracts.catalogue_entry import CatalogueEntry
from contracts.errors import MalformedMessage, RefusedInput, TooLarge
from contracts.ids import DEVICE_TYPES

BYTES_MAX: Final = 64 << 20
"""A larger file is refused; an item has less than 2 KiB."""
MESSAGE_BYTES_MAX: Final = 4 << 20
_ITEMS_MAX: Final = 20_000
_DEPTH_MAX: Final = 8
_TEXT_MAX: Final = 2_000

_BEGIN: Final = re.compile(rb"<Response\b")
_END: Final = re.compile(rb"</Response\s{0,20}>")
_BEFORE: Final = re.compile(rb"<\?xml[^>]{0,200}\?>\s{0,100}\Z")
_DECLARED: Final = re.compile(rb"<\?xml[^>]{0,200}?encoding\s{0,5}=\s{0,5}[\"']([A-Za-z0-9._-]{1,20})[\"']")
_DECLARATION: Final = re.compile(r"^\s*<\?xml[^>]*\?>")
_BARE_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)")
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


class CatalogMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `device_id`: who answers; `items`: elements of each Item by name, of Info as `Info/…`."""

    sn: str
    device_id: str
    sum_num: int
    num: int
    items: tuple[dict[str, str], ...]


def split_messages(data: bytes) -> tuple[list[bytes], int]:
    """The message bodies in a file, with or without the SIP headers around them, and how many are cut off.

    Raises TooLarge, and MalformedMessage with reason `doctype`: no device sends a DTD, and one can do harm.
    """
    if len(data) > BYTES_MAX:
        raise TooLarge(f"文件 {len(data) >> 20} MiB, 上限 {BYTES_MAX >> 20} MiB (the file is too large)")
    if re.search(rb"<!\s*(?:DOCTYPE|ENTITY)", data, re.IGNORECASE):
        raise MalformedMessage(
            "XML 含有 DOCTYPE 或 ENTITY, 不予读取 (a document type declaration is never read); 请去除",
            reason="doctype",
        )
    bodies: list[bytes] = []
    cut_off = 0
    end: re.Match[bytes] | None = None
    begin = _BEGIN.search(data)
    while begin is not None:
        following = _BEGIN.search(data, begin.end())
        # Looked for once for all that begin before it: a file of beginnings alone must not take for ever.
        if end is None or end.start() < begin.end():
            end = _END.search(data, begin.end())
        if end is None or (following is not None and following.start() < end.start()):
            cut_off += 1
            if end is None:
                cut_off += sum(1 for _ in _BEGIN.finditer(data, begin.end()))
                break
        else:
            declaration = _BEFORE.search(data, max(0, begin.start() - 310), begin.start())
            bodies.append(data[declaration.start() if declaration else begin.start() : end.end()])
        begin = following
    return bodies, cut_off


def parse_message(body: bytes) -> CatalogMessage:
    """One message body. Raises MalformedMessage (also for an answer to another query) and TooLarge."""
    if len(body) > MESSAGE_BYTES_MAX:
        raise TooLarge(f"一条消息 {len(body) >> 10} KiB, 上限 {MESSAGE_BYTES_MAX >> 10} KiB (message too large)")
    declared = _DECLARED.match(body)
    text = decode_chinese(body, declared[1].decode() if declared else "")
    text = _DECLARATION.sub("", text, count=1)
    # Names with a bare ampersand are the commonest fault of real devices.
    reader = _Reader()
    reader.read(_BARE_AMPERSAND.sub("&amp;", text))
    command = reader.head.get("CmdType", "")
    if command != "Catalog":
        raise MalformedMessage(
            f"不是目录应答 (CmdType {command[:40]!r} instead of Catalog)", reason="not_a_catalogue_answer"
        )
    try:
        total = int(reader.head.get("SumNum", ""))
        part = int(reader.part or str(len(reader.items)))
    except ValueError:
        raise MalformedMessage("SumNum 或 Num 不是整数 (SumNum or Num is no number)", reason="sum_num") from None
    if not 0 <= part <= total <= _ITEMS_MAX * 50:
        raise MalformedMessage(f"Num {part} 与 SumNum {total} 不合理 (impossible numbers)", reason="sum_num")
    return CatalogMessage(
        sn=reader.head.get("SN", ""),
        device_id=reader.head.get("DeviceID", ""),
        sum_num=total,
        num=part,
        items=tuple(reader.items),
    )


class _Reader:
    """Collects the elements of one message; everything is bounded."""

    def __init__(self) -> None:
        self.head: dict[str, str] = {}
        self.items: list[dict[str, str]] = []
        self.part = ""
        self._path: list[str] = []
        self._text: list[str] = []
        self._size = 0

    def read(self, text: str) -> None:
        """Raises MalformedMessage and TooLarge."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(text.encode("utf-8", "surrogatepass"), True)
        except expat.ExpatError as error:
            raise MalformedMessage(f"XML 无法解析 (does not parse): {error}") from None

    def _doctype(self, *_: object) -> None:
        raise MalformedMessage("XML 含有 DOCTYPE (a document type declaration)", reason="doctype")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _DEPTH_MAX:
            raise TooLarge(f"XML 嵌套超过 {_DEPTH_MAX} 层 (nested too deep)")
        if self._path[1:] == ["DeviceList"]:
            self.part = attributes.get("Num", "")
        elif self._path[1:] == ["DeviceList", "Item"]:
            if len(self.items) >= _ITEMS_MAX:
                raise TooLarge(f"一条消息超过 {_ITEMS_MAX} 项 (too many items)")
            self.items.append({})
        self._text, self._size = [], 0

    def _characters(self, text: str) -> None:
        self._size += len(text)
        if self._size > _TEXT_MAX and text.strip():
            raise TooLarge(f"元素 {'/'.join(self._path)[:80]} 超过 {_TEXT_MAX} 字 (an element is too long)")
        self._text.append(text)

    def _end(self, _: str) -> None:
        value = "".join(self._text).strip()
        match self._path[1:]:
            case ["DeviceList", "Item", field]:
                self.items[-1].setdefault(field, value)
            case ["DeviceList", "Item", "Info", field]:
                self.items[-1].setdefault(f"Info/{field}", value)
            case [field] if field != "DeviceList":
                self.head.setdefault(field, value)
        self._path.pop()
        self._text, self._size = [], 0


class CatalogAnswers:
    """Puts the messages of one or more answers together, in any order; a message that comes twice is one."""

    def __init__(self) -> None:
        self.entries: dict[str, CatalogueEntry] = {}
        self.refused: list[Refused] = []
        self.messages = 0
        self.duplicates = 0
        self._sums: dict[tuple[str, str], tuple[int, set[str]]] = {}

    def add_file(self, data: bytes, name: str) -> None:
        """Take all messages of a file; what cannot be read is refused with its place."""
        try:
            bodies, cut_off = split_messages(data)
        except RefusedInput as error:
            self.refused.append(Refused(error.reason, name, "", str(error)))
            return
        if not bodies and not cut_off:
            self.refused.append(
                Refused("malformed", name, "", "文件中没有目录应答 (no catalogue answer in the file)")
            )
        if cut_off:
            self.refused.append(
                Refused("truncated", name, "", f"{cut_off} 条消息不完整 (messages that are cut off)")
            )
        for number, body in enumerate(bodies, start=1):
            place = f"{name} 第 {number} 条消息"
            try:
                self._add(parse_message(body), place)
            except RefusedInput as error:
                self.refused.append(Refused(error.reason, place, "", str(error)))

    def gaps(self) -> list[str]:
        """What did not arrive, in sentences; empty = complete."""
        found = [
            f"{device or '?'} (SN {sn or '?'}): 应有 {total} 项, 到达 {len(ids)} 项 (items announced, arrived)"
            for (device, sn), (total, ids) in self._sums.items()
            if len(ids) < total
        ]
        unread = sum(each.reason in ("truncated", "malformed", "encoding", "too_large") for each in self.refused)
        return [*found, *([f"{unread} 处无法读取 (places that cannot be read)"] if unread else [])]

    def _add(self, message: CatalogMessage, place: str) -> None:
        key = (message.device_id, message.sn)
        total, seen = self._sums.setdefault(key, (message.sum_num, set()))
        if total != message.sum_num:
            self.refused.append(
                Refused("sum_num", place, "", f"SumNum {message.sum_num} 与先前的 {total} 不同 (differs)")
            )
            return
        if len(message.items) < message.num:
            sentence = f"DeviceList Num={message.num}, 实有 {len(message.items)} 项 (fewer items than it says)"
            self.refused.append(Refused("num", place, "", sentence))
        self.messages += 1
        for number, item in enumerate(message.items, start=1):
            entry = _entry(item, message.device_id, f"{place} 第 {number} 项")
            self.duplicates += entry.id in self.entries
            seen.add(entry.id)
            self.entries[entry.id] = entry

    def __iter__(self) -> Iterator[CatalogueEntry]:
        return iter(self.entries.values())


def _entry(item: dict[str, str], device_id: str, origin: str) -> CatalogueEntry:
    parent = item.get("ParentID", "").rpartition("/")[2]
    behind = parent if parent[10:13] in _RECORDERS and parent[10:13] in DEVICE_TYPES else device_id
    known = {field: item.get(element, "")[:_TEXT_MAX] for element, field in _FIELDS.items()}
    channel = f"{device_id}/{known['id']}" if device_id else ""
    return msgspec.convert(known | {"origin": origin, "nvr": behind, "channel": channel}, CatalogueEntry)
