"""What a DataAdapter keeps of each record, and how a tick becomes a row. Pure.

A row is a function of the records of its own T alone (candles: of those received until T): what comes later, a gap
that is told afterwards included, changes no row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from COBY.records import UNITS, Candle, Consolidated, Heatmap, Missing

SIDES = ("bid", "ask")
IMBALANCES = ("top", "depth5", "depth20", "bucketed")
CANDLE_FIELDS = ("open", "high", "low", "close", "volume", "trade_count")
NOT_LISTED = "not_listed"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Exchanges(NamedTuple):
    """Who is in a sum, and who is not though it has a book of the symbol."""

    present: frozenset[str]
    absent: frozenset[str]

    def has(self, required: Collection[str] | None) -> bool:
        """Whether those that must be in it are; None: all that list the symbol, and at least one."""
        if not self.present:
            return False
        return not self.absent if required is None else self.present.issuperset(required)


class Cells(NamedTuple):
    """A heatmap's volumes by price, in units; the range in which what is not there is zero (None: no limit)."""

    bucket_size: int
    volumes: tuple[dict[int, int], dict[int, int]]
    covered_low: int | None
    covered_high: int | None
    exchanges: Exchanges

    def middle(self) -> int | None:
        """Between best bid and best ask bucket; None without one of them."""
        bids, asks = self.volumes
        return (max(bids) + min(asks) + self.bucket_size) // 2 if bids and asks else None

    def is_covered(self, price: int) -> bool:
        """Whether what lies in the bucket from that price on is known."""
        return (self.covered_low is None or price >= self.covered_low) and (
            self.covered_high is None or price + self.bucket_size <= self.covered_high
        )


class Middle(NamedTuple):
    """A consolidated book's mid price and imbalances, in units."""

    mid_price: int | None
    imbalances: tuple[int | None, ...]
    exchanges: Exchanges


def cells_of(record: Heatmap) -> Cells:
    """What is kept of a heatmap."""
    volumes: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for cell in record.data:
        volumes[SIDES.index(cell.side)][cell.price] = cell.volume
    exchanges = _exchanges([one.exchange for one in record.exchanges], record.missing)
    return Cells(record.bucket_size, volumes, record.covered_low, record.covered_high, exchanges)


def middle_of(record: Consolidated) -> Middle:
    """What is kept of a consolidated book."""
    figures = (record.top, record.depth5, record.depth20, record.bucketed)
    return Middle(record.mid_price, figures, _exchanges(record.exchanges, record.missing))


def _exchanges(present: Sequence[str], missing: Sequence[Missing]) -> Exchanges:
    absent = frozenset(one.exchange for one in missing if one.reason != NOT_LISTED)
    return Exchanges(frozenset(present), absent)


def volumes_row(cells: Cells, mid: int | None, depth: int) -> tuple[Floats, Flags]:
    """[2 × depth, side]: volumes around the bucket that holds the mid price, NaN where unknown; what is known.

    Row ``depth`` is the mid's bucket, lower prices come before it.
    """
    size = cells.bucket_size
    volumes, known = np.full((2 * depth, 2), np.nan), np.zeros((2 * depth, 2), np.bool_)
    centre = cells.middle() if mid is None else mid
    if centre is None:
        return volumes, known
    lowest = (centre // size - depth) * size
    for number in range(2 * depth):
        price = lowest + number * size
        if cells.is_covered(price):
            volumes[number] = [side.get(price, 0) / UNITS for side in cells.volumes]
            known[number] = True
    return volumes, known


def number_of(units: int | None) -> float:
    """Units as a float, None as NaN."""
    return np.nan if units is None else units / UNITS


def candle_row(candle: Candle) -> list[float]:
    """As CANDLE_FIELDS."""
    prices = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    return [*(units / UNITS for units in prices), float(candle.trade_count)]
