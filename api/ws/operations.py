"""What the operations of a client do: subscriptions begin and end, live or of a replay."""

from __future__ import annotations

import asyncio
from time import time_ns
from typing import TYPE_CHECKING

from api.callers import check_scope
from api.ws import messages, protocol
from api.ws.asked import Answer, ended, subscriptions
from api.ws.channels import Selection
from api.ws.cursors import replay_cursor
from api.ws.live import LiveSubscription
from api.ws.replay import ReplaySubscription, Session
from api.ws.sockets import REPLAYS, Sockets
from COBY.utils.exceptions import CobyError, ServiceError, ValidationError
from COBY.utils.intervals import format_us
from COBY.utils.logging import get_logger

if TYPE_CHECKING:
    from api.ws.client import Connection

log = get_logger(__name__)

AnySubscription = LiveSubscription | ReplaySubscription


class Operations:
    """Of one connection."""

    def __init__(self, connection: Connection, sockets: Sockets) -> None:
        """No subscription."""
        self._connection = connection
        self._sockets = sockets
        self._there: dict[str, AnySubscription] = {}
        self._resumed: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._session: Session | None = None
        self._playing: asyncio.Task[None] | None = None

    @property
    def is_replay(self) -> bool:
        """Whether the server waits for this client."""
        return self._session is not None

    @property
    def session_name(self) -> str | None:
        """Of a replay."""
        return self._session.name if self._session else None

    def channels(self) -> list[str]:
        """Those subscribed to."""
        return list(dict.fromkeys(one.selection.channel.name for one in self._there.values()))

    async def carry_out(self, op: protocol.Op) -> None:
        """One operation. CobyError: it can't be done."""
        if isinstance(op, protocol.Auth):
            await self._authenticate(op)
            return
        check_scope(self._connection.caller, "read")
        match op:
            case protocol.Subscribe():
                self._subscribe(op)
            case protocol.Unsubscribe():
                self._unsubscribe(op)
            case protocol.List():
                self._list(op)
            case protocol.Ping():
                time = format_us(time_ns() // 1000)
                self._connection.tell(messages.Pong(seq=0, id=op.id, time=time))
            case protocol.Replay():
                await self._replay(op)

    def close(self) -> None:
        """End all subscriptions."""
        for name in list(self._there):
            self._drop(name)
        if self._playing is not None:
            self._playing.cancel()

    # --- who ---

    async def _authenticate(self, op: protocol.Auth) -> None:
        connection = self._connection
        if not connection.must_authenticate:
            raise ValidationError("ws.authenticated", "a key came before", allowed="one key a connection")
        key = await self._sockets.services.keys.verify(op.key)
        if key is None:
            connection.cut(ServiceError("api.key_wrong", "no such key is in force"), name=op.id)
            return
        caller = connection.caller._replace(name=f"key:{key.id}", scopes=key.scopes)
        try:
            check_scope(caller, "read")
            self._sockets.admit(connection, caller)
        except CobyError as error:
            connection.cut(error, name=op.id)
            return
        connection.caller = caller
        connection.tell(messages.Authenticated(seq=0, id=op.id, scopes=sorted(key.scopes)))

    # --- subscriptions ---

    def _subscribe(self, op: protocol.Subscribe) -> None:
        known = self._sockets.known
        answer = subscriptions(op.channels, known, self._there)
        if unknown := sorted(set(op.cursors) - _asked(answer)):
            message = f"no subscription {unknown[0][:80]!r} is asked for"
            raise ValidationError("ws.invalid", message, where="cursors", allowed="those asked for")
        made = self._made(answer, op)
        begun = [
            messages.Subscription(*_names(selection), selection.name in op.cursors)
            for selection in answer.selections
        ]
        self._connection.tell(messages.Subscribed(seq=0, id=op.id, subscriptions=begun))
        for name, problem in answer.refused:
            self._connection.refuse(op.id, problem, name)
        self._resumed |= set(op.cursors)
        for one in made:
            self._there[one.selection.name] = one
            if isinstance(one, LiveSubscription):
                self._sockets.hub.hold(one.selection.partitions())
                work = self._begin(one, op, op.cursors.get(one.selection.name))
                self._tasks[one.selection.name] = self._connection.spawn(work)
        if self._session is not None:
            self._session.begin([one for one in made if isinstance(one, ReplaySubscription)])

    def _made(self, answer: Answer, op: protocol.Subscribe) -> list[AnySubscription]:
        session = self._session
        if session is None:
            return [self._live(selection) for selection in answer.selections]
        made: list[AnySubscription] = []
        for selection in list(answer.selections):
            text = op.cursors.get(selection.name)
            try:
                cursor = None if text is None else replay_cursor(text, session.name, selection.name)
            except ValidationError as error:
                answer.selections.remove(selection)
                answer.refused.append((selection.name, error))
                continue
            made.append(ReplaySubscription(selection, session.name, session.place, cursor))
        return made

    def _live(self, selection: Selection) -> LiveSubscription:
        connection, name = self._connection, selection.name

        def ended(error: CobyError) -> None:
            self._drop(name)
            connection.refuse(None, error, name)

        return LiveSubscription(selection, connection, connection.slow, ended)

    async def _begin(self, one: LiveSubscription, op: protocol.Subscribe, cursor: str | None) -> None:
        sockets, name = self._sockets, one.selection.name
        try:
            await one.begin(
                sockets.services.cfg, sockets.hub, sockets.services.redis, sockets.readers, cursor
            )
        except CobyError as error:
            self._tasks.pop(name, None)
            self._drop(name)
            self._connection.refuse(op.id, error, name)
        except Exception:
            # A bug of ours is this subscription's matter, not that of the connection's others.
            log.error("bug", subscription=name, exc_info=True)
            self._tasks.pop(name, None)
            self._drop(name)
            self._connection.refuse(op.id, ServiceError("api.bug", "a bug of ours; the log says more"), name)
        else:
            self._tasks.pop(name, None)

    def _unsubscribe(self, op: protocol.Unsubscribe) -> None:
        there: dict[str, Selection] = {name: one.selection for name, one in self._there.items()}
        answer = ended(op.channels, there)
        names = [selection.name for selection in answer.selections]
        for name in names:
            self._drop(name)
        self._connection.tell(messages.Unsubscribed(seq=0, id=op.id, subscriptions=names))
        for subscription, problem in answer.refused:
            self._connection.refuse(op.id, problem, subscription)

    def _drop(self, name: str) -> None:
        one = self._there.pop(name, None)
        if one is None:
            return
        self._resumed.discard(name)
        if (task := self._tasks.pop(name, None)) is not None:
            task.cancel()
        if isinstance(one, LiveSubscription):
            self._sockets.hub.detach(one)
            self._sockets.hub.release(one.selection.partitions())
        elif self._session is not None:
            self._session.subscriptions.pop(name, None)
        self._connection.outbox.forget(one.feed)

    def _list(self, op: protocol.List) -> None:
        there = [
            messages.Subscription(*_names(one.selection), name in self._resumed)
            for name, one in self._there.items()
        ]
        answer = messages.Subscriptions(seq=0, id=op.id, session=self.session_name, subscriptions=there)
        self._connection.tell(answer)

    # --- replays ---

    async def _replay(self, op: protocol.Replay) -> None:
        check_scope(self._connection.caller, "replay")
        if self._there or self._session is not None:
            message = "there are subscriptions" if self._there else "it replays already"
            raise ValidationError("ws.replay_late", message, allowed="replay before the first subscription")
        if self._sockets.replaying >= REPLAYS:
            allowed = f"{REPLAYS} a process"
            raise ServiceError("ws.too_many_replays", f"{REPLAYS} connections replay", allowed=allowed)
        manager = self._sockets.services.replays
        # The place is taken before anything is waited for.
        self._sockets.replaying += 1
        try:
            status = await self._sockets.do(lambda: manager.get_replay_status(op.session))
        except BaseException:
            self._sockets.replaying -= 1
            raise
        self._session = Session(
            self._sockets.services.cfg,
            op.session,
            self._connection,
            self._sockets.do,
            lambda: manager.get_replay_status(op.session),
        )
        self._playing = self._connection.spawn(self._played(self._session))
        answer = messages.Replaying(seq=0, id=op.id, session=op.session, state=status.state)
        self._connection.tell(answer)

    async def _played(self, session: Session) -> None:
        try:
            await session.run()
        except CobyError as error:
            self._connection.refuse(None, error)
        finally:
            self._sockets.replaying -= 1


def _asked(answer: Answer) -> set[str]:
    refused = {name for name, _ in answer.refused if name is not None}
    return refused | {selection.name for selection in answer.selections}


def _names(selection: Selection) -> tuple[str, str, str | None]:
    return selection.name, selection.channel.name, selection.symbol
