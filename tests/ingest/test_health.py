from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import (
    ConfigError,
    GridwhistleError,
    ProtocolViolation,
    SourceMissing,
    SourceRefused,
    SourceUnreachable,
)
from contracts.instant import SECOND, Instant
from contracts.source import SourceChange, SourceKind, SourceState
from ingest.doubts import Doubt
from ingest.health import ChangeBoard, SourceHealth, state_of_failure

NOW = Instant(1_795_000_000 * SECOND)


def health(name: str = "cam-1") -> SourceHealth:
    return SourceHealth(name, SourceKind.CAMERA, "152921")


def test_life_of_a_camera_is_told_in_changes_without_repetition() -> None:
    camera = health()
    stall = SourceUnreachable("no data", reason="stall")
    told = [
        camera.connecting(NOW),
        camera.live(NOW),
        camera.live(NOW),
        camera.failed(stall, NOW),
        camera.connecting(NOW),
        camera.failed(stall, NOW),
        camera.failed(SourceUnreachable("no answer"), NOW),
        camera.connecting(NOW),
        camera.live(NOW),
    ]
    assert [(each.state, each.reason) if each else None for each in told] == [
        (SourceState.CONNECTING, ""),
        (SourceState.LIVE, ""),
        None,
        (SourceState.STALE, "stall"),
        None,
        None,
        (SourceState.FAULTED, "unreachable"),
        None,
        (SourceState.LIVE, ""),
    ]


def test_failures_lead_to_states_by_kind() -> None:
    cases: list[tuple[GridwhistleError, SourceState]] = [
        (SourceRefused("x"), SourceState.FAULTED),
        (SourceMissing("x"), SourceState.FAULTED),
        (ConfigError("x", reason="password_in_url"), SourceState.FAULTED),
        (SourceUnreachable("x", reason="stall"), SourceState.STALE),
        (SourceUnreachable("x", reason="no_key_picture"), SourceState.STALE),
        (SourceUnreachable("x"), SourceState.FAULTED),
        (ProtocolViolation("x", reason="garbage"), SourceState.FAULTED),
    ]
    for error, state in cases:
        assert state_of_failure(error) is state


def test_visits_in_turn_are_told_once_and_missed_turns_until_the_next_picture() -> None:
    camera = health()
    assert camera.visited(NOW) is None, "never seen"
    camera.live(NOW)
    told = [
        camera.visited(NOW),
        camera.live(NOW),
        camera.visited(NOW),
        camera.missed_turns(NOW),
        camera.missed_turns(NOW),
        camera.connecting(NOW),
        camera.live(NOW),
        camera.visited(NOW),
        camera.stands(NOW),
        camera.stands(NOW),
    ]
    assert [(each.state, each.reason) if each else None for each in told] == [
        (SourceState.LIVE, "patrol"),
        None,
        None,
        (SourceState.STALE, "patrol_missed"),
        None,
        None,
        (SourceState.LIVE, ""),
        (SourceState.LIVE, "patrol"),
        (SourceState.LIVE, ""),
        None,
    ]


def test_failed_camera_stays_failed_whatever_its_turns() -> None:
    camera = health()
    camera.failed(SourceUnreachable("x"), NOW)
    assert camera.visited(NOW) is None
    assert camera.missed_turns(NOW) is None
    assert camera.stands(NOW) is None


def test_clock_skew_is_news_beyond_2_s_and_ends_within_1_5_s() -> None:
    camera = health()
    assert camera.clock_offset(9 * SECOND, NOW) is None, "only of a live camera"
    camera.live(NOW)
    seconds = [1.0, 2.1, 3.0, 1.8, -1.4, -2.5]
    told = [camera.clock_offset(round(each * SECOND), NOW) for each in seconds]
    assert [each.reason if each else None for each in told] == [None, "clock_skew", None, None, "", "clock_skew"]


def said(change: SourceChange | None) -> tuple[SourceState, str] | None:
    return None if change is None else (change.state, change.reason)


def doubt(camera: SourceHealth, *doubts: Doubt, long_away: bool = False) -> tuple[SourceState, str] | None:
    return said(camera.doubted(doubts, " ".join(doubts), NOW, long_away=long_away))


BROKEN = SourceUnreachable("x", reason="broken")
FLAPPING = (SourceState.SUSPECT, "flapping")


