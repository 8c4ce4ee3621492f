"""Bytes of Chinese files and messages as text: UTF-8 with or without a mark, or the GB family."""

from __future__ import annotations

import codecs

from contracts.errors import MalformedMessage

_GB = frozenset({"gb2312", "gbk", "gb18030", "cp936", "ms936", "x-gbk", "hz-gb-2312"})
_OTHERS = frozenset(
    {"utf-8-sig", "utf-16", "utf-16le", "utf-16be", "big5", "us-ascii", "iso-8859-1", "windows-1252"}
)
"""What else may be declared. Python knows more under such names, among them some that take quadratic time."""


def decode_chinese(data: bytes, declared: str = "") -> str:
    """The text of `data`; `declared` is the encoding that it claims, "" = none.

    GB18030 holds GBK and GB2312, so one decoder reads all three. Devices declare GB2312 and send UTF-8: bytes that
    are whole UTF-8 with Chinese in it are taken as that, whatever was declared. Bytes of the GB family that happen
    to be whole UTF-8, too, give Latin or Cyrillic there, never Chinese. Raises MalformedMessage with reason
    `encoding`.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        declared = "utf-16"
    if data.startswith(codecs.BOM_UTF8):
        declared = "utf-8-sig"
    name = declared.strip().lower()
    try:
        if name in ("", "utf-8", "utf8", *_GB):
            return _utf8_or_gb(data, gb_declared=name in _GB)
        if name not in _OTHERS:
            raise LookupError(name)
        return data.decode(name)
    except (LookupError, UnicodeError):
        raise MalformedMessage(
            f"文字编码无法识别 (neither UTF-8 nor GB18030{f', declared {declared[:20]}' if declared else ''});"
            " 请以 UTF-8 另存 (save it as UTF-8)",
            reason="encoding",
        ) from None


def _utf8_or_gb(data: bytes, *, gb_declared: bool) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("gb18030")
    if gb_declared and not text.isascii() and not any("\u3400" <= character <= "\u9fff" for character in text):
        try:
            return data.decode("gb18030")
        except UnicodeDecodeError:
            pass
    return text
