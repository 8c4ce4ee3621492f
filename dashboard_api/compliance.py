"""What 国令第799号 and the owners of the cameras ask of a site, counted over its catalogue. Pure.

A camera with Secrecy=1 or in a forbidden place is told by number alone: by no name and in no place. One list holds
their ids, for whoever answers for them, and the command line alone writes it.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import date
from typing import Final

import msgspec

from contracts.instant import DAY, Instant, to_rfc3339
from contracts.permission import Permissions, withheld
from contracts.registration import FILING_DAYS_MAX, Registration
from contracts.source import Camera, Catalogue, SystemKind

_EXPIRING_DAYS: Final = 30
_NOT_REGISTERED: Final = Registration(camera_id="")


class OwnerCount(msgspec.Struct, frozen=True, gc=False):
    """Cameras of one owner department. `withheld` of them are never opened or shown, `barred` not now."""

    owner: str
    cameras: int
    withheld: int
    barred: int


class GrantView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A share grant. `state`: `in_force`, `expiring` (within 30 days), `expired`, `not_begun`. `cameras`: how many
    it names; null = all of the owner."""

    id: str
    owner: str
    purpose: str
    granted_by: str
    begins: str
    expires: str
    state: str
    cameras: int | None


class Compliance(msgspec.Struct, frozen=True, kw_only=True):
    """The report. Articles are those of 国令第799号; systems of Art. 9 are exempt from Art. 14 and 17."""

    site: str
    catalogue_version: int
    at: str
    cameras: int
    secrecy: int
    """Secrecy=1 (GB/T 28181): never analysed, never shown."""
    forbidden_place: int
    """Art. 8: places where no camera may be; never opened. Each needs a person: the camera must go."""
    no_consent: int
    """Art. 10: near a secret unit whose consent is not on record; not opened."""
    barred: dict[str, int]
    """Cameras that may not be opened now, by reason, those above among them."""
    kinds: dict[str, int]
    signage_missing: int
    """Art. 13: somebody looked, and there is no sign."""
    signage_unknown: int
    filing_missing: int
    """Art. 14: no date of filing on record (systems of Art. 7)."""
    filing_overdue: int
    """Of those: over 30 days in use."""
    retention_unknown: int
    """Art. 17: days of retention are not on record (systems of Art. 7)."""
    manager_unknown: int
    owner_unknown: int
    no_grid: int
    """In no grid (待定位)."""
    owners: tuple[OwnerCount, ...]
    grants: tuple[GrantView, ...]

    def text(self) -> str:
        """For people, Chinese first."""
        lines = [
            f"合规报告 (compliance) {self.site}, 目录版本 {self.catalogue_version}, {self.at[:19]}",
            f"  摄像机 {self.cameras} 路 (cameras)",
            f"  涉密 {self.secrecy} 路, 禁止场所 {self.forbidden_place} 路: 永不接入, 永不显示 "
            "(secret, forbidden: never opened, never shown)",
            f"  临近涉密单位未取得同意 {self.no_consent} 路 (no consent, Art. 10)",
            f"  无标识 {self.signage_missing} 路, 未核查 {self.signage_unknown} 路 (no sign; unchecked; Art. 13)",
            f"  未备案 {self.filing_missing} 路, 其中启用已超 {FILING_DAYS_MAX} 日 {self.filing_overdue} 路 "
            "(not filed; overdue, Art. 14)",
            f"  留存天数未登记 {self.retention_unknown} 路 (retention unknown, Art. 17)",
            f"  管理单位未登记 {self.manager_unknown} 路, 权属单位未登记 {self.owner_unknown} 路 (manager, owner)",
            f"  待定位 {self.no_grid} 路 (in no grid)",
        ]
        lines += [f"  现不接入 {reason}: {n} 路 (not opened now)" for reason, n in self.barred.items()]
        lines += [
            f"  权属 {each.owner or '未登记'}: {each.cameras} 路"
            + (f", 涉密或禁止 {each.withheld}" if each.withheld else "")
            + (f", 现不接入 {each.barred}" if each.barred else "")
            for each in self.owners
        ]
        lines += [
            f"  授权 {each.id} {each.owner} 至 {each.expires[:10]} [{each.state}] {each.purpose}"
            for each in self.grants
        ]
        return "\n".join(lines)


