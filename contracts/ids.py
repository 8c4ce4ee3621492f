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

CAMERA_TYPES: Final = frozenset({"131", "132"})
"""Device types that deliver pictures of their own."""

DEVICE_TYPE_NAMES: Final = {
    "111": "DVR",
    "118": "NVR",
    "131": "摄像机",
    "132": "网络摄像机 (IPC)",
    "134": "报警输入设备",
    "135": "报警输出设备",
    "200": "中心信令控制服务器",
    "215": "业务分组",
    "216": "虚拟组织",
    "502": "视频分析系统",
    "505": "分析设备",
}
"""What people call the device types."""

NETWORKS: Final = {
    "0": "公安视频传输网",
    "1": "公安视频传输网",
    "2": "行业专网",
    "3": "政法信息网",
    "4": "公安移动信息网",
    "5": "公安信息网",
    "6": "电子政务外网",
    "7": "互联网",
    "8": "专线",
    "9": "预留",
}
"""Digit 14 of a GB/T 28181 id, as public implementations read it."""


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

    @property
    def is_camera(self) -> bool:
        """Whether it delivers pictures of its own: type 131 or 132."""
        return self.device_type in CAMERA_TYPES

    @property
    def county_name(self) -> str:
        """Name of the county; the code where this release does not know it."""
        return COUNTIES.get(self.county, self.county)

    @property
    def industry_name(self) -> str:
        """Whose device it is as digits 9-10 say: a hint at the owner. The code where it is unknown."""
        return INDUSTRIES.get(self.industry, self.industry)

    @property
    def type_name(self) -> str:
        """Name of the device type."""
        return DEVICE_TYPE_NAMES[self.device_type]

    @property
    def network_name(self) -> str:
        """The network (security zone) that the device is in."""
        return NETWORKS[self.network]

    def describe(self) -> str:
        """All parts in words, for people."""
        return (
            f"{self.county_name} / 接入单位 {self.unit} / {self.industry_name} / {self.type_name} / "
            f"{self.network_name} / {self.serial}"
        )


def parse_device_id(text: str, counties: frozenset[str] = frozenset(COUNTIES)) -> DeviceId:
    """Split and check a 20-digit GB/T 28181 id.

    Raises RefusedInput with reason `device_id_length`, `device_id_county` or `device_id_type`.
    """
    if len(text) != 20 or not text.isascii() or not text.isdigit():
        found = f", 现为 {len(text)} 位" if text.isascii() and text.isdigit() else ""
        raise RefusedInput(
            f"设备编码 {text[:40]!r} 应为 20 位数字{found} (GB/T 28181 id: 20 digits)", reason="device_id_length"
        )
    if text[:6] not in counties:
        raise RefusedInput(
            f"设备编码 {text} 的县级代码 {text[:6]} 不在目录中 (unknown county)", reason="device_id_county"
        )
    if text[10:13] not in DEVICE_TYPES:
        raise RefusedInput(f"设备编码 {text} 的类型 {text[10:13]} 不受支持 (device type)", reason="device_id_type")
    return DeviceId(text[:6], text[6:8], text[8:10], text[10:13], text[13], text[14:])
