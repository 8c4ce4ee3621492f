"""Query parameters that several lists share."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import Field

State = Annotated[
    list[str] | None,
    Query(description="State codes, repeatable; `open` stands for all open ones.", max_length=20),
]
Levels = Annotated[
    list[Annotated[int, Field(ge=0, le=4)]] | None,
    Query(description="内部告警等级 1 (blue) to 4 (red), repeatable.", max_length=5),
]
Types = Annotated[list[str] | None, Query(alias="type", description="Type keys, repeatable.", max_length=50)]
GridPrefix = Annotated[
    str | None,
    Query(pattern=r"^\d{1,15}$", description="Grid code or the beginning of one: everything in that subtree."),
]
Exercise = Annotated[bool | None, Query(description="true = drills (演练) only, false = real ones only.")]
CursorText = Annotated[str | None, Query(max_length=300, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=10_000, description="Rows; capped by the site's `page_size_max`.")]
Sort = Annotated[
    Literal["opened_at", "seq"],
    Query(description="`opened_at`: newest first. `seq`: in the order of changes, oldest first."),
]
Id = Annotated[str, Path(max_length=200)]
Sha256 = Annotated[str, Path(max_length=64, description="SHA-256 of the picture, 64 hex digits.")]
