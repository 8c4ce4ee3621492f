"""Witnesses: which cameras see an incident, and when one comes onto the wall for the first time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from contracts.incident import Incident, IncidentState
from contracts.permission import withheld
from contracts.place import Place, distance_m

if TYPE_CHECKING:
    from contracts.source import Camera

_ON_THE_WALL: Final = frozenset({IncidentState.PENDING_REVIEW, IncidentState.CONFIRMED})
_REMEMBERED_MAX: Final = 20_000


class Witnesses:
    """The cameras of the catalogue in force that may be looked at."""

    def __init__(self, cameras: Iterable[Camera]) -> None:
        self._cameras: dict[str, Camera] = {}
        self.use(cameras)

    def use(self, cameras: Iterable[Camera]) -> None:
        """Go by another version of the catalogue from now on."""
        self._cameras = {camera.id: camera for camera in cameras if camera.live and not withheld(camera)}

    def own(self, incident: Incident, most: int) -> list[Camera]:
        """Cameras that claim the incident, at most so many."""
        return [self._cameras[each] for each in incident.source_ids if each in self._cameras][:most]

    def around(self, place: Place, most: int, near_m: float) -> list[Camera]:
        """The cameras of the place's fire zone, then the nearest within `near_m` metres, at most so many."""
        zone = place.fire_zone
        near = sorted(
            (zone is None or camera.place.fire_zone != zone, distance_m(camera.place, place), camera.id)
            for camera in self._cameras.values()
        )
        chosen = [id_ for other_zone, apart_m, id_ in near if not other_zone or apart_m <= near_m]
        return [self._cameras[id_] for id_ in chosen[:most]]


class Arrivals:
    """Incidents that came onto the wall: each is news once, while it is among the newest of them."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def is_first(self, incident: Incident) -> bool:
        """Whether it is in state A2 or A3 for the first time, and no matter of the operations queue."""
        if incident.state not in _ON_THE_WALL or incident.operations:
            return False
        known = incident.id in self._seen
        self._seen[incident.id] = None
        self._seen.move_to_end(incident.id)
        while len(self._seen) > _REMEMBERED_MAX:
            self._seen.popitem(last=False)
        return not known
