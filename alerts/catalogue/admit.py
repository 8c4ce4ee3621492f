"""From what somebody says of a camera to an entry of our catalogue: id, position, owner and law are judged."""

from __future__ import annotations

import math
from datetime import date
from typing import Final, NoReturn
from urllib.parse import urlsplit

import msgspec

from alerts.catalogue.config import FeedConfig
from alerts.catalogue.coordinates import CoordinateSystem, coordinate_system, to_wgs84
from alerts.catalogue.refusals import Refused
from alerts.grid_index import GridIndex, leaves, polygon
from contracts.catalogue_entry import CatalogueEntry
from contracts.errors import RefusedInput
from contracts.grid import GridTree
from contracts.ids import COUNTIES, DeviceId, parse_device_id
from contracts.place import Place
from contracts.registration import RETENTION_DAYS_MIN, Registration
from contracts.source import Camera, SystemKind

MARGIN_DEG: Final = 0.05
"""How far outside the box around all grids (some 5 km) a camera may stand: roads lead out of a county."""
_YES: Final = frozenset({"1", "true", "yes", "y", "是", "有", "已同意", "同意", "启用", "on"})
_NO: Final = frozenset({"0", "false", "no", "n", "否", "无", "未同意", "不同意", "停用", "off"})
_KINDS: Final = {
    "art7_government": SystemKind.ART7_GOVERNMENT,
    "art7_operator": SystemKind.ART7_OPERATOR,
    "art9_other": SystemKind.ART9_OTHER,
    "政府": SystemKind.ART7_GOVERNMENT,
    "第七条政府": SystemKind.ART7_GOVERNMENT,
    "第七条经营单位": SystemKind.ART7_OPERATOR,
    "经营单位": SystemKind.ART7_OPERATOR,
    "第九条": SystemKind.ART9_OTHER,
    "其他": SystemKind.ART9_OTHER,
}
_NAME_MAX: Final = 200
_PROFILE_MAX: Final = 40


class Admitted(msgspec.Struct, frozen=True):
    """An entry that was taken. `live_said`: the entry itself says whether the camera is to be received."""

    camera: Camera
    registration: Registration
    live_said: bool
    origin: str


class NotACamera(msgspec.Struct, frozen=True):
    """A recorder, a directory, a civil-code node: no error and no camera."""

    origin: str
    id: str
    what: str


