"""Figures of one book, in units. The formulas stand in schemas/book.avsc and schemas/consolidated.avsc."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from COBY.records import Level
from COBY.text import divide, ratio

QUALITY_LEVELS = 20


class Metrics(NamedTuple):
    """Of one book's best levels; prices and volumes in units, imbalance and quality in units of 1e-8."""

    mid_price: int | None
    spread: int | None
    bid_volume: int
    ask_volume: int
    imbalance: int | None
    quality: int


def metrics(bids: Sequence[Level], asks: Sequence[Level]) -> Metrics:
    """Metrics of levels, best first."""
    bid_volume, ask_volume = volume(bids), volume(asks)
    mid_price, spread = middle(bids[0].price if bids else None, asks[0].price if asks else None)
    filled = min(len(bids), len(asks), QUALITY_LEVELS)
    crossed = spread is not None and spread <= 0
    return Metrics(
        mid_price,
        spread,
        bid_volume,
        ask_volume,
        imbalance(bid_volume, ask_volume),
        0 if crossed else ratio(filled, QUALITY_LEVELS),
    )


def volume(levels: Iterable[Level]) -> int:
    """Sum of the sizes."""
    return sum([level.size for level in levels])


def middle(bid: int | None, ask: int | None) -> tuple[int | None, int | None]:
    """(mid price half-even, spread); (None, None) where a side is empty."""
    if bid is None or ask is None:
        return None, None
    return divide(bid + ask, 2), ask - bid


def imbalance(bids: int, asks: int) -> int | None:
    """(bids - asks) / (bids + asks) in units, -1 … 1; None where both are 0."""
    return ratio(bids - asks, bids + asks) if bids + asks else None
