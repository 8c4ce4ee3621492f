"""Record the seed inputs anew from real sessions: `python -m tests.fuzz.make_corpus`. Needs GStreamer and
Mosquitto.

Pictures are synthetic and tiny. What failed once (`failed-*.bin`) is left alone.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from contracts import wire
from contracts.coverage import CameraMinute, CoverageReport, CoverageStage
from contracts.instant import SECOND, Instant
from contracts.source import SourceChange, SourceKind, SourceState
from contracts.storm import StormReport
from sim.alarm_drill import smoke_county
from sim.sensors import senml
from tests.fuzz.campaign import CORPUS
from tests.fuzz.catalogue_corpus import grants, messages, platform_answers, spreadsheets
from tests.ingest import h264_clip, h265_clip
from tests.ingest.gstreamer import gstreamer
from tests.ingest.mosquitto import Publisher, mosquitto
from tests.ingest.rtsp_server import Script, ScriptedServer, clip_media, clip_sdp
from tests.sim.test_rtsp_server import serving

NOW = Instant(1_795_000_000 * SECOND)
_STREAM_BYTES = 8_000


def save(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bin").write_bytes(data)


async def record(url: str, control: str | None = None) -> tuple[bytes, bytes, bytes]:
    """(text of the dialogue, session description, interleaved bytes) of one session over TCP."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    said = b""

    async def ask(number: int, method: str, uri: str, *headers: str) -> bytes:
        nonlocal said
        lines = [f"{method} {uri} RTSP/1.0", f"CSeq: {number}", *headers]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        body = await reader.readexactly(length)
        said += head + body
        return body or head

    await ask(1, "OPTIONS", url)
    description = await ask(2, "DESCRIBE", url, "Accept: application/sdp")
    if b"m=video" not in description:
        writer.close()
        return said, b"", b""
    track = next(
        line[10:].decode().strip()
        for line in description.split(b"m=video")[1].splitlines()
        if line.startswith(b"a=control:")
    )
    uri = track if track.startswith("rtsp://") else f"{url}/{track}"
    await ask(3, "SETUP", uri, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
    session = said.split(b"Session: ")[1].split(b";")[0].split(b"\r\n")[0].decode()
    await ask(4, "PLAY", url, f"Session: {session}", "Range: npt=0.000-")
    media = b""
    with suppress(asyncio.IncompleteReadError, TimeoutError):
        while len(media) < 20_000:
            async with asyncio.timeout(2.0):
                head = await reader.readexactly(4)
                media += head + await reader.readexactly(int.from_bytes(head[2:], "big"))
    writer.close()
    return said, description, media


def packets_of(media: bytes, limit: int = _STREAM_BYTES) -> bytes:
    """Whole interleaved packets, at most `limit` bytes."""
    at = 0
    while at + 4 <= len(media):
        end = at + 4 + int.from_bytes(media[at + 2 : at + 4], "big")
        if end > limit:
            break
        at = end
    return media[:at]


async def rtsp_sessions() -> None:
    async with gstreamer() as url:
        said, description, media = await record(url)
        save("rtsp", "gstreamer", said + packets_of(media, 2_000))
        save("sdp", "gstreamer", description)
        save("rtp", "gstreamer", packets_of(media))
    async with gstreamer("admin", "right") as url:
        save("rtsp", "gstreamer-digest", (await record(url))[0])
    async with serving() as (server, _):
        said, description, media = await record(f"rtsp://127.0.0.1:{server.port}/live/1")
        save("rtsp", "simulated-camera", said + packets_of(media, 1_000))
        save("sdp", "simulated-camera", description)
        save("rtp", "simulated-camera", packets_of(media))
    for name, script in {
        "scripted": Script(sdp=clip_sdp(), media=packets_of(clip_media(size=200), 2_000)),
        "scripted-digest": Script(sdp=clip_sdp(), password="x", algorithm="SHA-256"),
        "scripted-basic": Script(sdp=clip_sdp(), password="x", scheme="basic"),
        "scripted-moved": Script(
            sdp=clip_sdp(), status={"DESCRIBE": 302}, extra={"Location": "rtsp://127.0.0.1:8554/b"}
        ),
    }.items():
        async with ScriptedServer(script) as scripted:
            said, description, media = await record(scripted.url)
            save("rtsp", name, said + media[:2_000])
            if name == "scripted":
                save("sdp", name, description)
    announce = (
        b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 7\r\n\r\n"
        b"RTSP/1.0 200 OK\nCSeq: 1\nSession: 12345678;timeout=60\n\n"
    )
    save("rtsp", "request-of-a-server", announce)
    save("sdp", "h265", clip_sdp(codec="H265").encode())


def streams() -> None:
    """H.264 and H.265 of real encoders, packed in every way that the RFCs know."""
    for target, clip, fragments, aggregate in (
        ("rtp", h264_clip.clip(12), h264_clip.fragments, h264_clip.stap_a),
        ("rtp265", h265_clip.clip(12), h265_clip.fragments, h265_clip.aggregate),
    ):
        for seed in (1, 2, 3):
            chance = random.Random(seed)
            sequence, out = 65_530, b""
            for number, (nals, _) in enumerate(clip):
                parts = h264_clip.payloads(nals, chance, 400, fragments, aggregate)
                for place, payload in enumerate(parts):
                    packet = h264_clip.rtp(payload, sequence, 9_000 + number * 3_600, place == len(parts) - 1)
                    out += h264_clip.interleaved(packet)
                    sequence += 1
                if number % 4 == 0:
                    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 0x1234ABCD, 3_990_000_000, 5, 9_000, 1, 1)
                    out += h264_clip.interleaved(report, 1) + h264_clip.interleaved(b"audio" * 9, 2)
            save(target, f"encoder-{seed}", packets_of(out, 12_000))


