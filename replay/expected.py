"""What a recomputed range should have left: in the topics, in the tables, in Redis."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from COBY.records import NAMES
from COBY.topics import topic_name
from replay.contents import Content, Entry, Group, Position, Side, Spool, text
from replay.fields import Plain, plain_of
from replay.recompute import Recomputed
from replay.tables import Key, Unit, packed, units_of

NORMALIZED = ("trade", "book", "gap", "quality", "continuity", "control", "dlq")
AGGREGATED = ("heatmap", "consolidated", "ohlcv")
OF_SYMBOLS = tuple(name for name in (*NORMALIZED, *AGGREGATED) if name not in ("control", "dlq"))
"""Topics whose key is a symbol, and those with a latest value in Redis."""
assert set(OF_SYMBOLS) < set(NAMES.values()), "names as in the table of topics"


class ExpectedUnit(NamedTuple):
    """A unit of a table: its rows lie in the spool."""

    entry: Entry
    rank: int
    source: str
    position: Position
    symbol: str


class Latest(NamedTuple):
    """The newest record of a key of Redis."""

    topic: str
    source: str
    position: Position
    entry: Entry


class Wanted:
    """Which records take part: those of the symbols asked for, of all topics where none are."""

    def __init__(self, symbols: frozenset[str]) -> None:
        """``symbols``: empty for all."""
        self.symbols = symbols

    def topics(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the topics that can be told by symbol, if some are asked for."""
        return tuple(name for name in names if not self.symbols or name in OF_SYMBOLS)

    def has(self, key: bytes) -> bool:
        """Whether a record with that key takes part."""
        return not self.symbols or key.decode(errors="replace") in self.symbols


class Expected:
    """Takes recomputed records, in order."""

    def __init__(self, prefix: str, spool: Spool, wanted: Wanted, store_interval_us: int) -> None:
        """``prefix`` of the topics; ``store_interval_us``: STORE_INTERVAL, by which the tables are filled."""
        self.sides = {
            name: Side(name, topic_name(prefix, name), spool)
            for names in (NORMALIZED, AGGREGATED)
            for name in wanted.topics(names)
        }
        self.units: dict[str, dict[Key, ExpectedUnit]] = {}
        self.latest: dict[tuple[str, ...], Latest] = {}
        """Channel and what follows it in the key -> the newest."""
        self.sources: dict[tuple[str, str], str] = {}
        """Exchange and symbol -> the source of their records."""
        self._spool = spool
        self._wanted = wanted
        self._interval_us = store_interval_us

    def add(self, one: Recomputed) -> None:
        """One record."""
        output = one.output
        side = self.sides.get(output.topic)
        if side is None or not self._wanted.has(output.key):
            return
        group = Group(output.key, one.source)
        headers: list[tuple[str, bytes | None]] = list(output.headers)
        side.add(group, one.position, Content(output.key, output.value, output.timestamp_ms, headers))
        if output.topic not in OF_SYMBOLS:
            return
        record = plain_of(output.value)
        if "exchange" in record:
            self.sources[record["exchange"], record["symbol"]] = one.source
        entry = side.groups[group][one.position]
        self.latest[latest_parts(output.topic, record)] = Latest(
            output.topic, one.source, one.position, entry
        )
        for unit in units_of(output.topic, record, text(one.position), self._interval_us):
            self._keep(unit, one, record)

    def _keep(self, unit: Unit, one: Recomputed, record: Plain) -> None:
        units = self.units.setdefault(unit.table, {})
        former = units.get(unit.key)
        if former is None or unit.rank >= former.rank:
            entry = self._spool.put(packed(unit.rows))
            units[unit.key] = ExpectedUnit(entry, unit.rank, one.source, one.position, record["symbol"])


def latest_parts(topic: str, record: Plain) -> tuple[str, ...]:
    """Channel, symbol, and exchange or timeframe where there is one: the key of Redis after `latest`."""
    parts = [topic, record["symbol"]]
    parts += [record[name] for name in ("exchange", "timeframe") if name in record]
    return tuple(parts)


def content_of(spool: Spool, entry: Entry) -> Content:
    """The record that an entry stands for."""
    return msgspec.msgpack.decode(spool.get(entry), type=Content)
