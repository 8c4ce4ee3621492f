"""A filmstrip as it grows: one picture per part, everybody hidden, and every time without a picture named."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.control import FilmstripRequest
from contracts.errors import StoreFull
from contracts.filmstrip import Filmstrip, FilmstripGap, FilmstripOrigin, FilmstripPicture, FilmstripState
from contracts.instant import SECOND, Instant
from contracts.observation import EvidenceRef, IncidentType
from inference.config import BlindConfig, EvidenceConfig
from inference.evidence import EvidenceStore
from inference.filmstrip import Strip
from tests.inference.pictures import Bgr, at, found, picture, textured

WISH = FilmstripRequest(
    id="strip-1", incident_id="inc-1", source_id="cam", begin=at(0), at=at(30), end=at(60), pictures=20
)
RING, LIVE = FilmstripOrigin.RING, FilmstripOrigin.LIVE


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path, EvidenceConfig(reserve_mb=0))


def add(
    strip: Strip, store: EvidenceStore, second: float, *, bgr: Bgr | None = None, origin: FilmstripOrigin = RING
) -> None:
    shown = textured(seed=round(second * 10)) if bgr is None else bgr
    strip.add(picture(shown, at(second)), found(), origin, store, BlindConfig(), 416)


def seconds(strip: Filmstrip) -> list[float]:
    return [(each.evidence.event_time - at(0)) / SECOND for each in strip.pictures]


def holes(strip: Filmstrip) -> list[tuple[float, float, str]]:
    return [((gap.begin - at(0)) / SECOND, (gap.end - at(0)) / SECOND, gap.reason) for gap in strip.gaps]


def test_key_pictures_every_two_seconds_then_one_per_part_and_no_gap(store: EvidenceStore) -> None:
    strip = Strip(WISH, "t")
    for second in range(0, 61, 2):
        add(strip, store, second, origin=RING if second <= 30 else LIVE)
    told = strip.told(FilmstripState.COMPLETE, at(60))
    assert len(told.pictures) == 20
    assert seconds(told) == sorted(seconds(told))
    assert told.gaps == ()
    assert [each.origin for each in told.pictures] == [RING] * 11 + [LIVE] * 9
    assert (told.begin, told.at, told.end, told.site) == (at(0), at(30), at(60), "t")


def test_past_is_missing_then_its_reason_stands_up_to_the_first_picture(store: EvidenceStore) -> None:
    strip = Strip(WISH, "t")
    strip.miss(at(0), at(31), "no_recording")
    for second in range(32, 61, 2):
        add(strip, store, second, origin=LIVE)
    told = strip.told(FilmstripState.COMPLETE, at(60))
    assert holes(told) == [(0.0, 31.0, "no_recording"), (31.0, 32.0, "no_picture")]


def test_nothing_at_all_then_before_and_after_are_missing_for_their_own_reasons() -> None:
    strip = Strip(WISH, "t")
    strip.miss(at(0), at(31), "unknown_source")
    strip.miss(at(31), at(60), "no_picture")
    told = strip.told(FilmstripState.COMPLETE, at(60))
    assert told.pictures == ()
    assert holes(told) == [(0.0, 31.0, "unknown_source"), (31.0, 60.0, "no_picture")]


def test_first_telling_says_nothing_of_the_time_to_come(store: EvidenceStore) -> None:
    strip = Strip(WISH, "t")
    for second in range(0, 31, 2):
        add(strip, store, second)
    assert strip.told(FilmstripState.GATHERING, at(31)).gaps == ()
    assert strip.told(FilmstripState.COMPLETE, at(60)).gaps == (
        FilmstripGap(begin=at(30), end=at(60), reason="no_picture"),
    )


def test_lens_is_covered_then_its_pictures_are_not_shown_and_the_gap_says_so(store: EvidenceStore) -> None:
    strip = Strip(WISH, "t")
    for second in range(0, 61, 2):
        dark = np.zeros((192, 320, 3), np.uint8) if 20 <= second <= 40 else None
        add(strip, store, second, bgr=dark)
    told = strip.told(FilmstripState.COMPLETE, at(60))
    assert holes(told) == [(18.0, 42.0, "dark")]
    assert not any(20 <= second <= 40 for second in seconds(told))


def test_person_is_pixelated_also_where_only_the_picture_before_found_one(
    store: EvidenceStore, tmp_path: Path
) -> None:
    strip = Strip(WISH, "t")
    box = (100.0, 40.0, 140.0, 150.0)
    for second, findings in ((0.0, [("person", 0.06, box)]), (3.0, []), (6.0, [])):
        shown = textured(seed=5)
        strip.add(picture(shown, at(second)), found(*findings), RING, store, BlindConfig(), 416)
    for each in strip.told(FilmstripState.COMPLETE, at(60)).pictures:
        kept = cv2.imread(str(tmp_path / each.evidence.path))
        assert kept is not None
        inside = kept[50:140, 105:135].astype(int)
        outside = kept[50:140, 205:235].astype(int)
        # Within a block hardly anything differs from pixel to pixel; in the textured picture much does.
        assert np.abs(np.diff(inside, axis=0)).mean() < 0.5 * np.abs(np.diff(outside, axis=0)).mean()


def test_evidence_is_full_then_the_strip_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EvidenceStore(tmp_path, EvidenceConfig(reserve_mb=0))

    def full(*_: object, **__: object) -> None:
        raise StoreFull("full")

    monkeypatch.setattr(store, "keep", full)
    strip = Strip(WISH, "t")
    for second in range(0, 61, 2):
        add(strip, store, second)
    assert holes(strip.told(FilmstripState.COMPLETE, at(60))) == [(0.0, 60.0, "evidence_full")]


def test_strip_does_not_use_up_the_evidence_of_observations(store: EvidenceStore) -> None:
    add(Strip(WISH, "t"), store, 3)
    assert store.due("cam", IncidentType.FLAME_SUSPECTED, at(3))


MOMENTS = st.lists(st.integers(-20 * 10, 80 * 10).map(lambda tenth: tenth / 10), max_size=60)
MISSES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from("abc")), max_size=6)


@given(MOMENTS, MISSES, st.integers(1, 64))
def test_pictures_and_gaps_cover_the_whole_time_in_order(
    moments: list[float], misses: list[tuple[int, int, str]], pictures: int
) -> None:
    wish = FilmstripRequest(
        id="s", incident_id="i", source_id="cam", begin=at(0), at=at(30), end=at(60), pictures=pictures
    )
    strip = Strip(wish, "t")
    kept: list[Instant] = []
    for moment in moments:
        part = strip.part(at(moment))
        if part is not None:
            strip._parts[part] = _kept(at(moment))
            kept.append(at(moment))
    for begin, end, reason in misses:
        strip.miss(at(min(begin, end)), at(max(begin, end)), reason)
    told = strip.told(FilmstripState.COMPLETE, at(60))
    assert len(told.pictures) == len(kept) <= pictures
    edges = sorted([at(0), at(60), *kept])
    holes = [(gap.begin, gap.end) for gap in told.gaps]
    assert all(begin < end for begin, end in holes)
    assert all(one[1] <= other[0] for one, other in pairwise(holes))
    for low, high in pairwise(edges):
        inside = sum(end - begin for begin, end in holes if low <= begin and end <= high)
        assert inside == (high - low if high - low > strip.gap_ns else 0)


def _kept(moment: Instant) -> FilmstripPicture:
    ref = EvidenceRef(
        sha256="0" * 64,
        path="x.jpg",
        media_type="image/jpeg",
        width=1,
        height=1,
        size=1,
        event_time=moment,
        source_id="cam",
    )
    return FilmstripPicture(evidence=ref, origin=RING)
