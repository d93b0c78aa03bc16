"""The simulator's own log of what it sent: the other side of every count the pipeline makes.

A frame is counted for each connection it was written to; a trade once, however many got it.
"""

from collections import Counter, deque
from decimal import Context, Decimal
from typing import Any

import msgspec

from simulator.wire import Frame, SentTrade

CONNECTIONS_KEPT = 1_000
EVENTS_KEPT = 1_000
# Enough that no sum is ever rounded.
EXACT = Context(prec=80)


class ConnectionLog(msgspec.Struct):
    """One client connection: counted from its handshake on."""

    number: int
    endpoint: str
    opened_ms: int
    closed_ms: int | None = None
    reason: str | None = None
    frames: int = 0
    replies: int = 0
    subscriptions: list[str] = []


class SymbolLog:
    """What was sent of one symbol."""

    def __init__(self, trades_kept: int) -> None:
        self.frames: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.rest_answers = 0
        self.trades = 0
        self.trade_size = Decimal(0)
        self.first_update_id: int | None = None
        self.last_update_id: int | None = None
        self.kept: deque[SentTrade] = deque(maxlen=trades_kept)
        self._ids: set[str] = set()

    def add(self, frame: Frame, copies: int) -> None:
        """`copies` connections got it; 0: nobody asked for it, so it was not sent."""
        if copies:
            self.frames[frame.channel] += copies
            self.passed(frame)
            if frame.trade is not None:
                self._add_trade(frame.trade)
                for trade in frame.more_trades:
                    self._add_trade(trade)

    def passed(self, frame: Frame) -> None:
        """The market's sequence went past this frame, sent or dropped."""
        if frame.last_id:
            if self.first_update_id is None:
                self.first_update_id = frame.first_id
            self.last_update_id = frame.last_id

    def _add_trade(self, trade: SentTrade) -> None:
        if trade.id in self._ids:
            return
        if len(self.kept) == self.kept.maxlen:
            self._ids.discard(self.kept[0].id)
        self._ids.add(trade.id)
        self.kept.append(trade)
        self.trades += 1
        self.trade_size = EXACT.add(self.trade_size, Decimal(trade.size))

    def totals(self) -> dict[str, Any]:
        return {
            "frames": dict(self.frames),
            "frames_sent": self.frames.total(),
            "depth_frames": self.frames["depth"],
            "frames_dropped": self.dropped.total(),
            "trades": self.trades,
            "trade_size": f"{self.trade_size:f}",
            "first_update_id": self.first_update_id,
            "last_update_id": self.last_update_id,
            "rest_answers": self.rest_answers,
        }


class Ledger:
    """One exchange's log."""

    def __init__(self, symbols: tuple[str, ...], trades_kept: int) -> None:
        self.state = "waiting"
        self.replies = 0
        self.rest_answers: Counter[str] = Counter()
        self.connections: deque[ConnectionLog] = deque(maxlen=CONNECTIONS_KEPT)
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._trades_kept = trades_kept
        self.symbols: dict[str, SymbolLog] = {symbol: SymbolLog(trades_kept) for symbol in symbols}
        self.opened = 0
        self.broken: Counter[str] = Counter()
        self.peaks: dict[str, int] = {}
        self.closed: Counter[str] = Counter()

    def open(self, endpoint: str, now_ms: int) -> ConnectionLog:
        self.opened += 1
        log = ConnectionLog(self.opened, endpoint, now_ms)
        self.connections.append(log)
        return log

    def close(self, log: ConnectionLog, reason: str, now_ms: int) -> None:
        log.closed_ms, log.reason = now_ms, reason
        self.closed[reason] += 1

    def event(self, name: str, now_ms: int, /, **more: Any) -> None:
        """Something that is not a frame: a change of state, a fault, a wait that ended."""
        self.events.append({"event": name, "at_ms": now_ms, **more})

    def limit(self, name: str, peak: int, *, kept: bool) -> bool:
        """What was counted of a limit: the most so far, and whether it was kept to, which is returned."""
        self.peaks[name] = max(self.peaks.get(name, 0), peak)
        if not kept:
            self.broken[name] += 1
        return kept

    def of(self, symbol: str) -> SymbolLog:
        """A symbol's log; a recording may bring one that its first frames did not show."""
        if symbol not in self.symbols:
            self.symbols[symbol] = SymbolLog(self._trades_kept)
        return self.symbols[symbol]

    def drop(self, frame: Frame) -> None:
        log = self.of(frame.symbol)
        log.dropped[frame.channel] += 1
        log.passed(frame)

    def answer(self, path: str, status: int, symbol: str | None = None) -> None:
        """A REST answer; those with a book are counted for their symbol too."""
        self.rest_answers[f"{path} {status}"] += 1
        if symbol is not None and status == 200:
            self.of(symbol).rest_answers += 1

    def totals(self) -> dict[str, Any]:
        """The counts of one line of the log file."""
        return {
            "state": self.state,
            "frames_sent": sum(log.frames.total() for log in self.symbols.values()),
            "replies": self.replies,
            "rest_answers": dict(self.rest_answers),
            "limits_broken": dict(self.broken),
            "limit_peaks": self.peaks,
            "connections": {
                "open": self.opened - self.closed.total(),
                "opened": self.opened,
                "closed": dict(self.closed),
            },
            "symbols": {symbol: log.totals() for symbol, log in self.symbols.items()},
        }

    def everything(self) -> dict[str, Any]:
        """The totals, each connection with its subscriptions, and the events."""
        connections = [msgspec.to_builtins(log) for log in self.connections]
        return {**self.totals(), "connection_log": connections, "events": list(self.events)}
