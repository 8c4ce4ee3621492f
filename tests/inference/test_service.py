from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from contracts.errors import ModelRefused
from contracts.observation import IncidentType, Phase
from contracts.place import ZoneKind
from contracts.source import SourceState
from inference.config import InferenceConfig
from inference.service import run
from runtime.site import PathsConfig, Site, SiteConfig
from sim.scenes import SceneKind, make_scene
from tests.inference.county import CAMERA, CLOCK, CONFIG, MODELS, County, child_of_ours, county, until
from tests.inference.pictures import Bgr, camera, catalogue, encode, noisy, textured, zone


@pytest.fixture(scope="module")
def square() -> Bgr:
    picture, _ = make_scene(SceneKind.SQUARE_FILLING, 3).render(90.0)
    return picture


async def test_people_on_a_square_become_samples_with_pixelated_evidence(short_dir: Path, square: Bgr) -> None:
    data = [encode(noisy(square, seed)) for seed in range(4)]
    async with county(short_dir, catalogue(CAMERA)) as made:
        turn = iter(range(10_000))
        await until(
            made,
            lambda: any(o.evidence for o in made.observations) and made.health is not None,
            lambda: made.offer(data[next(turn) % 4]),
        )
    sample = next(o for o in made.observations if o.evidence)
    assert (sample.type, sample.phase) == (IncidentType.CROWD_DENSITY, Phase.SAMPLE)
    assert sample.count is not None
    assert sample.count >= 10
    assert sample.density == pytest.approx(sample.count / 200.0, abs=1e-3)
    assert sample.count_error is not None
    assert sample.count_error > 0
    assert sample.place.grid_code == CAMERA.place.grid_code
    assert sample.place.zone_id == "z1"
    assert sample.model.startswith("county-nano@")
    shown = cv2.imread(str(made.site.evidence_dir / sample.evidence[0].path))
    assert shown is not None
    assert shown.shape[1] <= 640
    assert [change.state for change in made.changes] == [SourceState.LIVE]


async def test_covered_camera_is_blind_then_unknown_then_sees_again(short_dir: Path) -> None:
    grey = np.full((192, 320, 3), 90, np.uint8)
    covered = [encode(noisy(grey, seed)) for seed in range(8)]
    clear = [encode(noisy(textured(), seed)) for seed in range(8)]
    turn = iter(range(10_000))

    def states() -> list[SourceState]:
        return [change.state for change in made.changes]

    async with county(short_dir, catalogue(CAMERA)) as made:
        await until(made, lambda: states() == [SourceState.LIVE], lambda: made.offer(clear[next(turn) % 8]))
        await until(made, lambda: SourceState.BLIND in states(), lambda: made.offer(covered[next(turn) % 8]))
        await until(made, lambda: made.observations[-1].phase is Phase.UNKNOWN)
        await until(
            made,
            lambda: states() == [SourceState.LIVE, SourceState.BLIND, SourceState.LIVE],
            lambda: made.offer(clear[next(turn) % 8]),
        )
    assert made.changes[1].reason == "covered"
    unknown = next(o for o in made.observations if o.phase is Phase.UNKNOWN)
    assert unknown.count is None


