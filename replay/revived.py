"""Rows of the tables turned into records again, as far as the tables hold them. Pure.

`LACKING` says of each topic what its table does not hold, and what stands there instead. Nothing unknown looks like
zero: a book knows the range of its stored levels alone, and what may be null is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, NamedTuple

import msgspec

from COBY.book import Book
from COBY.exchanges.base import Snapshot
from COBY.records import (
    UNITS,
    BookTick,
    Candle,
    Cell,
    Continuity,
    Gap,
    Heatmap,
    Included,
    Missing,
    Quality,
    Record,
    TradeEvent,
)
from COBY.text import divide
from COBY.ticks import book_tick
from COBY.utils.intervals import to_us

Row = Mapping[str, Any]
"""A row by column: numbers as Decimal, times with their offset, jsonb decoded."""

LACKING = {
    "trade": "time_replaced and anomaly are not stored, and stand as false",
    "book": "only live books at ticks that STORE_INTERVAL divides are stored, no blind ones; conn is null, bars are"
    " none; buckets are those of the stored levels under today's bucket size and HEATMAP_DEPTH, and covered_low and"
    " covered_high the range of these levels",
    "heatmap": "only ticks that STORE_INTERVAL divides are stored; all of their fields are",
    "ohlcv": "of a candle only its last revision is stored, at the time of that: earlier ones are not there, nor is one"
    " whose last revision is later than the range",
    "gap": "of a gap that was closed only the closing record is stored, at the time of that",
    "quality": "all is stored",
    "continuity": "of an interval only its last record is stored, at the time of that",
}
"""Topic (without prefix) -> what its table does not hold. Topics that are not here have no table."""

_EXACT = Context(prec=100)  # the default context would round sizes of more than 28 digits


class Shape(NamedTuple):
    """What the tables do not hold of a book's buckets: their size in units, and how many a side."""

    bucket_size: int
    depth: int


def record_of(topic: str, row: Row, shape: Callable[[str], Shape]) -> Record:
    """The record of a row; ``topic`` without prefix, ``shape``: of a symbol.

    KeyError for a topic without a table. A heatmap's row is one of heatmap_ticks with its cells beside it, as lists
    of one order: `prices`, `volumes`, `sides`, `counts`; all null where it has none.
    """
    if topic == "book":
        return _book(row, shape(row["symbol"]))
    return _MAKERS[topic](row)


def _trade(row: Row) -> TradeEvent:
    return TradeEvent(
        symbol=row["symbol"],
        exchange=row["exchange"],
        timestamp=to_us(row["timestamp"]),
        received_at=to_us(row["received_at"]),
        price=units(row["price"]),
        size=units(row["size"]),
        side=row["side"],
        trade_id=row["trade_id"],
    )


def _book(row: Row, shape: Shape) -> BookTick:
    """By the pipeline's own book and tick: the stored levels are a snapshot that was cut at its last level.

    A side that has fewer than all stored levels may end there or at the edge of what was covered, which is not stored.
    """
    levels = [[(price, size) for price, size in row[side]] for side in ("bids", "asks")]
    bids, asks = levels
    book = Book(shape.bucket_size)
    book.snapshot(Snapshot(row["symbol"], bids, asks, row["sequence_id"], None, True, True))
    tick = book_tick(
        row["symbol"], row["exchange"], to_us(row["timestamp"]), shape.depth, shape.bucket_size, book, "", []
    )
    low, high = _known(tick)
    return msgspec.structs.replace(
        tick,
        conn=None,
        covered_low=low,
        covered_high=high,
        mid_price=maybe_units(row["mid_price"]),
        spread=maybe_units(row["spread"]),
        bid_volume=maybe_units(row["bid_volume"]),
        ask_volume=maybe_units(row["ask_volume"]),
    )


def _known(tick: BookTick) -> tuple[int, int]:
    """The range of the stored levels. Between a side's best and the other's worst there is nothing unknown.

    Beyond the best price of one side there is nothing of the other: it would be crossed. Without any level no price is
    known: at 0 there is none.
    """
    prices = [level.price for level in (*tick.bids, *tick.asks)]
    return min(prices, default=0), max(prices, default=0)


