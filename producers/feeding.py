"""A recording -> the raw records and marks that a producer and a clock would have left. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from COBY.exchanges.base import Decoder, Delta, Slot, Snapshot, Trade
from COBY.recordings import RecordedFrame
from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import US_PER_SECOND
from producers.grid import marks_passed
from producers.raw import RawRecord, event_value, listed

AFTER_US = 5 * US_PER_SECOND
"""Marks go on for so long after the last record: candles close two seconds after their end."""
LEAP_US = 60 * US_PER_SECOND
"""A longer silence of the whole recording is passed over by its newest mark alone."""
CHANNELS = ("book", "trade")


class Mark(NamedTuple):
    """Belongs into every partition; T in microseconds."""

    time_us: int


class Scan(NamedTuple):
    """What a first look at a recording says; times in ns over all rows that are fed, None where none has one."""

    first_ns: int | None
    last_ns: int | None
    exchanges: frozenset[str]
    slots: frozenset[str]
    symbols: frozenset[str]
    has_events: bool
    nameless_line: int | None
    rows: int


class Plan(NamedTuple):
    """How a recording is fed. ``slots`` by name; ``slot``: of rows that name none; ``symbol``: of nameless bodies;
    ``base_ns``: the time of rows before the first that has one.
    """

    slots: Mapping[str, Slot]
    slot: str
    symbol: str | None
    has_events: bool
    base_ns: int
    shift_ns: int
    grid_us: int


class _Conn:
    """A connection that the recording does not number itself."""

    def __init__(self, name: str, slot: str) -> None:
        self.name = name
        self.slot = slot
        self.seq = 0

    def record(
        self, time_ns: int, kind: str, value: bytes | None, url: str | None = None, symbol: str | None = None
    ) -> RawRecord:
        self.seq += 1
        return RawRecord(self.slot, time_ns, self.name, self.seq, kind, value, url, symbol)

    def event(self, time_ns: int, name: str, **fields: object) -> RawRecord:
        return self.record(time_ns, "event", event_value(name, **fields))


def scan(rows: Iterable[RecordedFrame]) -> Scan:
    """Look at all rows; context counts for nothing but the names of exchanges."""
    times: list[int] = []
    named: dict[str, set[str]] = {"exchange": set(), "slot": set(), "symbol": set()}
    events, nameless, count = False, None, 0
    for row in rows:
        for key, values in named.items():
            if (value := getattr(row, key)) is not None:
                values.add(value)
        if row.kind is None:
            continue
        count += 1
        events = events or row.kind == "event"
        if row.kind == "http" and nameless is None and row.symbol is None and row.url is None:
            nameless = row.line
        if row.received_ns is not None:
            times = (
                [min(times[0], row.received_ns), max(times[1], row.received_ns)]
                if times
                else [row.received_ns] * 2
            )
    first, last = times or (None, None)
    exchanges, slots, symbols = (frozenset(values) for values in named.values())
    return Scan(first, last, exchanges, slots, symbols, events, nameless, count)


def symbols_in(rows: Iterable[RecordedFrame], decoder: Decoder) -> set[str]:
    """The symbols of the WebSocket frames, as the exchange's decoder reads them."""
    found = set()
    for row in rows:
        if row.kind == "ws":
            for event in decoder.decode(row.frame, "ws", None, None):
                if isinstance(event, Trade | Delta | Snapshot):
                    found.add(event.symbol)
    return found


class Feeder:
    """Rows in, records and marks out, in the order in which they belong into the topic."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._now_ns = plan.base_ns
        self._mark_us: int | None = None
        self._alive_us: int | None = None
        self._conns: dict[str, _Conn] = {}
        self._number = -1
        self._last_us = 0

    def feed(self, rows: Iterable[RecordedFrame]) -> Iterator[RawRecord | Mark]:
        """Everything, and marks for 5 s more. ValidationError `feed.unknown_symbol` for a body of no symbol."""
        for row in rows:
            if row.received_ns is not None:
                self._now_ns = row.received_ns + self._plan.shift_ns
            if row.dir == "connect" and not self._plan.has_events:
                yield from self._passing(self._now_ns // 1000)
                yield from self._connect(row.url)
            elif row.kind is not None:
                yield from self._passing(self._now_ns // 1000)
                yield from self._row(row)
        yield from self._passing(self._last_us + AFTER_US)

    def _passing(self, time_us: int) -> Iterator[RawRecord | Mark]:
        """Marks, and signs of life of the connections that are ours, up to a time."""
        plan = self._plan
        marks = marks_passed(self._mark_us, time_us, plan.grid_us, LEAP_US)
        alive = marks_passed(self._alive_us, time_us, US_PER_SECOND, LEAP_US)
        for point_us, is_alive in heapq.merge(
            ((mark, False) for mark in marks), ((beat, True) for beat in alive)
        ):
            if is_alive:
                self._alive_us = point_us
                yield from [conn.event(point_us * 1000, "alive") for conn in self._conns.values()]
            else:
                self._mark_us = point_us
                yield Mark(point_us)
        self._last_us = max(self._last_us, time_us)

    def _connect(self, url: str | None) -> Iterator[RawRecord]:
        """A row `connect`: the connections so far have ended, another begins."""
        for conn in self._conns.values():
            yield conn.event(self._now_ns, "disconnected", reason="the recording connects anew")
        self._conns.clear()
        self._number += 1
        yield from self._open(f"feed-{self._number}", self._plan.slot, url)

    def _open(self, name: str, slot_name: str, url: str | None) -> Iterator[RawRecord]:
        slot = self._plan.slots[slot_name]
        conn = self._conns[name] = _Conn(name, slot_name)
        now_ns, symbols = self._now_ns, listed(slot)
        yield conn.event(
            now_ns, "connected", exchange=slot.exchange, slot=slot_name, symbols=symbols, url=url
        )
        yield conn.event(now_ns, "subscribed", symbols=symbols, channels=CHANNELS)

    def _row(self, row: RecordedFrame) -> Iterator[RawRecord]:
        assert row.kind is not None
        value = None if row.is_null else row.frame
        slot, symbol = row.slot or self._plan.slot, self._symbol(row)
        if self._plan.has_events and row.conn is not None and row.seq is not None:
            yield RawRecord(slot, self._now_ns, row.conn, row.seq, row.kind, value, row.url, symbol)
            return
        if row.conn is None and self._number < 0:
            self._number = 0
        name = row.conn or f"feed-{self._number}"
        if name not in self._conns:
            yield from self._open(name, slot, None)
        yield self._conns[name].record(self._now_ns, row.kind, value, row.url, symbol)

    def _symbol(self, row: RecordedFrame) -> str | None:
        if row.kind != "http" or row.symbol is not None or row.url is not None:
            return row.symbol
        if self._plan.symbol is None:
            message = "a REST body without symbol or url, and the recording has not one symbol"
            raise ValidationError("feed.unknown_symbol", message, where=f"line {row.line}")
        return self._plan.symbol
