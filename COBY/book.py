"""One order book of one connection: the exchange's own texts, and views of them in units that are brought up lazily.

Updates are merged into ``pending`` at once (one call of dict.update a side); ``flush`` brings texts, sorted prices and
bucket sums up to date where the book is looked at. When that happens never shows in a result.
"""

from __future__ import annotations

from bisect import insort

import msgspec

from COBY.exchanges.base import Delta, Levels, Snapshot
from COBY.records import Bucket, Level
from COBY.text import PRICES, SIZES, is_zero

MAX_DEAD = 256


class Side:
    """One side. Keys of its views are prices in units, negated for asks, so that the best price is always the last."""

    __slots__ = (
        "_bucket_size",
        "_sign",
        "buckets",
        "dead",
        "edge",
        "far",
        "order",
        "pending",
        "sizes",
        "texts",
    )

    def __init__(self, sign: int, bucket_size: int) -> None:
        """``sign`` 1 for bids, -1 for asks; ``bucket_size`` in units."""
        self._sign = sign
        self._bucket_size = bucket_size
        self.replace((), False)

    def replace(self, levels: Levels, limited: bool) -> None:
        """A snapshot: everything before is discarded. ``limited``: it was cut, beyond its last level is unknown."""
        self.texts: dict[str, str] = {}
        self.pending: dict[str, str] = dict(levels)
        self.sizes: dict[int, int] = {}
        self.order: list[int] = []
        self.dead: set[int] = set()
        """Keys in ``order`` without a size: prices come and go, so most of them are wanted again soon."""
        self.buckets: dict[int, int] = {}
        self.edge: int | None = (
            min(self._sign * PRICES[price] for price, _ in levels) if limited and levels else None
        )
        self.far: int | None = None
        """The other side's edge as a key of this one: a best price beyond it is outside the covered range too."""

    def flush(self) -> None:
        """Bring the views up to date. Written out flat: this loop is where most of the pipeline's time goes."""
        texts, sizes, dead, buckets = self.texts, self.sizes, self.dead, self.buckets
        sign, bucket_size, prices, units = self._sign, self._bucket_size, PRICES, SIZES
        for price, size in self.pending.items():
            new = units[size]
            old = texts.get(price)
            if new or not is_zero(size):
                texts[price] = size
                change = new if old is None else new - units[old]
            elif old is None:
                continue  # removing a price that the book does not hold is normal
            else:
                del texts[price]
                change = -units[old]
            if not change:
                continue
            at = prices[price]
            key = sign * at
            held = sizes.get(key)
            if held is None:
                sizes[key] = change
                if key in dead:
                    dead.remove(key)
                else:
                    insort(self.order, key)
            elif held + change:
                sizes[key] = held + change
            else:
                del sizes[key]
                dead.add(key)
            bucket = at // bucket_size
            if volume := buckets.get(bucket, 0) + change:
                buckets[bucket] = volume
            else:
                del buckets[bucket]
        self.pending = {}
        self._bury()

    def _bury(self) -> None:
        """Have the best key at the end of ``order``, and not too many dead ones in it."""
        order, dead = self.order, self.dead
        if len(dead) > MAX_DEAD:
            self.order = [key for key in order if key not in dead]
            self.dead = set()
        else:
            while order and order[-1] in dead:
                dead.remove(order.pop())

    def best_keys(self, count: int) -> list[int]:
        """The best ``count`` keys, best first."""
        keys = self.order[: -count - len(self.dead) - 1 : -1]
        return [key for key in keys if key not in self.dead][:count] if self.dead else keys

    def best(self) -> int | None:
        """The best price in units, None while the side is empty or its best price is not covered."""
        if not self.order or not self._covers(self.order[-1]):
            return None
        return self._sign * self.order[-1]

    def passed(self) -> bool:
        """Whether the best price is beyond the other side's edge."""
        return self.far is not None and bool(self.order) and self.order[-1] > self.far

    def _covers(self, key: int) -> bool:
        return (self.edge is None or key >= self.edge) and (self.far is None or key <= self.far)

    def top(self, count: int) -> list[Level]:
        """The best ``count`` covered levels, best first; none while the best price is not covered."""
        keys = self.best_keys(count) if self.best() is not None else []
        if self.edge is not None and keys and keys[-1] < self.edge:
            keys = [key for key in keys if key >= self.edge]
        sign, sizes = self._sign, self.sizes
        return [Level(sign * key, sizes[key]) for key in keys]

    def top_buckets(self, depth: int) -> list[Bucket]:
        """Of ``depth`` contiguous buckets from the best price on, those that are covered as a whole and not empty."""
        best = self.best()
        if best is None:
            return []
        size, step = self._bucket_size, -self._sign
        first, last = best // size, best // size + step * (depth - 1)
        if self.edge is not None:
            last = max(last, -(-self.edge // size)) if step < 0 else min(last, (1 - self.edge) // size - 1)
        volumes = self.buckets
        return [Bucket(at * size, volumes[at]) for at in range(first, last + step, step) if at in volumes]

    def near_edge(self, covered: int | None) -> bool:
        """Whether less than a fifth of the range covered at the snapshot is left between best price and edge."""
        if self.edge is None:
            return False
        if not self.order or covered is None:
            return True
        return 5 * (self.order[-1] - self.edge) < covered


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


class Book:
    """A book: live (``reason`` None) or blind."""

    __slots__ = ("asks", "bids", "ranges", "reason", "sequence_id", "time_us")

    def __init__(self, bucket_size: int) -> None:
        """An empty book that was never connected; ``bucket_size`` in units."""
        self.bids = Side(1, bucket_size)
        self.asks = Side(-1, bucket_size)
        self.ranges: tuple[int | None, int | None] = (None, None)
        self.sequence_id: int | None = None
        self.time_us: int | None = None
        self.reason: str | None = "never_connected"

    def snapshot(self, event: Snapshot) -> None:
        """Begin anew from a proven snapshot: the book is live."""
        self.bids.replace(event.bids, event.limited_bids)
        self.asks.replace(event.asks, event.limited_asks)
        self.sequence_id, self.time_us, self.reason = event.sequence_id, event.time_us, None
        self.flush()
        self._meet()
        self.ranges = (self._range(self.bids), self._range(self.asks))

    def delta(self, event: Delta) -> None:
        """Take a proven update. It ends producer_lost and stale; any other blindness only a snapshot ends."""
        if event.bids:
            self.bids.pending.update(event.bids)
        if event.asks:
            self.asks.pending.update(event.asks)
        self.sequence_id, self.time_us = event.sequence_id, event.time_us
        if self.reason in ("producer_lost", "stale"):
            self.reason = None

    def flush(self) -> None:
        """Bring the views up to date."""
        if self.bids.pending:
            self.bids.flush()
        if self.asks.pending:
            self.asks.flush()

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
        """Whether a side of a limited book is about to run out of its coverage (flushed)."""
        return self.bids.near_edge(self.ranges[0]) or self.asks.near_edge(self.ranges[1])

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
        )

    def load(self, state: BookState) -> None:
        """Take up a saved state."""
        self.bids.replace(state.bids, False)
        self.asks.replace(state.asks, False)
        self.flush()
        self.bids.edge, self.asks.edge, self.ranges = state.bids_edge, state.asks_edge, state.ranges
        self._meet()
        self.sequence_id, self.time_us = state.sequence_id, state.time_us
        self.reason = state.reason

    def _meet(self) -> None:
        """Tell each side how far the other is covered: keys of one side are those of the other negated."""
        self.bids.far = None if self.asks.edge is None else -self.asks.edge
        self.asks.far = None if self.bids.edge is None else -self.bids.edge

    @staticmethod
    def _range(side: Side) -> int | None:
        return side.order[-1] - side.edge if side.edge is not None and side.order else None
