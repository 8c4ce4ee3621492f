"""One pass from its entries to the catalogue file, and the report of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from alerts.catalogue.admit import Admitted, Gate, NotACamera
from alerts.catalogue.book import CatalogueBook
from alerts.catalogue.config import FeedConfig
from alerts.catalogue.feed_files import Pass
from alerts.catalogue.merge import Merged, merge
from alerts.catalogue.notified import Notified
from alerts.catalogue.refusals import Refused, count_reasons
from alerts.catalogue.spool import Spool
from contracts.catalogue_entry import CatalogueFeed
from contracts.errors import ProtocolViolation
from contracts.instant import Instant
from contracts.permission import withheld
from contracts.source import Catalogue
from runtime.whole_file import write_whole

Progress = Callable[[int, int], None]
"""(done, total); total 0 = not known yet."""

_SHOWN_MAX: Final = 20
_PASS_MAX: Final = 500_000
"""Pages and entries of one pass over a platform, a hundred counties: an endless one must not fill the disk."""


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a pass. Of the entries that were taken: `secret` are never opened, `unplayable` have neither an
    address nor a channel, and `switched_off` are not received since the entry, the feed or a person says so."""

    platform: str
    version: int
    entries: int
    merged: Merged
    refused: tuple[Refused, ...]
    not_cameras: int
    duplicates: int
    unlocated: tuple[str, ...]
    secret: int
    unplayable: int
    switched_off: int
    gaps: tuple[str, ...]
    incremental: bool
    statuses: tuple[tuple[str, int], ...]

    def text(self) -> str:
        """For people: Chinese first, the first of the refusals with their places."""
        merged = self.merged
        lines = [
            f"{self.platform}: 读到 {self.entries} 条 (entries), 新增 {len(merged.added)} (added), "
            f"变更 {len(merged.changed)} (changed), 未变 {merged.unchanged} (unchanged), "
            f"移除 {len(merged.removed)} (removed), 拒绝 {len(self.refused)} (refused); "
            f"目录版本 {self.version} (catalogue version)"
        ]
        if self.not_cameras:
            lines.append(f"  非摄像机 {self.not_cameras} 条 (recorders, directories: passed over)")
        if self.duplicates:
            lines.append(f"  重复 {self.duplicates} 条 (duplicates)")
        if self.secret:
            lines.append(f"  涉密或禁止场所 {self.secret} 路, 永不接入 (secret or forbidden: never opened)")
        if self.unplayable:
            lines.append(
                f"  未启用 {self.unplayable} 路: 没有取流地址或通道 (not switched on: nothing to play); "
                "请填 rtsp地址 或 通道 (fill in the column)"
            )
        if self.switched_off:
            lines.append(
                f"  未启用 {self.switched_off} 路: 目录、接入源或人工设为不接入 (switched off by the entry, "
                "the feed or by hand); 要接入请填 接入 = 是 (to receive it, say so in that column)"
            )
        if self.statuses:
            said = ", ".join(f"{event} {n}" for event, n in self.statuses)
            lines.append(f"  设备状态通知 (status notifications): {said}; 目录不因此改变 (they change no entry)")
        if self.unlocated:
            shown = ", ".join(self.unlocated[:5])
            lines.append(f"  待定位 {len(self.unlocated)} 路: 坐标不在任何网格内 (in no grid): {shown} …")
        lines += [f"  不完整 (incomplete): {gap}" for gap in self.gaps[:_SHOWN_MAX]]
        if merged.held_back:
            lines.append(
                f"  {len(merged.kept)} 路已不在平台目录中, 超过允许比例, 未移除 (gone, too many at once: kept); "
                "核实后加 --confirm-removal (check, then confirm)"
            )
        elif merged.kept and not self.incremental:
            lines.append(f"  {len(merged.kept)} 路本次未出现, 保留 (not seen in this pass: kept)")
        lines += [f"  拒绝 {reason}: {n}" for reason, n in count_reasons(self.refused).items()]
        lines += [f"    {each.line()}" for each in self.refused[:_SHOWN_MAX]]
        if len(self.refused) > _SHOWN_MAX:
            lines.append("    … 其余见报告文件 (the rest is in the report file)")
        return "\n".join(lines)

    def refusals_csv(self) -> bytes:
        """All refusals, gaps and cameras without a grid as CSV (UTF-8 with a mark, as spreadsheets want it)."""
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(["原因 reason", "位置 origin", "编码 id", "说明 sentence"])
        rows.writerows([each.reason, each.origin, each.id, each.sentence] for each in self.refused)
        rows.writerows(["incomplete", "", "", gap] for gap in self.gaps)
        rows.writerows(
            ["no_grid", "", camera_id, "坐标不在任何网格内, 待定位 (in no grid)"] for camera_id in self.unlocated
        )
        return out.getvalue().encode("utf-8-sig")


