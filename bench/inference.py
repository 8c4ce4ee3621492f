"""What a picture costs: pictures per second of one core through decode, scale, detect and postprocess.

    python -m bench.inference [--kinds 50] [--pictures 4] [--rounds 3] [--json]

Key pictures of fifty kinds of camera (H.264 and H.265, 352x288 to 2304x1296, each with parameter sets of its own)
go through the decoding child, letterbox, network and suppression as in the service. Beside it, in turns in the
same run, a bare loop of PyAV and ONNX Runtime over the same pictures. CPU time of all processes is counted, so
that the figures are those of one core however many there are. Then the milliseconds of each stage, medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.progress import Progress

from bench.load.usage import usage
from bench.seeing.bare import BareLoop
from bench.seeing.corpus import Kind, key_pictures, kinds
from contracts.frame import Frame
from contracts.instant import SECOND, Instant
from contracts.place import Place, Zone, ZoneKind
from contracts.source import Camera
from inference.access_unit import Status, decode_access_unit
from inference.config import InferenceConfig
from inference.decode import Decoded, Decoder
from inference.detector import Detector
from inference.evidence import EvidenceStore
from inference.families import FAMILIES
from inference.picture import Bgr, Picture
from inference.postprocess import suppress
from inference.preprocess import Preprocessor
from inference.registry import Model, load_model
from inference.watch import Observer
from runtime.clock import SystemClock
from runtime.metrics import StageCounters

CLOCK = SystemClock()
MODEL = Path(__file__).resolve().parents[1] / "models" / "county-nano"
CONFIG = InferenceConfig()
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Corpus:
    """The pictures as they arrive, and decoded as the service keeps them."""

    kinds: list[Kind]
    frames: list[Frame]
    pictures: list[Bgr]


def corpus(kinds_count: int, pictures: int) -> Corpus:
    """Encode all kinds; their pictures stand in an order in which no camera follows itself."""
    chosen = kinds(kinds_count)
    with Progress() as progress:
        streams = [
            list(key_pictures(kind, pictures))
            for kind in progress.track(chosen, description="编码 (encoding the pictures)")
        ]
    frames = [stream[number] for number in range(pictures) for stream in streams]
    decoded = []
    for frame in frames:
        status, bgr = decode_access_unit(frame.header.codec, frame.data, CONFIG.picture_pixels_max)
        assert status is Status.OK
        assert bgr is not None
        decoded.append(bgr)
    return Corpus(chosen, frames, decoded)


def median_ms(call: Callable[[], object], times: int) -> float:
    """Milliseconds of wall time, median of `times` calls."""
    took = []
    for _ in range(times):
        began = CLOCK.monotonic_ns()
        call()
        took.append((CLOCK.monotonic_ns() - began) / 1e6)
    return statistics.median(took)


def cpu_s(call: Callable[[], object]) -> float:
    """CPU seconds of this process and its children."""
    before = usage(os.getpid()).cpu_s
    call()
    return usage(os.getpid()).cpu_s - before


def measure_whole(found: Corpus, model: Model, rounds: int) -> dict[str, float]:
    """Pictures per second of one core, ours and bare, in turns."""
    detector = Detector(model, floor=CONFIG.evidence.floor)
    decoder = Decoder(
        slots=2 * CONFIG.pull_max,
        pixels_max=CONFIG.picture_pixels_max,
        access_unit_max=CONFIG.access_unit_max_kb * 1024,
        timeout_s=CONFIG.decode_timeout_s,
    )
    bare = BareLoop(model)
    rectangles = [detector.rectangle_for(bgr) for bgr in found.pictures]

    def ours() -> None:
        for start in range(0, len(found.frames), CONFIG.pull_max):
            fates = decoder.decode(found.frames[start : start + CONFIG.pull_max])
            decoded = [fate for fate in fates if isinstance(fate, Decoded)]
            assert len(decoded) == len(fates)
            for each in decoded:
                detector.detect([each.picture.bgr])
                decoder.release(each.slot)

    own, least = [], []
    try:
        ours()
        bare.run(found.frames, rectangles)
        with Progress() as progress:
            for _ in progress.track(range(rounds), description="测量 (measuring, in turns)"):
                own.append(cpu_s(ours))
                least.append(cpu_s(lambda: bare.run(found.frames, rectangles)))
    finally:
        decoder.close()
    per_s = len(found.frames) / statistics.median(own)
    bare_per_s = len(found.frames) / statistics.median(least)
    return {
        "pictures_per_s": round(per_s, 1),
        "bare_pictures_per_s": round(bare_per_s, 1),
        "ratio": round(per_s / bare_per_s, 3),
    }


def measure_decode(frames: Sequence[Frame], ms: dict[str, float]) -> None:
    """Through the child, one by one, and bare."""
    decoder = Decoder(slots=8, pixels_max=CONFIG.picture_pixels_max, access_unit_max=4_000_000, timeout_s=10.0)

    def decode(some: Sequence[Frame]) -> None:
        for outcome in decoder.decode(some):
            assert isinstance(outcome, Decoded)
            decoder.release(outcome.slot)

    try:
        decode(frames[:1])
        turn = iter(frames)
        ms["decode"] = median_ms(lambda: decode([next(turn)]), len(frames))
    finally:
        decoder.close()
    again = iter(frames)

    def alone() -> None:
        frame = next(again)
        decode_access_unit(frame.header.codec, frame.data, CONFIG.picture_pixels_max)

    ms["decode_without_child"] = median_ms(alone, len(frames))


def measure_detect(pictures: Sequence[Bgr], model: Model, ms: dict[str, float]) -> None:
    """Letterbox, network and postprocess apart, per picture; the network at several batch sizes too."""
    wide = [bgr for bgr in pictures if bgr.shape[1] * 9 == bgr.shape[0] * 16]
    detector = Detector(model, floor=CONFIG.evidence.floor)
    size = detector.rectangle_for(wide[0])
    head = FAMILIES[model.toml.family](model, size)
    floors = np.minimum(model.thresholds, np.float32(CONFIG.evidence.floor))
    filler = Preprocessor(model.toml, size, 8)
    turn = iter(wide)
    ms["scale"] = median_ms(lambda: filler.fill([next(turn)]), len(wide))
    answers = [detector.session.run(filler.fill([each])[0].copy())[0] for each in wide]
    answer = iter(answers)
    ms["postprocess"] = median_ms(lambda: suppress(head(next(answer), floors), model.toml.nms.iou), len(wide))
    for batch in (1, 2, 4, 8):
        filled, _ = filler.fill(list(wide[:batch]))
        name = "network" if batch == 1 else f"network_in_batches_of_{batch}"
        ms[name] = median_ms(lambda: detector.session.run(filled), max(8, len(wide) // batch)) / batch  # noqa: B023


def measure_watch(found: Corpus, model: Model, ms: dict[str, float]) -> None:
    """Zones, counting, standing vehicles, fire, blindness, and evidence, per picture."""
    detector = Detector(model, floor=CONFIG.evidence.floor)
    zones = tuple(Zone(str(kind), "", kind, WHOLE, 100.0) for kind in (ZoneKind.STANDING, ZoneKind.LANE))
    cameras = {frame.header.source_id for frame in found.frames}
    with tempfile.TemporaryDirectory() as folder:
        observer = Observer(
            site="bench",
            exercise=True,
            config=CONFIG,
            model=model,
            evidence=EvidenceStore(Path(folder), CONFIG.evidence),
            counters=StageCounters("bench"),
            second=detector.second_look(CONFIG.fire.second_look),
        )
        observer.cameras([Camera(id=each, name="", place=Place(0, 0), owner="", zones=zones) for each in cameras])
        looks = []
        for frame, bgr in zip(found.frames, found.pictures, strict=True):
            at = frame.header.event_time
            looks.append((Picture(frame.header.source_id, bgr, at, at, 0), detector.detect([bgr])[0], at))
        first = len(found.kinds)
        turn = iter(looks[:first])
        ms["analytics_with_evidence"] = median_ms(lambda: observer.look(*next(turn)), first)
        later = iter(
            [
                (Picture(p.source_id, p.bgr, Instant(at + n * SECOND), at), f, at)
                for n in (1, 2, 3)
                for p, f, at in looks[:first]
            ]
        )
        ms["analytics"] = median_ms(lambda: observer.look(*next(later)), 3 * first)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", type=int, default=50, help="摄像机种类 (kinds of camera)")
    parser.add_argument("--pictures", type=int, default=4, help="每种画面数 (pictures of each)")
    parser.add_argument("--rounds", type=int, default=3, help="轮数 (rounds of ours and bare)")
    parser.add_argument("--json", action="store_true", help="末行为一个 JSON 对象 (last line one JSON object)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    model = load_model(MODEL)
    found = corpus(max(4, arguments.kinds), max(2, arguments.pictures))
    whole = measure_whole(found, model, max(1, arguments.rounds))
    ms: dict[str, float] = {}
    measure_decode(found.frames, ms)
    measure_detect(found.pictures, model, ms)
    measure_watch(found, model, ms)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    sizes = sorted({(kind.width, kind.height) for kind in found.kinds})
    print(
        f"{machine}; {model.tag}; {len(found.frames)} 帧 (pictures), {len(found.kinds)} 种摄像机 (kinds), "
        f"{sizes[0][0]}x{sizes[0][1]} - {sizes[-1][0]}x{sizes[-1][1]}"
    )
    print(
        f"每核每秒 (pictures per second and core): {whole['pictures_per_s']:.1f}; "
        f"裸循环 (bare loop): {whole['bare_pictures_per_s']:.1f}; 比 (ratio): {whole['ratio']:.3f}"
    )
    for name, value in ms.items():
        print(f"  {name:28} {value:7.2f} ms")
    if arguments.json:
        rounded = {name: round(value, 3) for name, value in ms.items()}
        about = {"model": model.tag, "kinds": len(found.kinds), "pictures": len(found.frames), "machine": machine}
        print(json.dumps(whole | {"ms": rounded} | about, ensure_ascii=False))


if __name__ == "__main__":
    main()