def readings() -> None:
    packs = {
        "simulated-alarm": senml("S-0", NOW, alarm=True, alarm_id="A-17"),
        "simulated-value": senml("S-1", NOW, value=71.5, unit="Cel"),
        # RFC 8428, 5.1.1 to 5.1.3
        "rfc-single": b'[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]',
        "rfc-multiple": (
            b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":10,"n":"voltage","u":"V",'
            b'"v":120.1},{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3}]'
        ),
        "pack": (
            b'[{"bn":"urn:gw:","bt":1794999999,"bv":20,"n":"S-1/value","u":"Cel","v":3,"ut":60},{"n":"S-3","v":4,"t":-2},'
            b'{"n":"S-0:alarm","vb":true},{"n":"S-0:alarm_id","vs":"x"},{"n":"S-0:battery_low","vb":true},'
            b'{"n":"S-0:tamper","v":0},{"n":"d","vd":"aGkgCg","s":5}]'
        ),
    }
    for name, pack in packs.items():
        save("senml", name, pack)
    plain = {
        "alarm": {"value": 1, "time": NOW / SECOND, "alarm_id": "A-17"},
        "heat": {"value": 71.5, "unit": "Cel", "time": "2026-11-18T15:06:40+08:00", "battery_low": True},
        "sentinel": {"value": -999, "unit": "Cel"},
        "vendor": {"dev": {"id": "S-3"}, "ts": NOW // 10**6, "data": [{"val": "5.5", "u": "ppm", "a/b": 9}]},
    }
    for name, document in plain.items():
        save("json", name, json.dumps(document).encode())


async def broker_packets(folder: Path) -> None:
    """What Mosquitto sends a subscriber, in both versions."""
    for name, level, properties in (("mqtt-3.1.1", 4, b""), ("mqtt-5", 5, b"\x00")):
        async with mosquitto(folder) as port, Publisher(port) as device:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = b"\x00\x04MQTT" + bytes((level, 2, 0, 30)) + properties + b"\x00\x04fuzz"
            writer.write(bytes((0x10, len(body))) + body)
            said = await reader.read(100)
            body = b"\x00\x01" + properties + b"\x00\x09sensors/#\x01"
            writer.write(bytes((0x82, len(body))) + body)
            said += await reader.read(100)
            for payload in (b'{"value": 1}', bytes(300), b""):
                await device.publish("sensors/S-0/json", payload)
                said += await reader.read(1000)
            writer.write(b"\xc0\x00")
            said += await reader.read(100)
            writer.close()
            # The target reads inputs of odd length as MQTT 5.
            save("mqtt", name, said if len(said) % 2 == level - 4 else said[:-1])


def reports() -> dict[str, msgspec.Struct]:
    """What a process says of the last minute, and of a storm."""
    coverage = CoverageReport(
        id="coverage-1",
        site="1",
        service="ingest-cameras",
        instance="ingest-0",
        stage=CoverageStage.RECEIVED,
        at=NOW,
        started_at=NOW,
        window_s=60.0,
        cameras=(CameraMinute("S-1", 30, 1), CameraMinute("S-2", 0, None, 80)),
    )
    storm = StormReport(
        id="storm-1",
        site="1",
        instance="ingest-0",
        began_at=NOW,
        at=NOW,
        cameras=30,
        away=2,
        places=(("wvp-1", 30),),
        places_away=(("wvp-1", 2),),
        reasons=(("closed", 30),),
    )
    return {"coverage": coverage, "storm": storm}


def catalogues() -> None:
    _, whole = smoke_county(6)
    catalogue = msgspec.structs.replace(whole, cameras=whole.cameras[:5])
    save("catalogue", "link", wire.encode(catalogue))
    change = SourceChange(
        id="src-1",
        site="1",
        source_id="S-1",
        kind=SourceKind.SENSOR,
        state=SourceState.STALE,
        at=NOW,
        reason="stale",
    )
    save("catalogue", "source-change", wire.encode(change))
    for name, report in reports().items():
        save("catalogue", name, wire.encode(report))
    for target, files in (("csv", spreadsheets()), ("grants", grants()), ("xml", messages())):
        for name, data in files.items():
            save(target, name, data)


async def main() -> None:
    await rtsp_sessions()
    streams()
    readings()
    with tempfile.TemporaryDirectory() as folder:
        await broker_packets(Path(folder))
    catalogues()
    for name, data in (await platform_answers()).items():
        save("wvp", name, data)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
