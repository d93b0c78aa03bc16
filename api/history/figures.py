"""Figures of a book from a row of BOOKS, by the pipeline's own formulas. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

from api.history.tables import BOOKS
from api.shapes import PRICE, RATIO, SIZE, TEXT, TIME, Column, Kind, Row
from COBY.merging import imbalances
from COBY.metrics import QUALITY_LEVELS, imbalance
from COBY.records import Level
from COBY.text import PRICES, SIZES, ratio
from COBY.utils.intervals import from_us, parse_time

_KINDS: dict[str, Kind] = {
    "symbol": TEXT, "exchange": TEXT, "timestamp": TIME, "mid_price": PRICE, "spread": PRICE, "bid_volume": SIZE,
    "ask_volume": SIZE, "imbalance": RATIO, "quality": RATIO, "top": RATIO, "depth5": RATIO, "depth20": RATIO,
}  # fmt: skip
COLUMNS = tuple(Column(name, kind) for name, kind in _KINDS.items())
"""Volumes are of the best 50 levels, and so are imbalance and quality; top, depth5 and depth20 are imbalances of the
best 1, 5 and 20 levels a side (docs/topics.md, book and consolidated)."""
_EXACT = Context(prec=100)  # the default would round what has more than 28 digits
_NAMES = [column.name for column in BOOKS.columns]


def figures(row: Row) -> Row:
    """The row of COLUMNS of a row of BOOKS."""
    book = dict(zip(_NAMES, row, strict=True))
    bids, asks = (_levels(json.loads(book[side])) for side in ("bids", "asks"))
    own = _figures(bids, asks, *(_units(book[name]) for name in ("spread", "bid_volume", "ask_volume")))
    return *(book[name] for name in _NAMES[:-2]), *map(_decimal, own)


def latest(record: Mapping[str, Any]) -> Row:
    """The same of the newest book as Redis has it; of one that is not live all figures are None."""
    head = (record["symbol"], record["exchange"], from_us(parse_time(record["timestamp"])))
    if not record["live"]:
        return *head, *[None] * (len(COLUMNS) - len(head))
    bids, asks = (
        _levels([level["price"], level["size"]] for level in record[side][:QUALITY_LEVELS])
        for side in ("bids", "asks")
    )
    own = [None if record[name] is None else Decimal(record[name]) for name in list(_KINDS)[len(head) : -3]]
    return *head, *own, *map(_decimal, imbalances(bids, asks))


def _figures(
    bids: Sequence[Level],
    asks: Sequence[Level],
    spread: int | None,
    bid_volume: int | None,
    ask_volume: int | None,
) -> tuple[int | None, ...]:
    """imbalance, quality, top, depth5, depth20 in units."""
    crossed = spread is not None and spread <= 0
    quality = 0 if crossed else ratio(min(len(bids), len(asks), QUALITY_LEVELS), QUALITY_LEVELS)
    whole = None if bid_volume is None or ask_volume is None else imbalance(bid_volume, ask_volume)
    return whole, quality, *imbalances(bids, asks)


def _levels(pairs: Any) -> list[Level]:
    return [Level(PRICES[price], SIZES[size]) for price, size in pairs]


def _units(value: Decimal | None) -> int | None:
    return None if value is None else int(_EXACT.scaleb(value, 8))


def _decimal(units: int | None) -> Decimal | None:
    return None if units is None else Decimal(units).scaleb(-8)
