"""Suppress: reasons for silence. A muted incident exists and is shown as muted; it opens no ticket."""

from __future__ import annotations

from alerts.core.policy import Rule
from alerts.core.state import LiveIncident
from alerts.core.turn import Turn
from contracts.command import MuteMatcher
from contracts.incident import IncidentState
from contracts.policy import Belief, Mute


def hidden_by(live: LiveIncident, rule: Rule, turn: Turn) -> Mute | None:
    """The mute that holds for an incident, the first one given; None when it may speak.

    A confirmed fire is never muted, nor what a person has confirmed: a mute silences sources, not people. Fire,
    gas and sensor alarms are muted only by a mute that names their type and one source or zone, so that work on a
    crowd camera never silences a flame.
    """
    if live.confirmed_fire or (live.state is IncidentState.CONFIRMED and not live.unreviewed):
        return None
    for mute in turn.state.mutes.values():
        if mute.expires_at > turn.now and _matches(mute.matcher, live, rule):
            return mute
    return None


def is_narrow(matcher: MuteMatcher) -> bool:
    """Whether a mute names one source or zone and the type: what it takes to silence an alarm."""
    return matcher.type is not None and (matcher.source_id is not None or matcher.zone_id is not None)


def _matches(matcher: MuteMatcher, live: LiveIncident, rule: Rule) -> bool:
    if rule.of.belief is Belief.ARRIVAL and not is_narrow(matcher):
        return False
    if matcher.type is not None and matcher.type != live.type:
        return False
    # A second source is news, even if the first one is muted.
    if matcher.source_id is not None and any(source != matcher.source_id for source in live.source_ids):
        return False
    if matcher.zone_id is not None and any(zone != matcher.zone_id for zone in live.zone_ids or ("",)):
        return False
    return matcher.grid_prefix is None or (live.place.grid_code or "").startswith(matcher.grid_prefix)
