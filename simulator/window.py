"""What depth updates have made known of a book, and which changes reach a client who holds only its best levels.

Some exchanges show the best `depth` levels a side. A level enters such a window by being set, or because others
left it; it leaves by being removed, or because better ones came. EXCHANGES.md §3 and §5: one exchange is silent
about the second way of leaving (its clients truncate), another deletes the level in the same message.
"""

import msgspec

from simulator.market import Change, Depth, MarketBook
from simulator.sides import Side

Changes = tuple[Change, ...]


class Cut(msgspec.Struct, frozen=True):
    """The changes of one update for clients with one depth."""

    bids: Changes
    asks: Changes


class Told:
    """One symbol's book as of the last update, and its windows. Prices in ticks, sizes 1e-8."""

    def __init__(self, start: MarketBook, depths: tuple[int, ...], *, says_leaving: bool) -> None:
        """depths: the windows clients may have; says_leaving: a level pushed out is sent with size 0."""
        self.sequence = start.sequence
        self.bids, self.asks = Side(is_bid=True), Side(is_bid=False)
        self.bids.fill(start.bids)
        self.asks.fill(start.asks)
        self._depths, self._says_leaving = depths, says_leaving
        self.touched: tuple[Changes, Changes] = ((), ())
        """The changes of the last update, bids and asks."""

    def apply(self, event: Depth) -> dict[int, Cut]:
        """Take an update in; returns for each depth what a client of that depth is sent."""
        bids = self._apply(self.bids, event.bids)
        asks = self._apply(self.asks, event.asks)
        self.sequence, self.touched = event.last_id, (event.bids, event.asks)
        return {depth: Cut(bids[depth], asks[depth]) for depth in self._depths}

    def book(self, depth: int | None = None) -> MarketBook:
        return MarketBook(self.sequence, self.bids.pairs(depth), self.asks.pairs(depth))

    def _apply(self, side: Side, changes: Changes) -> dict[int, Changes]:
        edges = {depth: side.edge(depth) for depth in self._depths}
        held = {price for price, _ in changes if price in side.sizes} if edges else set()
        for price, size in changes:
            side.set(price, size)
        return {depth: self._cut(side, changes, held, edge, depth) for depth, edge in edges.items()}

    def _cut(self, side: Side, changes: Changes, held: set[int], before: int | None, depth: int) -> Changes:
        """before: the window's edge before the changes; held: the changed prices that were there then."""
        after = side.edge(depth)
        rows: list[Change] = []
        for price, size in changes:
            was_in = price in held and side.inside(price, before)
            if price in side.sizes and not side.inside(price, after):
                if was_in and self._says_leaving and (price, 0) not in rows:
                    rows.append((price, 0))
            elif price in side.sizes or was_in or side.inside(price, after):
                rows.append((price, size))
        changed = {price for price, _ in changes}
        if before is not None and before != after:
            if side.inside(before, after):
                entered = [price for price in side.between(before, after) if price not in changed]
                rows += [(price, side.sizes[price]) for price in entered]
            elif self._says_leaving and after is not None:
                rows += [(price, 0) for price in side.between(after, before) if price not in changed]
        return tuple(rows)
