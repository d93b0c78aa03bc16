"""A session's streams, by where its records come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from COBY.config import Config
from COBY.records import Session
from replay.items import TOPIC, Cursor, Item, Name, Stream, merged
from replay.log import Log
from replay.plan import Plan, chosen_of, numbers_of, range_of, recomputed, symbols_of
from replay.release import Mark
from replay.scene import SCENE, Scene
from replay.stored import Stored
from replay.topic_streams import Piece, TopicStreams, Wanted


class Sources:
    """Opens what a session plays, from a mark on; everything is closed by `close`."""

    def __init__(self, cfg: Config, session: Session, plan: Plan, stopped: Callable[[], bool]) -> None:
        """``stopped`` is asked while nothing comes."""
        self._cfg = cfg
        self._session = session
        self._plan = plan
        self._stopped = stopped
        self._open = ExitStack()
        self._topics: TopicStreams | None = None

    def lost(self) -> list[str]:
        """What went while it was being read, a sentence each."""
        return [] if self._topics is None else self._topics.lost()

    def close(self) -> None:
        """End all clients."""
        self._open.close()

    def items(self, mark: Mark, *, with_scene: bool = True) -> Iterator[tuple[Name, Cursor, Item]]:
        """What follows the mark, in order. BrokerError, StorageError, ReplayError."""
        return merged(self._streams(mark, with_scene), mark.cursors)

    def _streams(self, mark: Mark, with_scene: bool) -> Sequence[Stream]:
        if self._session.origin == "recompute":
            return [recomputed(self._cfg, self._session, self._plan.ends)]
        log = Log(self._cfg)
        self._open.callback(log.close)
        pieces = self._pieces(log, mark)
        wanted = self._wanted()
        self._topics = topics = TopicStreams(self._cfg, pieces, wanted, self._stopped)
        self._open.callback(topics.close)
        topics.begin({name: cursor.place for name, cursor in mark.cursors.items()})
        streams: list[Stream] = list(topics.streams)
        if self._plan.parts:
            stored = Stored(self._cfg, range_of(self._session), chosen_of(self._cfg, self._session))
            self._open.callback(stored.close)
            streams += stored.streams(self._plan.parts)
        is_at_start = not mark.run and mark.cursors.keys() <= {SCENE}
        if with_scene and is_at_start and not self._session.offsets:
            numbers = numbers_of(self._cfg, self._session)
            streams.append(Scene(self._cfg, log, self._session, numbers, wanted))
        return streams

    def _pieces(self, log: Log, mark: Mark) -> list[Piece]:
        spans = {(topic, number): (first, end) for topic, number, first, end in self._plan.spans}
        firsts = {place: first for place, (first, _) in spans.items()}
        if self._session.seek_time is not None and not mark.cursors:
            sought = log.all_first_since(dict.fromkeys(spans, -(-self._session.seek_time // 1000)))
            firsts = {place: max(first, sought[place]) for place, first in firsts.items()}
        return [
            Piece(*place, firsts[place], end, mark.positions.get((*place, TOPIC), {}))
            for place, (_, end) in spans.items()
        ]

    def _wanted(self) -> Wanted:
        session = self._session
        keys = frozenset(symbol.encode() for symbol in session.symbols)
        exchanges = frozenset(session.exchanges)
        if session.offsets:
            from_ms = 0 if session.seek_time is None else -(-session.seek_time // 1000)
            return Wanted(from_ms, None, keys, exchanges)
        within = range_of(session)
        if not keys:
            keys = frozenset(symbol.encode() for symbol in symbols_of(self._cfg, session))
        return Wanted(within.from_ms, within.to_ms, keys, exchanges)


def cursors_text(mark: Mark) -> str:
    """Cursors and positions as a place keeps them."""
    plain = [
        [*name, *cursor, {source: list(at) for source, at in mark.positions.get(name, {}).items()}]
        for name, cursor in sorted(mark.cursors.items())
    ]
    return json.dumps(plain)


def mark_of(run: int, n: int, records: int, position_us: int | None, text: str) -> Mark:
    """The mark that a place keeps."""
    mark = Mark(run, n, records, None if position_us is None else position_us // 1000)
    for topic, number, phase, place, reached_ms, taken in json.loads(text or "[]"):
        name = (topic, number, phase)
        mark.cursors[name] = Cursor(place, reached_ms)
        mark.positions[name] = {source: (at[0], at[1]) for source, at in taken.items()}
    return mark
