"""A catalogue as a spreadsheet writes it: CSV with Chinese or English headings, UTF-8 or GB18030."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

import msgspec

from alerts.catalogue.refusals import Refused
from alerts.catalogue.text import decode_chinese
from contracts.catalogue_entry import CatalogueEntry
from contracts.errors import MalformedMessage, TooLarge

BYTES_MAX: Final = 64 << 20
"""A larger file is refused: 4,000 cameras need about 1 MiB."""
_CELL_MAX: Final = 2_000

_HEADINGS: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id", "设备编码", "国标编码", "设备编号", "编码", "编号", "deviceid", "摄像机编号", "通道编码"),
    "name": ("名称", "设备名称", "摄像机名称", "通道名称", "点位名称"),
    "owner": ("权属单位", "所属部门", "所属单位", "设备归属", "权属部门", "owner_department", "department"),
    "civil_code": ("行政区划", "行政区划代码", "行政区域", "civilcode"),
    "address": ("安装地址", "地址", "安装位置"),
    "parent": ("上级编码", "父节点", "父节点编码", "parentid"),
    "nvr": ("录像机", "录像机编码", "nvr编码", "所属nvr"),
    "channel": ("通道", "平台通道", "通道标识"),
    "url": ("地址url", "视频地址", "取流地址", "rtsp地址", "rtsp", "播放地址"),
    "recording_url": ("回放地址", "录像地址"),
    "credentials": ("凭据", "密钥条目"),
    "lon": ("经度", "longitude", "lng"),
    "lat": ("纬度", "latitude"),
    "coordinates": ("坐标系", "坐标系统", "crs", "coordinate_system", "datum"),
    "status": ("状态", "在线状态", "设备状态"),
    "secrecy": ("涉密", "保密属性", "是否涉密"),
    "forbidden_place": ("禁止场所", "是否禁止场所"),
    "system_kind": ("系统类别", "系统性质"),
    "manager": ("管理单位", "manager_unit"),
    "near_secret_unit": ("临近涉密单位", "邻近涉密单位", "临近军事涉密单位"),
    "secrecy_consent": ("涉密单位同意", "涉密单位意见"),
    "signage_ok": ("提示标识", "警示标识", "标识"),
    "view_note": ("视角说明", "监视范围"),
    "in_use_since": ("启用日期", "投入使用日期"),
    "filed_on": ("备案日期",),
    "filing_number": ("备案号", "备案编号"),
    "retention_days": ("留存天数", "保存天数", "存储天数", "录像保存天数"),
    "live": ("接入", "是否接入", "启用"),
}
_FIELD_OF: Final = {heading: field for field, headings in _HEADINGS.items() for heading in (field, *headings)}


def read_csv(data: bytes) -> Iterator[CatalogueEntry | Refused]:
    """The rows of a CSV file, in order; a row that cannot be one entry is refused with its line.

    Columns may stand in any order; unknown ones are passed over. Comma, semicolon and tab separate. Raises
    MalformedMessage or TooLarge when the file as a whole is no catalogue.
    """
    if len(data) > BYTES_MAX:
        raise TooLarge(f"文件 {len(data) >> 20} MiB, 上限 {BYTES_MAX >> 20} MiB (the file is too large)")
    text = decode_chinese(data)
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        columns = _columns(next((row for row in rows if any(cell.strip() for cell in row)), []))
    except csv.Error as error:
        raise MalformedMessage(f"表头无法解析 (the headings do not parse): {error}", reason="headings") from None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Refused("row", f"第 {rows.line_num} 行", "", f"此行无法解析 (the row does not parse): {error}")
            continue
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield _entry(row, columns, f"第 {rows.line_num} 行")


def _columns(headings: list[str]) -> list[str | None]:
    """The field of each column, None for one that we do not know."""
    columns: list[str | None] = []
    for heading in headings:
        name = heading.strip().lstrip("\ufeff").lower().replace(" ", "")
        field = _FIELD_OF.get(name) or _FIELD_OF.get(name.split("(", 1)[0].split("（", 1)[0])
        columns.append(None if field in columns else field)
    missing = [each for each in ("id", "lon", "lat") if each not in columns]
    if missing:
        known = "; ".join(f"{field}: {_HEADINGS[field][0]}" for field in missing)
        raise MalformedMessage(
            f"表头缺少必要的列 (headings are missing): {', '.join(missing)}; 请补上 (add them, e.g. {known})",
            reason="headings",
        )
    return columns


def _entry(row: list[str], columns: list[str | None], origin: str) -> CatalogueEntry | Refused:
    if len(row) > len(columns):
        extra = f"{len(row)} 列, 表头 {len(columns)} 列"
        return Refused("row", origin, "", f"列数不符 ({extra}; more cells than headings); 名称含逗号时请加引号")
    cells = {field: cell.strip() for field, cell in zip(columns, row, strict=False) if field is not None}
    if any(len(cell) > _CELL_MAX for cell in cells.values()):
        return Refused("row", origin, cells.get("id", "")[:40], f"单元格超过 {_CELL_MAX} 字 (a cell is too long)")
    return msgspec.convert(cells | {"origin": origin, "id": cells.get("id", "").lstrip("'`")}, CatalogueEntry)
