"""Entries of a small county (tests.alerts.site_files), and the bytes that carry them."""

from __future__ import annotations

from typing import Any

from alerts.catalogue.config import FeedConfig
from contracts.catalogue_entry import CatalogueEntry
from tests.alerts.site_files import SOUTH, WEST

FEED = FeedConfig(platform="wvp-1", kind="csv", owner="公安局")
NVR = "15292100001180000001"


def camera_id(serial: int) -> str:
    return f"15292100001320{serial:06d}"


def entry(serial: int, **more: Any) -> CatalogueEntry:
    """Camera `serial`, in the first grid."""
    fields: dict[str, Any] = {
        "origin": f"第 {serial + 1} 行",
        "id": camera_id(serial),
        "name": f"广场{serial}号",
        "owner": "公安局",
        "url": f"rtsp://10.0.0.1/{serial}",
        "lon": f"{WEST + 0.001 + serial % 80 * 1e-4:.6f}",
        "lat": f"{SOUTH + 0.001 + serial // 80 * 1e-4:.6f}",
    }
    return CatalogueEntry(**(fields | more))


def csv_bytes(entries: list[CatalogueEntry], encoding: str = "utf-8-sig") -> bytes:
    """As a spreadsheet of a Chinese office writes it."""
    lines = ["设备编码,名称,权属单位,经度,纬度,rtsp地址,涉密,坐标系,备注"]
    lines += [f"{e.id},{e.name},{e.owner},{e.lon},{e.lat},{e.url},{e.secrecy},{e.coordinates},无" for e in entries]
    return ("\r\n".join(lines) + "\r\n").encode(encoding)


def catalog_xml(
    serials: list[int],
    *,
    total: int,
    sn: int = 17,
    device: str = NVR,
    encoding: str = "GB2312",
    name: str = "广场{}号",
    secrecy: str = "0",
    event: str | None = None,
) -> bytes:
    """One MESSAGE body as devices write it: CRLF, GB2312, Info, and a password that nobody should read.

    `event`: a NOTIFY body instead, with this event in each item.
    """
    root = "Response" if event is None else "Notify"
    told = f"<Event>{event}</Event>\r\n" if event else ""
    items = "".join(
        f"<Item>\r\n<DeviceID>{camera_id(serial)}</DeviceID>\r\n{told}<Name>{name.format(serial)}</Name>\r\n"
        "<Manufacturer>Hikvision</Manufacturer>\r\n<Model>IP Camera</Model>\r\n<Owner>Owner</Owner>\r\n"
        f"<CivilCode>152921</CivilCode>\r\n<Address>王府街</Address>\r\n<Parental>0</Parental>\r\n"
        f"<ParentID>{device}</ParentID>\r\n<SafetyWay>0</SafetyWay>\r\n<RegisterWay>1</RegisterWay>\r\n"
        f"<Secrecy>{secrecy}</Secrecy>\r\n<Password>admin12345</Password>\r\n<Status>ON</Status>\r\n"
        f"<Longitude>{WEST + 0.001 + serial % 80 * 1e-4:.6f}</Longitude>\r\n"
        f"<Latitude>{SOUTH + 0.001 + serial // 80 * 1e-4:.6f}</Latitude>\r\n"
        "<Info>\r\n<PTZType>3</PTZType>\r\n<DirectionType>1</DirectionType>\r\n</Info>\r\n</Item>\r\n"
        for serial in serials
    )
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\r\n<{root}>\r\n'
        f"<CmdType>Catalog</CmdType>\r\n<SN>{sn}</SN>\r\n"
        f"<DeviceID>{device}</DeviceID>\r\n<SumNum>{total}</SumNum>\r\n"
        f'<DeviceList Num="{len(serials)}">\r\n{items}</DeviceList>\r\n</{root}>\r\n'
    )
    return text.encode("gb18030" if encoding.upper().startswith("GB") else encoding)


def status_xml(event: str, serials: list[int], *, total: int, sn: int = 17, secrecy: str = "") -> bytes:
    """A NOTIFY body that tells how devices are: an id and an event, as most devices send it."""
    secret = f"<Secrecy>{secrecy}</Secrecy>" if secrecy else ""
    items = "".join(
        f"<Item><DeviceID>{camera_id(serial)}</DeviceID><Event>{event}</Event>{secret}</Item>"
        for serial in serials
    )
    return (
        f'<?xml version="1.0" encoding="GB2312"?>\n<Notify><CmdType>Catalog</CmdType><SN>{sn}</SN>'
        f"<DeviceID>{NVR}</DeviceID><SumNum>{total}</SumNum>"
        f'<DeviceList Num="{len(serials)}">{items}</DeviceList></Notify>\n'
    ).encode()
