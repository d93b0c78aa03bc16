"""aggregate: one partition of the book topic -> heatmaps, consolidated books, candles.

A tick T of a symbol closes when every configured exchange has a record at T or later; the records of T are merged in
order of exchange name. Order of arrival decides nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from COBY.codec import decode, encode
from COBY.merging import NO_TICK, consolidated, heatmap
from COBY.ohlcv import Candles, CandleState
from COBY.records import NAMES as TOPIC_OF
from COBY.records import BookTick, Candle, Consolidated, Heatmap
from COBY.stage import InRecord, Output, dead_letter, header, parse_position, position_headers
from COBY.utils.exceptions import ProcessingError

if TYPE_CHECKING:  # settings are passed in: a pure file never reads them by itself
    from COBY.config import Config


LIMIT = 2**63
"""Of ints that are saved."""


class Waiting(msgspec.Struct):
    """One symbol's open ticks: exchange -> its records not yet merged, by T; and the newest T of each."""

    open: dict[str, dict[int, BookTick]]
    newest: dict[str, int]
    closed_us: int = 0


class SavedSymbol(msgspec.Struct):
    """A symbol as saved."""

    waiting: Waiting
    candles: CandleState


class State(msgspec.Struct):
    """The task's state as saved; ``positions``: source -> newest position taken from it."""

    next_offset: int | None
    positions: dict[str, tuple[int, int]]
    symbols: dict[str, SavedSymbol]


class Made(NamedTuple):
    """One record made at the tick T."""

    record: Heatmap | Consolidated | Candle
    time_us: int
    place: int


