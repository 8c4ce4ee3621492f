"""SenML (RFC 8428), JSON form: a pack of records resolved to absolute names and times."""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.errors import MalformedMessage
from contracts.instant import SECOND, Instant

VERSION: Final = 10
_RELATIVE_BELOW_S: Final = 1 << 28
_RECORDS_MAX: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")
_KNOWN: Final = frozenset({"bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"})
_TIME_MAX_S: Final = 9_000_000_000.0


@dataclass(frozen=True, slots=True)
class SenmlRecord:
    """One resolved record (4.6): exactly one of the four values, or only a sum.

    `unit` is None when neither the record nor the pack names one. `timed` is False when neither gave a time, then
    `time` is the moment of resolving. `update_s`: the next record of this name is due within so many seconds.
    """

    name: str
    time: Instant
    timed: bool
    unit: str | None = None
    value: float | None = None
    text: str | None = None
    flag: bool | None = None
    data: bytes | None = None
    total: float | None = None
    update_s: float | None = None


def parse_senml(payload: bytes, now: Instant) -> list[SenmlRecord]:
    """Resolve a pack; times below 2^28 s count from `now` (4.5.3).

    Raises MalformedMessage (reason `senml`) for anything that RFC 8428 does not allow; a pack is taken whole or
    not at all.
    """
    try:
        pack = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"SenML 不是有效的 JSON (not JSON): {error}", reason="invalid_json") from None
    if not isinstance(pack, list) or not pack:
        raise _refused("应为非空数组 (a pack is an array with at least one record)")
    if len(pack) > _RECORDS_MAX:
        raise _refused(f"超过 {_RECORDS_MAX} 条记录 (too many records)")
    resolver = _Resolver(now)
    return [resolver.resolve(record) for record in pack]


def _refused(sentence: str) -> MalformedMessage:
    return MalformedMessage(f"SenML {sentence}", reason="senml")


class _Resolver:
    """The base values that hold so far (4.1)."""

    def __init__(self, now: Instant) -> None:
        self._now = now
        self._name = ""
        self._time_s = 0.0
        self._timed = False
        self._unit: str | None = None
        self._value = 0.0
        self._valued = False
        self._sum = 0.0
        self._summed = False

    def resolve(self, record: object) -> SenmlRecord:
        if not isinstance(record, dict):
            raise _refused("记录应为对象 (a record is an object)")
        for label in record:
            # A label that ends in "_" must be understood by whoever reads the pack (4.4); we know none.
            if label not in _KNOWN and label.endswith("_"):
                raise _refused(f"含有必须理解的未知字段 {label!r} (unknown mandatory label)")
        self._take_bases(record)
        name = self._name + (_text(record, "n", "") or "")
        if not _NAME.match(name) or len(name) > 512:
            raise _refused(f"名称无效 (not a valid name): {name[:60]!r}")
        time_s = self._time_s + _number(record, "t", 0.0)
        total = None
        if "s" in record or self._summed:
            total = _finite(self._sum + _number(record, "s", 0.0), "s")
        value, text, flag, data = self._values(record)
        unit = _text(record, "u", self._unit)
        update = _number(record, "ut", -1.0)
        return SenmlRecord(
            name=name,
            time=self._absolute(time_s),
            timed=self._timed or "t" in record,
            unit=unit,
            value=value,
            text=text,
            flag=flag,
            data=data,
            total=total,
            update_s=update if update >= 0 else None,
        )

    def _take_bases(self, record: dict[str, object]) -> None:
        if "bver" in record and record["bver"] != VERSION:
            raise _refused(f"版本 {str(record['bver'])[:20]} 不受支持 (this reads version {VERSION})")
        if "bver" in record and isinstance(record["bver"], bool):
            raise _refused("bver 应为整数 (a whole number)")
        if "bn" in record:
            self._name = _text(record, "bn", "") or ""
        if "bt" in record:
            self._time_s = _number(record, "bt", 0.0)
            self._timed = True
        if "bu" in record:
            self._unit = _text(record, "bu", None)
        if "bv" in record:
            self._value = _number(record, "bv", 0.0)
            self._valued = True
        if "bs" in record:
            self._sum = _number(record, "bs", 0.0)
            self._summed = True

    def _values(self, record: dict[str, object]) -> tuple[float | None, str | None, bool | None, bytes | None]:
        given = [label for label in ("v", "vs", "vb", "vd") if label in record]
        if len(given) > 1:
            raise _refused(f"一条记录有多个值 (more than one value): {', '.join(given)}")
        if not given:
            # Of base and record the one that is missing is zero (4.5.4).
            if "s" in record or self._summed:
                return None, None, None, None
            if not self._valued:
                raise _refused("记录没有值 (a record needs exactly one value, or a sum)")
            return self._value, None, None, None
        match given[0]:
            case "v":
                return _finite(self._value + _number(record, "v", 0.0), "v"), None, None, None
            case "vs":
                return None, _text(record, "vs", ""), None, None
            case "vb":
                if not isinstance(record["vb"], bool):
                    raise _refused("vb 应为 true 或 false")
                return None, None, record["vb"], None
            case _:
                return None, None, None, _base64url(_text(record, "vd", "") or "")

    def _absolute(self, time_s: float) -> Instant:
        if not abs(time_s) < _TIME_MAX_S:
            raise _refused(f"时间超出范围 (time out of range): {time_s:g}")
        ns = Instant(round(time_s * 1_000_000) * 1_000)
        return Instant(self._now + ns) if time_s < _RELATIVE_BELOW_S else ns


def _number(record: dict[str, object], label: str, default: float) -> float:
    found = record.get(label, default)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise _refused(f"{label} 应为数字 (a number)")
    try:
        return _finite(float(found), label)
    except OverflowError:
        raise _refused(f"{label} 超出范围 (out of range)") from None


def _finite(number: float, label: str) -> float:
    if not math.isfinite(number):
        raise _refused(f"{label} 超出范围 (not finite)")
    return number


def _text(record: dict[str, object], label: str, default: str | None) -> str | None:
    found = record.get(label, default)
    if found is not None and not isinstance(found, str):
        raise _refused(f"{label} 应为字符串 (text)")
    return found


def _base64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refused("vd 不是 base64url (not base64url)") from None


def seconds_of(instant: Instant) -> float:
    """An Instant as SenML time."""
    return instant / SECOND
