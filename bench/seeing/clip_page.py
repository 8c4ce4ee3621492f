"""One page for people: every clip with what happens in it, what was found, and the pictures of the findings.

For eyes on this machine alone: most of the clips may not be passed on. Persons and vehicles are pixelated.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from bench.seeing.clip_truth import JUDGED, ClipTruth, Score, Verdict
from bench.seeing.reanalysed import Reanalysed
from contracts.observation import IncidentType

NAMES: Final[Mapping[IncidentType, str]] = {
    IncidentType.FLAME_SUSPECTED: "明火 fire",
    IncidentType.SMOKE_SUSPECTED: "烟雾 smoke",
    IncidentType.CROWD_DENSITY: "人群 crowd",
    IncidentType.STOPPED_VEHICLE: "停车 stopped vehicle",
    IncidentType.CONGESTION: "拥堵 congestion",
}
_WIDTH = 640
_PICTURES_MAX = 4
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:960px}table{border-collapse:collapse}"
    "td,th{padding:2px 10px;border-bottom:1px solid #ddd;text-align:left}img{height:130px;margin:4px 4px 0 0}"
    ".bad{color:#b00}h3{margin:1.4em 0 .2em}p{margin:.2em 0;color:#555}"
)


@dataclass(frozen=True, slots=True)
class JudgedClip:
    """A clip, what it came to, and the verdict for each type."""

    clip: ClipTruth
    seen: Reanalysed
    verdicts: tuple[Verdict, ...]

    def line(self) -> str:
        """For the text table: what was found, missed and wrong."""
        words = []
        for verdict in self.verdicts:
            name = NAMES[verdict.type].split(" ", 1)[1]
            words += [f"+{name}" for _ in verdict.hits]
            words += [f"-{name} (missed)" for _ in verdict.missed]
            words += [f"!{name} at {each.first_s:g} s (wrong)" for each in verdict.wrong]
        return ", ".join(words) or "nothing, as it should be"


def score_table(scores: Mapping[IncidentType, Score]) -> list[str]:
    """Lines of text, a type each."""
    heads = f"{'events':>6} {'found':>6} {'recall':>7} {'right':>6} {'wrong':>6} {'precision':>9} {'h free':>7}"
    lines = [f"{'':<24} {heads}"]
    for type_ in JUDGED:
        score = scores[type_]
        lines.append(
            f"{NAMES[type_]:<24} {score.events:>6} {score.hits:>6} {_share(score.recall):>7} {score.right:>6} "
            f"{score.wrong:>6} {_share(score.precision):>9} {score.free_h:>7.3f}"
        )
    return lines


def write_page(file: Path, parts: Mapping[str, tuple[Mapping[IncidentType, Score], Sequence[JudgedClip]]]) -> None:
    """`parts`: title of each way of sampling, with its scores and clips."""
    body = ["<!doctype html><meta charset=utf-8><title>clips</title>", f"<style>{_STYLE}</style>"]
    for title, (scores, clips) in parts.items():
        body += [f"<h1>{escape(title)}</h1>", *_table(scores)]
        for judged in clips:
            body += _clip(judged)
    file.write_text("\n".join(body), encoding="utf-8")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(scores: Mapping[IncidentType, Score]) -> Iterable[str]:
    yield "<table><tr><th><th>events<th>found<th>recall<th>right<th>wrong<th>precision<th>hours free of it</tr>"
    for type_ in JUDGED:
        score = scores[type_]
        cells = [score.events, score.hits, _share(score.recall), score.right, score.wrong]
        yield f"<tr><th>{NAMES[type_]}" + "".join(
            f"<td>{cell}" for cell in [*cells, _share(score.precision), f"{score.free_h:.3f}"]
        )
    yield "</table>"


def _clip(judged: JudgedClip) -> Iterable[str]:
    clip, bad = judged.clip, any(each.missed or each.wrong for each in judged.verdicts)
    yield f"<h3{' class=bad' if bad else ''}>{escape(clip.file)}, {clip.seconds:g} s</h3>"
    yield f"<p>{escape(clip.description)}</p><p>{escape(judged.line())}</p>"
    yield from _timeline(judged)
    for picture in judged.seen.evidence[:_PICTURES_MAX]:
        if picture.is_file():
            yield f"<img src='data:image/jpeg;base64,{base64.b64encode(picture.read_bytes()).decode()}'>"


def _timeline(judged: JudgedClip) -> Iterable[str]:
    """What happens in grey; what was found in blue, wrong ones in red; a line each."""
    rows: list[tuple[str, float, float, str]] = [
        (event.type, event.start, event.end, "#bbb") for event in judged.clip.events
    ]
    wrong = [each for verdict in judged.verdicts for each in verdict.wrong]
    rows += [
        (each.type.value, each.first_s, each.last_s, "#b00" if each in wrong else "#06c")
        for each in judged.seen.found
    ]
    if not rows:
        return
    scale = _WIDTH / max(judged.clip.seconds, 0.1)
    yield f"<svg width={_WIDTH + 200} height={len(rows) * 16 + 4}>"
    for number, (name, begin_s, end_s, colour) in enumerate(rows):
        width = max((end_s - begin_s) * scale, 3)
        yield f"<rect x={begin_s * scale:.0f} y={number * 16 + 3} width={width:.0f} height=10 fill='{colour}'/>"
        yield f"<text x={_WIDTH + 8} y={number * 16 + 13} font-size=12>{escape(name)}</text>"
    yield "</svg>"
