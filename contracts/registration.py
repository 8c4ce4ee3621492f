"""What the law and other owners want known of a camera; beside the camera, so a change here disturbs no stream.

国令第799号 公共安全视频图像信息系统管理条例 (in force since 2025-04-01); articles are named at the fields.
"""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.instant import Instant

RETENTION_DAYS_MIN: Final = 30
"""Art. 17: what a system of Art. 7 records is kept for so many days at least."""
FILING_DAYS_MAX: Final = 30
"""Art. 14: a system of Art. 7 is filed within so many days of its first use."""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """The entry of one camera in the register, and which feed maintains it.

    `feed` is the id of the platform or file that the entry comes from, empty for one written by hand;
    `fingerprint` the digest of what the feed said last, so that an entry that says the same is left alone. Dates
    are `YYYY-MM-DD`, empty = not told. `signage_ok`: None = nobody looked yet.
    """

    camera_id: str
    feed: str = ""
    fingerprint: str = ""
    address: str = ""
    manager: str = ""
    """管理单位, that answers for the system."""
    near_secret_unit: bool = False
    """Art. 10: near a military or secret unit, so that its consent is needed first."""
    secrecy_consent: bool = False
    """Art. 10: that unit agreed."""
    signage_ok: bool | None = None
    """Art. 13: a conspicuous sign tells of the camera."""
    view_note: str = ""
    """Art. 13: position, angle and range are no wider than needed."""
    in_use_since: str = ""
    filed_on: str = ""
    """Art. 14: filed with the police of the county."""
    filing_number: str = ""
    retention_days: int | None = None
    """Art. 17: days that its recordings are kept."""


class ShareGrant(msgspec.Struct, frozen=True, kw_only=True):
    """An owner lets this site receive cameras, for a purpose and until a day.

    `cameras`: ids of cameras, empty = all of this owner. In force from `begins` until before `expires`.
    """

    id: str
    owner: str
    purpose: str
    begins: Instant
    expires: Instant
    cameras: tuple[str, ...] = ()
    granted_by: str = ""
