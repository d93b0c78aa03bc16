"""What a slot keeps of its symbols, over all of its connections. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from COBY.exchanges.base import Delta, Rejected, Snapshot
from COBY.proof import Interval
from COBY.quality import Minute
from COBY.records import Gap, Record
from COBY.stage import MAX_DETAIL
from COBY.trades import Trades, TradeState


class DeadLetter(NamedTuple):
    """A record, or a part of it, that could not be used: the shell's record goes to the dead letters with this."""

    code: str
    detail: str


Emit = Callable[[Record | DeadLetter], None]


class SymbolState:
    """What is known of a symbol over all connections of the slot."""

    __slots__ = ("exchange", "gap", "grid_us", "interval", "minute", "proven_us", "symbol", "trades")

    def __init__(self, symbol: str, exchange: str, grid_us: int) -> None:
        """Never live; ``grid_us`` between two ticks."""
        self.grid_us = grid_us
        self.symbol = symbol
        self.exchange = exchange
        self.trades = Trades(symbol, exchange)
        self.minute = Minute()
        self.interval: Interval | None = None
        self.proven_us = 0
        self.gap: Gap | None = None

    def proved(self, event: Snapshot | Delta, conn: str) -> None:
        """An event of a proven book: it counts if it is that of the connection shown."""
        if self.interval is not None and self.interval.conn == conn:
            self.interval.proved(event)

    def close_minute(self, time_us: int, emit: Emit) -> bool:
        """Before the tick ``time_us``: what a minute that has ended was worth, and how far the book is proven."""
        is_first = not self.minute.ticks
        if not self.minute.close_until(self.symbol, self.exchange, time_us, self.grid_us, emit):
            return False
        if self.interval is not None and not is_first:
            emit(self.interval.record(self.symbol, self.exchange, time_us, self.proven_us, None))
        return True

    def went_blind(self, stream_us: int, reason: str, detail: str, emit: Emit) -> None:
        """End the interval and open a gap, both at what was last proven."""
        assert self.interval is not None
        self.minute.gaps += 1
        ended, self.interval = self.interval, None
        self.gap = Gap(
            self.symbol,
            self.exchange,
            stream_us,
            max(ended.start_us, self.proven_us),
            None,
            reason,
            ended.conn,
            detail[:MAX_DETAIL],
        )
        emit(self.gap)
        emit(ended.record(self.symbol, self.exchange, stream_us, self.proven_us, reason))

    def came_back(self, stream_us: int, conn: str, emit: Emit) -> None:
        """Begin an interval and close the gap, if there was one."""
        self.interval = Interval(stream_us, conn)
        if self.gap is not None:
            emit(msgspec.structs.replace(self.gap, timestamp=stream_us, until_time=stream_us))
            self.gap = None

    def shift(self, shift_us: int, emit: Emit) -> None:
        """Stream time was set anew: what was measured in it moves along.

        An open gap is closed where it began, and opened again where that is now: its time is part of its key.
        """
        self.proven_us += shift_us
        if self.interval is not None:
            self.interval.start_us += shift_us
        if self.gap is not None and shift_us:
            was = self.gap
            emit(msgspec.structs.replace(was, until_time=was.from_time))
            moved = (was.timestamp + shift_us, was.from_time + shift_us)
            self.gap = msgspec.structs.replace(was, timestamp=moved[0], from_time=moved[1])
            emit(self.gap)

    def save(self) -> SavedSymbol:
        """The state."""
        return SavedSymbol(self.trades.save(), self.minute, self.interval, self.proven_us, self.gap)

    def load(self, saved: SavedSymbol) -> None:
        """Take up a saved state."""
        self.trades.load(saved.trades)
        self.minute, self.interval, self.proven_us, self.gap = (
            saved.minute,
            saved.interval,
            saved.proven_us,
            saved.gap,
        )


class SavedSymbol(msgspec.Struct):
    """A symbol as saved."""

    trades: TradeState
    minute: Minute
    interval: Interval | None
    proven_us: int
    gap: Gap | None


class Symbols(dict[str, SymbolState]):
    """Symbol -> its state; and what concerns all symbols of a slot, because nobody knows which."""

    def __init__(self, symbols: Iterable[str], exchange: str, grid_us: int) -> None:
        super().__init__((symbol, SymbolState(symbol, exchange, grid_us)) for symbol in sorted(symbols))
        self._exchange = exchange

    def lost(
        self,
        reason: str,
        detail: str,
        from_us: int,
        until_us: int | None,
        now_us: int,
        emit: Emit,
        *,
        is_told: bool = False,
    ) -> None:
        """Stream time jumped, or records are gone: a gap of every symbol, written at ``now_us``.

        ``until_us`` None: its end comes later; ``is_told``: this is that end.
        """
        for symbol, state in self.items():
            state.minute.gaps += not is_told
            emit(Gap(symbol, self._exchange, now_us, from_us, until_us, reason, None, detail))

    def left_out(self, first_us: int, end_us: int, emit: Emit) -> None:
        """The ticks from ``first_us`` to before ``end_us`` are not emitted; the next is ``end_us``."""
        for state in self.values():
            state.minute.left_out(first_us, end_us, state.grid_us)
            if state.close_minute(end_us, emit):
                state.minute.left_out(first_us, end_us, state.grid_us)

    def clamped(self) -> None:
        """A record's receipt was too far ahead."""
        for state in self.values():
            state.minute.clamped += 1

    def repeated(self, symbol: str | None) -> None:
        """Something came twice; None: nobody knows of which symbol."""
        for state in self.values() if symbol is None else (self[symbol],):
            state.minute.duplicates += 1

    def rejected(self, event: Rejected, emit: Emit) -> None:
        """Something can't be used: a dead letter, and counted at its symbol, at all where that is not known."""
        emit(DeadLetter(event.code, event.detail))
        for state in self.values() if event.symbol is None else filter(None, (self.get(event.symbol),)):
            state.minute.rejected += 1

    def shift(self, shift_us: int, emit: Emit) -> None:
        """Stream time was set anew, by so much."""
        for state in self.values():
            state.shift(shift_us, emit)

    def save(self) -> dict[str, SavedSymbol]:
        """The state."""
        return {name: state.save() for name, state in self.items()}

    def load(self, saved: Mapping[str, SavedSymbol]) -> None:
        """Take up a saved state; symbols no longer configured are dropped, new ones start blind."""
        for name, state in self.items():
            if (old := saved.get(name)) is not None:
                state.load(old)
