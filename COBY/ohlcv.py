"""Candles over all exchanges, from the one-second bars in the tick records (DESIGN.md, "Time is in the log").

A candle is first emitted at the first tick at or after its end + 2 s, again with revision + 1 at a tick that brings
trades after that, and dropped from state two minutes after its end. A bar older than that counts, in all timeframes,
to the last second before its tick.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from COBY.records import Bar, Candle

SECOND_US = 1_000_000
TIMEFRAMES_US = {
    "1s": SECOND_US,
    "1m": 60 * SECOND_US,
    "5m": 300 * SECOND_US,
    "15m": 900 * SECOND_US,
    "1h": 3_600 * SECOND_US,
    "4h": 14_400 * SECOND_US,
    "1d": 86_400 * SECOND_US,
}
SETTLE_US = 2 * SECOND_US
KEEP_US = 120 * SECOND_US


class Window(msgspec.Struct):
    """One candle in the making. ``begun``: a tick of it has come; ``complete``: so far, by its ticks.

    ``first`` and ``last`` are (candle time, exchange, offset) of its open and close.
    """

    begun: bool = False
    complete: bool = False
    emitted: int = 0
    changed: bool = False
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    volume: int = 0
    trade_count: int = 0
    first: tuple[int, str, int] = (0, "", 0)
    last: tuple[int, str, int] = (0, "", 0)

    def add(self, exchange: str, bar: Bar) -> None:
        """Count a bar."""
        first = (bar.open_time, exchange, bar.open_offset)
        last = (bar.close_time, exchange, bar.close_offset)
        if not self.trade_count or first < self.first:
            self.open, self.first = bar.open, first
        if not self.trade_count or last > self.last:
            self.close, self.last = bar.close, last
        self.high = max(self.high, bar.high)
        self.low = min(self.low, bar.low) if self.trade_count else bar.low
        self.volume += bar.volume
        self.trade_count += bar.trade_count
        self.changed = True


class CandleState(msgspec.Struct):
    """Open and settling windows by timeframe and start, and the tick before, of one symbol."""

    windows: dict[str, dict[int, Window]] = {}
    tick_us: int | None = None


class Candles:
    """The candles of one symbol."""

    def __init__(self, symbol: str, grid_us: int) -> None:
        """``grid_us`` between two ticks."""
        self._symbol = symbol
        self._grid_us = grid_us
        self.state = CandleState({name: {} for name in TIMEFRAMES_US})

    def tick(self, time_us: int, bars: Iterable[tuple[str, Bar]], complete: bool) -> list[Candle]:
        """Take the bars (exchange, bar) of the tick; the candles that settle or change at it, shortest first.

        ``complete``: every configured exchange was live at this tick.
        """
        follows = self.state.tick_us is not None and time_us - self.state.tick_us == self._grid_us
        if not follows:
            self._miss(self.state.tick_us or 0)
        self._open_windows(time_us, complete and follows)
        for exchange, bar in bars:
            self._add(exchange, bar, time_us)
        self.state.tick_us = time_us
        return self._settle(time_us)

    def _open_windows(self, time_us: int, unbroken: bool) -> None:
        """The tick T tells of (T - grid, T]: it belongs to the windows that hold the moment before T."""
        for name, length in TIMEFRAMES_US.items():
            start = (time_us - 1) // length * length
            window = self.state.windows[name].setdefault(start, Window())
            if not window.begun:
                # Bars may come before the first tick of their window. One whose beginning was not seen is incomplete.
                window.begun, window.complete = True, unbroken and time_us - self._grid_us <= start
            elif not unbroken:
                window.complete = False

    def _miss(self, last_us: int) -> None:
        """Ticks after ``last_us`` never came: the windows that reach beyond it lack some."""
        for name, length in TIMEFRAMES_US.items():
            for start, window in self.state.windows[name].items():
                if start + length > last_us:
                    window.complete = False

    def _add(self, exchange: str, bar: Bar, time_us: int) -> None:
        at = bar.timestamp
        if at + SECOND_US + KEEP_US < time_us:
            at = time_us // SECOND_US * SECOND_US - SECOND_US
        for name, length in TIMEFRAMES_US.items():
            self.state.windows[name].setdefault(at // length * length, Window()).add(exchange, bar)

    def _settle(self, time_us: int) -> list[Candle]:
        candles = []
        for name, length in TIMEFRAMES_US.items():
            windows = self.state.windows[name]
            for start in sorted(windows):
                end = start + length
                window = windows[start]
                if window.changed and time_us >= end + SETTLE_US:
                    candles.append(self._candle(name, start, window, time_us))
                if end + KEEP_US < time_us:
                    del windows[start]
        return candles

    def _candle(self, timeframe: str, start: int, window: Window, time_us: int) -> Candle:
        revision = window.emitted
        window.emitted += 1
        window.changed = False
        return Candle(
            self._symbol,
            start,
            timeframe,
            window.open,
            window.high,
            window.low,
            window.close,
            window.volume,
            window.trade_count,
            revision,
            window.complete,
            time_us,
        )
