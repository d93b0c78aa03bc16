"""One connection: what a client sends is carried out, what waits for it is sent, and a slow one is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic, time_ns
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from api.callers import ANYONE, Caller, check_scope
from api.ws import outbox
from api.ws.asked import MAX_SUBSCRIPTIONS
from api.ws.channels import CHANNELS
from api.ws.live import Client
from api.ws.messages import End, Error, Heartbeat, Limits, Message, Welcome
from api.ws.operations import Operations
from api.ws.protocol import MAX_MESSAGE_BYTES, RequestId, parse
from api.ws.rate import OPERATIONS, Rate
from api.ws.resume import ExpiredError
from api.ws.serving import ABORT
from api.ws.sockets import Sockets
from COBY.utils.exceptions import CobyError, ServiceError
from COBY.utils.intervals import format_us
from COBY.utils.logging import get_logger, mask

VERSION = 1
HEARTBEAT_SECONDS = 1.0
AUTH_SECONDS = 5.0
CUT_SECONDS = 10.0
"""How long a client that is cut off has to read why; what waited for it is gone at once."""
POLICY_VIOLATION, GOING_AWAY = 1008, 1001

log = get_logger(__name__)


class _OverError(Exception):
    """The connection has ended."""


class Connection(Client):
    """See above. `run` once."""

    def __init__(self, sockets: Sockets, websocket: WebSocket, caller: Caller) -> None:
        """The caller is who the headers say, or anyone."""
        super().__init__()
        self.sockets = sockets
        self.caller = caller
        self._websocket = websocket
        self._rate = Rate()
        self._operations = Operations(self, sockets)
        self._closing: tuple[int, str] | None = None

    async def run(self) -> None:
        """Until either side ends it. ServiceError: refused before it began."""
        if self.caller.error is not None:
            raise self.caller.error
        if not self.must_authenticate:
            check_scope(self.caller, "read")
        self.sockets.admit(self, self.caller)
        try:
            await self._websocket.accept()
            self.tell(self._welcome())
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._write())
                self._tasks.create_task(self._beat())
                await self._read()
        except* (_OverError, WebSocketDisconnect):
            pass
        finally:
            self.sockets.leave(self)
            self._operations.close()

    @property
    def must_authenticate(self) -> bool:
        """Whether nobody knows yet who this is."""
        return self.caller.name == ANYONE and "read" not in self.caller.scopes

    def tell(self, message: Message, *, key: object = None) -> None:
        """Have a message of the connection sent."""
        if self._closing is None:
            self.outbox.tell(message, monotonic(), key=key)
            self.awake.set()

    def refuse(self, name: RequestId, error: CobyError, subscription: str | None = None) -> None:
        """Tell that something can't be done."""
        self.tell(
            Error(
                seq=0,
                code=error.code,
                message=mask(error.message),
                id=name,
                where=error.where,
                allowed=error.allowed,
                subscription=subscription,
                missed=error.missed if isinstance(error, ExpiredError) else [],
                resume=error.resume if isinstance(error, ExpiredError) else None,
            )
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the connection."""
        return self._tasks.create_task(work)

    def cut(self, error: CobyError, *, name: RequestId = None) -> None:
        """Cut the client off: it is told why, if it still reads, and nothing else."""
        if self._closing is not None:
            return
        self.sockets.services.metrics.ws_cut.labels(error.code).inc()
        self._operations.close()
        self.outbox.clear()
        self.refuse(name, error)
        self._close(POLICY_VIOLATION, error.code)

    def end(self) -> None:
        """The server stops: what waits is sent, then `end`."""
        if self._closing is None:
            self._operations.close()
            self.tell(End(seq=0, reason="server_stopping"))
            self._close(GOING_AWAY, "server_stopping")

    def abort(self) -> None:
        """End it at once."""
        if (abort := self._websocket.scope["state"].get(ABORT)) is not None:
            abort()

    def _close(self, code: int, reason: str) -> None:
        self._closing = (code, reason)
        self.awake.set()
        asyncio.get_running_loop().call_later(CUT_SECONDS, self.abort)

    def slow(self) -> None:
        """Too much waits."""
        why = self.outbox.slow(monotonic())
        if why is not None and not self._operations.is_replay:
            allowed = f"{outbox.MAX_BYTES} bytes, {outbox.MAX_SECONDS:g} s"
            self.cut(ServiceError("slow_consumer", why, allowed=allowed))

    # --- the three tasks ---------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        began = monotonic()
        while True:
            wait = AUTH_SECONDS - (monotonic() - began) if self.must_authenticate else None
            try:
                async with asyncio.timeout(wait):
                    message = await self._websocket.receive()
            except TimeoutError:
                self.cut(ServiceError("api.key_missing", "no key came", allowed="auth as the first message"))
                began = monotonic() + CUT_SECONDS
                continue
            if message["type"] == "websocket.disconnect":
                raise _OverError
            if self._closing is None:
                await self._handle(message.get("text"))

    async def _handle(self, text: str | None) -> None:
        now = monotonic()
        request = parse(text)
        if not self._rate.take(now):
            error = ServiceError("ws.too_many_operations", "too fast", allowed=f"{OPERATIONS} a second")
            if self._rate.is_flooding(now):
                self.cut(error)
            else:
                self.refuse(request.id, error)
            return
        if request.op is None:
            assert request.error is not None
            self.refuse(request.id, request.error)
            return
        try:
            await self._operations.carry_out(request.op)
        except CobyError as error:
            self.refuse(request.id, error)

    async def _write(self) -> None:
        sent = self.sockets.services.metrics.ws_messages
        while True:
            text = self.outbox.next()
            if text is not None:
                await self._send({"type": "websocket.send", "text": text})
                sent.inc()
                self.taken.set()
            elif self._closing is not None:
                code, reason = self._closing
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
                return
            else:
                self.awake.clear()
                await self.awake.wait()

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._websocket.send(message)
        except RuntimeError as error:  # Starlette's, and uvicorn's: the client has closed meanwhile
            raise _OverError from error

    async def _beat(self) -> None:
        conflated = self.sockets.services.metrics.ws_conflated
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self.slow()
            conflated.inc(self.outbox.conflated)
            self.outbox.conflated = 0
            if (error := self._shut_out()) is not None:
                self.cut(error)
            session, channels = self._operations.session_name, self._operations.channels()
            fresh = [] if session else [self.sockets.hub.freshness(name) for name in channels]
            beat = Heartbeat(
                seq=0, time=_now(), waiting_bytes=self.outbox.waiting_bytes, session=session, channels=fresh
            )
            self.tell(beat, key="heartbeat")

    def _shut_out(self) -> ServiceError | None:
        """Why who was let in may stay no longer."""
        services = self.sockets.services
        kind, _, name = self.caller.name.partition(":")
        if kind == "key" and not services.keys.in_force(name):
            return ServiceError("api.key_wrong", "the key is no longer in force")
        if kind == ANYONE and "read" in self.caller.scopes and "read" not in services.open_to:
            return ServiceError("api.key_missing", "there are keys now: nobody may read without one")
        return None

    def _welcome(self) -> Welcome:
        most = self.sockets.services.cfg.ws_connections
        limits = Limits(
            MAX_MESSAGE_BYTES, OPERATIONS, MAX_SUBSCRIPTIONS, most, outbox.MAX_BYTES, outbox.MAX_SECONDS
        )
        return Welcome(
            seq=0,
            version=VERSION,
            time=_now(),
            heartbeat_seconds=HEARTBEAT_SECONDS,
            must_authenticate=self.must_authenticate,
            limits=limits,
            channels=list(CHANNELS),
            symbols=list(self.sockets.known.symbols),
        )


def _now() -> str:
    return format_us(time_ns() // 1000)
