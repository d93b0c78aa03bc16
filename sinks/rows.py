"""Records -> rows of the tables. Pure: what is stored and how is decided here and nowhere else.

Numbers become Decimals exactly (units of 1e-8, scale 8); lists become JSON text with decimal strings. Books and
heatmaps are stored only at ticks that STORE_INTERVAL divides, books only while live; everything else is stored whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Context, Decimal
from typing import NamedTuple

from COBY.records import BookTick, Candle, Continuity, Gap, Heatmap, Level, Quality, Record, TradeEvent
from COBY.text import decimal_text
from COBY.utils.intervals import from_us
from sinks.tables import (
    BOOKS,
    CANDLES,
    CELLS,
    CONTINUITY,
    GAPS,
    HEATMAPS,
    QUALITY,
    TRADES,
    Table,
    Values,
)

TOPICS = ("book", "trade", "heatmap", "ohlcv", "gap", "quality", "continuity")
"""Names of the topics that have tables."""

_EXACT = Context(prec=100)  # the default context would round sizes of more than 28 digits
_SIDES = {"bid": "bid", "ask": "ask"}


class Row(NamedTuple):
    """One row of one table, values in the order of its columns."""

    table: Table
    values: Values


def rows_of(record: Record, position: str | None, store_interval_us: int) -> list[Row]:
    """The rows of a record; empty where it is not to be stored (a blind book, a tick between STORE_INTERVALs).

    ``position``: where the record stands in its source, as in its header. ValidationError `time.invalid` for a
    time outside the years 1 to 9999. TypeError for a record that has no table.
    """
    match record:
        case TradeEvent():
            return [trade_row(record, position)]
        case BookTick():
            stored = record.live and not record.timestamp % store_interval_us
            return [book_row(record, position)] if stored else []
        case Heatmap():
            return [] if record.timestamp % store_interval_us else _heatmap_rows(record, position)
        case Candle():
            return [_candle_row(record, position)]
        case Gap():
            return [_gap_row(record, position)]
        case Quality():
            return [_quality_row(record, position)]
        case Continuity():
            return [_continuity_row(record, position)]
    raise TypeError(f"{type(record).__name__} has no table")


def trade_row(record: TradeEvent, position: str | None, *, received: bool = True) -> Row:
    """The row of a trade; ``received`` False: stream time is not known."""
    return Row(
        TRADES,
        (
            record.symbol,
            record.exchange,
            from_us(record.timestamp),
            decimal(record.price),
            decimal(record.size),
            record.side,
            record.trade_id,
            from_us(record.received_at) if received else None,
            position,
        ),
    )


def book_row(record: BookTick, position: str | None) -> Row:
    """The row of a live book."""
    time = from_us(record.timestamp)
    return Row(
        BOOKS,
        (
            record.symbol,
            record.exchange,
            time,
            _levels(record.bids),
            _levels(record.asks),
            record.sequence_id,
            maybe_decimal(record.mid_price),
            maybe_decimal(record.spread),
            maybe_decimal(record.bid_volume),
            maybe_decimal(record.ask_volume),
            time,
            position,
        ),
    )


def _heatmap_rows(record: Heatmap, position: str | None) -> list[Row]:
    time, size = from_us(record.timestamp), decimal(record.bucket_size)
    return [_heatmap_tick(record, time, size, position)] + [
        Row(
            CELLS,
            (
                record.symbol,
                time,
                size,
                decimal(cell.price),
                decimal(cell.volume),
                _SIDES[cell.side],
                cell.exchange_count,
                time,
                position,
            ),
        )
        for cell in record.data
    ]


def _heatmap_tick(record: Heatmap, time: datetime, size: Decimal, position: str | None) -> Row:
    exchanges = [
        {
            "exchange": item.exchange,
            "covered_low": _maybe_text(item.covered_low),
            "covered_high": _maybe_text(item.covered_high),
        }
        for item in record.exchanges
    ]
    missing = {item.exchange: item.reason for item in record.missing}
    low, high = maybe_decimal(record.covered_low), maybe_decimal(record.covered_high)
    return Row(
        HEATMAPS, (record.symbol, time, size, _json(exchanges), _json(missing), low, high, time, position)
    )


def _candle_row(record: Candle, position: str | None) -> Row:
    prices = (record.open, record.high, record.low, record.close, record.volume)
    return Row(
        CANDLES,
        (
            record.symbol,
            from_us(record.timestamp),
            record.timeframe,
            *map(decimal, prices),
            record.trade_count,
            from_us(record.received_at),
            position,
            record.revision,
            record.complete,
        ),
    )


def _gap_row(record: Gap, position: str | None) -> Row:
    return Row(
        GAPS,
        (
            record.symbol,
            record.exchange,
            from_us(record.from_time),
            None if record.until_time is None else from_us(record.until_time),
            record.reason,
            record.conn,
            record.detail,
            from_us(record.timestamp),
            position,
        ),
    )


def _quality_row(record: Quality, position: str | None) -> Row:
    time = from_us(record.timestamp)
    shares = (record.score, record.coverage, record.accepted)
    counts = (
        record.events,
        record.rejected,
        record.duplicates,
        record.anomalies,
        record.gaps,
        record.crossed_ticks,
    )
    later = (
        record.blind_us,
        record.crossed_us,
        record.checksum_failures,
        record.skewed,
        record.clamped,
        record.clock_skew_us,
    )
    head = (record.symbol, record.exchange, time, *map(decimal, shares))
    return Row(QUALITY, (*head, *counts, time, position, *later))


def _continuity_row(record: Continuity, position: str | None) -> Row:
    return Row(
        CONTINUITY,
        (
            record.symbol,
            record.exchange,
            from_us(record.start_time),
            from_us(record.end_time),
            record.rule,
            record.sequenced,
            record.checked,
            record.snapshots,
            record.conn,
            record.connections,
            record.reason,
            from_us(record.timestamp),
            position,
        ),
    )


def decimal(units: int) -> Decimal:
    """Units of 1e-8 as a Decimal of scale 8, exactly: 150000000 -> Decimal('1.50000000')."""
    return _EXACT.scaleb(Decimal(units), -8)


def maybe_decimal(units: int | None) -> Decimal | None:
    """The same; None stays None."""
    return None if units is None else decimal(units)


def _maybe_text(units: int | None) -> str | None:
    return None if units is None else decimal_text(units)


def _levels(levels: Iterable[Level]) -> str:
    return _json([[decimal_text(level.price), decimal_text(level.size)] for level in levels])


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