def test_doubted_camera_is_suspect_while_it_is_live_and_what_it_was_again_afterwards() -> None:
    camera = health()
    assert doubt(camera, Doubt.FROZEN) is None, "nothing is told before the link is"
    told = [
        said(camera.connecting(NOW)),
        said(camera.live(NOW)),
        said(camera.clock_offset(9 * SECOND, NOW)),
        doubt(camera, Doubt.FROZEN),
        doubt(camera, Doubt.FROZEN, Doubt.PACKET_LOSS),
        doubt(camera, Doubt.PACKET_LOSS),
        said(camera.failed(BROKEN, NOW)),
        said(camera.live(NOW)),
        said(camera.clock_offset(9 * SECOND, NOW)),
        doubt(camera),
    ]
    assert told == [
        (SourceState.CONNECTING, ""),
        (SourceState.SUSPECT, "frozen"),
        None,
        None,
        (SourceState.SUSPECT, "frozen"),
        (SourceState.SUSPECT, "packet_loss"),
        (SourceState.FAULTED, "broken"),
        (SourceState.SUSPECT, "packet_loss"),
        None,
        (SourceState.LIVE, "clock_skew"),
    ]


def test_flapping_camera_is_suspect_up_and_briefly_away_and_faulted_when_it_stays_away() -> None:
    camera = health()
    camera.live(NOW)
    camera.failed(BROKEN, NOW)
    told = [
        doubt(camera, Doubt.FLAPPING),
        said(camera.live(NOW)),
        said(camera.failed(SourceUnreachable("x", reason="stall"), NOW)),
        said(camera.failed(BROKEN, NOW)),
        doubt(camera, Doubt.FLAPPING, long_away=True),
        said(camera.failed(SourceUnreachable("x", reason="stall"), NOW)),
        said(camera.live(NOW)),
        said(camera.failed(BROKEN, NOW)),
        said(camera.become(SourceState.OFF, "removed", "", NOW)),
    ]
    assert told == [
        FLAPPING,
        None,
        None,
        None,
        (SourceState.FAULTED, "broken"),
        (SourceState.STALE, "stall"),
        FLAPPING,
        None,
        (SourceState.OFF, "removed"),
    ]


def test_refused_camera_is_told_as_refused_though_it_flapped() -> None:
    camera = health()
    camera.live(NOW)
    assert doubt(camera, Doubt.FLAPPING) == FLAPPING
    refusal = SourceRefused("x", reason="refused_credentials")
    assert said(camera.failed(refusal, NOW, refused=True)) == (SourceState.FAULTED, "refused_credentials")
    assert said(camera.failed(BROKEN, NOW)) == FLAPPING


ACTIONS = st.lists(
    st.sampled_from(
        ["connecting", "live", "stall", "missing", "refused", "skew", "calm", "doubt", "flap", "away", "trust"]
    ),
    max_size=40,
)
DOUBTED: dict[str, tuple[Doubt, ...]] = {
    "doubt": (Doubt.FROZEN,),
    "flap": (Doubt.FLAPPING, Doubt.FROZEN),
    "away": (Doubt.FLAPPING,),
    "trust": (),
}


@given(ACTIONS)
def test_no_change_repeats_the_one_before(actions: list[str]) -> None:
    camera = health()
    errors = {
        "stall": SourceUnreachable("x", reason="stall"),
        "missing": SourceMissing("x"),
        "refused": SourceRefused("x"),
    }
    told: list[SourceChange] = []
    for step, action in enumerate(actions):
        at = Instant(NOW + step)
        if action in errors:
            change = camera.failed(errors[action], at, refused=action != "stall")
        elif action in DOUBTED:
            change = camera.doubted(DOUBTED[action], action, at, long_away=action == "away")
        elif action == "connecting":
            change = camera.connecting(at)
        elif action == "live":
            change = camera.live(at)
        else:
            change = camera.clock_offset(9 * SECOND if action == "skew" else 0, at)
        if change is not None:
            told.append(change)
        assert camera.state is not SourceState.LIVE or camera.link is SourceState.LIVE
    for before, after in pairwise(told):
        if before.state is not SourceState.SUSPECT:
            assert (before.state, before.reason) != (after.state, after.reason)
        assert (before.state, before.reason, before.detail) != (after.state, after.reason, after.detail)
    assert len({each.id for each in told}) == len(told)


def change(source: str, state: SourceState) -> SourceChange:
    made = health(source).become(state, "", "", NOW)
    assert made is not None
    return made


def test_storm_is_bounded_by_the_number_of_sources() -> None:
    board = ChangeBoard()
    for _ in range(100):
        for name in ("a", "b", "c"):
            board.post(change(name, SourceState.LIVE))
            board.post(change(name, SourceState.STALE))
    board.post(None)
    assert len(board) == 3
    assert board.overtaken == 597
    taken = board.take(2)
    assert [each.source_id for each in taken] == ["a", "b"]
    board.post(change("a", SourceState.LIVE))
    board.put_back(taken)
    rest = {each.source_id: each.state for each in board.take(10)}
    assert rest == {"a": SourceState.LIVE, "b": SourceState.STALE, "c": SourceState.STALE}