class Gate:
    """Admits the entries of one feed."""

    def __init__(self, tree: GridTree, feed: FeedConfig) -> None:
        self._feed = feed
        self._tree = tree
        self._index = GridIndex(tree)
        self._counties = frozenset({*COUNTIES, tree.county})
        self._rules = repr(
            (
                tree.version,
                feed.owner,
                sorted(feed.owners.items()),
                feed.coordinates.value,
                feed.camera_credentials,
                feed.system_kind.value,
                feed.manager,
                feed.retention_days,
                feed.resolves,
            )
        )
        boxes = [polygon(grid).bounds for grid in leaves(tree)]
        self._box: tuple[float, float, float, float] = (
            min(box[0] for box in boxes) - MARGIN_DEG,
            min(box[1] for box in boxes) - MARGIN_DEG,
            max(box[2] for box in boxes) + MARGIN_DEG,
            max(box[3] for box in boxes) + MARGIN_DEG,
        )

    def admit(self, entry: CatalogueEntry) -> Admitted | NotACamera | Refused:
        """Judge one entry. Nothing is raised: what is wrong is refused with a reason and a sentence."""
        secret = True
        try:
            secret = _flag(entry.secrecy, "Secrecy") or _flag(entry.forbidden_place, "forbidden_place")
            if entry.id.isascii() and entry.id.isdigit() and len(entry.id) in (2, 4, 6, 8, 10):
                return NotACamera(entry.origin, entry.id, "civil_code")
            device = parse_device_id(entry.id, self._counties)
            if not device.is_camera:
                return NotACamera(entry.origin, entry.id, device.type_name)
            return self._admitted(entry, device)
        except RefusedInput as error:
            return Refused(error.reason, entry.origin, entry.id[:40], str(error), secret=secret)

    def _admitted(self, entry: CatalogueEntry, device: DeviceId) -> Admitted:
        feed = self._feed
        secrecy = _flag(entry.secrecy, "Secrecy")
        forbidden = _flag(entry.forbidden_place, "forbidden_place")
        kind = self._kind(entry)
        closed = secrecy or forbidden
        url = _address(entry.url, "url") or None
        place = self._place(entry)
        camera = Camera(
            id=entry.id,
            name=entry.name[:_NAME_MAX] or entry.id,
            place=place,
            owner=self._owner(entry, device),
            url=None if closed else url,
            credentials=entry.credentials or (feed.camera_credentials or None) if not closed else None,
            platform=feed.platform,
            nvr=entry.nvr,
            channel="" if closed else entry.channel,
            recording_url=None if closed else _address(entry.recording_url, "recording_url") or None,
            live=not closed and _flag(entry.live, "live", unsaid=feed.live) and self._playable(entry),
            secrecy=secrecy,
            forbidden_place=forbidden,
            system_kind=kind,
            profile=entry.profile[:_PROFILE_MAX],
        )
        registration = Registration(
            camera_id=entry.id,
            feed=feed.platform,
            fingerprint=self.fingerprint(entry),
            address=entry.address[:_NAME_MAX],
            manager=entry.manager or feed.manager,
            near_secret_unit=_flag(entry.near_secret_unit, "near_secret_unit"),
            secrecy_consent=_flag(entry.secrecy_consent, "secrecy_consent"),
            signage_ok=_flag(entry.signage_ok, "signage_ok") if entry.signage_ok else None,
            view_note=entry.view_note[:_NAME_MAX],
            in_use_since=_day(entry.in_use_since, "in_use_since"),
            filed_on=_day(entry.filed_on, "filed_on"),
            filing_number=entry.filing_number[:_NAME_MAX],
            retention_days=self._retention(entry, kind),
        )
        return Admitted(camera, registration, bool(entry.live), entry.origin)

    def fingerprint(self, entry: CatalogueEntry) -> str:
        """Digest of the entry and of the rules it is read by: new grids or another owner make every entry new."""
        return entry.fingerprint(self._rules)

    def _playable(self, entry: CatalogueEntry) -> bool:
        return bool(entry.url) or (self._feed.resolves and bool(entry.channel))

    def _owner(self, entry: CatalogueEntry, device: DeviceId) -> str:
        """Who owns the camera: what the entry says if it is a name, else by industry, else the feed's."""
        said = entry.owner.strip()
        named = any("\u3400" <= character <= "\u9fff" for character in said)
        return (
            said[:_NAME_MAX]
            if named
            else self._feed.owners.get(device.industry) or self._feed.owner or said[:_NAME_MAX]
        )

    def _kind(self, entry: CatalogueEntry) -> SystemKind:
        if not entry.system_kind:
            return self._feed.system_kind
        found = _KINDS.get(entry.system_kind.strip().lower())
        if found is None:
            _refuse(
                "system_kind",
                f"系统类别 {entry.system_kind[:40]!r} 未知 (unknown); 可用 (known): {', '.join(SystemKind)}",
            )
        return found

    def _retention(self, entry: CatalogueEntry, kind: SystemKind) -> int | None:
        said = entry.retention_days
        if not said:
            return self._feed.retention_days
        if not (said.isascii() and said.isdigit() and len(said) <= 5):
            _refuse("retention_days", f"留存天数 {said[:20]!r} 不是整数 (days of retention: a whole number)")
        days = int(said)
        if days < RETENTION_DAYS_MIN and kind is not SystemKind.ART9_OTHER:
            _refuse(
                "retention_days",
                f"留存 {days} 天少于 {RETENTION_DAYS_MIN} 天 (国令第799号第十七条, too few days)",
            )
        return days

    def _place(self, entry: CatalogueEntry) -> Place:
        system = coordinate_system(entry.coordinates) if entry.coordinates else self._feed.coordinates
        lon, lat = _number(entry.lon, "经度 (longitude)"), _number(entry.lat, "纬度 (latitude)")
        if lon == 0.0 and lat == 0.0:
            _refuse("no_position", "坐标为 0, 0 (no position); 请补上经纬度, 可用 CSV 补充 (give it, e.g. by CSV)")
        if not self._inside(lon, lat, system):
            if self._inside(lat, lon, system):
                _refuse(
                    "swapped_position",
                    f"经纬度疑似颠倒 (longitude {lon} and latitude {lat} seem swapped); 请对调 (swap them)",
                )
            if not (-180 <= lon <= 180 and -90 <= lat <= 90):
                _refuse("no_position", f"坐标 ({lon}, {lat}) 超出范围 (not degrees of longitude and latitude)")
            _refuse(
                "outside_county",
                f"坐标 ({lon}, {lat}) 不在本县 {self._tree.county} 范围内 (outside of it); 请核对坐标与坐标系",
            )
        lon, lat = to_wgs84(lon, lat, system)
        return Place(lon, lat, self._index.locate(lon, lat), name=entry.address[:_NAME_MAX])

    def _inside(self, lon: float, lat: float, system: CoordinateSystem) -> bool:
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            return False
        x, y = to_wgs84(lon, lat, system)
        west, south, east, north = self._box
        return west <= x <= east and south <= y <= north


def _refuse(reason: str, sentence: str) -> NoReturn:
    raise RefusedInput(sentence, reason=reason)


def _flag(text: str, field: str, *, unsaid: bool = False) -> bool:
    """Yes or no in Chinese, English or digits. What is neither is refused: a doubt is not a no."""
    said = text.strip().lower()
    if not said:
        return unsaid
    if said in _YES:
        return True
    if said in _NO:
        return False
    _refuse("flag", f"{field} = {text[:20]!r} 既非是也非否 (neither yes nor no); 请写 1 或 0 (write 1 or 0)")


def _number(text: str, what: str) -> float:
    if not text.strip():
        _refuse("no_position", f"没有{what} (no position); 请补上 (give it)")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        _refuse("no_position", f"{what} {text[:20]!r} 不是数 (not a number, degrees are wanted)")
    return value


def _day(text: str, field: str) -> str:
    """A date as YYYY-MM-DD, from the ways in which spreadsheets write it."""
    if not text:
        return ""
    said = text.strip().replace("/", "-").replace(".", "-").replace("年", "-").replace("月", "-").replace("日", "")
    try:
        year, month, day = (int(part) for part in said.split(" ")[0].split("-"))
        return date(year, month, day).isoformat()
    except (ValueError, OverflowError):
        _refuse("date", f"{field} = {text[:20]!r} 不是日期 (not a date); 例如 2026-11-22")


def _address(text: str, field: str) -> str:
    if not text:
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        _refuse("url", f"{field} 不是地址 (not a URL)")
    if parts.password is not None or parts.username is not None:
        _refuse(
            "password_in_url",
            f"{field} 中含有用户名或密码 (a user or password in the URL); 请移入密钥文件 (use the secrets file)",
        )
    if not parts.scheme or (parts.scheme != "file" and not parts.netloc):
        _refuse("url", f"{field} {text[:60]!r} 没有协议或主机 (no scheme or host), 如 rtsp://10.0.0.1/…")
    return text
