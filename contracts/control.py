"""Control: what is asked of ingest and inference between records: every picture, one look, the past.

Asked over the request links of the asked service (`topics.CONTROL_INGEST`, `topics.CONTROL_INFERENCE`), by name.
Nothing here is a record: a question that is lost is asked again, an answer that is late is of no use.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from contracts.frame import Frame
from contracts.instant import Instant
from contracts.observation import EvidenceRef

LOOK_WITHIN_S_MAX: Final = 30.0
"""The longest that a look waits for a key picture; cameras with smart codecs send one every 10 to 20 s."""
_INTERVALS: Final = 1.5


def look_within_s(at_least_s: float, key_interval_s: float) -> float:
    """Seconds that a look at a camera should wait for its picture: one and a half of its key intervals where that
    is longer, since a look that gives up before the camera's next key picture is due answers nothing."""
    return max(at_least_s, min(_INTERVALS * key_interval_s, LOOK_WITHIN_S_MAX))


class Promote(msgspec.Struct, frozen=True, kw_only=True):
    """Hand on every picture of this camera until `until`; asked again, the later end holds.

    `from_last_key`: begin with the group of pictures that is open now, when ingest keeps it (a suspect or a camera
    that the policy names); else, and without it, with the next key picture. `reason`: a stable code for the log.
    """

    source_id: str
    until: Instant
    reason: str
    from_last_key: bool = False


class PromoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` is a stable code when not accepted: `unknown_source`, `not_live`, `limit` (too many promoted, or
    staying on patrol), `no_link`.

    `until` is the end in force (ingest may shorten it); `from_last_key` whether the open group was handed on.
    """

    source_id: str
    accepted: bool
    reason: str = ""
    until: Instant | None = None
    from_last_key: bool = False


class LookOutcome(enum.StrEnum):
    """What an immediate look found."""

    SEEN = "seen"
    """Something of `kind` is there now."""
    NOTHING = "nothing"
    """The picture was understood, and nothing of `kind` is in it."""
    BLIND = "blind"
    """Nothing can be seen in it (covered, dark, moved, blurred, undecodable), so nothing is said of the scene."""
    UNANSWERED = "unanswered"
    """No fresh picture came in time; `reason` says why."""


class LookRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Look at this camera now, before its turn, and answer within `within_s` seconds.

    `kind`: the incident type whose classes count as seen, "" for any. `zone_id`: only there, "" for everywhere.
    """

    id: str
    source_id: str
    kind: str = ""
    zone_id: str = ""
    within_s: float = 2.0


class LookAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a LookRequest. `counts`: objects by class name; never of anybody in particular.

    `confidence`: the highest of each class counted, 0..1. `event_time` of the picture looked at, None when there
    was none; `reason` a stable code (`covered`, `dark`, `undecodable`, `not_live`, `unknown_source`, `late`,
    `busy`, ...). `evidence`: the picture itself, persons and vehicles pixelated.
    """

    id: str
    source_id: str
    outcome: LookOutcome
    reason: str = ""
    counts: tuple[tuple[str, int], ...] = ()
    confidence: tuple[tuple[str, float], ...] = ()
    event_time: Instant | None = None
    evidence: tuple[EvidenceRef, ...] = ()


class HistoryOrigin(enum.StrEnum):
    """Where pictures of the past came from."""

    RING = "ring"
    """Kept in memory by ingest."""
    RECORDING = "recording"
    """Played back by the platform or recorder (`Range: clock=`)."""
    MISSING = "missing"
    """Nowhere: shown as missing, never filled."""


class HistoryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The key pictures of a camera between two moments (Instants, nanoseconds), at most `pictures_max`."""

    source_id: str
    begin: Instant
    end: Instant
    pictures_max: int = 64


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Key pictures oldest first. `origin` MISSING, with a stable `reason`, when there are none.

    Of a RECORDING `reason` says why nothing follows the last picture: `recording_empty` (nothing was recorded
    then), `recording_cut` (its playback broke off), `recording_slow` (it did not come in time),
    `recording_untimed` (what followed does not say its time).
    """

    source_id: str
    origin: HistoryOrigin
    frames: tuple[Frame, ...] = ()
    reason: str = ""


class FilmstripRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Gather a filmstrip (contracts.filmstrip): at most `pictures` pictures of this camera over [begin, end].

    Asked again for the same `id`, it is not done twice: what is known of it is sent once more.
    """

    id: str
    incident_id: str
    source_id: str
    begin: Instant
    at: Instant
    end: Instant
    pictures: int = 21
    exercise: bool = False


class FilmstripAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted: the filmstrip comes as records on the log link. Else `reason` says why not.

    `busy` (ask again), `unknown_source`, `evidence_off`, `bad_span`.
    """

    id: str
    accepted: bool
    reason: str = ""
