"""Trades of one symbol of one exchange: which are new, which second they count to (DESIGN.md, Integrity)."""

from __future__ import annotations

from collections import deque

import msgspec

from COBY.exchanges.base import Trade
from COBY.records import Bar, TradeEvent
from COBY.text import PRICES, SIZES

REMEMBERED = 10_000
"""A trade is new if its id is not among so many last accepted ones."""
SECOND_US = 1_000_000
EARLIEST_US = 1_262_304_000 * SECOND_US  # 2010-01-01: before any of the exchanges
LATEST_AHEAD_US = 86_400 * SECOND_US
CANDLE_TOLERANCE_US = 60 * SECOND_US
ANOMALY_TENTHS = 1  # of the last price


class TradeState(msgspec.Struct):
    """What of a symbol's trades is saved: ids in order of acceptance, last price, and bars since the last tick.

    ``lines``: of each id a byte, in whose bits are the connections that brought it live.
    """

    ids: list[str]
    lines: bytes
    last_price: int | None
    live_seen: bool
    bars: list[Bar]


class OpenBar:
    """A bar while its tick is open; trades come in order of the raw partition."""

    __slots__ = (
        "close",
        "close_offset",
        "close_time",
        "count",
        "high",
        "low",
        "open",
        "open_offset",
        "open_time",
        "volume",
    )

    def __init__(self, time_us: int, offset: int, price: int) -> None:
        """A bar without volume at its first trade."""
        self.open = self.high = self.low = self.close = price
        self.open_time = self.close_time = time_us
        self.open_offset = self.close_offset = offset
        self.volume = self.count = 0

    def add(self, time_us: int, offset: int, price: int, size: int) -> None:
        """Count a trade. Open is the first and close the last by (time, order of coming)."""
        self.volume += size
        self.count += 1
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        if time_us >= self.close_time:
            self.close, self.close_time, self.close_offset = price, time_us, offset
        elif time_us < self.open_time:
            self.open, self.open_time, self.open_offset = price, time_us, offset


class Trades:
    """The trades of one symbol of one exchange, over all its connections."""

    __slots__ = ("_bars", "_ids", "_order", "exchange", "last_price", "live_seen", "symbol")

    def __init__(self, symbol: str, exchange: str) -> None:
        """Nothing accepted yet."""
        self.symbol = symbol
        self.exchange = exchange
        self.last_price: int | None = None
        self.live_seen = False
        self._ids: dict[str, int] = {}
        self._order: deque[str] = deque()
        self._bars: dict[int, OpenBar] = {}

    def accept(
        self, trade: Trade, stream_us: int, offset: int, own_id: str | None, line: int = 0
    ) -> TradeEvent | None:
        """The record of a new trade, None for a known one (or history before the first live trade).

        ``own_id`` is ``<conn>-<seq>-<index>``, used where the exchange gives no id; such a trade is never dropped.
        ``line``: the number of the connection that brings it.
        """
        trade_id = trade.trade_id
        if trade_id is None:
            assert own_id is not None
            trade_id = own_id
        elif trade_id in self._ids:
            return None
        if trade.history and not self.live_seen:
            return None
        self.live_seen = True
        self._remember(trade_id, 0 if trade.history else 1 << line)
        event = trade_event(trade, self.exchange, trade_id, stream_us, self.last_price)
        self.last_price = event.price
        self._count(event, stream_us, offset)
        return event

    def is_repeat(self, trade: Trade, line: int) -> bool:
        """Of a trade that `accept` did not take: whether this connection has brought it live before. It has now.

        History sent on subscribing is none, nor is the copy of another connection, before this one or beside it.
        """
        if trade.history or trade.trade_id is None:
            return False
        lines = self._ids.get(trade.trade_id, 0)
        self._ids[trade.trade_id] = lines | 1 << line
        return bool(lines >> line & 1)

    def forget_line(self, line: int) -> None:
        """That number is another connection's from now on."""
        for trade_id, lines in self._ids.items():
            if lines >> line & 1:
                self._ids[trade_id] = lines & ~(1 << line)

    def take_bars(self) -> list[Bar]:
        """The bars since the last call, by second; they are handed over once."""
        if not self._bars:
            return []
        bars = self._view()
        self._bars = {}
        return bars

    def save(self) -> TradeState:
        """The state."""
        lines = bytes(self._ids[trade_id] for trade_id in self._order)
        return TradeState(list(self._order), lines, self.last_price, self.live_seen, self._view())

    def load(self, state: TradeState) -> None:
        """Take up a saved state."""
        self._order = deque(state.ids)
        self._ids = dict(zip(state.ids, state.lines, strict=True))
        self.last_price, self.live_seen = state.last_price, state.live_seen
        self._bars = {bar.timestamp: _open_bar(bar) for bar in state.bars}

    def _remember(self, trade_id: str, lines: int) -> None:
        self._ids[trade_id] = lines
        self._order.append(trade_id)
        if len(self._order) > REMEMBERED:
            self._ids.pop(self._order.popleft(), None)

    def _count(self, event: TradeEvent, stream_us: int, offset: int) -> None:
        time_us = event.timestamp
        if not -CANDLE_TOLERANCE_US <= time_us - stream_us <= CANDLE_TOLERANCE_US:
            time_us = stream_us
        second = time_us - time_us % SECOND_US
        bar = self._bars.get(second)
        if bar is None:
            bar = self._bars[second] = OpenBar(time_us, offset, event.price)
        bar.add(time_us, offset, event.price, event.size)

    def _view(self) -> list[Bar]:
        return [_bar(second, self._bars[second]) for second in sorted(self._bars)]


def trade_event(
    trade: Trade, exchange: str, trade_id: str, stream_us: int, last_price: int | None
) -> TradeEvent:
    """The record of one trade. Time outside 2010 … stream time + 1 day is replaced; an odd price only flagged."""
    price, time_us = PRICES[trade.price], trade.time_us
    usable = EARLIEST_US <= time_us <= stream_us + LATEST_AHEAD_US
    return TradeEvent(
        trade.symbol,
        exchange,
        time_us if usable else stream_us,
        stream_us,
        price,
        SIZES[trade.size],
        trade.side,
        trade_id,
        not usable,
        last_price is not None and abs(price - last_price) * 10 > last_price * ANOMALY_TENTHS,
    )


def _bar(second: int, bar: OpenBar) -> Bar:
    return Bar(
        second,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.count,
        bar.open_time,
        bar.open_offset,
        bar.close_time,
        bar.close_offset,
    )


def _open_bar(bar: Bar) -> OpenBar:
    open_bar = OpenBar(bar.open_time, bar.open_offset, bar.open)
    open_bar.high, open_bar.low, open_bar.close = bar.high, bar.low, bar.close
    open_bar.volume, open_bar.count = bar.volume, bar.trade_count
    open_bar.close_time, open_bar.close_offset = bar.close_time, bar.close_offset
    return open_bar
