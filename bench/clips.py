"""The clips of the data folder through `reanalyse` and the alert engine: what should be found, and what was.

    python -m bench.clips [--data DIR] [--hours 10] [--out DIR] --json

Thresholds, model and rules as shipped; of crowds and traffic the hold alone is left out, since no clip is as long,
so that what would be a candidate (A1) counts. Nothing is known of the cameras: the whole picture is a zone of
every kind, and 10 m2 of it, so that twenty people are a crowd. Each clip goes through twice: a picture every 0.8
s, as a promoted camera is looked at, and every 2 s, as a quiet one is. Precision and recall by incident type; a
fire under 3 s need not be found, its smoke may be.

False alarms: of everything in the clips outside the events, and of `--hours` simulated camera-hours in which
nothing happens, half of them at night, a picture every 2 s, with the rules as shipped. The page with pictures is
for this machine alone. The last line is one JSON object; the status is 1 when a clip could not be read.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import Progress

from bench.load.program import scratch_folder
from bench.seeing.clip_page import JudgedClip, score_table, write_page
from bench.seeing.clip_truth import JUDGED, ClipTruth, Score, add, judge, read_clips
from bench.seeing.quiet_hours import quiet_hours
from bench.seeing.reanalysed import ROOT, incidents_of, shipped_policy, site_in, whole_picture, without_holds
from contracts.observation import IncidentType
from contracts.place import ZoneKind
from contracts.policy import Policy

KINDS: Final = (ZoneKind.STANDING, ZoneKind.LANE, ZoneKind.FIRE)
SAMPLINGS: Final = {"promoted": 0.8, "quiet": 2.0}
"""Seconds between two looks: of a promoted camera ([inference.promotion] look_s), of any other one with a key
picture every 2 s."""


class TypeScore(msgspec.Struct, frozen=True, kw_only=True):
    """One incident type over all clips, see bench.seeing.clip_truth.Score."""

    events: int
    found: int
    recall: float | None
    right: int
    wrong: int
    precision: float | None
    hours_free: float


class FalseAlarms(msgspec.Struct, frozen=True, kw_only=True):
    """Where nothing happens: simulated camera-hours, with the rules as shipped."""

    hours: float
    pictures: int
    incidents: dict[str, int]
    per_hour: float
    candidates: int
    tickets: int


class ClipsResult(msgspec.Struct, frozen=True, kw_only=True):
    """The figures. `types`: by way of sampling, then by incident type; `negative_clips`: those without an event,
    their hours and the incidents in them, sampled as promoted. `page`: the HTML file."""

    clips: int
    hours: float
    types: dict[str, dict[str, TypeScore]]
    negative_clips: int
    negative_hours: float
    negative_incidents: dict[str, int]
    simulated: FalseAlarms | None
    refused: dict[str, str]
    page: str


def look_at(
    clips: Sequence[ClipTruth], data: Path, policy: Policy, folder: Path, every_s: float, progress: Progress
) -> list[JudgedClip]:
    """Re-analyse and judge every clip."""
    site, judged = site_in(folder), []
    for index, clip in enumerate(progress.track(clips, description=f"片段 (clips), {every_s:g} s")):
        camera = whole_picture(clip.file, index, KINDS)
        out = folder / f"{every_s:g}" / str(index)
        seen = incidents_of(data / clip.file, camera, site, policy, out, every_s=every_s, evidence=True)
        judged.append(JudgedClip(clip, seen, tuple(judge(clip, seen.found, type_) for type_ in JUDGED)))
    return judged


def scores_of(judged: Sequence[JudgedClip]) -> dict[IncidentType, Score]:
    """Summed over the clips."""
    scores = {type_: Score() for type_ in JUDGED}
    for each in judged:
        for verdict in each.verdicts:
            add(scores[verdict.type], verdict)
    return scores


def measure(data: Path, out: Path, hours: float, folder: Path, *, console: Console) -> ClipsResult:
    """Everything. Raises OSError when the data folder has no clips.json, ModelRefused."""
    clips = read_clips(data)
    rules = shipped_policy(site_in(folder))
    parts = {}
    with Progress(console=console) as progress:
        for name, every_s in SAMPLINGS.items():
            judged = look_at(clips, data, without_holds(rules), folder, every_s, progress)
            parts[f"{name}: {every_s:g} s"] = (scores_of(judged), judged)
        quiet = quiet_hours(hours, rules, folder, progress) if hours > 0 else None
    out.mkdir(parents=True, exist_ok=True)
    page = out / "clips.html"
    write_page(page, parts)
    for title, (scores, judged) in parts.items():
        console.print(f"\n{title}", highlight=False)
        for line in (*score_table(scores), "", *(f"{each.clip.file:<62} {each.line()}" for each in judged)):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    first = next(iter(parts.values()))[1]
    negative = [each for each in first if not each.clip.events]
    simulated = None
    if quiet is not None and quiet.wrong is not None:
        simulated = FalseAlarms(
            hours=round(quiet.hours, 2),
            pictures=quiet.pictures,
            incidents=dict(Counter(type_.value for type_, _, _ in quiet.wrong)),
            per_hour=round(len(quiet.wrong) / quiet.hours, 3) if quiet.hours else 0.0,
            candidates=quiet.candidates,
            tickets=quiet.tickets,
        )
        for type_, seed, night in quiet.wrong:
            console.print(f"误报 (false alarm) {type_}, seed {seed}{', night' if night else ''}", highlight=False)
    return ClipsResult(
        clips=len(clips),
        hours=round(sum(clip.seconds for clip in clips) / 3600, 3),
        types={title.partition(":")[0]: _told(scores) for title, (scores, _) in parts.items()},
        negative_clips=len(negative),
        negative_hours=round(sum(each.clip.seconds for each in negative) / 3600, 4),
        negative_incidents=dict(Counter(found.type.value for each in negative for found in each.seen.found)),
        simulated=simulated,
        refused={name: why for each in first for name, why in each.seen.refused.items()},
        page=str(page),
    )


def _told(scores: dict[IncidentType, Score]) -> dict[str, TypeScore]:
    return {
        type_.value: TypeScore(
            events=score.events,
            found=score.hits,
            recall=score.recall,
            right=score.right,
            wrong=score.wrong,
            precision=score.precision,
            hours_free=round(score.free_h, 4),
        )
        for type_, score in scores.items()
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("GRIDWHISTLE_DATA", ROOT.parent / "shared/data"))
    parser.add_argument("--data", type=Path, default=default, help="数据文件夹 data folder")
    parser.add_argument("--out", type=Path, default=ROOT / "var/bench/clips", help="结果页 folder of the page")
    parser.add_argument("--hours", type=float, default=0.2, help="模拟无事的摄像机小时数 simulated camera-hours")
    parser.add_argument("--json", action="store_true", help="仅末行 JSON the last line alone")
    given = parser.parse_args()
    if not (given.data / "clips.json").exists():
        print(f"{given.data}: 没有 clips.json (absent); 请设 GRIDWHISTLE_DATA 或 --data", file=sys.stderr)
        return 0
    console = Console(stderr=given.json)
    with scratch_folder() as folder:
        result = measure(given.data, given.out, given.hours, folder, console=console)
        shutil.rmtree(folder, ignore_errors=True)
    print(msgspec.json.encode(result).decode())
    return 1 if result.refused else 0


if __name__ == "__main__":
    sys.exit(main())
