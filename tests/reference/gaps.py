"""The holes in what is known of the books of one raw partition, and the intervals that they end.

schemas/gap.avsc, schemas/continuity.avsc, docs/faults-and-codes.md.
"""

from tests.reference.connections import Connection, Slot


class Gaps:
    """`rows`: a record when a symbol goes blind, and the same with `until_time` when it is live again; time jumps.

    `intervals`: a record of each interval that has ended, without what would have to be counted update by update.

    Choices: the hole is the symbol's: none begins while another connection's book is proven, or before the first
    proof. It begins at the stream time at which it is found (for `crossed`, a tick), ends with the record that proves
    a book again (the very record at which a silence is noticed may do so), and keeps reason and connection of the book
    that was shown last.
    """

    def __init__(self, exchange: str, not_listed: frozenset[tuple[str, str]]) -> None:
        self.exchange = exchange
        self.not_listed = not_listed
        self.rows: list[dict] = []
        self.intervals: list[dict] = []
        self.began: dict[str, int] = {}
        self.shown: dict[str, Connection | None] = {}
        self.holes: dict[str, dict] = {}

    def look(self, slot: Slot, now_us: int) -> None:
        """Compare what is proven with what was proven when last looked at."""
        for symbol in slot.symbols:
            if (self.exchange, symbol) in self.not_listed:
                continue
            before, now = self.shown.get(symbol), slot.proven(symbol)
            if before is not None and now is None:
                reason = before.books[symbol].reason or slot.reason(symbol)
                self.holes[symbol] = self.row(symbol, now_us, now_us, None, reason, before.name)
                self.rows.append(self.holes[symbol])
                self.intervals.append(
                    {
                        "symbol": symbol,
                        "exchange": self.exchange,
                        "timestamp": now_us,
                        "start_time": self.began[symbol],
                        "conn": before.name,
                        "reason": reason,
                    }
                )
            if before is None and now is not None:
                self.began[symbol] = now_us
            if now is not None and symbol in self.holes:
                self.rows.append(self.holes.pop(symbol) | {"timestamp": now_us, "until_time": now_us})
            self.shown[symbol] = now

    def jump(self, slot: Slot, before_us: int, now_us: int) -> None:
        """Ticks were left out. Choice: from where stream time was to where it is, of every symbol, blind or not."""
        for symbol in slot.symbols:
            self.rows.append(self.row(symbol, now_us, before_us, now_us, "time_jump", None))

    def row(
        self, symbol: str, now_us: int, from_us: int, until_us: int | None, reason: str, conn: str | None
    ) -> dict:
        """One record, without `detail`."""
        return {
            "symbol": symbol,
            "exchange": self.exchange,
            "timestamp": now_us,
            "from_time": from_us,
            "until_time": until_us,
            "reason": reason,
            "conn": conn,
        }
