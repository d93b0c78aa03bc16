"""A replay session of one's own: made, started, read until its end, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic

from COBY.config import Config
from COBY.orchestrator.cursors import cursor_of
from COBY.orchestrator.kafka_feed import KafkaFeed
from COBY.orchestrator.messages import Message, Missed, Update
from COBY.orchestrator.subscription import Feed
from COBY.orchestrator.wanted import Past
from COBY.replays.manager import KafkaReplayManager
from COBY.replays.sessions import ENDED
from COBY.utils.exceptions import CobyError, error_of

LOOK_SECONDS = 0.3
"""So often the session's place is asked for while nothing comes."""


class OwnSession:
    """Made and started when first opened, deleted in the end."""

    def __init__(self, cfg: Config, manager: KafkaReplayManager, past: Past) -> None:
        """Asks nothing yet."""
        self._cfg = cfg
        self._manager = manager
        self._past = past
        self._making: asyncio.Task[str] | None = None
        self._is_started = False

    async def open(self, cursor: str | None) -> Feed:
        """Its records from the first on, or from a cursor of an earlier feed of it."""
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        session = await asyncio.shield(self._making)  # who gives up waiting must still be able to delete it
        if not self._is_started:
            await self._manager.start_replay(session)
            self._is_started = True
        place = (self._manager.topic(session), 0)
        offsets, taken = cursor_of(cursor) if cursor is not None else ({place: 0}, {})
        inner = await asyncio.to_thread(KafkaFeed, self._cfg, self._past.wanted, offsets, taken)
        return ReplayFeed(self._manager, session, inner, with_prelude=self._past.with_prelude)

    async def end(self) -> None:
        """Delete it."""
        if self._making is None:
            return
        (session,) = await asyncio.gather(self._making, return_exceptions=True)
        if isinstance(session, str):
            await self._manager.delete(session)

    def _make(self) -> str:
        wanted, start, end, speed, source, _ = self._past
        return self._manager.create_replay_session(
            start,
            end,
            speed,
            symbols=sorted(wanted.symbols),
            exchanges=sorted(wanted.exchanges),
            channels=wanted.channels,
            source=source,
        )


class ReplayFeed:
    """A `Feed` of a session's topic."""

    def __init__(
        self, manager: KafkaReplayManager, session: str, inner: KafkaFeed, *, with_prelude: bool
    ) -> None:
        """``inner`` reads the session's topic."""
        self._manager = manager
        self._session = session
        self._inner = inner
        self._with_prelude = with_prelude
        self._looked = 0.0
        self._is_over = False

    async def batch(self) -> Sequence[Message] | None:
        """What has come; None once the session has ended and all of it was read. CobyError of one that failed."""
        if self._is_over:
            return None
        batch = await self._inner.batch()
        if batch or monotonic() - self._looked < LOOK_SECONDS:
            return [
                one for one in batch if self._with_prelude or not (isinstance(one, Update) and one.prelude)
            ]
        self._looked = monotonic()
        return await asyncio.to_thread(self._ending)

    def _ending(self) -> Sequence[Message]:
        """What is to be said at its end, if it is there."""
        status = self._manager.get_replay_status(self._session)
        if status.state not in ENDED or not self._inner.is_read():
            return []
        if status.state == "failed":
            raise _failure(status.error)
        self._is_over = True
        missing = list(status.missing)
        if status.state == "stopped":
            missing.append(f"stopped by order at {status.position}")
        return [Missed("range", text) for text in missing]

    def passed(self, message: Message) -> None:
        """See `Feed`."""
        self._inner.passed(message)

    def cursor(self) -> str | None:
        """See `Feed`."""
        return self._inner.cursor()

    async def close(self) -> None:
        """End the reading; the session goes with its `Subscription`."""
        await self._inner.close()


def _failure(text: str | None) -> CobyError:
    code, _, message = (text or "replay.broken: it has failed").partition(": ")
    return error_of(code, message)
