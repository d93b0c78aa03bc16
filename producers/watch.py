"""What a check sees of one connection: its records, taken by the pipeline's own functions, and what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import cast

from COBY.exchanges.base import AnyEvent, Decoder, Delta, Exchange, Slot, Snapshot, Trade
from COBY.records import UNITS, Gap, Record, Resync, TradeEvent
from COBY.slot import SlotState
from COBY.slot_state import Frame
from COBY.symbol_states import DeadLetter
from COBY.text import PRICES
from COBY.utils.timing import WallClock
from producers.publisher import Holed
from producers.raw import RawRecord

KEPT = 20_000
"""Ages and dead letters kept: enough for a median, and for a report."""


class Looking:
    """An outlet that keeps nothing: see `Outlet`."""

    def __init__(self, clock: WallClock) -> None:
        """``clock`` stamps the records."""
        self.clock = clock

    def has_room(self, size_bytes: int) -> bool:
        """Always."""
        return True

    def put(self, record: RawRecord) -> None:
        """Whoever observes the connection has it already."""

    def dropping(self, stream: Holed) -> None:
        """Never, as there is room."""

    def forget(self, stream: Holed) -> None:
        """Nothing is remembered."""


class Watch:
    """One connection of ``slot``. Times in seconds since ``began`` on the caller's monotonic clock."""

    def __init__(self, exchange: Exchange, slot: Slot, monotonic: Callable[[], float]) -> None:
        """Begins now."""
        self.symbols = tuple(symbol for name, symbol in slot.symbols.items() if not name.startswith("!"))
        self.snapshots: dict[str, tuple[float, int, int]] = {}
        """(seconds, bids, asks) of each symbol's first one."""
        self.updates: Counter[str] = Counter()
        self.checked = 0
        self.trades: Counter[str] = Counter()
        self.sides: Counter[str] = Counter()
        """``buy``, ``sell``; ``fits``, ``against``: trades on the side of the middle that their taker's side says."""
        self.ages_us: list[int] = []
        """Received less the exchange's own time, of updates and of trades that were not history."""
        self.gaps: list[Gap] = []
        self.rejected: list[DeadLetter] = []
        self.resyncs: list[Resync] = []
        """Not served yet."""
        self.resynced = self.frames = self.largest_bytes = 0
        self.oversize = 0
        self.is_over = False
        self._monotonic = monotonic
        self._began = monotonic()
        self._state = SlotState(_watched(exchange, self), slot, lambda _symbol: 10 * UNITS, 1)
        self._received_us = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._monotonic() - self._began

    def take(self, record: RawRecord) -> None:
        """A record of the connection, as it comes."""
        if self.is_over:
            return
        value = record.value or b""
        if record.kind != "event":
            self.frames += 1
            self.largest_bytes = max(self.largest_bytes, len(value))
        self.oversize += record.kind == "event" and value.startswith(b'{"event":"oversize"')
        self._received_us = record.received_ns // 1000
        frame = Frame(record.seq, record.conn, record.seq, record.kind, value, record.symbol, record.url)
        self._state.take(frame, self._received_us, self._emit)

    def tick(self, now_us: int) -> None:
        """The books are judged as at a mark."""
        self._state.tick(now_us, now_us, self._emit)

    def live(self) -> tuple[str, ...]:
        """Symbols whose book is proven now."""
        return tuple(symbol for symbol in self.symbols if self._state.shown(symbol) is not None)

    def event(self, event: AnyEvent) -> None:
        """An event of the decoder, before the book follows it."""
        if isinstance(event, Snapshot | Delta):
            self.checked += event.checksum is not None
            if isinstance(event, Delta):
                self.updates[event.symbol] += 1
            else:
                found = (self.seconds, len(event.bids), len(event.asks))
                self.snapshots.setdefault(event.symbol, found)
            if event.time_us is not None and isinstance(event, Delta):
                self._age(event.time_us)
        elif isinstance(event, Trade) and not event.history:
            self._age(event.time_us)
            self._side(event)

    def _age(self, time_us: int) -> None:
        if len(self.ages_us) < KEPT:
            self.ages_us.append(self._received_us - time_us)

    def _side(self, trade: Trade) -> None:
        """Whether its price lies where its taker would have found the other side, as far as the book tells."""
        book = self._state.shown(trade.symbol)
        if book is None:
            return
        book.flush()
        bid, ask = book.bids.best(), book.asks.best()
        if bid is None or ask is None:
            return
        over = 2 * PRICES[trade.price] - (bid + ask)
        if over:
            self.sides["fits" if (over > 0) == (trade.side == "buy") else "against"] += 1

    def _emit(self, record: Record | DeadLetter) -> None:
        if isinstance(record, Resync):
            self.resyncs.append(record)
            self.resynced += 1
        elif isinstance(record, Gap) and record.until_time is None:
            self.gaps.append(record)
        elif isinstance(record, DeadLetter) and len(self.rejected) < KEPT:
            self.rejected.append(record)
        elif isinstance(record, TradeEvent):
            self.trades[record.symbol] += 1
            self.sides[record.side] += 1


class _WatchedDecoder:
    """A decoder whose events are shown to a watch; all else is the decoder's."""

    def __init__(self, decoder: Decoder, watch: Watch) -> None:
        self._decoder, self._watch = decoder, watch

    def decode(self, frame: bytes, kind: str, symbol: str | None, url: str | None) -> list[AnyEvent]:
        events = self._decoder.decode(frame, kind, symbol, url)
        for event in events:
            self._watch.event(event)
        return events

    def __getattr__(self, name: str) -> object:
        return getattr(self._decoder, name)


class _Watched:
    """An exchange whose decoders are watched; all else is the exchange's."""

    def __init__(self, exchange: Exchange, watch: Watch) -> None:
        self._exchange, self._watch = exchange, watch

    def decoder(self, symbols: Mapping[str, str]) -> Decoder:
        return cast(Decoder, _WatchedDecoder(self._exchange.decoder(symbols), self._watch))

    def __getattr__(self, name: str) -> object:
        return getattr(self._exchange, name)


def _watched(exchange: Exchange, watch: Watch) -> Exchange:
    return cast(Exchange, _Watched(exchange, watch))
