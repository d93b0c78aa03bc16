"""Errors as RFC 9457 has them (https://www.rfc-editor.org/rfc/rfc9457): `application/problem+json`, nothing else.

Whatever a route raises becomes one: a CobyError by the table below, a parameter that pydantic refuses with each field
named, a wrong path or method. What is none of these is a bug: status 500 and a line in the log (api/guard.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import psycopg
import redis
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from COBY.runtime.database import is_passing
from COBY.utils.correlation import get_correlation_id
from COBY.utils.exceptions import CobyError, StorageError, ValidationError
from COBY.utils.logging import get_logger, mask

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
TIMED_OUT = "57014"  # PostgreSQL's query_canceled: statement_timeout
NOT_THERE = ("42P01", "42703")  # undefined_table, undefined_column: the schema is older than this code
STATUS_OF_CODE = {
    "api.two_keys": 400,
    "api.key_missing": 401,
    "api.key_wrong": 401,
    "api.scope": 403,
    "api.origin": 403,
    "api.host": 403,
    "api.not_found": 404,
    "api.method": 405,
    "api.not_acceptable": 406,
    "api.body_late": 408,
    "api.body_too_large": 413,
    "api.rate": 429,
    "api.busy": 503,
    "api.keys_unknown": 503,
    "config.unknown_symbol": 404,
    "config.unknown_exchange": 404,
    "db.timeout": 503,
    "kafka.unknown_group": 404,
    "replay.broken": 500,
    "replay.closed": 503,
    "replay.no_worker": 503,
    "replay.state": 409,
    "replay.too_many": 409,
    "replay.unknown_session": 404,
    "ws.too_many_connections": 429,
}
STATUS_OF_FAMILY = {"db": 503, "kafka": 503, "redis": 503, "topics": 503, "runtime": 503}
"""By what stands before the dot, for codes that are not above; all else is 422: a value that was sent."""

log = get_logger(__name__)


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(
        description="The parameter, as `query.limit` or `body.speed`.", examples=["query.limit"]
    )
    message: str = Field(description="What is wrong with it.", examples=["Input should be at most 10000"])


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="A name of this kind of error.", examples=["urn:coby:problem:time.naive"])
    title: str = Field(description="The status in words.", examples=["Unprocessable Entity"])
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(description="What happened, a sentence.", examples=["the time has no offset"])
    code: str = Field(description="Our code; it never changes its meaning.", examples=["time.naive"])
    where: str | None = Field(description="Which parameter or part it is about.", examples=["query.from"])
    allowed: str | None = Field(description="What would be allowed.", examples=["a time with an offset"])
    correlation_id: str | None = Field(description="The id that our logs name, too.", examples=["5f1d0b1e"])
    errors: list[Mistake] | None = Field(None, description="Each mistake, where there may be several.")


def status_of(code: str) -> int:
    """The HTTP status of an error code."""
    return STATUS_OF_CODE.get(code) or STATUS_OF_FAMILY.get(code.split(".")[0], 422)


def problem(
    error: CobyError,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> Response:
    """The answer that tells of an error, secrets masked."""
    number = status_of(error.code) if status is None else status
    told = error.to_response()
    body: dict[str, Any] = {
        "type": f"urn:coby:problem:{error.code}",
        "title": HTTPStatus(number).phrase,
        "status": number,
        "detail": mask(told["message"]),
        "code": error.code,
        "where": told["where"],
        "allowed": told["allowed"],
        "correlation_id": get_correlation_id(),
    }
    if errors:
        body["errors"] = [dict(one) for one in errors]
    more = dict(headers or {})
    if number == HTTPStatus.SERVICE_UNAVAILABLE:
        more.setdefault("Retry-After", str(RETRY_SECONDS))
    if number == HTTPStatus.UNAUTHORIZED:
        more.setdefault("WWW-Authenticate", "Bearer")
    return Response(msgspec.json.encode(body), number, more, MEDIA_TYPE)


async def on_coby_error(_request: Request, error: Exception) -> Response:
    """Any error of ours."""
    assert isinstance(error, CobyError)
    return problem(error)


async def on_database_error(_request: Request, error: Exception) -> Response:
    """The database: away, too slow, or refusing; only the last is a bug of ours."""
    state = getattr(error, "sqlstate", None)
    if state in NOT_THERE:
        return problem(StorageError("db.schema_older", "tables are missing", allowed="`coby db init`"))
    if state == TIMED_OUT:
        return problem(StorageError("db.timeout", "the query took too long", allowed="a smaller range"))
    if not is_passing(error):
        raise error
    log.warning("database_away", error=str(error).strip())
    return problem(StorageError("db.unreachable", "the database does not answer"))


async def on_redis_error(_request: Request, error: Exception) -> Response:
    """Redis is away, or full of itself."""
    log.warning("redis_away", error=str(error).strip())
    return problem(StorageError("redis.unreachable", "Redis does not answer"))


async def on_invalid(_request: Request, error: Exception) -> Response:
    """Parameters or a body that do not fit: each named."""
    assert isinstance(error, RequestValidationError)
    errors = [{"where": _where(one["loc"]), "message": str(one["msg"])} for one in error.errors()]
    first = errors[0]
    told = ValidationError("api.invalid", first["message"], where=first["where"])
    return problem(told, HTTPStatus.UNPROCESSABLE_ENTITY, errors=errors)


def _where(place: Sequence[str | int]) -> str:
    return mask(".".join(str(part) for part in place)) or "body"


async def on_http_error(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    codes = {404: "api.not_found", 405: "api.method", 406: "api.not_acceptable"}
    code = codes.get(error.status_code, "api.invalid")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = _methods(request)
        told = ValidationError(code, f"no {request.method} here", where="method", allowed=methods)
        return problem(told, error.status_code, {"Allow": methods})
    return problem(ValidationError(code, str(error.detail)), error.status_code, error.headers)


def _methods(request: Request) -> str:
    """All that the path has: Starlette names those of its first route alone."""
    here = [route for route in request.app.state.routes if route.path_regex.fullmatch(request.url.path)]
    return ", ".join(sorted({method for route in here for method in route.methods}))


HANDLERS: dict[int | type[Exception], Any] = {
    CobyError: on_coby_error,
    RequestValidationError: on_invalid,
    HTTPException: on_http_error,
    psycopg.Error: on_database_error,
    PoolTimeout: on_database_error,
    redis.RedisError: on_redis_error,
}
"""For FastAPI's `exception_handlers`."""
