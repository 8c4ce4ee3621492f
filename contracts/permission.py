"""Whether a camera may be opened at all: the law first, then what its owner granted. One rule for all services."""

from __future__ import annotations

from contracts.instant import Instant
from contracts.registration import ShareGrant
from contracts.source import Camera, Catalogue

SECRECY = "secrecy"
FORBIDDEN_PLACE = "forbidden_place"
NO_CONSENT = "no_consent"
NO_GRANT = "no_grant"
GRANT_EXPIRED = "grant_expired"
GRANT_NOT_BEGUN = "grant_not_begun"
NOT_LIVE = "not_live"
NO_URL = "no_url"


def withheld(camera: Camera) -> bool:
    """Never opened and never shown: Secrecy=1 (GB/T 28181) or a forbidden place (国令第799号, Art. 8)."""
    return camera.secrecy or camera.forbidden_place


class Permissions:
    """The bars of one catalogue.

    A camera that a grant names (by its id, or all of its owner) is open only while one of those grants is in
    force. A camera that no grant names is the site's own and open, unless its platform wants grants
    (`Platform.grants_required`).
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._by_camera: dict[str, list[ShareGrant]] = {}
        self._by_owner: dict[str, list[ShareGrant]] = {}
        for grant in catalogue.grants:
            for camera_id in grant.cameras:
                self._by_camera.setdefault(camera_id, []).append(grant)
            if not grant.cameras:
                self._by_owner.setdefault(grant.owner, []).append(grant)
        self._wanting = {platform.id for platform in catalogue.platforms if platform.grants_required}
        self._no_consent = {
            each.camera_id
            for each in catalogue.registrations
            if each.near_secret_unit and not each.secrecy_consent
        }
        self._turns = sorted({turn for grant in catalogue.grants for turn in (grant.begins, grant.expires)})

    def bar(self, camera: Camera, now: Instant) -> str | None:
        """Code of why this camera may not be opened at `now`, None when it may."""
        if camera.secrecy:
            return SECRECY
        if camera.forbidden_place:
            return FORBIDDEN_PLACE
        if camera.id in self._no_consent:
            return NO_CONSENT
        grants = [
            *(each for each in self._by_camera.get(camera.id, ()) if each.owner == camera.owner),
            *self._by_owner.get(camera.owner, ()),
        ]
        if not grants:
            return NO_GRANT if camera.platform in self._wanting else None
        if any(grant.begins <= now < grant.expires for grant in grants):
            return None
        return GRANT_NOT_BEGUN if all(now < grant.begins for grant in grants) else GRANT_EXPIRED

    def idle(self, camera: Camera, now: Instant) -> str | None:
        """Code of why this camera is not received at `now`, None when it is wanted. The law comes first."""
        barred = self.bar(camera, now)
        if barred is not None:
            return barred
        if not camera.live:
            return NOT_LIVE
        return None if camera.url or camera.channel else NO_URL

    def next_turn(self, now: Instant) -> Instant | None:
        """The next moment after `now` at which a grant begins or ends, None when there is none."""
        return next((turn for turn in self._turns if turn > now), None)
