"""A record of a topic as the JSON object that Redis, REST and WebSocket show: its fields, and where it stands. Pure."""

from __future__ import annotations

from typing import Any

from COBY.jsonform import plain
from COBY.records import (
    BookTick,
    Candle,
    Consolidated,
    Continuity,
    Gap,
    Heatmap,
    Quality,
    Record,
    Status,
    TradeEvent,
)


def value_of(
    record: Record,
    source: str | None,
    position: tuple[int, int] | None,
    topic: str,
    partition: int | None,
    offset: int | None,
) -> dict[str, Any]:
    """JSON-ready: the fields of `COBY.jsonform.plain`, then where in its source's sequence and in Kafka it stands.

    ``topic`` in full; in a replay that of the live record, whose partition and offset nobody knows there (None), nor,
    where it was taken from the database, its source and position.
    """
    return {
        **plain(record),
        "source": source,
        "position": position and f"{position[0]}:{position[1]}",
        "topic": topic,
        "partition": partition,
        "offset": offset,
    }


def key_parts(record: Record) -> tuple[str, ...]:
    """What the newest is kept of: `(symbol, exchange)`, `(symbol,)`, `(symbol, timeframe)`, or the slot."""
    match record:
        case TradeEvent() | BookTick() | Gap() | Quality() | Continuity():
            return record.symbol, record.exchange
        case Heatmap() | Consolidated():
            return (record.symbol,)
        case Candle():
            return record.symbol, record.timeframe
        case Status():
            return (record.slot,)
    raise TypeError(f"no newest is kept of {type(record).__name__}")
