"""The catalogue of a WVP-GB28181-pro, page by page: its devices, and of each device the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from contracts.catalogue_entry import CatalogueEntry, CataloguePage
from contracts.errors import ProtocolViolation, SourceError
from contracts.wire import DOES_NOT_PARSE

if TYPE_CHECKING:
    from ingest.platforms.wvp import WvpSession

_TEXT_MAX: Final = 2_000
_RECORDERS: Final = frozenset({"111", "118"})


class _PageInfo(msgspec.Struct, frozen=True):
    """PageHelper's page. `hasNextPage` is left to the count: some versions leave it out."""

    total: int = 0
    list: tuple[dict[str, Any], ...] = ()


class _Cursor(msgspec.Struct, frozen=True):
    """`device_page` and `channel_page` count from 1, `device` from 0 within its page. `devices` and `channels`:
    seen before, of the whole platform and of this device."""

    device_page: int = 1
    device: int = 0
    channel_page: int = 1
    devices: int = 0
    channels: int = 0


class WvpCatalogue:
    """A pass over a platform; see contracts.catalogue_entry.CatalogueFeed."""

    def __init__(self, session: WvpSession, *, page_size: int = 100) -> None:
        self._session = session
        self._page_size = page_size
        self._devices: tuple[int, _PageInfo] | None = None

    async def page(self, cursor: str | None) -> CataloguePage:
        """One page of one device's channels. Raises SourceError.

        A device whose channels the platform will not give is a gap, and the pass goes on behind it; a platform
        that does not answer at all ends the pass.
        """
        try:
            at = msgspec.json.decode(cursor, type=_Cursor) if cursor else _Cursor()
        except DOES_NOT_PARSE:
            at = _Cursor()
        devices = await self._device_page(at.device_page)
        if at.device >= len(devices.list):
            return self._behind_devices(at, devices)
        device = devices.list[at.device]
        device_id = _text(device, "deviceId")
        following = _Cursor(at.device_page, at.device + 1, 1, at.devices + 1, 0)
        total = devices.total
        try:
            channels = _info(
                await self._session.get(
                    f"/api/device/query/devices/{quote(device_id, safe='')}/channels",
                    page=at.channel_page,
                    count=self._page_size,
                )
            )
        except SourceError as error:
            if error.reason not in ("stream_unavailable", "platform_not_found"):
                raise
            gap = f"设备 {device_id} 的通道未取到 (its channels were not given): {error}"
            return CataloguePage((), _encode(following), (gap,), following.devices, total)
        entries = tuple(
            _entry(each, device, f"设备 {device_id} 第 {at.channel_page} 页第 {number} 条")
            for number, each in enumerate(channels.list, start=1)
        )
        seen = at.channels + len(entries)
        if entries and seen < channels.total:
            more = msgspec.structs.replace(at, channel_page=at.channel_page + 1, channels=seen)
            return CataloguePage(entries, _encode(more), (), at.devices, total)
        gaps: tuple[str, ...] = ()
        if seen != channels.total:
            gaps = (f"设备 {device_id}: 平台称有 {channels.total} 条, 实得 {seen} 条 (channels announced, given)",)
        return CataloguePage(entries, _encode(following), gaps, following.devices, total)

    def _behind_devices(self, at: _Cursor, devices: _PageInfo) -> CataloguePage:
        """The device page is used up: the next one, or the end of the pass."""
        if devices.list and at.devices < devices.total:
            following = _Cursor(at.device_page + 1, devices=at.devices)
            return CataloguePage((), _encode(following), (), at.devices, devices.total)
        gaps: tuple[str, ...] = ()
        if at.devices != devices.total:
            gaps = (f"平台称有 {devices.total} 台设备, 实得 {at.devices} 台 (devices announced, given)",)
        return CataloguePage((), None, gaps, at.devices, devices.total)

    async def _device_page(self, number: int) -> _PageInfo:
        if self._devices is None or self._devices[0] != number:
            data = await self._session.get("/api/device/query/devices", page=number, count=self._page_size)
            self._devices = (number, _info(data))
        return self._devices[1]


def _encode(cursor: _Cursor) -> str:
    return msgspec.json.encode(cursor).decode()


def _info(data: Any) -> _PageInfo:
    try:
        info = msgspec.convert(data, _PageInfo)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(
            f"平台的分页应答不合格式 (not a page as WVP gives it): {error}", reason="platform_protocol"
        ) from None
    if info.total < 0:
        raise ProtocolViolation("平台的分页应答 total 为负 (a negative total)", reason="platform_protocol")
    return info


def _entry(channel: dict[str, Any], device: dict[str, Any], origin: str) -> CatalogueEntry:
    """A channel as WVP gives it: fields of the GB/T 28181 item in camel case. Its password is never read.

    A field that a person corrected on the platform (`gb...`) counts before what the device reported.
    """
    device_id = _text(device, "deviceId")
    channel_id = _text(channel, "deviceId")
    parent = _text(channel, "parentId").rpartition("/")[2]
    corrected = _text(channel, "gbLongitude") and _text(channel, "gbLatitude")
    return CatalogueEntry(
        origin=origin,
        id=_text(channel, "gbDeviceId") or channel_id,
        name=_text(channel, "gbName") or _text(channel, "name"),
        owner=_text(channel, "gbOwner") or _text(channel, "owner"),
        civil_code=_text(channel, "gbCivilCode") or _text(channel, "civilCode"),
        address=_text(channel, "gbAddress") or _text(channel, "address"),
        parent=parent,
        nvr=parent if parent[10:13] in _RECORDERS else device_id,
        channel=f"{device_id}/{channel_id}",
        lon=_text(channel, "gbLongitude") if corrected else _text(channel, "longitude"),
        lat=_text(channel, "gbLatitude") if corrected else _text(channel, "latitude"),
        coordinates="GCJ02" if _text(device, "geoCoordSys").upper() == "GCJ02" and not corrected else "",
        status=_text(channel, "gbStatus") or _text(channel, "status"),
        secrecy=_stricter(_text(channel, "gbSecrecy"), _text(channel, "secrecy")),
    )


def _stricter(corrected: str, reported: str) -> str:
    """Secret if either says so."""
    return "1" if "1" in (corrected, reported) else corrected or reported


def _text(record: dict[str, Any], field: str) -> str:
    value = record.get(field)
    return "" if value is None or isinstance(value, dict | list) else str(value).strip()[:_TEXT_MAX]
