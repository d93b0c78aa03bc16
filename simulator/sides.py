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

    def pairs(self) -> list[tuple[int, int]]:
        """(price, size), best first."""
        ordered = reversed(self.prices) if self.is_bid else iter(self.prices)
        return [(price, self.sizes[price]) for price in ordered]