async def read_platform(source: CatalogueFeed, spool: Spool, progress: Progress) -> Pass:
    """All pages of a platform, from where the spool has got to. Raises SourceError; the spool keeps what came.

    A platform that comes to no end is a ProtocolViolation with reason `platform_protocol`; its spool is given up.
    """
    size = sum(1 + len(page.entries) for page in spool.pages)
    while not spool.over:
        page = await source.page(spool.cursor)
        size += 1 + len(page.entries)
        if size > _PASS_MAX:
            spool.done()
            raise ProtocolViolation(
                f"平台目录超过 {_PASS_MAX} 页与条目 (its catalogue comes to no end); 请检查平台 (check it)",
                reason="platform_protocol",
            )
        spool.add(page)
        progress(page.done, page.total)
    entries = tuple(entry for page in spool.pages for entry in page.entries)
    return Pass(entries, tuple(gap for page in spool.pages for gap in page.gaps))


def take(
    book: CatalogueBook,
    feed: FeedConfig,
    said: Pass,
    *,
    whole: bool,
    confirm_removal: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Judge a pass, merge it and write the catalogue if anything changed. Raises ConfigError.

    `whole`: the pass is meant to hold all of the feed, so that what it does not hold is gone.
    """
    before = book.read()
    gate = Gate(book.tree, feed)
    report = judge(gate, feed, said, before, whole=whole, confirm_removal=confirm_removal, progress=progress)
    if report.merged.catalogue is not before:
        book.write(report.merged.catalogue)
    write_whole(report_file(book, feed), report.refusals_csv())
    return report


def judge(
    gate: Gate,
    feed: FeedConfig,
    said: Pass,
    before: Catalogue,
    *,
    whole: bool,
    confirm_removal: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """What a pass makes of the catalogue `before`; see `take`. Nothing is read, written or raised."""
    admitted: dict[str, Admitted] = {}
    refused: list[Refused] = []
    not_cameras, duplicates = 0, said.duplicates
    for number, entry in enumerate(said.entries, start=1):
        if progress and (number % 100 == 0 or number == len(said.entries)):
            progress(number, len(said.entries))
        judged = entry if isinstance(entry, Refused) else gate.admit(entry)
        match judged:
            case Refused():
                refused.append(judged)
            case NotACamera():
                not_cameras += 1
            case Admitted():
                camera_id = judged.camera.id
                first = admitted.setdefault(camera_id, judged)
                if first is judged:
                    continue
                duplicates += 1
                if first.registration.fingerprint != judged.registration.fingerprint:
                    refused.append(_contradiction(judged, first))
                    admitted[camera_id] = _stricter(first, judged)
    merged = merge(
        before,
        feed,
        admitted.values(),
        refused,
        deleted=said.deleted,
        complete=whole and not said.gaps and not said.incremental,
        confirm_removal=confirm_removal,
    )
    idle = [
        camera
        for camera in merged.catalogue.cameras
        if camera.id in admitted and camera.platform == feed.platform and not (camera.live or withheld(camera))
    ]
    unplayable = sum(not (camera.url or (feed.resolves and camera.channel)) for camera in idle)
    return ImportReport(
        platform=feed.platform,
        version=merged.catalogue.version,
        entries=len(said.entries),
        merged=merged,
        refused=(*refused, *merged.refused),
        not_cameras=not_cameras,
        duplicates=duplicates,
        unlocated=tuple(
            sorted(each.camera.id for each in admitted.values() if each.camera.place.grid_code is None)
        ),
        secret=sum(each.camera.secrecy or each.camera.forbidden_place for each in admitted.values()),
        unplayable=unplayable,
        switched_off=len(idle) - unplayable,
        gaps=said.gaps,
        incremental=said.incremental,
        statuses=said.statuses,
    )


def report_file(book: CatalogueBook, feed: FeedConfig) -> Path:
    """Where the refusals of the last pass over a feed are listed."""
    return book.folder / f"{feed.platform}-refused.csv"


def open_notified(book: CatalogueBook, feed: FeedConfig) -> Notified:
    """How far the notifications of a feed were taken."""
    return Notified(book.folder / f"{feed.platform}.notified")


def open_spool(book: CatalogueBook, feed: FeedConfig, now: Instant) -> Spool:
    """The spool of a feed's pass."""
    key = f"{feed.base_url} {feed.page_size}"
    return Spool(book.folder / f"{feed.platform}.pass", key, now, hours_max=feed.pass_hours_max)


def _contradiction(second: Admitted, first: Admitted) -> Refused:
    sentence = (
        f"与 {first.origin} 的同一编码内容不同, 取先者 (differs from the first entry of this id, which counts)"
    )
    return Refused("duplicate", second.origin, second.camera.id, sentence)


def _stricter(first: Admitted, second: Admitted) -> Admitted:
    """The first entry, unless only the second one closes the camera."""
    closes = second.camera.secrecy or second.camera.forbidden_place
    open_ = not (first.camera.secrecy or first.camera.forbidden_place)
    return second if closes and open_ else first
