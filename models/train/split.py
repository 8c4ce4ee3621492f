"""The split: whole groups, never single pictures, are training or validation.

A group is a source video (by file name) or a cluster of near duplicates, whichever is larger, across all sets.
It is validation where sha256("set/group") mod 100 < 15, so the answer for a group does not depend on what else
is in the folder. Near duplicates are found by the correlation of small local-contrast thumbnails, mirrored ones
included: light, fire and people come and go, the place stays.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.train.pictures import Picture

VALIDATION_PERCENT = 15
DUPLICATE_CORRELATION = 0.6
_THUMBNAIL = 48
_BLOCK = 512


def is_validation(group: str) -> bool:
    """Whether the group "set/name" belongs to the validation part."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % 100 < VALIDATION_PERCENT


def video_of(picture: Picture) -> str | None:
    """The source video by the set's file naming, or None."""
    for pattern in picture.spec.videos:
        found = re.search(pattern, picture.bare_name)
        if found:
            return found.group(1)
    return None


def group_pictures(pictures: Sequence[Picture]) -> list[str]:
    """The group name of each picture, "set/name".

    A cluster that holds a video carries its name (the first in order if several were joined); another cluster
    carries a short hash of its first picture's name.
    """
    parents = list(range(len(pictures)))
    videos: dict[tuple[str, str], int] = {}
    for index, picture in enumerate(pictures):
        video = video_of(picture)
        if video is not None:
            first = videos.setdefault((picture.spec.name, video), index)
            _join(parents, first, index)
    for left, right in near_duplicates(np.stack([thumbnail(picture) for picture in pictures])):
        _join(parents, left, right)
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(pictures)):
        members[_root(parents, index)].append(index)
    names = {root: _group_name([pictures[index] for index in indices]) for root, indices in members.items()}
    return [names[_root(parents, index)] for index in range(len(pictures))]


def thumbnail(picture: Picture) -> NDArray[np.float32]:
    """Unit vector of a 48 x 48 grey picture with local mean and contrast taken out."""
    return contrast_vector(np.asarray(cv2.cvtColor(picture.read(), cv2.COLOR_BGR2GRAY), dtype=np.uint8))


def contrast_vector(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """See `thumbnail`; `grey` is H x W, 0..255."""
    small = cv2.resize(grey, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = small - cv2.GaussianBlur(small, (0, 0), 4)
    detail = detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 6)) + 4)
    vector = (detail - detail.mean()).ravel()
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-6), dtype=np.float32)


def near_duplicates(vectors: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Pairs (i < j) of rows whose correlation, or that with the mirrored picture, exceeds the limit."""
    mirrored = vectors.reshape(-1, _THUMBNAIL, _THUMBNAIL)[:, :, ::-1].reshape(len(vectors), -1)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        alike = np.maximum(block @ vectors.T, block @ mirrored.T) > DUPLICATE_CORRELATION
        rows, columns = np.nonzero(alike)
        pairs.extend((start + int(i), int(j)) for i, j in zip(rows, columns, strict=True) if start + i < j)
    return pairs


def write_split(path: Path, pictures: Sequence[Picture], groups: Sequence[str]) -> None:
    """Writes the split that is committed: the rule, the validation groups by name, and one hash over everything.

    Training groups are all the others; the hash covers every picture name with its group, so a changed data
    folder or a changed rule is noticed.
    """
    sizes: dict[str, int] = defaultdict(int)
    for group in groups:
        sizes[group] += 1
    validation = {group: size for group, size in sorted(sizes.items()) if is_validation(group)}
    document = {
        "rule": f'validation where sha256("set/group") mod 100 < {VALIDATION_PERCENT}',
        "pictures": len(pictures),
        "groups": len(sizes),
        "validation_pictures": sum(validation.values()),
        "sha256": split_hash(pictures, groups),
        "validation_groups": validation,
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def split_hash(pictures: Sequence[Picture], groups: Sequence[str]) -> str:
    """sha256 over the sorted lines "picture<TAB>group"."""
    lines = sorted(f"{picture.key}\t{group}" for picture, group in zip(pictures, groups, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _group_name(members: Sequence[Picture]) -> str:
    ordered = sorted(members, key=lambda picture: picture.key)
    for picture in ordered:
        video = video_of(picture)
        if video is not None:
            return f"{picture.spec.name}/{video}"
    first = ordered[0]
    return f"{first.spec.name}/{hashlib.sha256(first.path.name.encode()).hexdigest()[:10]}"


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def _join(parents: list[int], left: int, right: int) -> None:
    parents[_root(parents, right)] = _root(parents, left)
