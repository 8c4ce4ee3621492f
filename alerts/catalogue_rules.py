"""What a catalogue must hold to, beyond its types. Every violation is a ValueError with a sentence."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec
from shapely import Polygon

from contracts.errors import RefusedInput
from contracts.grid import GridTree
from contracts.ids import COUNTIES, parse_device_id
from contracts.place import Place, Zone
from contracts.registration import RETENTION_DAYS_MIN
from contracts.source import Camera, Catalogue, PlatformKind, Sensor, SystemKind


def check_keys(data: bytes) -> None:
    """Refuse keys that no record has: a misspelt optional one would be passed over in silence."""
    for path in _unknown(msgspec.json.decode(data), Catalogue, "$"):
        raise ValueError(f"未知的键 {path} (unknown key); 请删去或改正拼写")


def check(catalogue: Catalogue, tree: GridTree) -> None:
    """Site, ids, places, zones, addresses and ranges."""
    if (catalogue.site, catalogue.county) != (tree.site, tree.county):
        raise ValueError(
            f"属于站点 {catalogue.site}/{catalogue.county}, 本站为 {tree.site}/{tree.county} (another site's file)"
        )
    counties = frozenset({*COUNTIES, tree.county})
    codes = {grid.code for grid in tree.grids if not grid.retired}
    seen: set[str] = set()
    zones: set[str] = set()
    sources: tuple[Camera | Sensor, ...] = (*catalogue.cameras, *catalogue.sensors)
    for source in sources:
        if not source.id.strip():
            raise ValueError(f"{source.name!r} 没有编号 (a source without an id)")
        if source.id in seen:
            raise ValueError(f"编号 {source.id} 出现两次 (id used twice)")
        seen.add(source.id)
        _check_place(source.id, source.place, codes)
    resolving = {each.id for each in catalogue.platforms if each.kind is PlatformKind.WVP}
    for camera in catalogue.cameras:
        _check_camera(camera, counties, resolves=camera.platform in resolving and bool(camera.channel))
        for zone in camera.zones:
            if zone.id in zones:
                raise ValueError(f"{camera.id}: 区域编号 {zone.id} 出现两次 (zone id used twice)")
            zones.add(zone.id)
            _check_zone(camera.id, zone)
    for sensor in catalogue.sensors:
        _check_sensor(sensor)
    _check_platforms(catalogue)
    _check_register(catalogue)


def _check_platforms(catalogue: Catalogue) -> None:
    keys = [platform.id for platform in catalogue.platforms]
    for platform in catalogue.platforms:
        if keys.count(platform.id) > 1:
            raise ValueError(f"平台 {platform.id} 出现两次 (platform id used twice)")
        if platform.base_url is not None and urlsplit(platform.base_url).password is not None:
            raise ValueError(
                f"平台 {platform.id}: base_url 中含有密码 (a password in the URL); 请以 credentials 指名"
            )
        if platform.kind is PlatformKind.WVP and not platform.base_url:
            raise ValueError(
                f"平台 {platform.id}: 缺少 base_url (a WVP platform needs the address of its interface)"
            )


def _check_register(catalogue: Catalogue) -> None:
    kinds = {camera.id: camera.system_kind for camera in catalogue.cameras}
    seen: set[str] = set()
    for each in catalogue.registrations:
        if each.camera_id not in kinds or each.camera_id in seen:
            raise ValueError(f"登记 {each.camera_id} 重复或无此摄像机 (registered twice, or no such camera)")
        seen.add(each.camera_id)
        days = each.retention_days
        if days is not None and days < RETENTION_DAYS_MIN and kinds[each.camera_id] is not SystemKind.ART9_OTHER:
            raise ValueError(
                f"{each.camera_id}: retention_days = {days}, 第799号令第十七条至少 {RETENTION_DAYS_MIN} (too few)"
            )
    for grant in catalogue.grants:
        if not grant.purpose.strip():
            raise ValueError(f"授权 {grant.id}: 没有用途 (a share grant without a purpose)")
        if grant.begins >= grant.expires:
            raise ValueError(f"授权 {grant.id}: 到期不晚于生效 (a share grant that ends before it begins)")


def _check_place(source_id: str, place: Place, codes: set[str]) -> None:
    if not (-180 <= place.lon <= 180 and -90 <= place.lat <= 90):
        raise ValueError(f"{source_id}: 坐标 ({place.lon}, {place.lat}) 超出范围 (lon, lat in degrees)")
    if place.grid_code is not None and place.grid_code not in codes:
        raise ValueError(
            f"{source_id}: 网格 {place.grid_code} 不在网格文件中 (unknown grid); 请改正, 或删去此键由坐标定位"
        )


def _check_camera(camera: Camera, counties: frozenset[str], *, resolves: bool) -> None:
    try:
        parse_device_id(camera.id, counties)
    except RefusedInput as error:
        raise ValueError(str(error)) from None
    if camera.url is not None:
        address = urlsplit(camera.url)
        if address.password is not None:
            raise ValueError(
                f"{camera.id}: 地址中含有密码 (a password in the URL); 请移入密钥文件, 以 credentials 指名"
            )
        if not address.scheme:
            raise ValueError(f"{camera.id}: 地址 {camera.url!r} 没有协议 (URL without scheme), 如 rtsp://…")
    elif camera.live and not resolves:
        raise ValueError(f"{camera.id}: live = true 而没有地址 (live, but no url)")
    if camera.homography is not None and len(camera.homography) != 9:
        raise ValueError(f"{camera.id}: homography 应有 9 个数, 现为 {len(camera.homography)} 个 (nine numbers)")
    if camera.key_interval_s <= 0:
        raise ValueError(f"{camera.id}: key_interval_s 应大于 0 (must be positive)")


def _check_zone(camera_id: str, zone: Zone) -> None:
    where = f"{camera_id}: 区域 {zone.id}"
    if len(zone.polygon) < 3 or not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in zone.polygon):
        raise ValueError(f"{where} 至少三点, 坐标在 0 与 1 之间 (three points or more, within 0..1)")
    if not Polygon(zone.polygon).is_valid:
        raise ValueError(f"{where} 的边自相交 (the polygon crosses itself)")
    if zone.travel is not None and (
        zone.travel[0] == zone.travel[1] or not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in zone.travel)
    ):
        raise ValueError(f"{where} 的 travel 应为两个不同的点, 坐标在 0 与 1 之间 (two points within 0..1)")
    if zone.area_m2 is not None and zone.area_m2 <= 0:
        raise ValueError(f"{where} 的 area_m2 应大于 0; 未标定请删去此键 (leave it out if not measured)")
    if zone.capacity is not None and zone.capacity <= 0:
        raise ValueError(f"{where} 的 capacity 应大于 0; 未核定请删去此键 (leave it out if not approved)")


def _check_sensor(sensor: Sensor) -> None:
    if not sensor.valid_min < sensor.valid_max:
        raise ValueError(f"{sensor.id}: valid_min 应小于 valid_max (an empty range)")
    if sensor.period_s <= 0:
        raise ValueError(f"{sensor.id}: period_s 应大于 0 (must be positive)")


def _unknown(value: object, type_: object, path: str) -> Iterator[str]:
    """Paths of keys that the struct at their place does not have."""
    if isinstance(type_, types.UnionType) or typing.get_origin(type_) is typing.Union:
        structs = [each for each in typing.get_args(type_) if each is not type(None)]
        if value is not None and len(structs) == 1:
            yield from _unknown(value, structs[0], path)
    elif isinstance(value, list) and typing.get_origin(type_) is tuple:
        for number, item in enumerate(value):
            yield from _unknown(item, typing.get_args(type_)[0], f"{path}[{number}]")
    elif isinstance(value, dict) and isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(type_)}
        for key, item in value.items():
            if key not in fields:
                yield f"{path}.{key}"
            else:
                yield from _unknown(item, fields[key], f"{path}.{key}")