async def test_truncated_and_unknown_pictures_are_counted_and_others_go_on(short_dir: Path) -> None:
    good = [encode(noisy(textured(), seed)) for seed in range(4)]
    other = camera(zone(ZoneKind.STANDING), camera_id="15292100001320000002")
    turn = iter(range(10_000))

    def offer_all() -> None:
        data = good[next(turn) % 4]
        made.offer(data[: len(data) // 3], CAMERA.id)
        made.offer(data, other.id)
        made.offer(data, "15292100001320009999")

    def counted_all() -> bool:
        refused = sum(made.counted(f"pictures_refused:{why}") for why in ("corrupt", "undecodable", "no_picture"))
        return refused >= 3 and made.counted("pictures_dropped:unknown_source") >= 3

    async with county(short_dir, catalogue(CAMERA, other)) as made:
        await until(made, counted_all, offer_all)
    blind = [(c.source_id, c.state, c.reason) for c in made.changes]
    assert (CAMERA.id, SourceState.BLIND, "undecodable") in blind
    assert (other.id, SourceState.LIVE, "seeing") in blind
    assert {o.source_id for o in made.observations if o.phase is Phase.SAMPLE} == {other.id}


def noted(pid: int) -> int:
    """The number of the picture that the child decodes now, read from the memory that it shares with us."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if "gridwhistle-pictures" in str(link.readlink()):
                with link.open("rb") as memory:
                    return int.from_bytes(memory.read(4), "little")
    return 0


async def hit_in_a_long_decode(pid: int) -> bool:
    """Crash the child if it has been busy with one picture for a while, as only the guilty camera's make it."""
    with suppress(OSError):
        before = noted(pid)
        await CLOCK.asleep(0.02)
        if before and noted(pid) == before:
            os.kill(pid, signal.SIGSEGV)
            return True
    return False


async def test_camera_whose_pictures_end_the_child_twice_is_quarantined_and_others_go_on(short_dir: Path) -> None:
    """The guilty camera's pictures keep the child busy for long; it is hit while it decodes one of them."""
    noise = np.random.default_rng(3).integers(0, 255, (1440, 2560, 3), dtype=np.uint8)
    guilty, good = encode(noise), [encode(noisy(textured(), seed)) for seed in range(4)]
    other = camera(zone(ZoneKind.STANDING), camera_id="15292100001320000002")
    turn = iter(range(10_000))

    def offer_both() -> None:
        made.offer(guilty, CAMERA.id)
        made.offer(good[next(turn) % 4], other.id)

    def quarantined() -> bool:
        return SourceState.BLIND in [change.state for change in made.changes]

    config = msgspec.structs.replace(CONFIG, access_unit_max_kb=16_384, pull_max=2)
    async with county(short_dir, catalogue(CAMERA, other), config) as made:
        while not quarantined():
            offer_both()
            pid = child_of_ours()
            for _ in range(50):
                if pid is not None and await hit_in_a_long_decode(pid):
                    break
                await CLOCK.asleep(0.005)
        seen = made.counted("pictures_analysed")
        await until(
            made,
            lambda: (
                made.counted("pictures_dropped:quarantined") > 0
                and made.counted("decoder_restarts:crash") >= 2
                and any(o.source_id == other.id for o in made.observations[seen:])
            ),
            offer_both,
        )
    change = next(c for c in made.changes if c.state is SourceState.BLIND)
    assert change.source_id == CAMERA.id
    assert change.reason == "crash"


async def test_starts_from_its_own_copy_when_alerts_is_away(short_dir: Path) -> None:
    data = [encode(noisy(textured(), seed)) for seed in range(4)]
    turn = iter(range(10_000))

    def feed(made: County) -> Callable[[], None]:
        return lambda: made.offer(data[next(turn) % 4])

    async with county(short_dir, catalogue(CAMERA)) as made:
        await until(made, lambda: bool(made.observations), feed(made))
    with suppress(FileNotFoundError):
        (short_dir / "run" / "command.sock").unlink()
    async with county(short_dir, catalogue(), alerts=False) as made:
        await until(made, lambda: bool(made.observations), feed(made))
    assert made.observations[0].source_id == CAMERA.id


async def test_secret_and_forbidden_cameras_are_never_looked_at(short_dir: Path) -> None:

    secret = msgspec.structs.replace(CAMERA, secrecy=True)
    data = encode(textured())
    async with county(short_dir, catalogue(secret)) as made:
        await until(made, lambda: made.counted("pictures_dropped:unknown_source") >= 2, lambda: made.offer(data))
    assert made.observations == []
    assert made.counted("pictures_pulled") == 0


async def test_model_with_a_wrong_hash_stops_the_start(short_dir: Path) -> None:
    folder = short_dir / "models" / "county-nano"
    folder.mkdir(parents=True)
    for name in ("model.toml", "labels.txt", "weights.onnx"):
        (folder / name).write_bytes((MODELS / "county-nano" / name).read_bytes())
    with (folder / "weights.onnx").open("ab") as file:
        file.write(b"\0")
    site = Site(SiteConfig(id="t"), PathsConfig(state="s", models="models"), short_dir)
    with pytest.raises(ModelRefused) as refusal:
        await run(site, InferenceConfig(), CLOCK, asyncio.Event())
    assert refusal.value.reason == "model_hash"
