"""A stream of messages that goes on after a broken connection where it was.

Nothing is queued: the next batch is asked for when the last message of the one before was taken, so who reads slowly
holds the reading up (a replay then waits; of live records Kafka keeps days).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Protocol

from COBY.orchestrator.messages import Message
from COBY.utils.exceptions import CobyError
from COBY.utils.logging import get_logger

FIRST_SECONDS, LAST_SECONDS = 0.2, 15.0
"""The first wait after a broken connection, and the longest; each is twice the former, less up to a half by chance."""
PASSING = frozenset(
    [
        "kafka.unreachable",
        "kafka.refused",
        "kafka.silent",
        "api.unreachable",
        "api.closed",
        "api.rate",
        "slow_consumer",
    ]
)
"""Tried again until it works; any other error is the caller's."""

log = get_logger(__name__)


class Feed(Protocol):
    """One connection's messages, in order."""

    async def batch(self) -> Sequence[Message] | None:
        """What has come, perhaps nothing yet; None once there is no more. Any CobyError ends it."""
        ...

    def passed(self, message: Message) -> None:
        """A message was handed out."""
        ...

    def cursor(self) -> str | None:
        """Where to go on after all that was handed out; None where it can't be said."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


Open = Callable[[str | None], Awaitable[Feed]]
"""Opens a feed at a cursor, or at its beginning."""


class Subscription:
    """Iterate over it (`async for`) and close it, or use it as `async with`. One task uses it.

    Errors of its opening (what was asked for is wrong, a key is refused) are raised by the iteration.
    """

    def __init__(
        self, open_: Open, cursor: str | None, ended: Callable[[Subscription], Awaitable[None]]
    ) -> None:
        """Made by an OrchestratorInterface; connects when iterated over. ``ended`` is called once."""
        self._open = open_
        self._cursor = cursor
        self._ended = ended
        self._feed: Feed | None = None
        self._batch: Sequence[Message] = ()
        self._next = 0
        self._is_closed = False
        self._fetching: asyncio.Task[bool] | None = None
        self._wait_seconds = FIRST_SECONDS

    @property
    def cursor(self) -> str | None:
        """Where to go on after the last message taken: `subscribe(…, cursor=…)`, in any process."""
        return self._cursor if self._feed is None else self._feed.cursor()

    def __aiter__(self) -> Subscription:
        """Itself."""
        return self

    async def __anext__(self) -> Message:
        """The next message, however long it takes."""
        while self._next == len(self._batch):
            if self._is_closed or not await self._fetched():
                await self.aclose()
                raise StopAsyncIteration
        assert self._feed is not None
        message = self._batch[self._next]
        self._next += 1
        self._feed.passed(message)
        return message

    async def _fetched(self) -> bool:
        """Whether there is more. A caller that gives up waiting (a timeout) loses nothing: the next one goes on."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        try:
            there_is_more = await asyncio.shield(self._fetching)
        except CobyError:
            await self.aclose()
            raise
        self._fetching = None
        return there_is_more

    async def _fetch(self) -> bool:
        """Ask for the next batch; False after the last."""
        try:
            if self._feed is None:
                self._feed = await self._open(self._cursor)
            batch = await self._feed.batch()
        except CobyError as error:
            if error.code not in PASSING:
                raise
            await self._broken(error)
            return True
        if batch is None:
            return False
        if batch:
            self._wait_seconds = FIRST_SECONDS
        self._batch, self._next = batch, 0
        return True

    async def _broken(self, error: CobyError) -> None:
        await self._disconnect()
        seconds = self._wait_seconds * random.uniform(0.5, 1)
        self._wait_seconds = min(2 * self._wait_seconds, LAST_SECONDS)
        log.warning("reconnecting", error=str(error), seconds=round(seconds, 3))
        await asyncio.sleep(seconds)

    async def _disconnect(self) -> None:
        feed, self._cursor = self._feed, self.cursor
        self._feed, self._batch, self._next = None, (), 0
        if feed is not None:
            await feed.close()

    async def aclose(self) -> None:
        """End it; what was not taken yet is dropped, and `cursor` stays."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        try:
            await self._disconnect()
        finally:
            await self._ended(self)

    async def __aenter__(self) -> Subscription:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closed."""
        await self.aclose()
