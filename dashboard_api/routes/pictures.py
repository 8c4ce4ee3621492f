"""Answering with an evidence picture: first the register, then the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from contracts.observation import EvidenceRef
from contracts.principal import Principal
from dashboard_api.evidence import find_reference, read_picture
from dashboard_api.problem import ApiError
from dashboard_api.services import Services, peer


async def picture_response(
    api: Services, asker: Principal, request: Request, owner: str, evidence: Iterable[EvidenceRef], sha256: str
) -> Response:
    """The picture, after its view stands in the register: no entry, no picture (fails closed).

    Raises ApiError (see dashboard_api.evidence), StoreFull when the register cannot be written.
    """
    ref = find_reference(evidence, sha256)
    try:
        data = await asyncio.to_thread(read_picture, api.site.evidence_dir, ref)
    except ApiError as error:
        api.counters.count("evidence_refused", error.reason)
        await _enter(api, asker, request, owner, ref, error.reason)
        raise
    await _enter(api, asker, request, owner, ref, "shown")
    api.counters.count("evidence_shown")
    headers = {"Cache-Control": "private, max-age=3600, immutable", "ETag": f'"{ref.sha256}"'}
    return Response(data, headers=headers, media_type=ref.media_type)


async def _enter(
    api: Services, asker: Principal, request: Request, owner: str, ref: EvidenceRef, outcome: str
) -> None:
    await api.register.append(
        at=api.clock.now(),
        principal=asker,
        action="view_evidence",
        target=f"{owner}/{ref.sha256}",
        reason="研判",
        outcome=outcome,
        peer=peer(request),
    )
