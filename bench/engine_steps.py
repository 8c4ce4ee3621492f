"""Observations per second of the alert engine on one core: `python -m bench.engine_steps [--cameras N] [--json]`.

The mix of a county: every camera sends crowd samples of one zone twice a second, nearly all of a quiet square;
some squares fill up and empty again, some samples come twice or late, and single-shot smoke alarms arrive. Batches
hold 100 observations, as the shell's do. What is timed is `Engine.step` alone; the stream is made beforehand.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import time
import tomllib
from collections import Counter
from pathlib import Path

from alerts.core.batch import Batch
from alerts.core.engine import Engine
from alerts.core.policy import parse
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase, observation_id
from contracts.place import Place
from contracts.source import SourceKind

BATCH = 100
T0 = Instant(1_790_000_000 * SECOND)
POLICY = Path(__file__).resolve().parents[1] / "alerts" / "policy" / "default.toml"
DETAIL = (("zone_kind", "standing"), ("area_m2", "200"))


def sample(camera: int, at: Instant, arrival: Instant, density: float) -> Observation:
    """One crowd sample; cameras stand 200 m apart on a square."""
    place = Place(105.0 + camera % 60 * 0.0023, 38.0 + camera // 60 * 0.0018, "152921001001001", f"z{camera}")
    source = f"1529210000132{camera:07d}"
    return Observation(
        id=observation_id("bench", IncidentType.CROWD_DENSITY, Phase.SAMPLE, source, place.zone_id, at),
        site="bench",
        type=IncidentType.CROWD_DENSITY,
        phase=Phase.SAMPLE,
        source_id=source,
        source_kind=SourceKind.CAMERA,
        event_time=at,
        arrival_time=arrival,
        place=place,
        confidence=0.9,
        count=int(density * 200),
        density=density,
        detail=DETAIL,
    )


def alarm(number: int, at: Instant) -> Observation:
    """One smoke alarm of one of 700 detectors."""
    detector = number % 700
    place = Place(105.5 + detector % 30 * 0.005, 38.5 + detector // 30 * 0.005, "152921001001002")
    source, external = f"S-{detector}", f"a-{number}"
    type_ = IncidentType.SMOKE_SENSOR
    return Observation(
        id=observation_id("bench", type_, Phase.ACTIVE, source, None, at, external),
        site="bench",
        type=type_,
        phase=Phase.ACTIVE,
        source_id=source,
        source_kind=SourceKind.SENSOR,
        event_time=at,
        arrival_time=at,
        place=place,
        confidence=1.0,
        external_id=external,
    )


def stream(cameras: int, seconds: int, seed: int) -> list[tuple[Batch, Instant]]:
    """`seconds` of the county in batches: 2 % late by up to 4 s, 1 % twice, one camera in 12 at a crowd."""
    chance = random.Random(seed)
    arrivals: list[tuple[Instant, int, Observation]] = []
    for tick in range(seconds * 2):
        for camera in range(cameras):
            at = Instant(T0 + tick * SECOND // 2 + camera * SECOND // (2 * cameras))
            delay_s = chance.uniform(2.0, 4.0) if chance.random() < 0.02 else chance.uniform(0.05, 0.5)
            arrival = Instant(at + int(delay_s * SECOND))
            crowded = camera % 12 == 0 and tick > seconds // 4
            density = chance.uniform(2.9, 3.4) if crowded else chance.uniform(0.0, 0.8)
            said = sample(camera, at, arrival, density)
            arrivals.append((arrival, len(arrivals), said))
            if chance.random() < 0.01:
                arrivals.append((Instant(arrival + SECOND // 5), len(arrivals), said))
        arrivals.append(
            (Instant(T0 + tick * SECOND // 2), len(arrivals), alarm(tick, Instant(T0 + tick * SECOND // 2)))
        )
    arrivals.sort(key=lambda arrival: arrival[:2])
    batches = [arrivals[first : first + BATCH] for first in range(0, len(arrivals), BATCH)]
    return [(Batch(tuple(item[2] for item in batch)), batch[-1][0]) for batch in batches]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=3700)
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    steps = stream(asked.cameras, asked.seconds, asked.seed)
    with POLICY.open("rb") as file:
        engine = Engine("bench", "152921", parse(tomllib.load(file)))
    total = sum(len(batch.observations) for batch, _ in steps)
    effects: Counter[str] = Counter()
    gc.collect()
    gc.freeze()
    slowest_ns = spent_ns = 0
    for batch, now in steps:
        began_ns = time.process_time_ns()
        said = engine.step(batch, now)
        took_ns = time.process_time_ns() - began_ns
        spent_ns += took_ns
        slowest_ns = max(slowest_ns, took_ns)
        effects.update(type(effect).__name__ for effect in said)
    began_ns = time.process_time_ns()
    snapshot = engine.snapshot()
    snapshot_ns = time.process_time_ns() - began_ns
    result = {
        "cameras": asked.cameras,
        "observations": total,
        "observations_per_s": round(total * SECOND / spent_ns),
        "us_per_observation": round(spent_ns / total / 1000, 2),
        "slowest_step_ms": round(slowest_ns / 1e6, 2),
        "incidents": len(engine.state.incidents),
        "snapshot_mb": round(len(snapshot) / 1e6, 2),
        "snapshot_ms": round(snapshot_ns / 1e6, 1),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "effects": dict(effects),
        "counters": engine.counters(),
    }
    if asked.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:22} {value}")


if __name__ == "__main__":
    main()
