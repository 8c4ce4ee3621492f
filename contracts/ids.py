"""Ids: derived, never drawn by chance, so that the same input gives the same id on every run.

Grid codes (15 digits = 6 county + 3 street + 3 community + 3 sequence; two public implementations agree,
the text of GB/T 30428.1 was not read) and GB/T 28181-2022 device ids (20 digits, annex D) are validated here.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

import msgspec

from contracts.errors import RefusedInput

COUNTIES: Final = {
    "152921": "阿拉善左旗",
    "152922": "阿拉善右旗",
    "150621": "达拉特旗",
    "150622": "准格尔旗",
    "150302": "海勃湾区",
    "150902": "集宁区",
    "150428": "喀喇沁旗",
    "620981": "玉门市",
}
"""County codes of GB/T 2260 that this release knows; a site adds its own in the catalogue."""

INDUSTRIES: Final = {
    "00": "社会治安路面",
    "01": "社会治安社区",
    "02": "社会治安内部",
    "04": "交通路面",
    "05": "交通卡口",
    "08": "城市管理",
    "09": "卫生环保",
    "11": "教育",
}
"""Digits 9-10 of a GB/T 28181 id."""

DEVICE_TYPES: Final = {
    "111": "DVR",
    "118": "NVR",
    "131": "camera",
    "132": "IPC",
    "134": "alarm_input",
    "135": "alarm_output",
    "200": "sip_server",
    "215": "business_group",
    "216": "virtual_organisation",
    "502": "video_analysis_system",
    "505": "analysis_equipment",
}
"""Digits 11-13 of a GB/T 28181 id."""


def derive_id(prefix: str, *parts: str | int) -> str:
    """A 26-character id, `prefix` + base32 of SHA-256 over the length-prefixed parts.

    The same parts give the same id on every machine and run; 105 bits keep collisions out of reach.
    """
    digest = hashlib.sha256()
    for part in (prefix, *parts):
        raw = str(part).encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return f"{prefix}-{base64.b32encode(digest.digest())[:21].decode().lower()}"


class GridCode(msgspec.Struct, frozen=True):
    """The four parts of a 15-digit grid code."""

    county: str
    street: str
    community: str
    sequence: str


def parse_grid_code(text: str, counties: frozenset[str] = frozenset(COUNTIES)) -> GridCode:
    """Split and check a 15-digit grid code.

    Raises RefusedInput with reason `grid_code_letters`, `grid_code_length`, `grid_code_county` or
    `grid_code_sequence`.
    """
    if not text.isascii() or not text.isdigit():
        raise RefusedInput(f"网格编码 {text!r} 含有非数字 (grid code: digits only)", reason="grid_code_letters")
    if len(text) != 15:
        hint = "; 14 位旧编码请先转换 (convert the older 6+3+3+2 form first)" if len(text) == 14 else ""
        raise RefusedInput(
            f"网格编码 {text} 是 {len(text)} 位, 应为 15 位 (grid code: 15 digits){hint}",
            reason="grid_code_length",
        )
    if text[:6] not in counties:
        raise RefusedInput(
            f"网格编码 {text} 的县级代码 {text[:6]} 不在目录中 (unknown county)", reason="grid_code_county"
        )
    if text[12:] == "000":
        raise RefusedInput(f"网格编码 {text} 的顺序号为 000, 应为 001-999 (sequence)", reason="grid_code_sequence")
    return GridCode(text[:6], text[6:9], text[9:12], text[12:])


class DeviceId(msgspec.Struct, frozen=True):
    """The parts of a GB/T 28181 device id (annex D)."""

    county: str
    unit: str
    industry: str
    device_type: str
    network: str
    serial: str


def parse_device_id(text: str, counties: frozenset[str] = frozenset(COUNTIES)) -> DeviceId:
    """Split and check a 20-digit GB/T 28181 id.

    Raises RefusedInput with reason `device_id_length`, `device_id_county` or `device_id_type`.
    """
    if len(text) != 20 or not text.isascii() or not text.isdigit():
        raise RefusedInput(
            f"设备编码 {text!r} 应为 20 位数字 (GB/T 28181 id: 20 digits)", reason="device_id_length"
        )
    if text[:6] not in counties:
        raise RefusedInput(
            f"设备编码 {text} 的县级代码 {text[:6]} 不在目录中 (unknown county)", reason="device_id_county"
        )
    if text[10:13] not in DEVICE_TYPES:
        raise RefusedInput(f"设备编码 {text} 的类型 {text[10:13]} 不受支持 (device type)", reason="device_id_type")
    return DeviceId(text[:6], text[6:8], text[8:10], text[10:13], text[13], text[14:])
