from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.instant import Instant
from contracts.permission import Permissions
from contracts.place import Place
from contracts.registration import Registration, ShareGrant
from contracts.source import Camera, Catalogue, Platform

CAMERA = Camera(id="c-1", name="c", place=Place(105.7, 38.8), owner="教育局", platform="p")


def grant(begins: int, expires: int, **more: Any) -> ShareGrant:
    fields = {"id": f"g-{begins}-{expires}", "owner": "教育局", "purpose": "联动"} | more
    return ShareGrant(begins=Instant(begins), expires=Instant(expires), **fields)


def bar(at: int, *grants: ShareGrant, camera: Camera = CAMERA, **more: Any) -> str | None:
    catalogue = Catalogue(
        site="s", county="152921", version=1, cameras=(camera,), sensors=(), grants=grants, **more
    )
    return Permissions(catalogue).bar(camera, Instant(at))


def test_camera_that_no_grant_names_is_the_sites_own() -> None:
    assert bar(5) is None
    assert bar(5, grant(0, 1, owner="公安局")) is None
    assert bar(5, grant(0, 1, cameras=("c-2",))) is None


def test_platform_that_wants_grants_opens_nothing_without_one() -> None:
    wanting = (Platform(id="p", grants_required=True),)
    assert bar(5, platforms=wanting) == "no_grant"
    assert bar(5, grant(0, 9), platforms=wanting) is None


@pytest.mark.parametrize(
    ("at", "expected"), [(1, "grant_not_begun"), (2, None), (8, None), (9, "grant_expired"), (10, "grant_expired")]
)
def test_grant_is_in_force_from_its_begin_until_before_its_end(at: int, expected: str | None) -> None:
    assert bar(at, grant(2, 9, cameras=("c-1",))) == expected


def test_grant_by_somebody_who_does_not_own_the_camera_grants_nothing() -> None:
    foreign = grant(0, 9, owner="公安局", cameras=("c-1",))
    assert bar(5, foreign, platforms=(Platform(id="p", grants_required=True),)) == "no_grant"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"url": None, "channel": "34020000001320000001/34020000001310000001"}, None),
        ({"url": None}, "no_url"),
        ({"live": False}, "not_live"),
        ({"live": False, "url": None}, "not_live"),
        ({"secrecy": True, "live": False}, "secrecy"),
        ({"owner": "文旅局", "live": False}, "grant_expired"),
    ],
)
def test_camera_is_wanted_when_law_owner_and_catalogue_agree_and_the_law_is_told_first(
    fields: dict[str, Any], reason: str | None
) -> None:
    wanted = msgspec.structs.replace(CAMERA, live=True, url="rtsp://10.0.0.1/1")
    camera = msgspec.structs.replace(wanted, **fields)
    over = grant(0, 1, owner="文旅局")
    catalogue = Catalogue(site="s", county="152921", version=1, cameras=(camera,), sensors=(), grants=(over,))
    assert Permissions(catalogue).idle(camera, Instant(5)) == reason


def test_law_comes_before_any_grant() -> None:
    for fields, reason in ({"secrecy": True}, "secrecy"), ({"forbidden_place": True}, "forbidden_place"):
        closed = msgspec.structs.replace(CAMERA, **fields)
        assert bar(5, grant(0, 9), camera=closed) == reason


def test_near_a_secret_unit_its_consent_is_needed() -> None:
    for agreed, expected in (False, "no_consent"), (True, None):
        register = (Registration(camera_id="c-1", near_secret_unit=True, secrecy_consent=agreed),)
        assert bar(5, registrations=register) == expected


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=6))
def test_between_two_turns_nothing_changes(spans: list[tuple[int, int]]) -> None:
    grants = tuple(grant(begin, begin + length) for begin, length in spans)
    catalogue = Catalogue(site="s", county="152921", version=1, cameras=(CAMERA,), sensors=(), grants=grants)
    permissions = Permissions(catalogue)
    now = Instant(-1)
    while (turn := permissions.next_turn(now)) is not None:
        assert len({permissions.bar(CAMERA, Instant(at)) for at in range(now, turn) if at >= 0 or now < 0}) <= 2
        assert len({permissions.bar(CAMERA, Instant(at)) for at in range(max(now, 0), turn)}) <= 1
        now = turn