class AggregateTask:
    """The task of one partition of the book topic."""

    def __init__(self, config: Config, partition: int) -> None:
        """Serves every configured symbol whose records come to the partition."""
        self.next_offset: int | None = None
        self._config = config
        self._settings = config.settings_hash.encode()
        self._exchanges = tuple(sorted(config.exchanges))
        self._positions: dict[str, tuple[int, int]] = {}
        self._waiting: dict[str, Waiting] = {}
        self._candles: dict[str, Candles] = {}
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._partition = partition

    def process(self, records: Sequence[InRecord]) -> list[Output]:
        """See `Task.process`."""
        outputs: list[Output] = []
        for record in records:
            if self.next_offset is not None and record.offset < self.next_offset:
                continue
            self.next_offset = record.offset + 1
            try:
                if self._is_repeat(record):
                    self._counts["repeats",] += 1
                    continue
                tick = self._tick(record)
            except ProcessingError as error:
                outputs.append(self._dead_letter(record, error))
                continue
            outputs.extend(self._output(made) for made in self.take(tick))
        return outputs

    def take(self, tick: BookTick) -> Iterator[Made]:
        """One record of one exchange: what its coming closes."""
        waiting = self._waiting.get(tick.symbol)
        if waiting is None:
            waiting = self._waiting[tick.symbol] = Waiting({name: {} for name in self._exchanges}, {})
        if tick.timestamp > waiting.newest.get(tick.exchange, 0):
            waiting.open[tick.exchange][tick.timestamp] = tick
            waiting.newest[tick.exchange] = tick.timestamp
        if len(waiting.newest) < len(self._exchanges):
            return
        until = min(waiting.newest.values())
        for time_us in sorted({at for ticks in waiting.open.values() for at in ticks if at <= until}):
            yield from self._close(tick.symbol, waiting, time_us)

    def save(self) -> bytes:
        """See `Task.save`."""
        symbols = {
            symbol: SavedSymbol(_sorted(self._waiting[symbol]), self._candles_of(symbol).state)
            for symbol in sorted(self._waiting)
        }
        positions = dict(sorted(self._positions.items()))
        return msgspec.msgpack.encode(State(self.next_offset, positions, symbols))

    def load(self, state: bytes) -> None:
        """See `Task.load`. Exchanges no longer configured are dropped, new ones are waited for."""
        loaded = msgspec.msgpack.decode(state, type=State)
        self.next_offset = loaded.next_offset
        self._positions = dict(loaded.positions)
        self._waiting, self._candles = {}, {}
        for symbol, saved in loaded.symbols.items():
            if symbol in self._config.symbols:
                waiting = saved.waiting
                waiting.open = {
                    name: {at: self._fitting(tick) for at, tick in waiting.open.get(name, {}).items()}
                    for name in self._exchanges
                }
                waiting.newest = {name: at for name, at in waiting.newest.items() if name in self._exchanges}
                self._waiting[symbol] = waiting
                self._candles_of(symbol).state = saved.candles

    def counters(self) -> dict[tuple[str, ...], int]:
        """See `Task.counters`."""
        return dict(self._counts)

    def _is_repeat(self, record: InRecord) -> bool:
        """Whether the record is not newer than the last position taken from its source (Recovery 6)."""
        source, position = header(record.headers, "source"), header(record.headers, "position")
        if source is None or position is None:
            return False
        try:
            at, name = parse_position(position), source.decode()
        except ValueError as error:
            raise ProcessingError("record.headers", str(error)) from error
        if max(at) >= LIMIT:
            raise ProcessingError("record.headers", f"position {position[:40]!r}", allowed="64-bit integers")
        if at <= self._positions.get(name, (-1, -1)):
            return True
        self._positions[name] = at
        return False

    def _tick(self, record: InRecord) -> BookTick:
        tick = decode(record.value)
        if not isinstance(tick, BookTick):
            raise ProcessingError("record.schema", f"a {type(tick).__name__}", allowed="a BookTick")
        if tick.symbol not in self._config.symbols or tick.exchange not in self._exchanges:
            raise ProcessingError("record.not_configured", f"{tick.exchange} {tick.symbol} is not configured")
        return self._fitting(tick)

    def _fitting(self, tick: BookTick) -> BookTick:
        """Buckets made under another setting can't be added up with ours: their book is not known at T."""
        if not tick.live or tick.bucket_size == self._config.bucket_size_units(tick.symbol):
            return tick
        return msgspec.structs.replace(tick, live=False, reason=NO_TICK)

    def _candles_of(self, symbol: str) -> Candles:
        if symbol not in self._candles:
            self._candles[symbol] = Candles(symbol, self._config.update_frequency_us)
        return self._candles[symbol]

    def _close(self, symbol: str, waiting: Waiting, time_us: int) -> Iterator[Made]:
        ticks = {name: waiting.open[name].pop(time_us, None) for name in self._exchanges}
        bucket_size, depth = self._config.bucket_size_units(symbol), self._config.heatmap_depth
        frame = heatmap(symbol, time_us, bucket_size, depth, ticks)
        complete = all(
            tick is not None and (tick.live or tick.reason == "not_listed") for tick in ticks.values()
        )
        bars = [(name, bar) for name, tick in ticks.items() if tick is not None for bar in tick.bars]
        made: list[Heatmap | Consolidated | Candle] = [
            frame,
            consolidated(symbol, time_us, ticks, frame.data),
        ]
        made += self._candles_of(symbol).tick(time_us, bars, complete)
        waiting.closed_us = time_us
        self._counts["ticks", symbol] += 1
        for place, record in enumerate(made):
            yield Made(record, time_us, place)

    def _output(self, made: Made) -> Output:
        symbol = made.record.symbol
        headers = position_headers(f"aggregate/{symbol}".encode(), made.time_us, made.place, self._settings)
        topic = TOPIC_OF[type(made.record)]
        return Output(topic, symbol.encode(), encode(made.record), made.time_us // 1000, headers)

    def _dead_letter(self, record: InRecord, error: ProcessingError) -> Output:
        self._counts["rejected", error.code] += 1
        source = f"book.v1/{self._partition}".encode()
        headers = position_headers(source, record.offset, 0, self._settings)
        return dead_letter(record, headers, "aggregate", error.code, error.detail())


def _sorted(waiting: Waiting) -> Waiting:
    """As saved: who came first decides nothing."""
    return Waiting(waiting.open, dict(sorted(waiting.newest.items())), waiting.closed_us)
