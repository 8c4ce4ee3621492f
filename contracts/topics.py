"""Topics: the names of links, streams and message types, each spelled once."""

from __future__ import annotations

from typing import Final

LOG: Final = "log"
"""Observation, SourceChange, Filmstrip, HealthReport, CoverageReport, StormReport: producers to alerts."""
COMMAND: Final = "command"
"""Command and answer; also the snapshots of catalogue, grids and policy (asked by name)."""
CHANGES: Final = "changes"
"""Committed changes, alerts to API and walls."""
FRAMES: Final = "frames"
"""Frame headers and bytes; one endpoint per ingest worker: frames-0, frames-1, ..."""
CONTROL_INGEST: Final = "control-ingest"
"""Promote and HistoryRequest, answered by the camera worker; one endpoint per worker: control-ingest-0, ..."""
CONTROL_INFERENCE: Final = "control-inference"
"""LookRequest and FilmstripRequest, answered by inference."""

REQUEST_PROMOTE: Final = "promote"
REQUEST_HISTORY: Final = "history"
REQUEST_LOOK: Final = "look"
REQUEST_FILMSTRIP: Final = "filmstrip"

REQUEST_COMMAND: Final = "command"
REQUEST_CATALOGUE: Final = "catalogue"
REQUEST_GRIDS: Final = "grids"
REQUEST_POLICY: Final = "policy"

EVENT_TICKET_OPENED: Final = "cn.gridwhistle.ticket.opened.v1"
EVENT_TICKET_UPDATED: Final = "cn.gridwhistle.ticket.updated.v1"
EVENT_TICKET_CLOSED: Final = "cn.gridwhistle.ticket.closed.v1"
"""CloudEvents 1.0 types of what is delivered outside."""


def event_source(site: str) -> str:
    """CloudEvents `source` of a site."""
    return f"urn:gridwhistle:site:{site}"
