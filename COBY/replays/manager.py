"""The user's ReplayManager on Kafka: orders are records of the session topic, which any replay worker carries out."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic, time_ns
from typing import TypeVar

import msgspec

from COBY.config import Config
from COBY.interfaces import ReplayManager
from COBY.models import ReplaySession, ReplayStatus
from COBY.records import Place, Session
from COBY.replays.asked import Asked, checked, session_of, speed_milli
from COBY.replays.board import Board
from COBY.replays.sessions import ENDED, Known, failure_of, model, replay_topic, status
from COBY.replays.topic_admin import delete_topic, make_topic
from COBY.runtime.kafka import admin
from COBY.utils.exceptions import CobyError, ReplayError
from COBY.utils.intervals import to_us

LOOK_SECONDS = 0.05
PLACE_SECONDS = 30.0
"""A worker takes an order up well within this; where none does, there is none, or it hangs."""

T = TypeVar("T")


class KafkaReplayManager(ReplayManager):
    """Sessions of one TOPIC_PREFIX. May be used from several threads. Close it: `replay.closed` from then on.

    Errors: ReplayError (codes `replay.…`), ValidationError `time.naive`, BrokerError, StorageError.
    """

    def __init__(self, cfg: Config) -> None:
        """Connects when first used."""
        self._cfg = cfg
        self._lock = threading.Lock()
        self._opened: Board | None = None
        self._closing = threading.Event()
        self._making = 0
        self._made = threading.Condition(self._lock)

    def close(self) -> None:
        """End its clients. Who waits for a worker is told so at once; a session just being made is taken away."""
        self._closing.set()
        with self._made:
            self._made.wait_for(lambda: self._making == 0)
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    # --- the user's interface --------------------------------------------------------------------------------------

    def create_replay_session(
        self,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        speed: float = 1.0,
        *,
        offsets: Mapping[str, Mapping[int, tuple[int, int]]] | None = None,
        symbols: Sequence[str] = (),
        exchanges: Sequence[str] = (),
        channels: Sequence[str] = (),
        source: str = "auto",
        settings: Mapping[str, str] | None = None,
        ttl_seconds: int | None = None,
    ) -> str:
        """See `ReplayManager`; its topic is there when this returns, and a worker has found records of the range.

        A range is of times, or of ``offsets`` (topic -> partition -> (from, to)). ``source``: auto (topics, and the
        database for what these no longer hold), topics, database, or recompute (from the raw topics, under
        ``settings``). ReplayError replay.range, replay.future, replay.empty, replay.speed, replay.source,
        replay.channel, replay.offsets, replay.settings, replay.too_many, replay.no_worker; ConfigurationError
        config.unknown_symbol, config.unknown_exchange.
        """
        asked = Asked(
            None if start_time is None else to_us(start_time),
            None if end_time is None else to_us(end_time),
            speed,
            offsets or {},
            tuple(symbols),
            tuple(exchanges),
            tuple(channels),
            source,
            settings or {},
        )
        return self.create(asked, ttl_seconds)

    def create(self, asked: Asked, ttl_seconds: int | None = None) -> str:
        """The same of all that was asked in one."""
        now_us = time_ns() // 1000
        checked(self._cfg, asked, now_us)
        ttl = self._cfg.replay_ttl if ttl_seconds is None else ttl_seconds
        session = session_of(asked, secrets.token_hex(6), now_us, ttl)
        with self._being_made():
            self._asked(lambda board: self._make(board, session))
            try:
                place = self._obeyed(session)
                if place.state == "failed":
                    raise failure_of(place) or ReplayError("replay.state", place.error or "it has failed")
            except CobyError:
                self._asked(lambda board: self._unmake(board, session.id))
                raise
        return session.id

    @contextmanager
    def _being_made(self) -> Iterator[None]:
        """The board stays open, so that it can be unmade."""
        with self._lock:
            self._making += 1
        try:
            yield
        finally:
            with self._made:
                self._making -= 1
                self._made.notify_all()

    def _make(self, board: Board, session: Session) -> None:
        there = board.refresh().all()
        if len(there) >= self._cfg.replay_sessions:
            message = f"there are {len(there)} sessions"
            allowed = f"{self._cfg.replay_sessions} (REPLAY_SESSIONS); delete one"
            raise ReplayError("replay.too_many", message, allowed=allowed)
        client = admin(self._cfg)
        make_topic(self._cfg, client, session.id)
        try:
            board.order(session)
        except CobyError:
            delete_topic(self._cfg, client, session.id)  # nobody would know of it
            raise

    def _unmake(self, board: Board, session_id: str) -> None:
        """Of one that nothing was released of."""
        board.forget(session_id)
        delete_topic(self._cfg, admin(self._cfg), session_id)

    async def start_replay(self, session_id: str) -> None:
        """See `ReplayManager`; it runs when this returns. ReplayError replay.state, replay.no_worker."""
        await self._ordered(session_id, ("created",), state="running")

    async def pause_replay(self, session_id: str) -> None:
        """See `ReplayManager`; nothing is released after this returns."""
        await self._ordered(session_id, ("running",), state="paused")

    async def stop_replay(self, session_id: str) -> None:
        """See `ReplayManager`; its topic stays until it is deleted."""
        await self._ordered(session_id, ("created", "running", "paused"), state="stopped")

    def get_replay_status(self, session_id: str) -> ReplayStatus:
        """See `ReplayManager`."""
        return status(self._asked(lambda board: board.find(session_id)))

    async def resume(self, session_id: str) -> None:
        """See `ReplayManager`."""
        await self._ordered(session_id, ("paused",), state="running")

    async def seek(self, session_id: str, position: datetime) -> None:
        """See `ReplayManager`; a finished session runs again. ReplayError replay.seek outside its range."""
        position_us = to_us(position)

        def change(known: Known) -> dict[str, object]:
            session = known.session
            start, end = session.start_time, session.end_time
            if start is not None and end is not None and not start <= position_us < end:
                allowed = f"from {model(known).start_time} until, without, {model(known).end_time}"
                raise ReplayError("replay.seek", f"{position} is outside", where=session.id, allowed=allowed)
            state = "running" if known.state == "finished" else session.state
            return {"seek_time": position_us, "run": session.run + 1, "state": state}

        await asyncio.to_thread(self._order, session_id, ("running", "paused", "finished"), change)

    async def set_speed(self, session_id: str, speed: float) -> None:
        """See `ReplayManager`; 0.1 to 1,000, or 0: as fast as can be. ReplayError replay.speed."""
        await self._ordered(session_id, ("created", "running", "paused"), speed_milli=speed_milli(speed))

    # --- more ------------------------------------------------------------------------------------------------------

    def list_sessions(self) -> list[ReplayStatus]:
        """All sessions, the oldest first."""
        return [status(known) for known in self._asked(lambda board: board.refresh().all())]

    def get_session(self, session_id: str) -> ReplaySession:
        """What a session plays."""
        return model(self._asked(lambda board: board.find(session_id)))

    def topic(self, session_id: str) -> str:
        """The topic that a session writes to."""
        return replay_topic(self._cfg.topic_prefix, session_id)

    async def delete(self, session_id: str) -> None:
        """End a session and take it and its topic away. Nothing is left when this returns."""
        await asyncio.to_thread(self._delete, session_id)

    def _delete(self, session_id: str) -> None:
        with self._lock:
            board = self._board()
            session = board.find(session_id).session
            board.order(_next(session, state="deleted"))
        self._wait(session_id, lambda board: board.is_gone(session_id) or None)

    async def _ordered(self, session_id: str, states: tuple[str, ...], **changes: object) -> None:
        await asyncio.to_thread(self._order, session_id, states, lambda _known: changes)

    def _order(
        self, session_id: str, states: tuple[str, ...], change: Callable[[Known], Mapping[str, object]]
    ) -> None:
        """Give an order to a session in one of these states and wait until it is carried out."""
        with self._lock:
            board = self._board()
            known = board.find(session_id)
            if known.state not in states:
                message, allowed = f"it is {known.state}", f"a session that is {' or '.join(states)}"
                raise ReplayError("replay.state", message, where=session_id, allowed=allowed)
            order = _next(known.session, **change(known))
            board.order(order)
        place = self._obeyed(order)
        if place.state == "failed" or (place.state in ENDED and order.state == "paused"):
            message = place.error or f"it is {place.state} by now"
            raise ReplayError("replay.state", message, where=session_id)

    def _obeyed(self, order: Session) -> Place:
        """Wait until its worker has carried the order out. ReplayError `replay.no_worker`."""
        return self._wait(order.id, lambda board: board.obeyed(order))

    def _wait(self, session_id: str, look: Callable[[Board], T | None]) -> T:
        """Until there is something to see; between two looks others may use the board."""
        until = monotonic() + PLACE_SECONDS
        while (found := self._asked(look)) is None:
            if monotonic() > until:
                message = f"no worker has carried the order out within {PLACE_SECONDS:g} s"
                allowed = "a running `python -m replay`"
                raise ReplayError("replay.no_worker", message, where=session_id, allowed=allowed)
            if self._closing.wait(LOOK_SECONDS):
                raise _closed()
        return found

    def _asked(self, ask: Callable[[Board], T]) -> T:
        with self._lock:
            return ask(self._board())

    def _board(self) -> Board:
        if self._opened is None:
            if self._closing.is_set():
                raise _closed()
            self._opened = Board(self._cfg)
        return self._opened


def _closed() -> ReplayError:
    return ReplayError(
        "replay.closed", "the manager was closed meanwhile", allowed="another process, or later"
    )


def _next(session: Session, **changes: object) -> Session:
    return msgspec.structs.replace(
        session, number=session.number + 1, ordered_at=time_ns() // 1000, **changes
    )
