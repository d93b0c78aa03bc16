"""What sets the scene of a range, so that its window stands alone: the state of things just before its start.

The newest book of each exchange and symbol, the newest heatmap and consolidated book, and the candles that are open,
made of the finished ones. Marked by a header, because none of it happened within the range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from COBY.codec import decode, encode
from COBY.config import Config
from COBY.records import Candle, Session
from COBY.topics import topic_name
from replay.items import Item, Name
from replay.log import Log
from replay.plan import channels_of, range_of
from replay.prelude import open_candles
from replay.topic_streams import Wanted, item_of

SCENE: Name = ("", 0, 0)
"""The name of its stream: before all others."""
STATES = ("book", "heatmap", "consolidated")
LOOK_BACK_MS = 10_000
"""A state that is older is none: there is a record each tick."""
DAY_MS = 86_400_000
MINUTE_MS = 60_000
OF_A_SECOND = b"\x041s"
"""The timeframe of the shortest candles as Avro writes it."""
SOURCE = b"replay/scene"


class Scene:
    """A stream of it: see `items.Stream`. BrokerError."""

    name = SCENE

    def __init__(
        self, cfg: Config, log: Log, session: Session, numbers: Iterable[int], wanted: Wanted
    ) -> None:
        """``numbers``: partitions of the session's symbols; ``wanted``: what takes part, but for the times."""
        self._cfg = cfg
        self._log = log
        self._session = session
        self._numbers = sorted(numbers)
        self._from_ms = range_of(session).from_ms
        self._wanted = wanted._replace(from_ms=0, to_ms=self._from_ms)

    def since(self, place: int) -> Iterator[Item]:
        """Its items from a place on."""
        return (item._replace(place=at) for at, item in islice(enumerate(self._items()), place, None))

    def _items(self) -> Iterator[Item]:
        for channel in channels_of(self._session):
            if channel in STATES:
                yield from self._states(topic_name(self._cfg.topic_prefix, channel))
            elif channel == "ohlcv":
                yield from self._candles(topic_name(self._cfg.topic_prefix, channel))

    def _states(self, topic: str) -> Iterator[Item]:
        for number in self._numbers:
            newest: dict[tuple[bytes | None, str | None], Item] = {}
            for item in self._read(topic, number, self._from_ms - LOOK_BACK_MS):
                newest[item.key, item.source] = max(
                    item, newest.get((item.key, item.source), item), key=_time
                )
            # Their positions are not taken: a repeat of one that lies within the range would be dropped.
            yield from (item._replace(source=None) for _, item in sorted(newest.items()))

    def _candles(self, topic: str) -> Iterator[Item]:
        start_ms = self._from_ms // DAY_MS * DAY_MS
        for number in self._numbers:
            found = []
            for item in self._read(topic, number, start_ms):
                # Of the shortest, thousands an hour, only those of the last minute can be of use.
                if item.value is None or (
                    item.time_ms < self._from_ms - 2 * MINUTE_MS and OF_A_SECOND in item.value[:40]
                ):
                    continue
                record = decode(item.value)
                if isinstance(record, Candle):
                    found.append(record)
            for candle in open_candles(found, self._from_ms * 1000):
                headers: list[tuple[str, bytes | None]] = [("source", SOURCE)]
                key = candle.symbol.encode()
                yield Item(self._from_ms - 1, topic, key, encode(candle), headers, 0)

    def _read(self, topic: str, number: int, since_ms: int) -> Iterator[Item]:
        first, end = (self._log.first_since(topic, number, time_ms) for time_ms in (since_ms, self._from_ms))
        for batch in self._log.batches(topic, number, first, end):
            yield from (item for item in map(item_of, batch) if self._wanted.has(item))


def _time(item: Item) -> int:
    return item.time_ms
