"""One raw partition -> trades and book ticks."""

from collections import deque
from decimal import Decimal

from tests.reference.book_tick import blind_tick, live_tick
from tests.reference.connections import Slot
from tests.reference.decimals import rounded
from tests.reference.exchange import Trade
from tests.reference.gaps import Gaps
from tests.reference.settings import Settings
from tests.reference.stream_time import StreamTime

KNOWN_IDS = 10_000
YEAR_2010_US = 1_262_304_000_000_000
DAY_US = 86_400_000_000
MINUTE_US = 60_000_000


class Partition:
    """All that one partition of one raw topic says. Results: `trades`, `ticks` and the trades of each, `gaps.rows`."""

    def __init__(self, settings: Settings, exchange: str, partition: int) -> None:
        self.settings = settings
        self.exchange = exchange
        self.time = StreamTime(settings.update_frequency_us)
        self.wire_symbols = settings.symbols_by_exchange_symbol(exchange)
        silence = settings.silence_seconds.get(exchange)
        named = settings.slots_in(exchange, partition)
        self.slots = {slot: Slot(exchange, symbols, silence) for slot, symbols in named.items()}
        self.known_ids = {symbol: deque(maxlen=KNOWN_IDS) for symbol in settings.symbols}
        self.had_live_trade: set[str] = set()
        self.last_prices: dict[str, Decimal] = {}
        self.since_tick: dict[str, list[dict]] = {symbol: [] for symbol in settings.symbols}
        self.trades: list[dict] = []
        self.ticks: list[dict] = []
        self.trades_of_ticks: dict[tuple[str, str, int], list[dict]] = {}
        self.gaps = Gaps(exchange, settings.not_listed)

    def take(self, record: dict) -> None:
        """One record: the ticks that it makes due come first, from what was known before it."""
        is_mark = record["kind"] == "mark"
        for tick_us in self.time.advance(record["received_ns"], is_mark):
            self.emit(tick_us)
        now_us = self.time.now_ns // 1000
        for slot in self.slots.values():
            slot.notice_silence(self.time.now_ns)
            self.gaps.look(slot, now_us)
            if self.time.jumped_from_ns is not None:
                self.gaps.jump(slot, self.time.jumped_from_ns // 1000, now_us)
        slot = self.slots.get(as_text(record["key"]))
        if is_mark or slot is None:
            return
        for index, trade in enumerate(slot.take(record, self.time.now_ns, self.wire_symbols)):
            self.accept(trade, record["offset"], index)
        self.gaps.look(slot, now_us)

    def accept(self, trade: Trade, offset: int, index: int) -> None:
        """One trade, unless its id is known or it is of a time before all that was seen live.

        Choice: history counts where it stands behind the first live trade in the log, whatever its own time.
        """
        known = self.known_ids[trade.symbol]
        if trade.trade_id in known or (trade.history and trade.symbol not in self.had_live_trade):
            return
        known.append(trade.trade_id)
        self.had_live_trade.add(trade.symbol)
        now_us = self.time.now_ns // 1000
        usable = YEAR_2010_US <= trade.time_us <= now_us + DAY_US
        timestamp = trade.time_us if usable else now_us
        price, last = rounded(trade.price), self.last_prices.get(trade.symbol)
        row = {
            "symbol": trade.symbol,
            "exchange": self.exchange,
            "timestamp": timestamp,
            "received_at": now_us,
            "price": price,
            "size": rounded(trade.size),
            "side": trade.side,
            "trade_id": trade.trade_id,
            "time_replaced": not usable,
            "anomaly": last is not None and abs(price - last) > last / 10,
        }
        self.last_prices[trade.symbol] = price
        self.trades.append(row)
        candle_time = timestamp if abs(timestamp - now_us) <= MINUTE_US else now_us
        place = {"candle_time": candle_time, "exchange": self.exchange, "offset": offset, "index": index}
        self.since_tick[trade.symbol].append(place | {"price": price, "size": row["size"]})

    def emit(self, tick_us: int) -> None:
        """The records of tick T, of every symbol of the partition's slots."""
        for slot in self.slots.values():
            slot.notice_silence(tick_us * 1000)
            for symbol in slot.symbols:
                self.ticks.append(self.tick(slot, symbol, tick_us))
                self.trades_of_ticks[self.exchange, symbol, tick_us] = self.since_tick[symbol]
                self.since_tick[symbol] = []
            self.gaps.look(slot, tick_us)

    def tick(self, slot: Slot, symbol: str, tick_us: int) -> dict:
        """One book at T."""
        connection, reason = slot.shown(symbol)
        if (self.exchange, symbol) in self.settings.not_listed:
            connection, reason = None, "not_listed"
        size = self.settings.bucket_sizes[symbol]
        head = {"symbol": symbol, "exchange": self.exchange, "timestamp": tick_us}
        trades = self.since_tick[symbol]
        if connection is None:
            return head | blind_tick(reason, size, trades)
        book = connection.books[symbol]
        return head | live_tick(book, connection.name, size, self.settings.heatmap_depth, trades)


def as_text(key: bytes | str | None) -> str:
    """A record's key as text."""
    return key.decode() if isinstance(key, bytes) else key or ""
