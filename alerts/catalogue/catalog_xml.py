"""Catalogue messages of GB/T 28181 (CmdType Catalog), as files hold them: answers to a query, and notifications.

An answer (MESSAGE body, root `Response`) is a part of the whole list: `SumNum` in all, `DeviceList Num` in this
one. A notification (NOTIFY body, root `Notify`) tells what became of some items, each with an `Event`. XML is read
without a DTD, entities, or anything that could grow: the text is small or it is refused. What the messages come to
together: alerts/catalogue/assemble.py.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from xml.parsers import expat

import msgspec

from alerts.catalogue.text import decode_chinese
from contracts.errors import MalformedMessage, TooLarge

BYTES_MAX: Final = 64 << 20
"""A larger file is refused; an item has less than 2 KiB."""
MESSAGE_BYTES_MAX: Final = 4 << 20
_ITEMS_MAX: Final = 20_000
_DEPTH_MAX: Final = 8
_TEXT_MAX: Final = 2_000

_BEGIN: Final = re.compile(rb"<(Response|Notify)\b")
_ENDS: Final = {root: re.compile(rb"</" + root + rb"\s{0,20}>") for root in (b"Response", b"Notify")}
_BEFORE: Final = re.compile(rb"<\?xml[^>]{0,200}\?>\s{0,100}\Z")
_DECLARED: Final = re.compile(rb"<\?xml[^>]{0,200}?encoding\s{0,5}=\s{0,5}[\"']([A-Za-z0-9._-]{1,20})[\"']")
_DECLARATION: Final = re.compile(r"^\s*<\?xml[^>]*\?>")
_BARE_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)")


class CatalogMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `device_id`: who speaks; `items`: elements of each Item by name, of Info as `Info/…`."""

    notification: bool
    sn: str
    device_id: str
    sum_num: int
    num: int
    items: tuple[dict[str, str], ...]


class Body(NamedTuple):
    """The bytes of one message, with its XML declaration, and where it ends in the file."""

    data: bytes
    end: int


def split_messages(data: bytes) -> tuple[list[Body], int]:
    """The messages in a file, with or without the SIP headers around them, and how many are cut off.

    Raises TooLarge, and MalformedMessage with reason `doctype`: no device sends a DTD, and one can do harm.
    """
    if len(data) > BYTES_MAX:
        raise TooLarge(f"文件 {len(data) >> 20} MiB, 上限 {BYTES_MAX >> 20} MiB (the file is too large)")
    if re.search(rb"<!\s*(?:DOCTYPE|ENTITY)", data, re.IGNORECASE):
        raise MalformedMessage(
            "XML 含有 DOCTYPE 或 ENTITY, 不予读取 (a document type declaration is never read); 请去除",
            reason="doctype",
        )
    bodies: list[Body] = []
    cut_off = 0
    # Where the next end of each kind lies: looked for once for all that begin before it, as a file of beginnings
    # alone must not take for ever. One beyond the file: there is none any more.
    ends = dict.fromkeys(_ENDS, 0)
    begin = _BEGIN.search(data)
    while begin is not None:
        root = begin[1]
        if ends[root] <= begin.end():
            found = _ENDS[root].search(data, begin.end())
            ends[root] = found.end() if found is not None else len(data) + 1
        following = _BEGIN.search(data, begin.end())
        if ends[root] > (following.start() if following is not None else len(data)):
            cut_off += 1
        else:
            declaration = _BEFORE.search(data, max(0, begin.start() - 310), begin.start())
            at = declaration.start() if declaration else begin.start()
            bodies.append(Body(data[at : ends[root]], ends[root]))
        begin = following
    return bodies, cut_off


def parse_message(body: bytes) -> CatalogMessage:
    """One message body. Raises MalformedMessage (also for another command than Catalog) and TooLarge."""
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
            f"不是目录应答或通知 (CmdType {command[:40]!r} instead of Catalog)", reason="not_a_catalogue_answer"
        )
    try:
        total = int(reader.head.get("SumNum", ""))
        part = int(reader.part or str(len(reader.items)))
    except ValueError:
        raise MalformedMessage("SumNum 或 Num 不是整数 (SumNum or Num is no number)", reason="sum_num") from None
    if not 0 <= part <= total <= _ITEMS_MAX * 50:
        raise MalformedMessage(f"Num {part} 与 SumNum {total} 不合理 (impossible numbers)", reason="sum_num")
    return CatalogMessage(
        notification=reader.root == "Notify",
        sn=reader.head.get("SN", ""),
        device_id=reader.head.get("DeviceID", ""),
        sum_num=total,
        num=part,
        items=tuple(reader.items),
    )


class _Reader:
    """Collects the elements of one message; everything is bounded."""

    def __init__(self) -> None:
        self.root = ""
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
        self.root = self.root or name
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