def _heatmap(row: Row) -> Heatmap:
    cells = list(zip(*(row[name] or () for name in ("sides", "prices", "volumes", "counts")), strict=True))
    largest = max((units(volume) for _, _, volume, _ in cells), default=0)
    made = [
        Cell(units(price), units(volume), divide(units(volume) * UNITS, largest), side, count)
        for side, price, volume, count in cells
    ]
    bids = sorted((cell for cell in made if cell.side == "bid"), key=lambda cell: -cell.price)
    asks = sorted((cell for cell in made if cell.side == "ask"), key=lambda cell: cell.price)
    return Heatmap(
        symbol=row["symbol"],
        timestamp=to_us(row["timestamp"]),
        bucket_size=units(row["bucket_size"]),
        data=bids + asks,
        covered_low=maybe_units(row["covered_low"]),
        covered_high=maybe_units(row["covered_high"]),
        exchanges=[
            Included(one["exchange"], _text_units(one["covered_low"]), _text_units(one["covered_high"]))
            for one in row["exchanges"]
        ],
        # jsonb keeps no order of names; live has them sorted.
        missing=[Missing(name, reason) for name, reason in sorted(row["missing"].items())],
    )


def _candle(row: Row) -> Candle:
    return Candle(
        symbol=row["symbol"],
        timestamp=to_us(row["timestamp"]),
        timeframe=row["timeframe"],
        open=units(row["open_price"]),
        high=units(row["high_price"]),
        low=units(row["low_price"]),
        close=units(row["close_price"]),
        volume=units(row["volume"]),
        trade_count=row["trade_count"],
        revision=row["revision"],
        complete=row["complete"],
        received_at=to_us(row["received_at"]),
    )


def _gap(row: Row) -> Gap:
    return Gap(
        symbol=row["symbol"],
        exchange=row["exchange"],
        timestamp=to_us(row["received_at"]),
        from_time=to_us(row["from_time"]),
        until_time=_maybe_us(row["until_time"]),
        reason=row["reason"],
        conn=row["conn"],
        detail=row["detail"],
    )


COUNTS = ["events", "rejected", "duplicates", "anomalies", "gaps", "crossed_ticks"]
LATER_COUNTS = ["blind_us", "crossed_us", "checksum_failures", "skewed", "clamped", "clock_skew_us"]


def _quality(row: Row) -> Quality:
    return Quality(
        symbol=row["symbol"],
        exchange=row["exchange"],
        timestamp=to_us(row["timestamp"]),
        score=units(row["score"]),
        coverage=units(row["coverage"]),
        accepted=units(row["accepted"]),
        **{name: row[name] for name in (*COUNTS, *LATER_COUNTS)},
    )


def _continuity(row: Row) -> Continuity:
    return Continuity(
        symbol=row["symbol"],
        exchange=row["exchange"],
        timestamp=to_us(row["received_at"]),
        start_time=to_us(row["start_time"]),
        end_time=to_us(row["end_time"]),
        rule=row["rule"],
        sequenced=row["sequenced"],
        checked=row["checked"],
        snapshots=row["snapshots"],
        conn=row["conn"],
        connections=row["connections"],
        reason=row["reason"],
    )


_MAKERS: dict[str, Callable[[Row], Record]] = {
    "trade": _trade,
    "heatmap": _heatmap,
    "ohlcv": _candle,
    "gap": _gap,
    "quality": _quality,
    "continuity": _continuity,
}


def units(value: Decimal) -> int:
    """A decimal of at most 8 places in units of 1e-8, exactly: Decimal("1.5") -> 150000000."""
    return int(_EXACT.scaleb(value, 8))


def maybe_units(value: Decimal | None) -> int | None:
    """The same; None stays None."""
    return None if value is None else units(value)


def _text_units(text: str | None) -> int | None:
    return None if text is None else units(Decimal(text))


def _maybe_us(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)
