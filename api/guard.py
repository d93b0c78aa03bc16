"""What every request goes through before its route, HTTP and WebSocket alike: the ASGI middleware.

In this order: a correlation id, the origin, the caller, the caller's rate, the size of the body. A refused one never
reaches a route. Afterwards one line in the log (never the query, nor a header) and the metrics. An exception that
comes out of a route is a bug of ours: it is logged, and its answer is a problem like any other.
"""

from __future__ import annotations

import asyncio
import math
import re
from time import monotonic

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.callers import ANYONE, Caller, key_sent
from api.formats import COMPLETE_HEADER, CURSOR_HEADER
from api.limits import BODY_SECONDS, MAX_BODY_BYTES, Rate
from api.origins import host_is_ours, origin_is_ours
from api.problems import problem
from api.services import Services
from COBY.utils.correlation import set_correlation_id
from COBY.utils.exceptions import CobyError, ServiceError
from COBY.utils.logging import get_logger

HEALTH = ("/health/live", "/health/ready")
"""Open to everyone: who watches us has no key, and must not be shut out."""
ID_HEADER = "X-Correlation-Id"
EXPOSED = (ID_HEADER, "Retry-After", CURSOR_HEADER, COMPLETE_HEADER)
"""Headers of ours that a web page may read."""
UNREAD = ("api.body_late", "api.body_too_large")
"""Errors after which the rest of a body may still come, or never: the connection is of no use to a further request."""
METHODS = "GET, POST, PATCH, DELETE"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)

log = get_logger("api")


class Guard:
    """One for each app; processes know nothing of one another, so each counts its own requests."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._allowed = services.cfg.api_origins or ()
        self._rate = Rate(services.cfg.api_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(ID_HEADER, "")
        answer = _Answer(send, set_correlation_id(given if _ID.fullmatch(given) else None))
        caller = Caller(ANYONE, frozenset(), _address(scope))
        scope.setdefault("state", {})
        began = monotonic()
        try:
            self._check_origin(scope["path"], headers, answer)
            if _is_preflight(scope, headers):
                await _preflight()(scope, receive, answer.send)
                return
            caller = scope["state"]["caller"] = await self._caller(scope)
            self._check_rate(scope["path"], caller)
            if scope["type"] == "http":
                receive = await _with_body(headers, receive)
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            pass
        except CobyError as error:
            self._services.metrics.refused.labels(error.code).inc()
            await answer.tell(error, scope, receive)
        except Exception as error:
            log.error("bug", exc_info=error)
            await answer.tell(ServiceError("api.bug", "a bug of ours; the log says more"), scope, receive)
        finally:
            self._note(scope, caller, answer.status, monotonic() - began)

    def _check_origin(self, path: str, headers: Headers, answer: _Answer) -> None:
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin is not None:
            if not origin_is_ours(origin, host, self._allowed):
                allowed = "an origin of API_ORIGINS, or our own"
                raise ServiceError("api.origin", "this origin may not ask", where="Origin", allowed=allowed)
            answer.origin = origin
        if self._services.open_to and path not in HEALTH and not host_is_ours(host, self._allowed):
            allowed = "an address, localhost, or a host of API_ORIGINS"
            raise ServiceError("api.host", "not a name of ours", where="Host", allowed=allowed)

    async def _caller(self, scope: Scope) -> Caller:
        """Whose key it is; a wrong one counts as none, and is told by the route that wants a scope."""
        anyone = Caller(ANYONE, self._services.open_to, _address(scope))
        if scope["path"] in HEALTH:
            return anyone
        try:
            sent = key_sent(scope["headers"])
            if sent is None:
                return anyone
            key = await self._services.keys.verify(sent)
        except ServiceError as error:
            return anyone._replace(error=error)
        if key is None:
            return anyone._replace(error=ServiceError("api.key_wrong", "no such key is in force"))
        return anyone._replace(name=f"key:{key.id}", scopes=key.scopes | self._services.open_to)

    def _check_rate(self, path: str, caller: Caller) -> None:
        if path in HEALTH:
            return
        wait = self._rate.take(caller.address if caller.name == ANYONE else caller.name, monotonic())
        if wait:
            allowed = f"{self._services.cfg.api_rate} a second"
            raise _TooManyError(math.ceil(wait), allowed)

    def _note(self, scope: Scope, caller: Caller, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        if scope["type"] == "http":
            if route != "none":
                self._services.metrics.requests.labels(scope["method"], route, f"{status // 100}xx").inc()
            self._services.metrics.request_seconds.labels(route).observe(seconds)
        if scope["path"] not in HEALTH:
            log.info(
                "request",
                method=scope.get("method", "WEBSOCKET"),
                path=scope.get("raw_path", b"").decode("latin-1"),
                status=status,
                seconds=round(seconds, 6),
                caller=caller.name,
                address=caller.address,
            )


class _TooManyError(ServiceError):
    def __init__(self, wait_seconds: int, allowed: str) -> None:
        super().__init__("api.rate", "too many requests", allowed=allowed)
        self.wait_seconds = wait_seconds


class _Answer:
    """Puts our headers into an answer, and remembers how it began."""

    def __init__(self, send: Send, correlation_id: str) -> None:
        self._send = send
        self._id = correlation_id
        self.origin: str | None = None
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            self.status = message.get("status", 101)
            headers = MutableHeaders(scope=message)
            headers[ID_HEADER] = self._id
            headers["X-Content-Type-Options"] = "nosniff"
            if self.origin is not None:
                headers["Access-Control-Allow-Origin"] = self.origin
                headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED)
                headers.add_vary_header("Origin")
        await self._send(message)

    async def tell(self, error: CobyError, scope: Scope, receive: Receive) -> None:
        """The problem, if nothing of another answer has gone yet."""
        if self.status:
            return
        more = {"Retry-After": str(error.wait_seconds)} if isinstance(error, _TooManyError) else {}
        if error.code in UNREAD:
            more["Connection"] = "close"
        status = 500 if error.code == "api.bug" else None
        await problem(error, status, more)(scope, receive, self.send)


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else "unknown"


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] == "OPTIONS"
        and "access-control-request-method" in headers
    )


def _preflight() -> Response:
    allowed = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": f"Authorization, X-API-Key, Content-Type, {ID_HEADER}",
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=allowed)


async def _with_body(headers: Headers, receive: Receive) -> Receive:
    """The whole body at once, so that no route can be held by one that is endless or never comes."""
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise _too_large()
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        message_text = f"the body did not come within {BODY_SECONDS:g} s"
        raise ServiceError("api.body_late", message_text) from None
    whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again


def _too_large() -> ServiceError:
    return ServiceError("api.body_too_large", "the body is too large", allowed=f"{MAX_BODY_BYTES} bytes")
