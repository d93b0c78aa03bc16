"""One side of a book: the exchange's own texts, and views of them in units that are brought up lazily.

Updates are merged into ``pending`` at once (one call of dict.update); ``flush`` brings texts, sorted prices and bucket
sums up to date where the book is looked at. When that happens never shows in a result.
"""

from __future__ import annotations

from bisect import insort
from decimal import Decimal
from itertools import islice

from COBY.exchanges.base import Levels
from COBY.records import Bucket, Level
from COBY.text import PRICES, SIZES, is_zero

MAX_DEAD = 256
MAX_NAMES = 8_192


class Side:
    """One side. Keys of its views are prices in units, negated for asks, so that the best price is always the last."""

    __slots__ = (
        "_bucket_size",
        "_sign",
        "buckets",
        "dead",
        "edge",
        "far",
        "filled",
        "names",
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

    def replace(self, levels: Levels, limited: bool, windowed: bool = False) -> None:
        """A snapshot: everything before is discarded. ``limited``: it was cut, beyond its last level is unknown.

        ``windowed``: the exchange keeps only the best levels; then `texts_of` and `trim` find texts by price.
        """
        self.texts: dict[str, str] = {}
        self.pending: dict[str, str] = dict(levels)
        self.sizes: dict[int, int] = {}
        self.order: list[int] = []
        self.dead: set[int] = set()
        """Keys in ``order`` without a size: prices come and go, so most of them are wanted again soon."""
        self.buckets: dict[int, int] = {}
        self.names: dict[int, str] | None = {} if windowed else None
        """The text of each price in ``order``; old prices may linger."""
        self.filled = False
        """Whether a windowed side has held its full number of levels: then what lies beyond its worst is unknown."""
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
            if old is None and sign * prices[price] in sizes and (other := self._other_text(price)):
                old = texts.pop(other)
            if new or not is_zero(size):
                texts[price] = size
                change = new if old is None else new - units[old]
            elif old is None:
                continue  # removing a price that the book does not hold is normal
            else:
                texts.pop(price, None)  # it may have stood there under another text
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
        if self.names is not None:
            self.names.update((sign * prices[price], price) for price in self.pending)
            if len(self.names) > MAX_NAMES:
                self.names = {sign * prices[price]: price for price in texts}
        self.pending = {}
        self._bury()

    def _other_text(self, price: str) -> str | None:
        """Another text of the very same price (100.0, 100.00), so that it never stands in the book twice."""
        units, value = PRICES[price], Decimal(price)
        return next((text for text in self.texts if PRICES[text] == units and Decimal(text) == value), None)

    def _bury(self) -> None:
        """Have the best key at the end of ``order``, and not too many dead ones in it."""
        order, dead = self.order, self.dead
        if len(dead) > MAX_DEAD:
            self.order = [key for key in order if key not in dead]
            self.dead = set()
        else:
            while order and order[-1] in dead:
                dead.remove(order.pop())
            while self.names is not None and order and order[0] in dead:
                dead.remove(order.pop(0))  # of a windowed side the worst leave all the time

    def best_keys(self, count: int) -> list[int]:
        """The best ``count`` keys, best first."""
        keys = self.order[: -count - len(self.dead) - 1 : -1]
        return [key for key in keys if key not in self.dead][:count] if self.dead else keys

    def best_texts(self, count: int) -> list[tuple[str, str]]:
        """The best ``count`` levels of a windowed side in the exchange's texts, best first (flushed)."""
        assert self.names is not None
        # Else prices finer than 1e-8 share a key, or a size rounds to zero: then keys don't tell the levels.
        if len(self.sizes) == len(self.texts):
            prices = [self.names[key] for key in self.best_keys(count)]
            if all(price in self.texts for price in prices):
                return [(price, self.texts[price]) for price in prices]
        return self._ranked()[:count]

    def trim(self, depth: int) -> None:
        """Drop what a windowed side holds beyond the best ``depth`` levels."""
        if len(self.texts) + len(self.pending) < depth:
            return
        self.flush()
        excess = len(self.texts) - depth
        self.filled = self.filled or excess >= 0
        if excess > 0:
            self.pending = dict.fromkeys(self._worst(excess), "0")
            self.flush()

    def worst(self) -> int | None:
        """The key of the worst level held (flushed)."""
        return next((key for key in self.order if key not in self.dead), None)

    def _worst(self, count: int) -> list[str]:
        assert self.names is not None
        keys = islice((key for key in self.order if key not in self.dead), count)
        prices = [self.names[key] for key in keys]
        if len(self.sizes) == len(self.texts) and all(price in self.texts for price in prices):
            return prices
        return [price for price, _ in self._ranked()[-count:]]

    def _ranked(self) -> list[tuple[str, str]]:
        """All levels, best first, by their exact prices."""
        return sorted(self.texts.items(), key=lambda level: self._sign * Decimal(level[0]), reverse=True)

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
