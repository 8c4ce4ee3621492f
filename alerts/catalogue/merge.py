"""A pass over a feed against the catalogue as it is: what is new, changed, the same, and gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from alerts.catalogue.admit import Admitted
from alerts.catalogue.config import FeedConfig
from alerts.catalogue.refusals import Refused
from contracts.source import Camera, Catalogue

NAMED_MAX: Final = 10
"""So many cameras a feed may take away by name at once [D]: of a small feed one is more than its share."""


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass comes to. `catalogue` is the very object of before when nothing changed.

    `kept`: cameras that the feed does not hold any more and that stay, because the pass was not complete or too
    many are gone at once (`held_back`).
    """

    catalogue: Catalogue
    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    held_back: bool
    refused: tuple[Refused, ...]
    """What was refused here, beside what the gate refused: a camera that another feed maintains."""


def merge(
    catalogue: Catalogue,
    feed: FeedConfig,
    admitted: Iterable[Admitted],
    refused: Iterable[Refused],
    *,
    deleted: Iterable[str] = (),
    complete: bool,
    confirm_removal: bool = False,
) -> Merged:
    """Take a pass over `feed` into `catalogue`; its version grows by one if anything is different.

    An entry whose fingerprint is as before is left alone, hand-made corrections included. A changed one replaces
    what feeds maintain; zones, calibration and such are ours and stay. An entry that was refused keeps its camera
    as it was, but one that says Secrecy=1 closes it at once. What is gone is removed only by a complete pass, and
    never more than `removal_share_max` of the feed's cameras without `confirm_removal`. What the feed took away by
    name (`deleted`) is removed by any pass, within the same share or up to NAMED_MAX.
    """
    cameras = {camera.id: camera for camera in catalogue.cameras}
    register = {each.camera_id: each for each in catalogue.registrations}
    others: list[Refused] = []
    added: list[str] = []
    changed: list[str] = []
    unchanged = 0
    seen: set[str] = set()
    for entry in admitted:
        camera_id = entry.camera.id
        known, registered = cameras.get(camera_id), register.get(camera_id)
        if registered is not None and registered.feed not in ("", feed.platform):
            others.append(_of_another(entry, registered.feed))
            if entry.camera.secrecy or entry.camera.forbidden_place:
                changed += _close(camera_id, cameras)
            continue
        seen.add(camera_id)
        if registered is not None and registered.fingerprint == entry.registration.fingerprint:
            unchanged += 1
            continue
        if known is None:
            added.append(camera_id)
            cameras[camera_id] = entry.camera
        else:
            cameras[camera_id] = _updated(known, entry)
            before = msgspec.structs.replace(registered, fingerprint="") if registered else None
            same = before == msgspec.structs.replace(entry.registration, fingerprint="")
            if cameras[camera_id] == known and same:
                unchanged += 1
            else:
                changed.append(camera_id)
        register[camera_id] = entry.registration
    taken = frozenset(seen)
    for refusal in refused:
        seen.add(refusal.id)
        if refusal.secret and (closed := _close(refusal.id, cameras)):
            changed += closed
            if refusal.id in register:
                # So that the next entry that can be taken is taken, even the one of before.
                register[refusal.id] = msgspec.structs.replace(register[refusal.id], fingerprint="")
    owned = {each.camera_id for each in catalogue.registrations if each.feed == feed.platform}
    gone = [
        each.camera_id
        for each in register.values()
        if each.feed == feed.platform and each.camera_id not in seen and each.camera_id in cameras
    ]
    named = [each for each in dict.fromkeys(deleted) if each in owned and each in cameras and each not in taken]
    leaving = [*named, *(each for each in gone if complete and each not in named)]
    bound = feed.removal_share_max * len(owned)
    too_many = len(leaving) - len(named) > bound or len(named) > max(bound, NAMED_MAX)
    removed = tuple(leaving) if confirm_removal or not too_many else ()
    for camera_id in removed:
        del cameras[camera_id], register[camera_id]
    platforms = {platform.id: platform for platform in catalogue.platforms}
    platforms[feed.platform] = feed.as_platform()
    new = msgspec.structs.replace(
        catalogue,
        cameras=tuple(cameras.values()),
        registrations=tuple(register.values()),
        platforms=tuple(platforms.values()),
    )
    if new != catalogue:
        new = msgspec.structs.replace(new, version=catalogue.version + 1)
    return Merged(
        catalogue=new if new != catalogue else catalogue,
        added=tuple(added),
        changed=tuple(changed),
        unchanged=unchanged,
        removed=removed,
        kept=() if removed else tuple(leaving or gone),
        held_back=bool(leaving) and not removed,
        refused=tuple(others),
    )


def _updated(known: Camera, entry: Admitted) -> Camera:
    """The camera as the feed says it now, with what is ours."""
    new = entry.camera
    # Switched off by hand stays off; one that could not be opened before had no such choice made.
    chosen = bool(known.url or known.channel)
    live = new.live if entry.live_said or not chosen else new.live and known.live
    place = msgspec.structs.replace(new.place, zone_id=known.place.zone_id, fire_zone=known.place.fire_zone)
    return msgspec.structs.replace(
        new,
        place=place,
        live=live,
        transport=known.transport,
        zones=known.zones,
        homography=known.homography,
        key_interval_s=known.key_interval_s,
        keep_ring=known.keep_ring,
        profile=new.profile or known.profile,
        exercise=known.exercise,
    )


def _close(camera_id: str, cameras: dict[str, Camera]) -> list[str]:
    """Close a camera that some feed calls secret; the ids that this changed."""
    known = cameras.get(camera_id)
    if known is None or known.secrecy:
        return []
    cameras[camera_id] = msgspec.structs.replace(
        known, secrecy=True, live=False, url=None, channel="", recording_url=None
    )
    return [camera_id]


def _of_another(entry: Admitted, feed: str) -> Refused:
    sentence = f"此摄像机已由 {feed} 维护 (another feed maintains this camera); 请只从一处同步 (sync it from one)"
    return Refused("other_feed", entry.origin, entry.camera.id, sentence)