def compliance(catalogue: Catalogue, now: Instant) -> Compliance:
    """The report over a catalogue as of `now`."""
    register = {each.camera_id: each for each in catalogue.registrations}
    permissions = Permissions(catalogue)
    bars = {camera.id: permissions.bar(camera, now) for camera in catalogue.cameras}
    shown = [
        (camera, register.get(camera.id, _NOT_REGISTERED)) for camera in catalogue.cameras if not withheld(camera)
    ]
    art7 = [(camera, entry) for camera, entry in shown if camera.system_kind is not SystemKind.ART9_OTHER]
    unfiled = [entry for _, entry in art7 if not entry.filed_on]
    today = date.fromisoformat(to_rfc3339(now)[:10])
    return Compliance(
        site=catalogue.site,
        catalogue_version=catalogue.version,
        at=to_rfc3339(now),
        cameras=len(catalogue.cameras),
        secrecy=sum(camera.secrecy for camera in catalogue.cameras),
        forbidden_place=sum(camera.forbidden_place and not camera.secrecy for camera in catalogue.cameras),
        no_consent=sum(bar == "no_consent" for bar in bars.values()),
        barred=dict(sorted(Counter(bar for bar in bars.values() if bar is not None).items())),
        kinds=dict(sorted(Counter(camera.system_kind.value for camera in catalogue.cameras).items())),
        signage_missing=sum(entry.signage_ok is False for _, entry in shown),
        signage_unknown=sum(entry.signage_ok is None for _, entry in shown),
        filing_missing=len(unfiled),
        filing_overdue=sum(_days_in_use(entry, today) > FILING_DAYS_MAX for entry in unfiled),
        retention_unknown=sum(entry.retention_days is None for _, entry in art7),
        manager_unknown=sum(not entry.manager for _, entry in shown),
        owner_unknown=sum(not camera.owner for camera, _ in shown),
        no_grid=sum(camera.place.grid_code is None for camera, _ in shown),
        owners=_owners(catalogue, bars),
        grants=_grants(catalogue, now),
    )


def _days_in_use(entry: Registration, today: date) -> int:
    return (today - date.fromisoformat(entry.in_use_since)).days if entry.in_use_since else 0


def _owners(catalogue: Catalogue, bars: dict[str, str | None]) -> tuple[OwnerCount, ...]:
    cameras = Counter(camera.owner for camera in catalogue.cameras)
    hidden = Counter(camera.owner for camera in catalogue.cameras if withheld(camera))
    barred = Counter(
        camera.owner for camera in catalogue.cameras if bars[camera.id] is not None and not withheld(camera)
    )
    return tuple(OwnerCount(owner, n, hidden[owner], barred[owner]) for owner, n in sorted(cameras.items()))


def _grants(catalogue: Catalogue, now: Instant) -> tuple[GrantView, ...]:
    views = []
    for grant in sorted(catalogue.grants, key=lambda each: (each.expires, each.id)):
        if now >= grant.expires:
            state = "expired"
        elif now < grant.begins:
            state = "not_begun"
        else:
            state = "expiring" if grant.expires - now <= _EXPIRING_DAYS * DAY else "in_force"
        views.append(
            GrantView(
                id=grant.id,
                owner=grant.owner,
                purpose=grant.purpose,
                granted_by=grant.granted_by,
                begins=to_rfc3339(grant.begins),
                expires=to_rfc3339(grant.expires),
                state=state,
                cameras=len(grant.cameras) or None,
            )
        )
    return tuple(views)


def filing_csv(catalogue: Catalogue) -> bytes:
    """Art. 14: what is filed of the systems of Art. 7, one row a camera that may be shown; UTF-8 with a mark.

    Unit, place, device, retention and what is on record of the filing. Of what may not be shown, the last row
    tells the number.
    """
    register = {each.camera_id: each for each in catalogue.registrations}
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(
        [
            "管理单位",
            "权属单位",
            "设备编码",
            "名称",
            "安装地址",
            "经度",
            "纬度",
            "系统类别",
            "启用日期",
            "留存天数",
            "备案日期",
            "备案号",
        ]
    )
    hidden = 0
    for camera in sorted(catalogue.cameras, key=lambda each: each.id):
        if camera.system_kind is SystemKind.ART9_OTHER:
            continue
        if withheld(camera):
            hidden += 1
            continue
        rows.writerow(_filing_row(camera, register.get(camera.id, _NOT_REGISTERED)))
    if hidden:
        rows.writerow(["", "", "", f"另有 {hidden} 路涉密或禁止场所, 不列 (not listed)"])
    return out.getvalue().encode("utf-8-sig")


def withheld_csv(catalogue: Catalogue) -> bytes:
    """The cameras that are never opened and never shown, one row each; UTF-8 with a mark.

    Id, owner and reason, to ask the owner by; neither name nor place nor address, which nobody here needs.
    """
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["设备编码", "权属单位", "原因"])
    for camera in sorted(catalogue.cameras, key=lambda each: each.id):
        if withheld(camera):
            rows.writerow([_plain(camera.id), _plain(camera.owner), "涉密" if camera.secrecy else "禁止场所"])
    return out.getvalue().encode("utf-8-sig")


def _filing_row(camera: Camera, entry: Registration) -> list[str]:
    cells = [
        entry.manager,
        camera.owner,
        camera.id,
        camera.name,
        entry.address or camera.place.name,
        f"{camera.place.lon:.6f}",
        f"{camera.place.lat:.6f}",
        camera.system_kind.value,
        entry.in_use_since,
        "" if entry.retention_days is None else str(entry.retention_days),
        entry.filed_on,
        entry.filing_number,
    ]
    return [_plain(cell) for cell in cells]


def _plain(cell: str) -> str:
    """A spreadsheet takes what begins so for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell
