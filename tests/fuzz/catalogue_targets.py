"""Targets that bring cameras in: the catalogue on the link, as a file, as messages, as pages of a platform.

What a parser of files or pages lets through goes all the way that an import goes: judged, merged, held against the
rules of the site, written and read again. An entry that a site would refuse only then would cost the whole import.
"""

from __future__ import annotations

import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from alerts import catalogue_rules
from alerts.catalogue.admit import Gate
from alerts.catalogue.assemble import CatalogMessages
from alerts.catalogue.config import FeedConfig
from alerts.catalogue.csv_file import read_csv
from alerts.catalogue.feed_files import Pass, as_pass
from alerts.catalogue.grants_file import read_grants
from alerts.catalogue.take import judge
from alerts.grids import load_grids
from contracts import wire
from contracts.catalogue_entry import CatalogueEntry
from contracts.errors import ConfigError, MalformedMessage, RefusedInput, SourceError
from contracts.source import Camera, Catalogue
from ingest.platforms.play import WvpUrls
from ingest.platforms.wvp import WvpSession
from ingest.platforms.wvp_catalogue import WvpCatalogue
from ingest.rtsp.credentials import Credentials
from runtime.clock import SimClock
from tests.alerts.records import COUNTY, SITE
from tests.alerts.site_files import write_site
from tests.fuzz.campaign import Target

SEPARATOR: Final = b"\x1e"
"""Between the answers of a platform in one input: login, devices, channels, play, HTTP status."""
_PAGES_MAX: Final = 8

T = TypeVar("T")


class County:
    """A site that takes passes over a feed, in memory."""

    def __init__(self, feed: FeedConfig) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_site(Path(folder))
            self.tree = load_grids(Path(folder) / "grids.geojson", SITE, COUNTY)
        self._feed = feed
        self._gate = Gate(self.tree, feed)
        self.empty = Catalogue(site=SITE, county=COUNTY, version=1, cameras=(), sensors=())

    def take(self, said: Pass) -> None:
        """An import of `said` into an empty catalogue. Raises RefusedInput when no camera came of it."""
        report = judge(self._gate, self._feed, said, self.empty, whole=True, confirm_removal=True)
        catalogue = report.merged.catalogue
        self.keep(catalogue)
        report.text().encode()
        report.refusals_csv()
        again = judge(self._gate, self._feed, said, catalogue, whole=True, confirm_removal=True)
        assert again.merged.catalogue is catalogue, "the same pass again changes something"
        if not catalogue.cameras:
            raise RefusedInput("no camera was taken")

    def keep(self, catalogue: Catalogue) -> None:
        """Hold the catalogue against the site's rules; write it and read it again."""
        catalogue_rules.check(catalogue, self.tree)
        assert msgspec.json.decode(msgspec.json.encode(catalogue), type=Catalogue) == catalogue
        assert wire.decode(wire.encode(catalogue), Catalogue) == catalogue


def link_target() -> Target:
    """As ingest takes it from alerts, and every other record of the links with it."""

    def run(data: bytes) -> None:
        refusals = []
        for read in (lambda: wire.decode(data, Catalogue), lambda: wire.decode_log_record(data)):
            try:
                wire.encode(read())
            except MalformedMessage as error:
                refusals.append(error)
        if len(refusals) == 2:
            raise refusals[0]

    words = (b"\x81", b"\xdd\xff\xff\xff\xff", b"\xc1")
    return Target("catalogue", run, refuses=(MalformedMessage,), words=words)


def csv_target() -> Target:
    """Spreadsheets of cameras."""
    county = County(FeedConfig(platform="edu", owner="教育局"))
    words = (
        '"', '""', ",", ";", "\t", "\r\n", "\r", "\n", "设备编码", "经度,纬度", "id,lon,lat", "涉密", "是", "'",
        "15292100001320000001", "rtsp://[::1", "rtsp://u:p@h/", "file:///", "GCJ-02", "BD-09", "2026年11月22日",
        "nan",
        "-0.0", "٣", "９", "\ufeff", "\u2028", "999999999-1-1", "1e5",
    )  # fmt: skip
    raw = (
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\x81\x30\x81\x30",
        b"\xfe\xfe",
        b"\x80",
        b"\xd6\xd0",
        b"\x00",
    )

    def run(data: bytes) -> None:
        county.take(Pass(tuple(read_csv(data))))

    return Target("csv", run, refuses=(RefusedInput,), words=(*(each.encode() for each in words), *raw))


def grants_target() -> Target:
    """Spreadsheets of share grants."""
    county = County(FeedConfig(platform="edu", owner="教育局"))
    words = (
        "授权编号,授权单位,用途,到期", "生效", "批准人", "摄像机", ",", "；", '"', "\r\n", "2026-12-31",
        "0000-00-00", "9999-12-31", "2026-12-31T00:00:00+08:00", "2026-02-30", "1970-01-01", "-1-1-1",
        "2262-04-12",
    )  # fmt: skip

    def run(data: bytes) -> None:
        county.keep(msgspec.structs.replace(county.empty, grants=read_grants(data, "grants.csv")))

    return Target("grants", run, refuses=(ConfigError,), words=tuple(each.encode() for each in words))


