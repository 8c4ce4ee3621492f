"""The kept inputs and some thousands of mutated ones for every parser; the million is `make soak`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from contracts.errors import MalformedMessage
from runtime.log import configure_log
from tests.fuzz.campaign import CORPUS, Report, Target, attempt, campaign
from tests.fuzz.mutate import SIZE_MAX, Mutator
from tests.fuzz.targets import all_targets
from tests.fuzz.watched import watched

FAST = 3_000
MILLION = 1_000_000
NAMES = ["rtsp", "sdp", "rtp", "rtp265", "senml", "json", "mqtt", "catalogue", "csv", "grants", "xml", "wvp"]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of refusals need not be logged here; what logs of other tests look like is left as it was."""
    before = structlog.get_config()
    configure_log("fuzz", "error")
    yield
    structlog.configure(**before)


async def target_of(name: str) -> Target:
    return next(target for target in all_targets() if target.name == name)


async def test_every_target_is_in_the_list_and_has_real_inputs() -> None:
    targets = all_targets()
    assert [target.name for target in targets] == NAMES
    assert {folder.name for folder in CORPUS.iterdir()} == set(NAMES)
    for target in targets:
        assert target.corpus(), target.name


@pytest.mark.parametrize("name", NAMES)
async def test_kept_inputs_are_read_or_refused(name: str) -> None:
    target, report = await target_of(name), Report(name)
    for file, data in target.corpus():
        attempt(target, data, report)
        assert not report.failures, f"{file}: {report.failures}"
    assert report.refused < report.inputs, (
        "most of the corpus must be good input, or the mutations start from noise"
    )


@pytest.mark.parametrize("name", NAMES)
async def test_mutated_inputs_are_read_or_refused_within_bounds(name: str) -> None:
    report = campaign(await target_of(name), FAST, seed=20_261_126)
    assert report.failures == []
    assert report.inputs == FAST
    assert report.kept_bytes <= (await target_of(name)).kept_max


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
async def test_a_million_mutated_inputs_are_read_or_refused_within_bounds(name: str) -> None:
    report = watched(await target_of(name), MILLION, seed=1)
    print(report.line())
    assert report.failures == []
    assert report.inputs == MILLION


def test_same_seed_gives_the_same_inputs_and_another_one_others() -> None:
    corpus, words = [b"abc" * 50, b'{"value": 12}'], [b"word"]
    first, second, other = (Mutator(corpus, words, seed) for seed in (1, 1, 2))
    ours = [first.next() for _ in range(500)]
    assert ours == [second.next() for _ in range(500)]
    assert ours != [other.next() for _ in range(500)]
    assert len(set(ours)) > 450
    assert max(map(len, ours)) <= SIZE_MAX


def test_defect_hang_and_hoard_are_found_and_a_declared_refusal_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    hoard = bytearray()

    def run(data: bytes) -> None:
        if data[:1] == b"{":
            raise MalformedMessage("declared")
        hoard.extend(data)
        if b"\xff" in data:
            raise KeyError("defect")

    target = Target("json", run, refuses=(MalformedMessage,), kept=lambda: len(hoard), kept_max=200)
    report = Report("json")
    for data in (b"{}", b"fine", b"\xff"):
        attempt(target, data, report)
    assert (report.inputs, report.refused) == (3, 1)
    assert [text.split(" in ")[0] for text, _ in report.failures] == ["KeyError"]
    assert report.failures[0][1] == b"\xff"
    hoarded = campaign(target, 4_000, seed=1)
    assert any("keeps" in text for text, _ in hoarded.failures)

    monkeypatch.setattr("tests.fuzz.campaign.HANG_S", 0.05)

    def hang(data: bytes) -> None:
        while True:
            pass

    hung = campaign(Target("json", hang), 1, seed=1)
    assert [text.split(" in ")[0] for text, _ in hung.failures] == ["Hang"]
