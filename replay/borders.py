"""Where the database ends and a topic begins: exactly, by the position of the first record that the topic still has.

A source writes its records into a topic partition in order, and after a crash again from an older one on. So from the
first record of a source that is still there on, nothing of it is missing, whatever repeats follow; and of everything
with a lower position nothing is there any more. What of that is stored the database gives, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from confluent_kafka import Message

from COBY.codec import decode
from COBY.config import Config
from COBY.records import Candle, TradeEvent
from COBY.runtime.reader import Position, place_of
from COBY.slots import slots_of
from COBY.topics import PARTITIONS, RAW_PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import ProcessingError
from replay.log import Log, stored


class Pair(NamedTuple):
    """Whose records: of a symbol and exchange, or of a symbol over all exchanges (None)."""

    symbol: str
    exchange: str | None


class Border(NamedTuple):
    """The first record of a source that a topic partition still has: its position and stream time."""

    position: Position
    time_us: int


class Part(NamedTuple):
    """What the database gives of one pair in one topic (without prefix). ``border`` None: the topic has nothing of it.

    Plain data: a session that goes on elsewhere must keep its borders, as retention moves on meanwhile.
    """

    topic: str
    pair: Pair
    source: str
    border: Border | None = None

    @property
    def partition(self) -> int:
        """Of the topic."""
        return partition_of(self.pair.symbol.encode(), PARTITIONS)


def source_of(cfg: Config, pair: Pair) -> str:
    """As in the header of the pair's records: `raw.<exchange>.v1/<partition>` or `aggregate/<symbol>`.

    By the slots of these settings, for rows do not say: a symbol that was served by another slot then (SYMBOLS or
    MAX_CONNECTIONS_PER_EXCHANGE were others) had another partition. ConfigurationError `config.unknown_exchange` and
    what `slots_of` raises.
    """
    symbol, exchange = pair
    if exchange is None:
        return f"aggregate/{symbol}"
    if symbol not in cfg.symbols:
        cfg = replace(cfg, symbols=(*cfg.symbols, symbol))
    (slot,) = (slot for slot in slots_of(cfg, exchange) if symbol in slot.symbols.values())
    return f"raw.{exchange}.v1/{partition_of(slot.name.encode(), RAW_PARTITIONS)}"


def parts_of(cfg: Config, log: Log | None, topic: str, pairs: Collection[Pair]) -> list[Part]:
    """The parts of pairs that have rows, each with its border. ``log`` None: whatever topics hold, all is asked for.

    A partition is read from its oldest record until each pair's source was met: by the records themselves where one of
    the pair comes first, else by `source_of`. One whose rows are all there is left of it is looked for to the end.
    BrokerError as `Log`; ConfigurationError as `source_of`.
    """
    sources = {pair: source_of(cfg, pair) for pair in sorted(pairs, key=lambda pair: str(pair))}
    if log is None:
        return [Part(topic, pair, source) for pair, source in sources.items()]
    name = topic_name(cfg.topic_prefix, topic)
    found: list[Part] = []
    for number in log.partitions(name):
        ours = {pair: source for pair, source in sources.items() if _partition(pair) == number}
        if ours:
            first = _First(ours)
            first.read(log, name, number)
            found += [Part(topic, pair, *first.of(pair)) for pair in ours]
    there = {part.pair for part in found}
    return found + [Part(topic, pair, source) for pair, source in sources.items() if pair not in there]


class _First:
    """The first record of each source in one partition."""

    def __init__(self, sources: Mapping[Pair, str]) -> None:
        self._sources = dict(sources)
        self._borders: dict[str, Border] = {}
        self._met: set[Pair] = set()

    def read(self, log: Log, topic: str, number: int) -> None:
        """Read as far as is needed."""
        for batch in log.batches(topic, number, *log.bounds(topic, number)):
            for message in batch:
                self._take(message)
                if all(pair in self._met or self._sources[pair] in self._borders for pair in self._sources):
                    return

    def of(self, pair: Pair) -> tuple[str, Border | None]:
        """Its source and border."""
        source = self._sources[pair]
        return source, self._borders.get(source)

    def _take(self, message: Message) -> None:
        record = stored(message)
        try:
            source, position = place_of(record.headers)
            if source not in self._borders:
                self._borders[source] = Border(position, _time_us(record.value))
        except ProcessingError:
            return  # no record of a stage of ours: readers bury it
        pair = Pair((record.key or b"").decode(errors="replace"), _exchange_of(source))
        if pair in self._sources and pair not in self._met:
            self._met.add(pair)
            self._sources[pair] = source


def _exchange_of(source: str) -> str | None:
    """raw.x.v1/2 -> x; None for any other."""
    topic, _, _ = source.rpartition("/")
    is_raw = topic.startswith("raw.") and topic.endswith(".v1")
    return topic.removeprefix("raw.").removesuffix(".v1") if is_raw else None


def _time_us(value: bytes | None) -> int:
    """Stream time of a record, or T."""
    record = decode(value)
    if isinstance(record, TradeEvent | Candle):
        return record.received_at
    time_us: int = record.timestamp  # type: ignore[attr-defined]  # as the topics that have tables all have
    return time_us


def _partition(pair: Pair) -> int:
    return partition_of(pair.symbol.encode(), PARTITIONS)
