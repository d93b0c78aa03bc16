"""Trades of a range added up by time: what takers bought and sold, and their volume-weighted price. SQL; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.history.tables import HOUR_US, Query
from api.shapes import INTEGER, PRICE, SIZE, TEXT, TIME, Column, Row
from api.times import DAY_US, Span
from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import US_PER_SECOND, from_us, interval_us

TABLE = "trade_events"
USUAL_US = HOUR_US
LONGEST_US = 6 * HOUR_US
"""All trades of a range are read; on an active market these are a few millions."""
COLUMNS = (
    Column("symbol", TEXT),
    Column("timestamp", TIME),
    Column("buy_volume", SIZE),
    Column("sell_volume", SIZE),
    Column("trade_count", INTEGER),
    Column("vwap", PRICE),
)
"""``timestamp``: where a row's time begins, on the grid through 1970. ``vwap``: sum of price × size ÷ sum of size."""
_FLOW = f"""
SELECT date_bin(%(step)s, timestamp, '1970-01-01T00:00:00Z'::timestamptz) AS time,
    coalesce(sum(size) FILTER (WHERE side = 'buy'), 0), coalesce(sum(size) FILTER (WHERE side = 'sell'), 0),
    count(*), round(sum(price * size) / nullif(sum(size), 0), 8)
FROM {TABLE}
WHERE timestamp >= %(since)s AND timestamp < %(until)s AND symbol = %(symbol)s
    AND (%(exchanges)s::text[] IS NULL OR exchange = ANY(%(exchanges)s))
GROUP BY 1 ORDER BY 1
"""


def resolution_us(text: str) -> int:
    """Microseconds of a row. ValidationError `api.resolution` for what is no whole second, or more than a day."""
    try:
        found = interval_us(text)
    except ValidationError as error:
        error.where = "query.resolution"
        raise
    if found % US_PER_SECOND or found > DAY_US:
        allowed = "whole seconds, at most 1d"
        raise ValidationError("api.resolution", f"rows of {text}", where="query.resolution", allowed=allowed)
    return found


def page_span(span: Span, resolution: int, limit: int) -> Span:
    """The part of a range that a page of ``limit`` rows has: it ends on the grid, or where the range ends."""
    until = span.since_us // resolution * resolution + limit * resolution
    return Span(span.since_us, min(span.until_us, until))


def flow(symbol: str, exchanges: Sequence[str] | None, span: Span, resolution: int) -> Query:
    """Rows of COLUMNS without the symbol. Those at the ends of a range hold what of their time is in it."""
    values: dict[str, Any] = {
        "symbol": symbol,
        "exchanges": None if exchanges is None else list(exchanges),
        "since": from_us(span.since_us),
        "until": from_us(span.until_us),
        "step": from_us(resolution) - from_us(0),
    }
    return _FLOW, values


def rows(symbol: str, found: Sequence[Sequence[Any]]) -> list[Row]:
    """The rows of COLUMNS."""
    return [(symbol, *row) for row in found]
