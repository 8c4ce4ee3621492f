"""Nothing happens: how many incidents and candidates do a thousand pictures of nothing give? Wanted: 0.

A recorded empty night street (data folder, evaluation only) at 25 pictures a second, and a thousand rendered
pictures of empty places, day and night, one every two seconds, encoded as a camera would. Both go through
`reanalyse` with the shipped model and thresholds, with every kind of zone, and through the alert engine. Hours of
it, of places with people and vehicles too: bench.clips --hours.

    python bench/false_alarms.py [data folder]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import av

from alerts.config import AlertsConfig
from alerts.core.engine import Engine
from alerts.given import load_policy, policy_file_of
from alerts.replay import Outcome, drive
from bench.seeing.quiet_hours import render_quiet
from contracts.instant import Instant
from contracts.place import ZoneKind
from inference.config import InferenceConfig
from inference.reanalyse import reanalyse
from runtime.site import PathsConfig, Site, SiteConfig
from sim.scenes import SceneKind, make_scene

ROOT = Path(__file__).resolve().parents[1]
KINDS = (ZoneKind.STANDING, ZoneKind.LANE, ZoneKind.FIRE)
STREET = "evaluation_only/videos/negative/sachith_cctv.mp4"


def cut(source: Path, target: Path, begin_s: float, pictures: int) -> None:
    """`pictures` pictures of a recording from `begin_s` on, without the picture before the cut."""
    with av.open(source) as read, av.open(target, "w") as written:
        stream = written.add_stream("libx264", rate=read.streams.video[0].average_rate)
        context = read.streams.video[0].codec_context
        stream.width, stream.height, stream.pix_fmt = context.width, context.height, "yuv420p"
        stream.codec_context.options = {"g": "1", "crf": "18", "preset": "veryfast"}
        taken = 0
        for frame in read.decode(video=0):
            if frame.time < begin_s or taken == pictures:
                continue
            taken += 1
            picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="bgr24"), format="bgr24")
            written.mux(stream.encode(picture))
        written.mux(stream.encode(None))


def look(name: str, clips: list[Path], every_s: float, folder: Path, kinds: tuple[ZoneKind, ...]) -> int:
    """Re-analyse clips and print what came of them; the number of incidents."""
    site = Site(SiteConfig(id="152921"), PathsConfig(state=str(folder / "var"), models=str(ROOT / "models")), ROOT)
    report = reanalyse(
        clips,
        site=site,
        config=InferenceConfig(),
        out=folder / "out",
        start=Instant(1_790_000_000_000_000_000),
        every_s=every_s,
        kinds=kinds,
        keep_evidence=False,
    )
    engine = Engine(site.id, site.county, load_policy(policy_file_of(site, AlertsConfig())))
    outcome = Outcome()
    for effects in drive(engine, report.records()):
        outcome.take(effects)
    incidents = [each for each in outcome.incidents.values() if not each.operations]
    print(
        f"{name:<28} pictures {report.pictures:5d}  observations {report.observations:5d}  "
        f"candidates {engine.counters().get('candidates', 0)}  incidents {len(incidents)}  "
        f"of operations {len(outcome.incidents) - len(incidents)}  tickets {len(outcome.tickets)}  "
        f"{' '.join(sorted({str(each.type) for each in outcome.incidents.values()}))}"
    )
    return len(incidents)


def main() -> int:
    """Print both; 1 when there was an incident."""
    data = Path(
        sys.argv[1] if len(sys.argv) > 1 else os.environ.get("GRIDWHISTLE_DATA", ROOT.parent / "shared/data")
    )
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    incidents = 0
    try:
        clips = []
        for seed in range(5):
            for night in (False, True):
                clip = folder / f"empty-{seed}-{'night' if night else 'day'}.mp4"
                render_quiet(clip, make_scene(SceneKind.EMPTY, 100 + seed, night=night), 100)
                clips.append(clip)
        incidents += look("rendered empty places", clips, 0.0, folder, KINDS)
        street = data / STREET
        if street.exists():
            clip = folder / "street.mp4"
            cut(street, clip, 0.6, 1000)
            incidents += look("recorded empty night street", [clip], 0.0, folder, KINDS)
        else:
            print(f"{street} is absent; set GRIDWHISTLE_DATA")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if incidents else 0


if __name__ == "__main__":
    sys.exit(main())
