"""What a picture costs: milliseconds of one core for decode, preprocess, detect, postprocess and analytics.

    python -m bench.inference_pictures [--pictures N] [--json]

Pictures are rendered scenes of the simulated county, encoded as key pictures and decoded through the real child
process. Medians; the bare decode is the same call without child and shared memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from contracts.frame import Codec, Frame, FrameHeader
from contracts.instant import SECOND, Instant
from contracts.place import Place, Zone, ZoneKind
from contracts.source import Camera
from inference.access_unit import decode_access_unit
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
from sim.encode import Encoder
from sim.scenes import SceneKind, make_scene

CLOCK = SystemClock()
MODEL = Path(__file__).resolve().parents[1] / "models" / "county-nano"
START = Instant(1_700_000_000 * SECOND)
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def median_ms(call: Callable[[], object], times: int) -> float:
    """Milliseconds of wall time, median of `times` calls."""
    took = []
    for _ in range(times):
        began = CLOCK.monotonic_ns()
        call()
        took.append((CLOCK.monotonic_ns() - began) / 1e6)
    return statistics.median(took)


def rendered(count: int) -> list[Bgr]:
    """Scenes of a county's cameras: a filling square, a road, a yard; 640x360."""
    kinds = (SceneKind.SQUARE_FILLING, SceneKind.VEHICLE_STOPPING, SceneKind.FIRE_STARTING, SceneKind.QUIET)
    scenes = [make_scene(kind, 11, night=night) for kind in kinds for night in (False, True)]
    return [scenes[n % len(scenes)].render(70.0 + n)[0] for n in range(count)]


def encoded(pictures: list[Bgr]) -> list[Frame]:
    """Each as a key picture of its own camera."""
    frames = []
    for index, bgr in enumerate(pictures):
        unit = Encoder(bgr.shape[1], bgr.shape[0], 25.0, 2.0).encode(bgr, 0.0)
        assert unit is not None
        moment = Instant(START + index * SECOND)
        header = FrameHeader(
            source_id=str(index),
            sequence=1,
            event_time=moment,
            arrival_time=moment,
            codec=Codec.H264,
            size=len(unit[0]),
        )
        frames.append(Frame(header=header, data=unit[0]))
    return frames


def measure_decode(frames: list[Frame], results: dict[str, float]) -> None:
    """Through the child, one by one and four at a time, and bare."""
    config = InferenceConfig()
    decoder = Decoder(slots=8, pixels_max=config.picture_pixels_max, access_unit_max=4_000_000, timeout_s=10.0)

    def decode(some: list[Frame]) -> None:
        for outcome in decoder.decode(some):
            assert isinstance(outcome, Decoded)
            decoder.release(outcome.slot)

    try:
        decode(frames[:1])
        turn = iter(range(10**9))
        results["decode_child_1"] = median_ms(lambda: decode([frames[next(turn) % len(frames)]]), len(frames))
        results["decode_child_4"] = median_ms(lambda: decode(frames[:4]), len(frames) // 4) / 4
    finally:
        decoder.close()
    bare = iter(frames * 2)
    results["decode_bare"] = median_ms(
        lambda: decode_access_unit(Codec.H264, next(bare).data, config.picture_pixels_max), len(frames)
    )


def measure_detect(pictures: list[Bgr], model: Model, results: dict[str, float]) -> None:
    """Letterbox, network and postprocess apart, per picture, at several batch sizes."""
    size = Detector(model, floor=0.05).rectangle_for(pictures[0])
    head = FAMILIES[model.toml.family](model, size)
    floors = np.minimum(model.thresholds, np.float32(0.05))
    for batch in (1, 2, 4, 8):
        detector = Detector(model, floor=0.05, batch_max=batch)
        filler = Preprocessor(model.toml, size, batch)
        some = pictures[:batch]
        filled, _ = filler.fill(some)
        rounds = max(10, len(pictures) // batch)
        if batch == 1:
            results["preprocess"] = median_ms(lambda: filler.fill(some), rounds)  # noqa: B023
            raws = [detector.session.run(filler.fill([each])[0].copy())[0] for each in pictures]
            turn = iter(raws * 2)
            results["postprocess"] = median_ms(
                lambda: suppress(head(next(turn), floors), model.toml.nms.iou),  # noqa: B023
                len(raws),
            )
        results[f"network_batch_{batch}"] = median_ms(lambda: detector.session.run(filled), rounds) / batch  # noqa: B023
        results[f"detect_batch_{batch}"] = median_ms(lambda: detector.detect(some), rounds) / batch  # noqa: B023


def measure_watch(frames: list[Frame], pictures: list[Bgr], model: Model, results: dict[str, float]) -> None:
    """Zones, counting, standing vehicles, fire and evidence, per picture."""
    config = InferenceConfig()
    detector = Detector(model, floor=config.evidence.floor)
    zones = tuple(Zone(str(kind), "", kind, WHOLE, 100.0) for kind in (ZoneKind.STANDING, ZoneKind.LANE))
    with tempfile.TemporaryDirectory() as folder:
        evidence = EvidenceStore(Path(folder), config.evidence)
        observer = Observer(
            site="bench",
            exercise=True,
            config=config,
            model=model,
            evidence=evidence,
            counters=StageCounters("bench"),
        )
        observer.cameras(
            [Camera(id=f.header.source_id, name="", place=Place(0, 0), owner="", zones=zones) for f in frames]
        )
        looks = []
        for frame, bgr in zip(frames, pictures, strict=True):
            at = frame.header.event_time
            picture = Picture(frame.header.source_id, bgr, at, at, frame.header.size)
            looks.append((picture, detector.detect([bgr])[0], at))
        turn = iter(looks)
        results["analytics_with_evidence"] = median_ms(lambda: observer.look(*next(turn)), len(looks))
        later = iter([(Picture(p.source_id, p.bgr, Instant(at + SECOND), at), f, at) for p, f, at in looks])
        results["analytics"] = median_ms(lambda: observer.look(*next(later)), len(looks))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=48, help="at least 16")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    model = load_model(MODEL)
    pictures = rendered(max(16, arguments.pictures))
    frames = encoded(pictures)
    results: dict[str, float] = {}
    measure_decode(frames, results)
    measure_detect(pictures, model, results)
    measure_watch(frames, pictures, model, results)
    whole = results["decode_child_1"] + results["detect_batch_1"] + results["analytics"]
    results["pictures_per_s_of_one_core"] = 1000 / whole
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    if arguments.json:
        print(json.dumps({"machine": machine, "model": model.tag, "pictures": len(pictures), "ms": results}))
        return
    print(f"{machine}; {model.tag}; {len(pictures)} pictures 640x360; ms per picture, medians")
    for name, value in results.items():
        print(f"{name:28} {value:8.2f}")


if __name__ == "__main__":
    main()