def xml_target() -> Target:
    """Catalogue messages of GB/T 28181, one or several in a file."""
    county = County(FeedConfig(platform="gb-1", kind="xml", owner="公安局", base_url="http://10.0.0.5:18080"))
    words = (
        "<Notify>", "</Notify>", "<Event>", "ADD", "DEL", "UPDATE", "ON", "OFF", "VLOST", "DEFECT",
        "<Response>", "</Response>", "<DeviceList Num=\"", "<Item>", "</Item>", "<Item/>", "<DeviceID>",
        "<Info>",
        "<SumNum>", "<CmdType>Catalog</CmdType>", "<Secrecy>1</Secrecy>",
        "<!DOCTYPE r [<!ENTITY a \"aa\">]>", "<!ENTITY",
        "&a;", "&#0;", "&#xD800;", "&#1114112;", "&", "<![CDATA[", "]]>", "<!--",
        "<?xml version=\"1.0\" encoding=\"",
        "GB2312", "utf-16", "utf-7", "idna", "punycode", "unicode_escape", "hex", "<x:y xmlns:x=\"",
        "MESSAGE sip:1@2",
    )  # fmt: skip
    raw = (
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x81\x30\x81\x30",
        b"\xd6\xd0",
        b"\x00",
        b"<a>" * 40,
        b" a='" + b"x" * 3000,
    )

    def run(data: bytes) -> None:
        messages = CatalogMessages()
        messages.add_file(data, "messages.xml")
        county.take(as_pass(messages, incremental=messages.incremental))

    return Target("xml", run, refuses=(RefusedInput,), words=(*(each.encode() for each in words), *raw))


class ScriptedPlatform(WvpSession):
    """A session whose platform answers each request from the input: all but the network is the real one."""

    def __init__(self) -> None:
        super().__init__("wvp-1", "http://10.0.0.5:18080", Credentials("user", "password"), SimClock())
        self.answers: list[bytes] = []

    async def _ask(self, path: str, query: dict[str, str | int], token: str) -> httpx.Response:
        number = next(
            (at for at, part in enumerate(("/login", "/devices", "/channels", "/play/")) if path.endswith(part)), 3
        )
        status = self._piece(4)
        code = int(status) if status.isdigit() and status.isascii() and b"200" <= status <= b"599" else 200
        return httpx.Response(code, content=self._piece(number))

    def _piece(self, number: int) -> bytes:
        return self.answers[number] if number < len(self.answers) else b""


def wvp_target() -> Target:
    """Answers of a WVP platform: login, pages of devices and channels, a play address."""
    county = County(FeedConfig(platform="wvp-1", kind="wvp", owner="公安局", base_url="http://10.0.0.5:18080"))
    platform = ScriptedPlatform()
    urls = WvpUrls(platform)

    def run(data: bytes) -> None:
        platform.answers = data.split(SEPARATOR)
        platform._token = ""
        catalogue = WvpCatalogue(platform, page_size=3)
        entries: list[CatalogueEntry] = []
        gaps: list[str] = []
        cursor: str | None = None
        for _ in range(_PAGES_MAX):
            page = at_once(catalogue.page(cursor))
            entries += page.entries
            gaps += page.gaps
            cursor = page.next_cursor
            if cursor is None:
                break
        said = Pass(tuple(entries), tuple(gaps))
        report = judge(county._gate, county._feed, said, county.empty, whole=True)
        for camera in report.merged.catalogue.cameras:
            play(urls, camera)
        county.take(said)

    words = (
        b'{"code":0,"msg":"","data":', b'"total":', b'"list":[', b'"deviceId":', b'"gbDeviceId":',
        b'"gbLongitude":',
        b'"gbLatitude":', b'"longitude":', b'"secrecy":1', b'"gbSecrecy":"1"', b'"parentId":"a/b"', b'"channel"',
        b'"geoCoordSys":"GCJ02"', b'"accessToken":', b'"rtsp":"rtsp://', b'"stream":[', b'"code":401',
        b"401", b"404",
        b"503", SEPARATOR, b"\\ud800", b"\\u0000", b"1e400", b"-0.0",
    )  # fmt: skip
    return Target("wvp", run, refuses=(RefusedInput, SourceError), words=words)


def play(urls: WvpUrls, camera: Camera) -> None:
    """Ask where a camera that was taken plays."""
    try:
        assert "://" in at_once(urls.resolve(camera)).url
    except (SourceError, ConfigError):
        return


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The outcome of something that never has to wait."""
    try:
        work.send(None)
    except StopIteration as done:
        outcome: T = done.value
        return outcome
    work.close()
    raise AssertionError("a scripted platform is never waited for")


def catalogue_targets() -> list[Target]:
    """All of them."""
    return [link_target(), csv_target(), grants_target(), xml_target(), wvp_target()]
