"""Serving evidence pictures: only those that an incident or ticket refers to, only what was registered.

A picture is asked for by its owner and its SHA-256; the path comes from the stored reference, never from the
request, and must still lie inside the evidence folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from contracts.observation import EvidenceRef
from dashboard_api.problem import ApiError

PICTURE_BYTES_MAX: Final = 4 * 1024 * 1024
MEDIA_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/webp"})
"""What is served; never a type that a browser would run."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def find_reference(evidence: Iterable[EvidenceRef], sha256: str) -> EvidenceRef:
    """The reference with this hash. Raises ApiError 404."""
    if _SHA256.fullmatch(sha256):
        for ref in evidence:
            if ref.sha256 == sha256:
                return ref
    raise ApiError(404, "evidence_not_found", "没有登记这张图片 (no such picture is registered here)")


def read_picture(folder: Path, ref: EvidenceRef) -> bytes:
    """The bytes behind a reference, checked against its hash.

    Raises ApiError: 410 `evidence_deleted` when the file is gone, 410 `evidence_altered` when its bytes are not
    the registered ones (it is not shown then), 403 `evidence_path` when the reference leaves the folder.
    """
    if ref.media_type not in MEDIA_TYPES:
        raise ApiError(403, "evidence_type", f"不提供 {ref.media_type} 类型的文件 (this type is not served)")
    root = folder.resolve()
    path = (root / ref.path).resolve()
    if not path.is_relative_to(root) or path == root:
        raise ApiError(
            403, "evidence_path", "证据路径超出证据目录, 不予提供 (the path leaves the evidence folder)"
        )
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(PICTURE_BYTES_MAX + 1)
    except OSError:
        raise ApiError(
            410, "evidence_deleted", "图片已按保存期限删除或不在本机 (the picture was deleted or is not here)"
        ) from None
    if len(data) > PICTURE_BYTES_MAX or hashlib.sha256(data).hexdigest() != ref.sha256:
        raise ApiError(
            410, "evidence_altered", "图片与登记的哈希不一致, 不予显示 (the bytes are not the registered ones)"
        )
    return data
