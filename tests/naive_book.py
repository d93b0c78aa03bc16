"""A second book, of dicts of Decimals: sorted anew and cut to its window after each message. For comparison."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal


class NaiveBook:
    """Sides ``bids`` and ``asks``: price -> size, at most ``depth`` levels each."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}

    def take(self, bids: Iterable, asks: Iterable, fresh: bool) -> None:
        """A snapshot (``fresh``) or an update: (price, size), anything a Decimal is made of."""
        for name, levels in (("bids", bids), ("asks", asks)):
            side = {} if fresh else self.sides[name]
            for price, size in ((Decimal(price), Decimal(size)) for price, size in levels):
                side.pop(price, None)
                if size:
                    side[price] = size
            self.sides[name] = {price: side[price] for price in _best_first(side, name)[: self.depth]}

    def levels(self, name: str) -> list[tuple[Decimal, Decimal]]:
        """The levels of a side, best first."""
        side = self.sides[name]
        return [(price, side[price]) for price in _best_first(side, name)]


def _best_first(prices: Iterable[Decimal], name: str) -> list[Decimal]:
    return sorted(prices, reverse=name == "bids")
