from __future__ import annotations

import csv
import io

import httpx
import msgspec
import pytest

from contracts.instant import DAY, Instant, from_rfc3339
from contracts.registration import Registration, ShareGrant
from contracts.source import Camera, Catalogue, SourceChange, SourceKind, SourceState, SystemKind
from dashboard_api.compliance import Compliance, compliance, filing_csv, withheld_csv
from tests.dashboard_api.county_records import SITE, catalogue, county, shown_cameras
from tests.dashboard_api.running_api import RunningApi

NOW = from_rfc3339("2026-11-22T16:00:00+08:00")
SECRET = [camera for camera in county().cameras if camera.secrecy]


def with_register(*entries: Registration, grants: tuple[ShareGrant, ...] = ()) -> Catalogue:
    return msgspec.structs.replace(catalogue(county()), registrations=entries, grants=grants)


def registration(number: int, **more: object) -> Registration:
    return Registration(camera_id=shown_cameras()[number].id, **more)  # type: ignore[arg-type]


def grant(name: str, begins: Instant, expires: Instant, owner: str = "公安局") -> ShareGrant:
    return ShareGrant(id=name, owner=owner, purpose="联动", begins=begins, expires=expires)


def test_check_5_secret_cameras_are_a_number_and_no_name_anywhere() -> None:
    """Domain check 5: the report tells how many, and nothing of which."""
    book = catalogue(county())
    report = compliance(book, NOW)
    assert (report.cameras, report.secrecy) == (300, 3)
    assert report.barred == {"secrecy": 3}
    everything = report.text() + msgspec.json.encode(report).decode() + filing_csv(book).decode()
    assert not [camera.id for camera in SECRET if camera.id in everything or camera.name in everything]


def test_check_5_whoever_answers_for_them_gets_a_list_of_secret_cameras_without_name_and_place() -> None:
    book = catalogue(county())
    text = withheld_csv(book).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["设备编码"] for row in rows] == sorted(camera.id for camera in SECRET)
    assert {row["原因"] for row in rows} == {"涉密"}
    assert not [camera for camera in SECRET if camera.name in text or f"{camera.place.lon:.4f}" in text]


def test_duties_are_counted_by_article() -> None:
    article_9 = next(n for n, camera in enumerate(shown_cameras()) if n > 3)
    cameras = tuple(
        msgspec.structs.replace(camera, system_kind=SystemKind.ART9_OTHER)
        if camera.id == shown_cameras()[article_9].id
        else camera
        for camera in county().cameras
    )
    book = with_register(
        registration(0, signage_ok=True, filed_on="2026-03-01", retention_days=30, manager="公安局"),
        registration(1, signage_ok=False, in_use_since="2026-10-01"),
        registration(2, in_use_since="2026-11-01"),
    )
    report = compliance(msgspec.structs.replace(book, cameras=cameras), NOW)
    shown = len(shown_cameras())
    assert (report.signage_missing, report.signage_unknown) == (1, shown - 2)
    assert (report.filing_missing, report.filing_overdue) == (shown - 2, 1), "Art. 9 systems are not filed"
    assert report.retention_unknown == shown - 2
    assert report.manager_unknown == shown - 1


def test_camera_without_the_consent_of_a_secret_unit_is_counted_and_barred() -> None:
    report = compliance(
        with_register(
            registration(0, near_secret_unit=True), registration(1, near_secret_unit=True, secrecy_consent=True)
        ),
        NOW,
    )
    assert report.no_consent == report.barred["no_consent"] == 1


def test_grants_are_listed_with_their_state_and_owners_with_what_is_barred() -> None:
    owner = shown_cameras()[0].owner
    mine = sum(camera.owner == owner for camera in shown_cameras())
    book = with_register(
        grants=(
            grant("expired", Instant(0), Instant(NOW - DAY), owner),
            grant("expiring", Instant(0), Instant(NOW + 29 * DAY), "别的单位"),
            grant("in_force", Instant(0), Instant(NOW + 31 * DAY), "另一单位"),
            grant("not_begun", Instant(NOW + DAY), Instant(NOW + 60 * DAY), "又一单位"),
        )
    )
    report = compliance(book, NOW)
    assert {each.id: each.state for each in report.grants} == {
        each: each for each in ("expired", "expiring", "in_force", "not_begun")
    }
    assert next(each for each in report.owners if each.owner == owner).barred == mine
    assert report.barred["grant_expired"] == mine


def test_filing_lists_each_camera_and_no_cell_is_a_formula() -> None:
    first = shown_cameras()[0]
    cameras = tuple(
        msgspec.structs.replace(each, name="=cmd()") if each.id == first.id else each for each in county().cameras
    )
    book = msgspec.structs.replace(with_register(registration(0, retention_days=90)), cameras=cameras)
    rows = list(csv.reader(io.StringIO(filing_csv(book).decode("utf-8-sig"))))
    assert len(rows) == 1 + len(shown_cameras()) + 1
    mine = next(row for row in rows if first.id in row)
    assert "'=cmd()" in mine
    assert "90" in mine
    assert "3 路" in rows[-1][3]


async def test_api_gives_the_report_and_the_filing(client: httpx.AsyncClient) -> None:
    report = msgspec.convert((await client.get("compliance")).json(), Compliance)
    assert (report.site, report.secrecy) == (SITE, 3)
    filing = await client.get("compliance/filing.csv")
    assert filing.headers["content-type"] == "text/csv; charset=utf-8"
    assert filing.content.startswith("﻿管理单位".encode())


@pytest.mark.parametrize("camera", SECRET, ids=["first", "second", "third"])
async def test_secret_camera_is_in_no_answer_even_when_ingest_tells_of_it(
    api: RunningApi, client: httpx.AsyncClient, camera: Camera
) -> None:
    now = api.services.clock.now()
    change = SourceChange(
        id="c-1",
        site=SITE,
        source_id=camera.id,
        kind=SourceKind.CAMERA,
        state=SourceState.OFF,
        at=now,
        reason="secrecy",
    )
    await api.alerts.commit([change])
    assert (await client.get(f"sources/{camera.id}")).status_code == 404
    listed = await client.get("sources", params={"limit": 10_000, "kind": "camera"})
    assert camera.id not in listed.text
    summary = (await client.get("sources/summary")).json()["cameras"]
    assert summary["total"] == len(shown_cameras())
