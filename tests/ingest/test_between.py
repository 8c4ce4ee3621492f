"""What of a camera's activity is told between key pictures."""

from __future__ import annotations

from itertools import pairwise

from contracts.frame import Suspicion
from contracts.instant import SECOND, Instant
from ingest.between import NOTICE_FACTOR, NOTICE_SCORE, CameraActivity
from ingest.rtsp.received import Between

GOP_S = 10


class Camera:
    """A camera with a key picture every ten seconds and 250-byte pictures between, peeked at every second."""

    def __init__(self) -> None:
        self.activity = CameraActivity()
        self.keys = 0
        for _ in range(12):
            assert self.seconds([250.0] * 9) == []
            self.key(250.0)

    def seconds(self, means: list[float]) -> list[tuple[float, Suspicion]]:
        """What is told while these seconds pass behind a key picture."""
        told, pictures, size = [], 0, 0
        for second, mean in enumerate(means, start=1):
            pictures, size = pictures + 25, size + round(25 * mean)
            found = self.activity.peek(Between(pictures, size, second * SECOND))
            told += [] if found is None else [(found.score, found.suspicion)]
        return told

    def key(self, mean: float) -> Suspicion:
        self.keys += 1
        between = (249, round(249 * mean), round(mean))
        return self.activity.interval(between, 9_000, self.keys, Instant(self.keys * GOP_S * SECOND)).suspicion


def test_nothing_happens_then_nothing_is_told() -> None:
    assert Camera().seconds([250.0] * 9) == []


def test_motion_far_above_the_normal_stays_then_it_is_told_once() -> None:
    told = Camera().seconds([250.0, 250.0, 300.0, 300.0, 300.0, 300.0])
    assert [suspicion for _, suspicion in told] == [Suspicion.NONE]
    assert told[0][0] >= NOTICE_SCORE


def test_motion_grows_then_it_is_told_again_and_a_new_suspicion_in_any_case() -> None:
    told = Camera().seconds([250.0, 300.0, 420.0, 2500.0, 2500.0, 2500.0])
    assert [suspicion for _, suspicion in told][-1] is Suspicion.BURST
    assert [suspicion for _, suspicion in told].count(Suspicion.BURST) == 1
    scores = [score for score, _ in told]
    assert all(later >= NOTICE_FACTOR * score for score, later in pairwise(scores))


def test_key_picture_told_the_suspicion_then_the_next_interval_does_not_tell_it_again() -> None:
    camera = Camera()
    camera.seconds([250.0] * 8 + [2500.0])
    assert camera.key(600.0) is Suspicion.BURST
    assert camera.seconds([2500.0, 2500.0]) == []
    camera.key(250.0)
    assert [suspicion for _, suspicion in camera.seconds([2500.0])] == [Suspicion.BURST], "it was gone meanwhile"


def test_lens_is_covered_in_mid_interval_then_the_collapse_is_told_once() -> None:
    told = Camera().seconds([250.0, 250.0, 20.0, 20.0, 20.0, 20.0, 20.0])
    assert [suspicion for _, suspicion in told] == [Suspicion.SIZE_COLLAPSE]


def test_key_pictures_that_repeat_are_frozen_within_a_session_and_the_first_of_the_next_is_not() -> None:
    """Media servers keep the last key picture and send it to whoever comes again."""

    def shown(activity: CameraActivity, number: int) -> Suspicion:
        return activity.interval((49, 49 * 250, 300), 9_000, 7, Instant(number * 2 * SECOND)).suspicion

    one, many = CameraActivity(), CameraActivity()
    assert [shown(one, number) for number in range(6)][-1] is Suspicion.FROZEN_BYTES
    for number in range(6):
        many.begin()
        assert shown(many, number) is Suspicion.NONE
