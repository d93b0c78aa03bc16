"""What the books share that begin with a REST body and go on by updates with a first and a last number."""

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.reference.exchange import AnyBook, Levels

BUFFERED_UPDATES = 10_000


@dataclass(frozen=True)
class Depth:
    """Changes of a book, under the numbers first … last."""

    symbol: str
    first: int
    last: int
    bids: Levels
    asks: Levels


@dataclass(frozen=True)
class Snapshot:
    """A REST body: the book at number `last`, at most `limit` levels a side (None: all)."""

    symbol: str
    last: int
    bids: Levels
    asks: Levels
    limit: int | None


class RestBook(AnyBook):
    """A book proven by numbers without a gap. An exchange's own says by `joins` which updates continue a snapshot."""

    update_type: type = Depth

    def __init__(self) -> None:
        super().__init__()
        self.covered_low: Decimal | None = None
        self.covered_high: Decimal | None = None
        self.updates: deque[Any] = deque(maxlen=BUFFERED_UPDATES)

    def take(self, item: object) -> None:
        """One update, snapshot or refusal."""
        if isinstance(item, self.update_type):
            self.update(item)
        elif isinstance(item, Snapshot):
            self.restart(item)
        else:
            super().take(item)

    def update(self, update: Any) -> None:
        """Apply an update if it continues the book; it is kept in any case, for a snapshot still to come."""
        self.updates.append(update)
        if not self.takes_updates or update.last <= self.last:
            return
        if update.first > self.last + 1:  # one that overlaps repeats absolute sizes: it continues the book
            self.reason = "sequence_gap"
            return
        self.apply(update)
        self.reason = None

    def apply(self, update: Any) -> None:
        """The book after this update."""
        self.change(update.bids, update.asks)
        self.last = update.last

    def joins(self, last: int, later: list[Any]) -> bool:
        """Whether the updates that end beyond number `last` continue it without a hole."""
        raise NotImplementedError

    def restart(self, snapshot: Snapshot) -> None:
        """Take a snapshot if it can be joined to the updates kept, else leave the book as it is (another will come)."""
        later = [update for update in self.updates if update.last > snapshot.last]
        if not self.joins(snapshot.last, later):
            return
        self.replace(snapshot.bids, snapshot.asks)
        self.covered_low = min(dict(snapshot.bids)) if is_limited(snapshot.bids, snapshot.limit) else None
        self.covered_high = max(dict(snapshot.asks)) if is_limited(snapshot.asks, snapshot.limit) else None
        self.last = snapshot.last
        self.reason = None
        for update in later:
            self.apply(update)


def is_limited(levels: Levels, limit: int | None) -> bool:
    """Whether the exchange cut this side of a snapshot: it is as long as was asked for."""
    return limit is not None and len(levels) >= limit
