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

HEADINGS: Final[dict[str, tuple[str, ...]]] = {
    "id": ("设备编码", "id", "国标编码", "设备编号", "编码", "编号", "deviceid", "摄像机编号", "通道编码"),
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
    "profile": ("场景", "场景类型", "点位类型"),
}
"""What a column may be called, by field; the field's own name is understood, too."""
MEANINGS: Final[dict[str, str]] = {
    "id": "20 位国标编码, 必填 (id of GB/T 28181, 20 digits; required)",
    "name": "名称, 空则用编码 (name; the id where empty)",
    "owner": "权属单位 (owner department)",
    "civil_code": "行政区划代码 (civil code)",
    "address": "安装地址; 写着 rtsp:// 等取流地址时按取流地址处理 (where it hangs; a URL counts as the stream's)",
    "parent": "上级编码 (parent in the catalogue)",
    "nvr": "所属录像机编码, 按它限制并发 (recorder; its sessions are limited together)",
    "channel": "平台通道 设备编码/通道编码, 由平台取流时用 (device/channel, where the platform plays it)",
    "url": "取流地址 rtsp:// 等, 不含密码; 无地址也无通道则不启用 (stream; without it and a channel it stays off)",
    "recording_url": "录像回放地址 (address of its recordings)",
    "credentials": "密钥文件中的条目名 (entry of the secrets file)",
    "lon": "经度, 十进制度, 必填 (longitude in degrees; required)",
    "lat": "纬度, 十进制度, 必填 (latitude in degrees; required)",
    "coordinates": "坐标系: wgs84, cgcs2000, gcj02; 空则按接入源 (datum; the feed's where empty)",
    "status": "平台所说状态, 不影响目录 (what the platform says of it; changes nothing)",
    "secrecy": "涉密: 1 或 是, 永不接入 (secret: never opened)",
    "forbidden_place": "国令第799号禁止场所: 是, 永不接入 (forbidden place: never opened)",
    "system_kind": "系统类别 (kind of video system in 国令第799号)",
    "manager": "管理单位 (who runs it)",
    "near_secret_unit": "临近涉密单位: 是 或 否 (near a secret unit)",
    "secrecy_consent": "该单位同意: 是 或 否 (that unit agreed)",
    "signage_ok": "设有提示标识: 是 或 否 (signs are up)",
    "view_note": "监视范围说明 (what it looks at)",
    "in_use_since": "启用日期 2025-03-01 (in use since)",
    "filed_on": "备案日期 (filed on)",
    "filing_number": "备案号 (filing number)",
    "retention_days": "录像留存天数 (days that recordings are kept)",
    "live": "接入: 是 或 否, 空则按接入源 (whether it is received; as the feed says where empty)",
    "profile": "场景, 决定各时段多久看一次: 校门, 广场, 路口, 林区, 背街小巷, 或配置中的名称 "
    "(what it looks at; says how often it is looked at, hour by hour)",
}
"""What stands in a column, Chinese and English, by field."""
_FIELD_OF: Final = {heading: field for field, headings in HEADINGS.items() for heading in (field, *headings)}


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
        known = "; ".join(f"{field}: {HEADINGS[field][0]}" for field in missing)
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
    if "://" in cells.get("address", "") and not cells.get("url"):
        # A column headed 地址 holds the street in one office and the stream in the next.
        cells |= {"url": cells["address"], "address": ""}
    return msgspec.convert(cells | {"origin": origin, "id": cells.get("id", "").lstrip("'`")}, CatalogueEntry)
