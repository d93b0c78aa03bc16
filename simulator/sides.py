"""One side of a book with integer prices: a sorted list beside a dict. Pure."""

from bisect import bisect_left, insort


class Side:
    """Price (ticks) → size (1e-8), absolute; prices kept sorted ascending."""

    def __init__(self, *, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.prices: list[int] = []
        self.sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.prices)

    def fill(self, pairs: list[tuple[int, int]]) -> None:
        """Hold exactly these levels."""
        self.sizes = dict(pairs)
        self.prices = sorted(self.sizes)

    def set(self, price: int, size: int) -> None:
        """Size 0 removes; removing a price that is not held does nothing (as on the wire)."""
        if size:
            if price not in self.sizes:
                insort(self.prices, price)
            self.sizes[price] = size
        elif self.sizes.pop(price, None) is not None:
            del self.prices[bisect_left(self.prices, price)]

    def best(self) -> int:
        return self.prices[-1] if self.is_bid else self.prices[0]

    def at(self, rank: int) -> int:
        """The price `rank` levels from the best (0)."""
        return self.prices[-1 - rank] if self.is_bid else self.prices[rank]

    def away(self, ticks: int) -> int:
        """The price `ticks` from the best, away from the other side; negative: towards it."""
        return self.best() - ticks if self.is_bid else self.best() + ticks

    def edge(self, depth: int) -> int | None:
        """The worst price of the best `depth` levels; None when there are fewer: all are inside."""
        return self.at(depth - 1) if len(self.prices) >= depth else None

    def inside(self, price: int, edge: int | None) -> bool:
        """True when a price lies within an edge."""
        return edge is None or (price >= edge if self.is_bid else price <= edge)

    def between(self, near: int, far: int | None) -> list[int]:
        """Held prices worse than `near`, down to `far` (with it; None: to the end)."""
        if self.is_bid:
            low = 0 if far is None else bisect_left(self.prices, far)
            return self.prices[low : bisect_left(self.prices, near)]
        high = len(self.prices) if far is None else bisect_left(self.prices, far + 1)
        return self.prices[bisect_left(self.prices, near + 1) : high]

    def pairs(self, depth: int | None = None) -> list[tuple[int, int]]:
        """(price, size), best first; all, or the best `depth`."""
        count = len(self.prices) if depth is None else min(depth, len(self.prices))
        sizes = self.sizes
        if self.is_bid:
            ordered = self.prices[len(self.prices) - count :]
            ordered.reverse()
        else:
            ordered = self.prices[:count]
        return [(price, sizes[price]) for price in ordered]
