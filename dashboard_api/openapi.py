"""The OpenAPI document: FastAPI knows the routes, the view structs give the schemas."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from dashboard_api import problem

_REF: Final = "#/components/schemas/{name}"

Responses = dict[int | str, dict[str, Any]]


class Documented:
    """Collects the structs that routes answer with, so that each appears once in the document."""

    def __init__(self) -> None:
        self._types: list[Any] = [problem.Problem]

    def returns(self, type_: Any, *, example: Any = None, description: str = "") -> Responses:
        """`responses=` of a route that answers 200 with `type_`."""
        content: dict[str, Any] = {"schema": self._schema(type_)}
        if example is not None:
            content["example"] = example
        return {200: {"description": description or "OK", "content": {"application/json": content}}}

    def body(self, type_: Any, examples: dict[str, Any]) -> dict[str, Any]:
        """`openapi_extra=` of a route that takes `type_` as JSON."""
        content = {"schema": self._schema(type_), "examples": examples}
        return {"requestBody": {"required": True, "content": {"application/json": content}}}

    def refuses(self, **reasons: str) -> Responses:
        """`responses=` for errors: status (as `s404`) to its sentence."""
        return {
            int(key[1:]): {
                "description": sentence,
                "content": {problem.MEDIA_TYPE: {"schema": self._schema(problem.Problem)}},
            }
            for key, sentence in reasons.items()
        }

    def components(self) -> dict[str, Any]:
        """All schemas by name."""
        return msgspec.json.schema_components(self._types, ref_template=_REF)[1]

    def _schema(self, type_: Any) -> Any:
        if type_ not in self._types:
            self._types.append(type_)
        return msgspec.json.schema_components([type_], ref_template=_REF)[0][0]


DOCUMENTED: Final = Documented()
returns: Final = DOCUMENTED.returns
refuses: Final = DOCUMENTED.refuses


def install(app: FastAPI) -> None:
    """Let `app` serve the document with our schemas."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            schema.setdefault("components", {}).setdefault("schemas", {}).update(DOCUMENTED.components())
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def json_response(view: object, headers: dict[str, str] | None = None) -> Response:
    """A view (or plain data) as JSON."""
    return Response(msgspec.json.encode(view), headers=headers, media_type="application/json")
