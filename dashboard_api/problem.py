"""Errors of the API in the form of RFC 9457 (application/problem+json): Chinese sentence first, then English."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contracts.errors import (
    CommandRefused,
    ConfigError,
    GridwhistleError,
    LinkError,
    MalformedMessage,
    RefusedInput,
    StoreError,
    TooLarge,
)
from dashboard_api.headers import SECURITY_HEADERS
from runtime.log import get_log

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `reason` is a stable code for programs, `allowed` what is allowed instead of a refused command."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    instance: str = ""
    allowed: tuple[str, ...] = ()


class ApiError(GridwhistleError):
    """A request that this API answers with an error of its own; `detail` is the sentence.

    `retry_after_s`: whole seconds after which the same request may do, None when that is not known.
    """

    def __init__(self, status: int, reason: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail, reason=reason)
        self.status = status
        self.retry_after_s = retry_after_s


class DatabaseAbsent(StoreError):
    """The database of alerts is not there yet."""

    retriable = True
    reason = "waiting_for_alerts"


_TITLES: Final = {
    400: "请求有误 (bad request)",
    401: "需要访问令牌 (token required)",
    403: "不允许 (forbidden)",
    404: "不存在 (not found)",
    405: "方法不允许 (method not allowed)",
    409: "命令被拒绝 (command refused)",
    410: "已不存在 (gone)",
    413: "请求过大 (too large)",
    415: "类型不支持 (unsupported media type)",
    421: "主机名不符 (misdirected request)",
    422: "内容有误 (unprocessable content)",
    429: "请求过多 (too many requests)",
    500: "内部错误 (internal error)",
    503: "暂不可用 (unavailable)",
}


def problem_response(
    status: int,
    reason: str,
    detail: str,
    *,
    instance: str = "",
    allowed: tuple[str, ...] = (),
    retry_after_s: int | None = None,
) -> Response:
    """The answer. 503 and 429 carry Retry-After, 401 the scheme."""
    problem = Problem(
        type=f"urn:gridwhistle:problem:{reason}",
        title=_TITLES.get(status, _TITLES[500] if status >= 500 else _TITLES[400]),
        status=status,
        detail=detail,
        reason=reason,
        instance=instance,
        allowed=allowed,
    )
    headers = {"Cache-Control": "no-store"}
    if status == 503 and retry_after_s is None:
        retry_after_s = RETRY_AFTER_S
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="gridwhistle"'
    return Response(msgspec.json.encode(problem), status, headers, MEDIA_TYPE)


def status_of(error: GridwhistleError) -> int:
    """Which HTTP status an error of our tree is."""
    if isinstance(error, ApiError):
        return error.status
    if isinstance(error, CommandRefused):
        return 409
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, RefusedInput | MalformedMessage):
        return 422
    if isinstance(error, LinkError) or (isinstance(error, StoreError) and error.retriable):
        return 503
    return 500


def install(app: FastAPI) -> None:
    """Give every error of the app this form."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, GridwhistleError)
        status = status_of(error)
        if status == 500 or isinstance(error, ConfigError):
            get_log().error("A request failed", path=request.url.path, reason=error.reason, error=str(error))
        allowed = error.allowed if isinstance(error, CommandRefused) else ()
        wait_s = error.retry_after_s if isinstance(error, ApiError) else None
        return problem_response(
            status, error.reason, str(error), instance=request.url.path, allowed=allowed, retry_after_s=wait_s
        )

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sentences = {
            404: ("not_found", f"没有 {request.url.path} 这个地址 (there is no such address)"),
            405: ("method_not_allowed", f"{request.url.path} 不支持 {request.method} (method not allowed here)"),
        }
        reason, detail = sentences.get(error.status_code, ("http", str(error.detail)))
        response = problem_response(error.status_code, reason, detail, instance=request.url.path)
        response.headers.update(error.headers or {})
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        parts = [f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in error.errors()[:5]]
        detail = f"参数有误 (parameters do not fit): {'; '.join(parts)}"
        return problem_response(422, "invalid_parameters", detail, instance=request.url.path)

    async def bug(request: Request, error: Exception) -> Response:
        get_log().error("A request ended in a bug", path=request.url.path, error=repr(error))
        detail = "服务内部错误, 已记录日志 (an error of ours; it is in the log)"
        response = problem_response(500, "bug", detail, instance=request.url.path)
        response.headers.update(SECURITY_HEADERS)  # this handler stands outside the guard
        return response

    app.add_exception_handler(GridwhistleError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, bug)
