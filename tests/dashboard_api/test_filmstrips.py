"""Filmstrips through the API."""

from __future__ import annotations

import hashlib

import httpx
import msgspec
from msgspec.structs import replace

from contracts.filmstrip import FilmstripOrigin, FilmstripState
from dashboard_api import names
from dashboard_api.filmstrip_views import FilmstripList
from dashboard_api.names import FILMSTRIP_ORIGINS, FILMSTRIP_STATES
from dashboard_api.routes.examples import FILMSTRIPS
from tests.dashboard_api.county_records import make_pair
from tests.dashboard_api.filmstrip_records import make_filmstrip
from tests.dashboard_api.running_api import RunningApi


def test_states_and_origins_have_names_and_the_example_is_what_it_claims_to_be() -> None:
    assert set(FilmstripState) == set(FILMSTRIP_STATES)
    assert set(FilmstripOrigin) == set(FILMSTRIP_ORIGINS)
    assert msgspec.convert(FILMSTRIPS, FilmstripList).items


async def test_strip_is_told_with_offsets_and_reasons(api: RunningApi, client: httpx.AsyncClient) -> None:
    incident = make_pair(3, api.services.clock.now())[0]
    assert (await client.get(f"incidents/{incident.id}/filmstrips")).json() == {"items": []}
    strip = make_filmstrip(incident, api.site.evidence_dir, source_id=incident.source_ids[0])
    await api.alerts.commit([strip])
    [told] = (await client.get(f"incidents/{incident.id}/filmstrips")).json()["items"]
    assert (told["begin_s"], told["end_s"], told["state"]["code"]) == (-30.0, 30.0, "complete")
    assert [each["offset_s"] for each in told["pictures"]][:5] == [-30.0, -27.0, -24.0, -21.0, -9.0]
    assert {each["origin"]["code"] for each in told["pictures"]} == {"ring", "live"}
    assert [(gap["begin_s"], gap["end_s"], gap["reason"]["zh"]) for gap in told["gaps"]] == [
        (-21.0, -9.0, names.REASONS["no_recording"][0])
    ]
    picture = told["pictures"][0]["evidence"]
    answer = await client.get(f"{api.url}{picture['url']}")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == picture["sha256"]


async def test_picture_of_another_incidents_strip_is_not_served(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    one, other = make_pair(3, api.services.clock.now())[0], make_pair(9, api.services.clock.now())[0]
    strip = make_filmstrip(one, api.site.evidence_dir)
    await api.alerts.commit([strip])
    sha256 = strip.pictures[0].evidence.sha256
    assert (await client.get(f"incidents/{one.id}/evidence/{sha256}")).status_code == 200
    assert (await client.get(f"incidents/{other.id}/evidence/{sha256}")).status_code == 404


async def test_merged_incidents_strip_is_told_by_the_one_that_took_it_in(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    one, other = make_pair(3, api.services.clock.now())[0], make_pair(9, api.services.clock.now())[0]
    await api.alerts.commit(
        [make_filmstrip(other, api.site.evidence_dir), replace(one, aliases=(other.id,), version=9)]
    )
    [told] = (await client.get(f"incidents/{one.id}/filmstrips")).json()["items"]
    assert told["incident_id"] == other.id


async def test_no_such_incident(client: httpx.AsyncClient) -> None:
    assert (await client.get("incidents/inc-nobody/filmstrips")).status_code == 404
