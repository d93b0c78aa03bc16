"""Releasing a session's records into its topic, in one order, and knowing up to where they are delivered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from COBY.config import Config
from COBY.replays.sessions import replay_topic
from COBY.runtime.kafka import Delivered, GaplessProducer, make_producer
from COBY.utils.exceptions import BrokerError
from replay.items import Cursor, Item, Name

LINGER_MS = 2
FULL_SECONDS = 0.05
PRELUDE = ("prelude", b"1")
"""Header of records that only set the scene: the state at the start of the range."""
Positions = dict[str, tuple[int, int]]


@dataclass(slots=True)
class Mark:
    """Where a session stands after a record: all that is needed to go on behind it."""

    run: int = 0
    n: int = 0
    records: int = 0
    position_ms: int | None = None
    cursors: dict[Name, Cursor] = field(default_factory=dict)
    positions: dict[Name, Positions] = field(default_factory=dict)

    def copy(self) -> Mark:
        """One that does not change any more."""
        kept = {name: dict(taken) for name, taken in self.positions.items()}
        return replace(self, cursors=dict(self.cursors), positions=kept)


class Release:
    """The one writer of a session's topic, in one thread. ``mark``: after the last record handed over."""

    def __init__(self, cfg: Config, session: str, mark: Mark) -> None:
        """Goes on after ``mark``."""
        self.mark = mark
        self.delivered = mark.copy()
        """The newest kept mark before which everything is delivered."""
        self._errors: list[BrokerError] = []
        self._producer = make_producer(cfg, self._errors.append, client_id="coby-replay", linger_ms=LINGER_MS)
        self._topic = replay_topic(cfg.topic_prefix, session)
        self._session = ("session", session.encode())
        self._run = ("run", b"%d" % mark.run)
        self._origins: dict[str, tuple[str, bytes]] = {}
        self._keep = False

    @property
    def producer(self) -> GaplessProducer:
        """For the places, which follow the records."""
        return self._producer

    def put(self, name: Name, cursor: Cursor, item: Item, prelude: bool, stopped: Callable[[], bool]) -> bool:
        """Release one record; False, and nothing happened, if ``stopped`` while the queue was full.

        BrokerError `kafka.…` once something could not be delivered.
        """
        mark = self.mark
        origin = self._origins.get(item.topic)
        if origin is None:
            origin = self._origins[item.topic] = ("topic", item.topic.encode())
        number = ("n", b"%d" % (mark.n + 1))
        headers: list[Any] = [*item.headers, origin, self._session, self._run, number]
        if prelude:
            headers.append(PRELUDE)
        kept: list[Mark] = []
        while not self._producer.offer(
            self._topic,
            item.value,
            item.key,
            headers,
            timestamp_ms=item.time_ms,
            partition=0,
            on_delivery=self._delivery(kept) if self._keep else None,
            reported=self._keep,
        ):
            self._producer.poll(FULL_SECONDS)
            if stopped():
                return False
        mark.n += 1
        mark.records += 1
        mark.cursors[name] = cursor
        if not prelude:
            mark.position_ms = item.time_ms
        if item.source is not None and item.position is not None:
            taken = mark.positions.get(name)
            if taken is None:
                taken = mark.positions[name] = {}
            taken[item.source] = item.position
        if self._keep:
            self._keep = False
            kept.append(mark.copy())
        return True

    def keep(self) -> None:
        """The mark after the next record is to be kept: `delivered` becomes it once all before is delivered."""
        self._keep = True

    def _delivery(self, kept: list[Mark]) -> Delivered:
        def delivered(error: Any, _message: Any) -> None:  # from within poll: the mark is there by then
            if error is None:
                self.delivered = kept[0]

        return delivered

    def poll(self) -> None:
        """Serve confirmations. BrokerError once something could not be delivered."""
        self._producer.poll(0)
        if self._errors:
            raise self._errors[0]

    def flush(self, seconds: float) -> bool:
        """Wait until everything handed over is delivered; whether it is."""
        left = self._producer.flush(seconds)
        if self._errors:
            raise self._errors[0]
        if not left:
            self.delivered = self.mark.copy()
        return not left

    def begin_run(self, run: int) -> None:
        """A seek: numbers and cursors begin anew."""
        self.mark = Mark(run, 0, self.mark.records, self.mark.position_ms)
        self._run = ("run", b"%d" % run)
