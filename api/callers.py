"""Who a request comes from, and what that one may: `caller: Annotated[Caller, require("read")]` in a route.

api/guard.py finds the caller of each request before any route sees it; the routes say which scope they want.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from typing import Any, NamedTuple

from fastapi import Depends, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.requests import HTTPConnection

from COBY.utils.exceptions import ServiceError

ANYONE = "anyone"
_HEADERS = (b"authorization", b"x-api-key")
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="A key of `coby keys create`.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="key", description="The same.")


class Caller(NamedTuple):
    """``name``: `key:<id>`, or `anyone`; ``address`` of the socket."""

    name: str
    scopes: frozenset[str]
    address: str
    error: ServiceError | None = None
    """Why a key that was sent does not count."""


def key_sent(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key in the headers of a request: `Authorization: Bearer <key>`, or `X-API-Key: <key>`.

    Also as the password of `Authorization: Basic`, which is all that clients of a schema registry can send.
    ServiceError `api.two_keys` where there are several, even if they are equal (RFC 6750, 2): which one counts would
    be a guess, and another program on the way may guess otherwise.
    """
    sent = [(name, value.decode("latin-1")) for name, value in headers if name in _HEADERS]
    if len(sent) > 1:
        raise ServiceError("api.two_keys", "more than one key was sent", allowed="one key, in one header")
    for name, value in sent:
        if name == b"x-api-key":
            return value.strip()
        kind, _, key = value.partition(" ")
        if kind.lower() == "basic":
            return _password(key.strip())
        return key.strip() if kind.lower() == "bearer" else value
    return None


def _password(credentials: str) -> str:
    try:
        return b64decode(credentials, validate=True).decode("latin-1").partition(":")[2]
    except ValueError:
        return ""  # no key of ours


def caller_of(connection: HTTPConnection) -> Caller:
    """The caller of a request or WebSocket."""
    found: Caller = connection.scope["state"]["caller"]
    return found


def check_scope(caller: Caller, scope: str) -> None:
    """ServiceError api.key_missing, .key_wrong, .keys_unknown, .two_keys, .scope unless the caller may."""
    if caller.error is not None:
        raise caller.error
    if scope in caller.scopes or "admin" in caller.scopes:
        return
    allowed = f"a key with the scope {scope}"
    if caller.name == ANYONE:
        message = "this needs a key: Authorization: Bearer <key>, or X-API-Key"
        raise ServiceError("api.key_missing", message, allowed=allowed)
    raise ServiceError("api.scope", f"this key may not {scope}", allowed=allowed)


def require(scope: str) -> Any:
    """The dependency of a route that only callers with this scope may use."""

    async def check(
        connection: HTTPConnection,
        _bearer: Any = Security(_bearer),  # noqa: B008 - for the document alone; the guard has read the headers
        _header: Any = Security(_header),  # noqa: B008
    ) -> Caller:
        caller = caller_of(connection)
        check_scope(caller, scope)
        return caller

    return Depends(check)
