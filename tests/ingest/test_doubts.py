from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contracts.frame import Suspicion
from contracts.instant import SECOND
from ingest.config import IngestConfig
from ingest.doubts import CameraDoubts, Doubt, DoubtPolicy
from ingest.flapping import FlappingPolicy
from ingest.rtsp.totals import Reception

POLICY = DoubtPolicy()
LOOK_NS = 2 * SECOND


class Camera:
    """A camera that is looked at every 2 s; `tell` collects (second, reasons) of each change."""

    def __init__(self, policy: DoubtPolicy = POLICY) -> None:
        self.doubts = CameraDoubts(policy)
        self.now_ns = 1_000 * SECOND
        self.packets = self.lost = self.jumps = 0
        self.offset_ns: int | None = None
        self.told: list[tuple[int, tuple[Doubt, ...]]] = []

    @property
    def second(self) -> int:
        return self.now_ns // SECOND - 1_000

    def look(self, suspicion: Suspicion = Suspicion.NONE, *, away: bool = False, storm: int = 0) -> None:
        self.now_ns += LOOK_NS
        reception = None if away else Reception(self.packets, self.lost, self.jumps, self.offset_ns)
        if self.doubts.look(self.now_ns, suspicion, reception, up=not away, storm=storm):
            self.told.append((self.second, self.doubts.reasons))

    def looks(self, seconds: int, suspicion: Suspicion = Suspicion.NONE, *, away: bool = False) -> None:
        for _ in range(seconds // 2):
            self.look(suspicion, away=away)

    def receive(self, packets: int, lost: int = 0) -> None:
        self.packets += packets
        self.lost += lost
        self.look()

    def flap(self, times: int, *, every_s: int = 20, cause: str = "broken", storm: int = 0) -> None:
        """So many lives of `every_s` that end and are back at the second look."""
        for _ in range(times):
            self.looks(every_s - 4)
            self.doubts.ended(self.now_ns, cause)
            self.look(away=True, storm=storm)
            self.look(storm=storm)


def test_frozen_pictures_are_doubted_after_10_s_and_until_30_s_behind_the_last() -> None:
    camera = Camera()
    camera.looks(10)
    camera.looks(20, Suspicion.FROZEN_BYTES)
    camera.looks(60)
    # First seen at 12 s, last at 30 s.
    assert camera.told == [(22, (Doubt.FROZEN,)), (60, ())]


def test_short_suspicion_is_no_doubt_and_does_not_add_up() -> None:
    camera = Camera()
    for _ in range(10):
        camera.looks(8, Suspicion.SIZE_COLLAPSE)
        camera.looks(6)
    assert camera.told == []


def test_burst_never_is_a_doubt() -> None:
    camera = Camera()
    camera.looks(300, Suspicion.BURST)
    assert camera.told == []


def test_loss_counts_from_a_hundredth_of_the_packets() -> None:
    below, above = Camera(), Camera()
    for _ in range(20):
        below.receive(1_000, lost=9)
        above.receive(1_000, lost=11)
    assert below.told == []
    assert above.told == [(12, (Doubt.PACKET_LOSS,))]
    assert "1.1%" in above.doubts.detail()


def test_chance_look_without_loss_does_not_hide_a_lossy_line() -> None:
    camera = Camera()
    for number in range(10):
        camera.receive(40, lost=number % 2)
    assert [reasons for _, reasons in camera.told] == [(Doubt.PACKET_LOSS,)]


def test_camera_that_receives_nothing_at_all_has_no_share_of_loss() -> None:
    camera = Camera()
    camera.looks(60)
    assert camera.told == []


def test_clock_that_jumps_again_and_again_is_doubted_one_jump_is_not() -> None:
    once, often = Camera(), Camera()
    once.jumps = 1
    once.looks(200)
    for _ in range(4):
        often.jumps += 1
        often.looks(8)
    often.looks(60)
    assert once.told == []
    assert [reasons for _, reasons in often.told] == [(Doubt.CLOCK_JUMP,), ()]


def test_report_that_follows_a_jump_of_the_rtp_time_tells_of_the_same_one() -> None:
    camera = Camera()
    camera.offset_ns = 0
    camera.looks(10)
    camera.jumps += 1
    camera.looks(16)
    camera.offset_ns = 3_600 * SECOND
    camera.looks(60)
    assert camera.told == []


def test_reports_alone_tell_of_jumps_and_drift_is_none() -> None:
    jumping, drifting = Camera(), Camera()
    for number in range(12):
        jumping.offset_ns = number % 2 * 60 * SECOND
        drifting.offset_ns = number * 9 * SECOND
        jumping.looks(6)
        drifting.looks(6)
    assert [reasons for _, reasons in jumping.told] == [(Doubt.CLOCK_JUMP,)]
    assert drifting.told == []


def test_stall_makes_the_suspicion_of_the_last_picture_no_older() -> None:
    camera = Camera()
    for _ in range(3):
        camera.packets += 80
        camera.look(Suspicion.FROZEN_BYTES)
    camera.looks(60, Suspicion.FROZEN_BYTES)
    assert camera.told == [], "no packet came since"


def test_worst_doubt_is_shown_and_the_others_stand_in_the_detail() -> None:
    camera = Camera()
    for _ in range(10):
        camera.packets += 80
        camera.lost += 20
        camera.look(Suspicion.FROZEN_BYTES)
    assert camera.doubts.reasons == (Doubt.FROZEN, Doubt.PACKET_LOSS)
    first, second = camera.doubts.detail().split("; ")
    assert "画面数据不变" in first
    assert "20.0%" in second


def test_doubts_rest_while_the_camera_is_away() -> None:
    camera = Camera()
    camera.looks(20, Suspicion.FROZEN_BYTES)
    camera.looks(300, away=True)
    assert len(camera.told) == 1
    camera.looks(30)
    assert [reasons for _, reasons in camera.told] == [(Doubt.FROZEN,), ()]


def test_four_ends_in_ten_minutes_are_flapping_until_steady_for_five() -> None:
    camera = Camera()
    camera.flap(3)
    assert camera.told == []
    camera.flap(1)
    assert camera.told == [(78, (Doubt.FLAPPING,))]
    assert "broken 4" in camera.doubts.detail()
    camera.looks(290)
    assert len(camera.told) == 1
    camera.looks(12)
    camera.flap(3)
    assert [reasons for _, reasons in camera.told] == [(Doubt.FLAPPING,), ()], "what was before does not count"


def test_ends_that_lie_far_apart_are_no_flapping() -> None:
    camera = Camera()
    camera.flap(20, every_s=220)
    assert camera.told == []


def test_every_end_begins_the_steady_time_anew() -> None:
    camera = Camera()
    camera.flap(4)
    for _ in range(5):
        camera.flap(1, every_s=280)
    assert camera.told == [(78, (Doubt.FLAPPING,))]


def test_flapping_camera_that_stays_away_is_told_as_such_and_is_flapping_when_it_is_back() -> None:
    camera = Camera()
    camera.flap(4)
    camera.doubts.ended(camera.now_ns, "broken")
    camera.looks(30, away=True)
    assert not camera.doubts.long_away
    camera.looks(4, away=True)
    assert camera.doubts.long_away
    camera.looks(2_000, away=True)
    assert camera.doubts.reasons == (Doubt.FLAPPING,)
    camera.look()
    assert (camera.doubts.long_away, camera.doubts.reasons) == (False, (Doubt.FLAPPING,))
    camera.looks(300)
    assert [reasons for _, reasons in camera.told][-1] == ()


def test_one_end_of_each_storm_is_excused() -> None:
    powercut, flapping = Camera(), Camera()
    for storm in range(1, 11):
        powercut.flap(1, every_s=30, storm=storm)
    assert powercut.told == []
    flapping.flap(5, storm=1)
    assert flapping.doubts.reasons == (Doubt.FLAPPING,), "a storm is no excuse for all that follows"


def test_bounds_are_those_of_the_configuration() -> None:
    config = IngestConfig(suspect_after_s=1.0, suspect_quiet_s=2.0, suspect_loss_share=0.5, flapping_ends=2)
    policy = DoubtPolicy.of(config)
    assert (policy.after_ns, policy.quiet_ns, policy.loss_share) == (SECOND, 2 * SECOND, 0.5)
    assert policy.flapping == FlappingPolicy(ends=2)
    assert DoubtPolicy.of(IngestConfig()) == POLICY


LOOKS = st.lists(
    st.tuples(
        st.sampled_from(list(Suspicion)),
        st.integers(0, 60),
        st.integers(0, 3),
        st.booleans(),
        st.sampled_from([None, 0, 30 * SECOND]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=150,
)


@given(LOOKS)
def test_whatever_comes_no_doubt_is_shorter_than_its_quiet_time_and_each_change_is_told(
    looks: list[tuple[Suspicion, int, int, bool, int | None, bool, bool]],
) -> None:
    camera = Camera()
    before = camera.doubts.reasons
    began: dict[Doubt, int] = {}
    for suspicion, packets, lost, jumped, offset_ns, away, ended in looks:
        camera.packets += packets
        camera.lost += lost
        camera.jumps += jumped
        camera.offset_ns = offset_ns
        if ended:
            camera.doubts.ended(camera.now_ns, "broken")
        camera.look(suspicion, away=away)
        reasons = camera.doubts.reasons
        assert list(reasons) == sorted(reasons, key=list(Doubt).index)
        told = bool(camera.told) and camera.told[-1] == (camera.second, reasons)
        assert told or reasons == before
        for doubt in set(reasons) - set(before):
            began[doubt] = camera.now_ns
            # Nothing is known of what lies before the first look.
            assert doubt is Doubt.FLAPPING or camera.second >= POLICY.after_ns // SECOND
        for doubt in set(before) - set(reasons):
            least = POLICY.flapping.steady_ns if doubt is Doubt.FLAPPING else POLICY.quiet_ns
            assert camera.now_ns - began[doubt] >= least - LOOK_NS
        assert not camera.doubts.long_away or Doubt.FLAPPING in reasons
        before = reasons
    for (earlier, _), (later, _) in pairwise(camera.told):
        assert earlier < later


@given(LOOKS)
def test_whatever_came_a_camera_that_is_well_for_five_minutes_is_not_doubted(
    looks: list[tuple[Suspicion, int, int, bool, int | None, bool, bool]],
) -> None:
    camera = Camera()
    for suspicion, packets, lost, jumped, _, away, ended in looks:
        camera.packets += packets
        camera.lost += lost
        camera.jumps += jumped
        if ended:
            camera.doubts.ended(camera.now_ns, "broken")
        camera.look(suspicion, away=away)
    for _ in range(2 + POLICY.flapping.steady_ns // LOOK_NS):
        camera.receive(80)
    assert (camera.doubts.reasons, camera.doubts.long_away) == ((), False)
