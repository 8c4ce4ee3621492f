"""4,000 entries from the command to the sessions of the real worker, as a real RTSP server sees them.

Domain check 5 and M30 with all parts running: the command line, alerts, the camera worker, RTSP.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from runtime.clock import SystemClock
from tests.alerts.catalogue.entries import camera_id, csv_bytes, entry
from tests.alerts.county import county
from tests.alerts.site_files import write_site
from tests.e2e.test_catalogue_commands import command
from tests.ingest.rtsp_server import Script, ScriptedServer, clip_media
from tests.ingest.test_worker import pull, working

ENTRIES, LIVE = 4_000, 20
SECRET = (7, 70, 700)


def catalogue(server: ScriptedServer, **changes: dict[str, str]) -> bytes:
    """`LIVE` received, of which one would be secret; the others of the county switched off."""
    base = server.url.rpartition("/")[0]
    entries = []
    for serial in range(1, ENTRIES + 1):
        said = {"url": f"{base}/{serial}", "secrecy": "1" if serial in SECRET else "0"}
        said |= {"live": "1" if serial <= LIVE else "0"} | changes.get(f"n{serial}", {})
        entries.append(entry(serial, **said))
    lines = csv_bytes(entries).decode("utf-8-sig").splitlines()
    live = ["接入", *(each.live for each in entries)]
    return "\r\n".join(f"{line},{said}" for line, said in zip(lines, live, strict=True)).encode("gb18030")


def described(server: ScriptedServer) -> Counter[str]:
    """How often each stream was asked for, by the last part of its address."""
    return Counter(uri.rpartition("/")[2] for method, uri, _ in server.requests if method == "DESCRIBE")


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_changed_entry_of_4000_is_opened_anew_and_the_server_hears_of_no_other(short_dir: Path) -> None:
    site = write_site(short_dir)
    (short_dir / "var").mkdir()
    config = short_dir / "gridwhistle.toml"
    config.write_text(
        '[site]\nid = "152921"\n[paths]\ngrids = "grids.geojson"\ncatalogue = "catalogue.json"\n', encoding="utf-8"
    )
    file = short_dir / "all.csv"

    async def take(data: bytes) -> str:
        file.write_bytes(data)
        code, text = await command("import", file, "--platform", "office", "--whole", "-c", config)
        assert code == 0, text
        return text

    received = {str(serial) for serial in range(1, LIVE + 1)} - {str(serial) for serial in SECRET}
    async with ScriptedServer(Script(media=clip_media())) as server:
        assert f"新增 {ENTRIES}" in await take(catalogue(server))
        async with county(site, producer="test"), working(site, stall_s=60.0, key_stall_s=60.0) as puller:
            await pull(puller, {camera_id(int(serial)) for serial in received})
            assert described(server) == Counter(received), "no secret one, none that is switched off"
            connections = server.connections

            text = await take(catalogue(server, n3={"url": f"{server.url.rpartition('/')[0]}/moved"}))
            assert f"变更 1 (changed), 未变 {ENTRIES - 1}" in text
            await server.until(lambda: described(server)["moved"] == 1 and "TEARDOWN" in server.methods())
            secret = catalogue(server, n3={"url": f"{server.url.rpartition('/')[0]}/moved"}, n4={"secrecy": "1"})
            await take(secret)
            await server.until(lambda: server.methods().count("TEARDOWN") == 2)
            # Whoever else was to be disturbed by the two versions would be by now.
            await SystemClock().asleep(2.0)
            assert server.connections == connections + 1
            assert described(server) == Counter([*received, "moved"])
            assert server.methods().count("TEARDOWN") == 2
            listed = short_dir / "withheld.csv"
            code, report = await command(
                "report", "--filing", short_dir / "filing.csv", "--withheld", listed, "-c", config
            )
            assert code == 0, report
            assert f"涉密 {len(SECRET) + 1} 路" in report
            told = report + (short_dir / "filing.csv").read_text(encoding="utf-8-sig")
            assert not [serial for serial in (*SECRET, 4) if camera_id(serial) in told]
            rows = listed.read_text(encoding="utf-8-sig").splitlines()[1:]
            assert [row.split(",")[0] for row in rows] == [camera_id(serial) for serial in (4, *SECRET)]
            assert listed.stat().st_mode & 0o777 == 0o600, "nobody else may read it"
