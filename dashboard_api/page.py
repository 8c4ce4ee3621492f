"""The wall's files, held in memory: what is not among them cannot be asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from dashboard_api.problem import ApiError

FOLDER: Final = Path(__file__).parent / "web" / "plain"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Page:
    """Every file of the folder with its type and ETag. Raises OSError when the folder is missing."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.name: (data := path.read_bytes(), _TYPES[path.suffix], _etag(data))
            for path in sorted(folder.iterdir())
            if path.suffix in _TYPES
        }

    def answer(self, name: str, request: Request) -> Response:
        """The file, or 304 when the browser has it already. Raises ApiError 404."""
        found = self._files.get(name)
        if found is None:
            raise ApiError(404, "not_found", f"没有 {name[:100]} 这个文件 (there is no such file)")
        data, media_type, etag = found
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=media_type)

    def router(self) -> APIRouter:
        """`/` and `/wall/<file>`."""
        router = APIRouter(include_in_schema=False)

        @router.get("/")
        async def index(request: Request) -> Response:
            return self.answer("index.html", request)

        @router.get("/wall/{name}")
        async def file(name: str, request: Request) -> Response:
            return self.answer(name, request)

        return router


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'
