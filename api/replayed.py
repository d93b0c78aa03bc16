"""A range as lines of JSON: a replay session of its own, read by a thread that waits for the client.

Nothing lies between the session's topic and the socket but one piece of PIECE_BYTES and what librdkafka has fetched
(FETCHED_KIB): the thread hands a piece over and goes on when it is sent, so that a slow client slows the reading, and
the topic is what waits; one that takes nothing is serving.py's to cut off. The session is deleted at the end,
however that came; should this process die, its worker does it LEFT_SECONDS after the replay's end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from COBY.config import Config
from COBY.jsonform import with_floats
from COBY.records import NAMES
from COBY.replays.asked import Asked
from COBY.replays.manager import KafkaReplayManager
from COBY.replays.sessions import ENDED
from COBY.runtime.reading import Consumed, records
from COBY.utils.exceptions import CobyError, ServiceError
from COBY.utils.logging import get_logger
from COBY.values import value_of

NDJSON = "application/x-ndjson"
RANGE_SECONDS = 6 * 3600
RANGES = 4
"""Ranges that a process sends at once."""
PIECE_BYTES = 64 * 1024
PIECE_SECONDS = 0.2
LOOK_SECONDS = 0.25
FETCHED_KIB = 4096
LEFT_SECONDS = 3600

log = get_logger(__name__)


class Ranges:
    """The ranges under way in this process, and the sessions that are yet to be deleted."""

    def __init__(self, manager: KafkaReplayManager) -> None:
        self.threads = ThreadPoolExecutor(RANGES, "range")
        self._manager = manager
        self._under_way = 0
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Take one of the RANGES places. ServiceError `api.busy`."""
        if self._under_way >= RANGES:
            raise ServiceError("api.busy", f"{RANGES} ranges are being sent", allowed="later, or a session")
        self._under_way += 1

    def end(self, session: str | None) -> None:
        """Give it back, and have the session deleted, whatever becomes of the request."""
        self._under_way -= 1
        if session is not None:
            ending = asyncio.create_task(self._delete(session))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _delete(self, session: str) -> None:
        try:
            await self._manager.delete(session)
        except CobyError as error:
            log.warning("range_not_deleted", session=session, error=str(error))

    async def close(self) -> None:
        """Wait until no session is left."""
        try:
            await asyncio.gather(*self._ending)
        finally:
            self.threads.shutdown(wait=False, cancel_futures=True)


class _GoneError(Exception):
    """The client is."""


class Replayed(Response):
    """The answer. The session runs already."""

    def __init__(
        self, cfg: Config, manager: KafkaReplayManager, ranges: Ranges, session: str, floats: bool
    ) -> None:
        super().__init__(media_type=NDJSON)
        del self.headers["content-length"]  # nobody knows it yet
        self._cfg, self._manager, self._ranges, self._session = cfg, manager, ranges, session
        self._floats = floats

    @classmethod
    async def of(
        cls, cfg: Config, manager: KafkaReplayManager, ranges: Ranges, asked: Asked, *, floats: bool
    ) -> Replayed:
        """The answer to what was asked, begun. ServiceError `api.busy`; what the manager raises."""
        ranges.begin()
        session = None
        try:
            session = await asyncio.to_thread(manager.create, asked, LEFT_SECONDS)
            await manager.start_replay(session)
        except BaseException:
            ranges.end(session)
            raise
        return cls(cfg, manager, ranges, session, floats)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        gone = threading.Event()
        watching = asyncio.create_task(_watch(receive, gone))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            loop = asyncio.get_running_loop()
            feed = _Feed(loop, send, gone)
            await loop.run_in_executor(self._ranges.threads, self._feed, feed)
            await send({"type": "http.response.body", "body": b""})
        except _GoneError:
            log.info("range_broken_off", session=self._session)
        finally:
            gone.set()
            watching.cancel()
            self._ranges.end(self._session)

    def _feed(self, feed: _Feed) -> None:
        """All of the session's records, in the thread. _GoneError."""
        end: dict[str, Any] = {"type": "end", "records": 0, "missing": [], "error": None}
        looked, last = monotonic(), 0

        def is_over() -> bool:
            nonlocal looked
            feed.now_and_then()
            if monotonic() < looked + LOOK_SECONDS:
                return False
            looked = monotonic()
            status = self._manager.get_replay_status(self._session)
            end.update(missing=list(status.missing), error=status.error)
            return status.state in ENDED and last >= status.n

        try:
            topic = self._manager.topic(self._session)
            for one in records(self._cfg, topic, stopped=is_over, fetched_kib=FETCHED_KIB):
                feed.add(_line(one, self._floats))
                last = one.n or 0
                end["records"] += 1
        except CobyError as error:
            end["error"] = str(error)
        feed.add(end)
        feed.flush()


class _Feed:
    """Lines on their way from the thread into the socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Send, gone: threading.Event) -> None:
        self._loop, self._send, self._gone = loop, send, gone
        self._piece = bytearray()
        self._flushed = monotonic()

    def add(self, line: dict[str, Any]) -> None:
        """One more line. _GoneError."""
        self._piece += msgspec.json.encode(line) + b"\n"
        if len(self._piece) >= PIECE_BYTES:
            self.flush()

    def now_and_then(self) -> None:
        """Where little comes, that little is not held back. _GoneError."""
        if self._gone.is_set():
            raise _GoneError
        if self._piece and monotonic() > self._flushed + PIECE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what there is, and wait until it is sent. _GoneError."""
        piece, self._piece = bytes(self._piece), bytearray()
        self._wait(self._sent(piece))
        self._flushed = monotonic()

    async def _sent(self, piece: bytes) -> None:
        try:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except OSError:
            raise _GoneError from None

    def _wait(self, sending: Coroutine[Any, Any, None]) -> None:
        future = asyncio.run_coroutine_threadsafe(sending, self._loop)
        while not self._gone.is_set():
            try:
                return future.result(LOOK_SECONDS)
            except TimeoutError:
                continue
        future.cancel()
        raise _GoneError


def _line(one: Consumed, floats: bool) -> dict[str, Any]:
    data = value_of(one.record, one.source, one.position, one.topic, None, None)
    return {
        "type": "record",
        "channel": one.topic.split(".")[-2],  # <prefix>.<channel>.v1
        "prelude": one.prelude,
        "n": one.n,
        "data": with_floats(NAMES[type(one.record)], data) if floats else data,
    }


async def _watch(receive: Receive, gone: threading.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
