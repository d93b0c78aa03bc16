"""One order book of one connection, live or blind."""

from __future__ import annotations

import msgspec

from COBY.exchanges.base import Delta, Snapshot
from COBY.side import Side


class BookState(msgspec.Struct):
    """What of a book is saved: its levels sorted by text, so that equal books give equal bytes."""

    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    bids_edge: int | None
    asks_edge: int | None
    ranges: tuple[int | None, int | None]
    sequence_id: int | None
    time_us: int | None
    reason: str | None
    depth: int | None
    filled: tuple[bool, bool]


class Book:
    """A book: live (``reason`` None) or blind. ``depth``: the window of levels a side that its exchange keeps."""

    __slots__ = ("asks", "bids", "depth", "ranges", "reason", "sequence_id", "time_us")

    def __init__(self, bucket_size: int) -> None:
        """An empty book that was never connected; ``bucket_size`` in units."""
        self.bids = Side(1, bucket_size)
        self.asks = Side(-1, bucket_size)
        self.ranges: tuple[int | None, int | None] = (None, None)
        self.depth: int | None = None
        self.sequence_id: int | None = None
        self.time_us: int | None = None
        self.reason: str | None = "never_connected"

    def snapshot(self, event: Snapshot) -> None:
        """Begin anew from a proven snapshot: the book is live."""
        self.depth = event.depth
        self.bids.replace(event.bids, event.limited_bids, self.depth is not None)
        self.asks.replace(event.asks, event.limited_asks, self.depth is not None)
        self.sequence_id, self.time_us, self.reason = event.sequence_id, event.time_us, None
        self._trim()
        self.flush()
        self._meet()
        self.ranges = (self._range(self.bids), self._range(self.asks))

    def delta(self, event: Delta) -> None:
        """Take a proven update. It ends producer_lost and stale; any other blindness only a snapshot ends."""
        if event.bids:
            self.bids.pending.update(event.bids)
        if event.asks:
            self.asks.pending.update(event.asks)
        self._trim()
        self.sequence_id, self.time_us = event.sequence_id, event.time_us
        if self.reason in ("producer_lost", "stale"):
            self.reason = None

    def flush(self) -> None:
        """Bring the views up to date."""
        if self.bids.pending:
            self.bids.flush()
        if self.asks.pending:
            self.asks.flush()
        if self.depth is not None:
            for side in (self.bids, self.asks):
                side.edge = side.worst() if side.filled else None
            self._meet()

    def crossed(self) -> bool:
        """Whether the best bid reaches the best ask (flushed)."""
        bids, asks = self.bids.order, self.asks.order
        return bool(bids and asks) and bids[-1] >= -asks[-1]

    def coverage(self) -> tuple[int | None, int | None]:
        """Lowest and highest price the book knows about (flushed), None for no limit.

        Where a best price has left the range at the other side's edge, its levels inside the range are not shown
        either: an empty range then, so that nobody takes them for zero.
        """
        low, high = self.bids.edge, self.bids.far
        if self.bids.passed():
            low = high
        elif self.asks.passed():
            high = low
        return low, high

    def near_edge(self) -> bool:
        """Whether a side of a limited book is about to run out of its coverage (flushed). A window moves along."""
        return self.depth is None and (
            self.bids.near_edge(self.ranges[0]) or self.asks.near_edge(self.ranges[1])
        )

    def save(self) -> BookState:
        """The state, flushed."""
        self.flush()
        return BookState(
            sorted(self.bids.texts.items()),
            sorted(self.asks.texts.items()),
            self.bids.edge,
            self.asks.edge,
            self.ranges,
            self.sequence_id,
            self.time_us,
            self.reason,
            self.depth,
            (self.bids.filled, self.asks.filled),
        )

    def load(self, state: BookState) -> None:
        """Take up a saved state."""
        self.depth = state.depth
        self.bids.replace(state.bids, False, self.depth is not None)
        self.asks.replace(state.asks, False, self.depth is not None)
        self.bids.filled, self.asks.filled = state.filled
        self.flush()
        self.bids.edge, self.asks.edge, self.ranges = state.bids_edge, state.asks_edge, state.ranges
        self._meet()
        self.sequence_id, self.time_us = state.sequence_id, state.time_us
        self.reason = state.reason

    def _trim(self) -> None:
        if self.depth is not None:
            self.bids.trim(self.depth)
            self.asks.trim(self.depth)

    def _meet(self) -> None:
        """Tell each side how far the other is covered: keys of one side are those of the other negated."""
        self.bids.far = None if self.asks.edge is None else -self.asks.edge
        self.asks.far = None if self.bids.edge is None else -self.bids.edge

    @staticmethod
    def _range(side: Side) -> int | None:
        return side.order[-1] - side.edge if side.edge is not None and side.order else None
