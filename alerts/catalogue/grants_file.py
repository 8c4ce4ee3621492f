"""Share grants (共享授权) as a CSV file: which owner lets this site receive which cameras, why and until when."""

from __future__ import annotations

import csv
import io
from typing import Final

from alerts.catalogue.text import decode_chinese
from contracts.errors import ConfigError, RefusedInput
from contracts.instant import DAY, Instant, from_rfc3339
from contracts.registration import ShareGrant

_LATEST: Final = from_rfc3339("2200-01-02T00:00:00+08:00")
_HEADINGS: Final = {
    "id": ("id", "授权编号", "编号"),
    "owner": ("owner", "权属单位", "授权单位"),
    "cameras": ("cameras", "摄像机", "设备编码"),
    "purpose": ("purpose", "用途", "共享用途"),
    "granted_by": ("granted_by", "批准人", "授权人"),
    "begins": ("begins", "生效", "生效日期"),
    "expires": ("expires", "到期", "到期日期"),
}


def read_grants(data: bytes, name: str) -> tuple[ShareGrant, ...]:
    """All grants of a file. Cameras are separated by spaces or semicolons, empty = all of the owner; a date
    without a time holds to the end of that day, Beijing time.

    Raises ConfigError for the first mistake: a grant is an agreement, half of a list of them would be wrong.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(decode_chinese(data), newline="")) if any(row)]
    except (RefusedInput, csv.Error) as error:
        raise ConfigError(f"{name}: 无法读取 (cannot be read): {error}") from None
    headings = [cell.strip().lower() for cell in rows[0]] if rows else []
    columns = {
        field: headings.index(found)
        for field, names in _HEADINGS.items()
        if (found := next((each for each in names if each in headings), None)) is not None
    }
    missing = [_HEADINGS[field][1] for field in ("id", "owner", "purpose", "expires") if field not in columns]
    if missing:
        raise ConfigError(f"{name}: 表头缺少 (headings are missing): {', '.join(missing)}")
    grants: dict[str, ShareGrant] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = {field: row[at].strip() if at < len(row) else "" for field, at in columns.items()}
        where = f"{name} 第 {number} 行"
        for field in ("id", "owner", "purpose", "expires"):
            if not cells[field]:
                raise ConfigError(f"{where}: {_HEADINGS[field][1]} 为空 (empty); 授权须写明单位, 用途和到期")
        if cells["id"] in grants:
            raise ConfigError(f"{where}: 授权编号 {cells['id']} 出现两次 (used twice)")
        begins = _moment(cells.get("begins", "") or "1970-01-01", where, end=False)
        expires = _moment(cells["expires"], where, end=True)
        if begins >= expires:
            raise ConfigError(f"{where}: 到期不晚于生效 (it ends before it begins); 请核对两个日期 (check both)")
        grants[cells["id"]] = ShareGrant(
            id=cells["id"],
            owner=cells["owner"],
            purpose=cells["purpose"],
            begins=begins,
            expires=expires,
            cameras=tuple(cells.get("cameras", "").replace(";", " ").replace("；", " ").split()),
            granted_by=cells.get("granted_by", ""),
        )
    return tuple(grants.values())


def _moment(text: str, where: str, *, end: bool) -> Instant:
    said = text.replace("/", "-")
    try:
        if "T" in said or " " in said:
            moment = from_rfc3339(said)
        else:
            year, month, day = (int(part) for part in said.split("-"))
            midnight = from_rfc3339(f"{year:04d}-{month:02d}-{day:02d}T00:00:00+08:00")
            moment = Instant(midnight + DAY) if end else midnight
    except (RefusedInput, ValueError):
        raise ConfigError(f"{where}: {text[:30]!r} 不是日期 (not a date); 例如 2026-12-31") from None
    if not 0 - DAY <= moment < _LATEST:
        # 9999-12-31 for "always" is what a grant is there to prevent, and more than 64 bits of nanoseconds.
        raise ConfigError(f"{where}: {text[:30]!r} 应在 1970 至 2200 年之间 (a year in that range); 授权须有期限")
    return moment
