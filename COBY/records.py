"""The records on the derived topics, one struct per schema in schemas/.

Prices, sizes, volumes and ratios are ints of 1e-8 (``UNITS``), times are ints of microseconds UTC.
Field names and order are those of the schemas; what each field means is written there.
"""

from __future__ import annotations

from COBY.record import Record as Record
from COBY.session_records import Place as Place
from COBY.session_records import Session as Session

UNITS = 100_000_000
"""Units of the 8th decimal in one: a price of 61837.63 is the int 6183763000000."""


class Level(Record, frozen=True, gc=False):
    """One price level of one book."""

    price: int
    size: int


class Bucket(Record, frozen=True, gc=False):
    """The volume of one price bucket [price, price + bucket_size) of one side."""

    price: int
    volume: int


class Bar(Record, frozen=True, gc=False):
    """The trades of one second of candle time since a book's last tick record."""

    timestamp: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trade_count: int
    open_time: int
    open_offset: int
    close_time: int
    close_offset: int


class Missing(Record, frozen=True, gc=False):
    """An exchange that is not in a sum, and why."""

    exchange: str
    reason: str


class Included(Record, frozen=True, gc=False):
    """An exchange in a sum and the price range it knows about (None: no limit)."""

    exchange: str
    covered_low: int | None
    covered_high: int | None


class Cell(Record, frozen=True, gc=False):
    """One heatmap cell [price, price + bucket_size) of one side that is not empty."""

    price: int
    volume: int
    intensity: int
    side: str
    exchange_count: int


class MergedLevel(Record, frozen=True, gc=False):
    """One price over all exchanges."""

    price: int
    size: int
    exchange_count: int


class TradeEvent(Record, frozen=True, gc=False):
    """One accepted trade of one exchange."""

    symbol: str
    exchange: str
    timestamp: int
    received_at: int
    price: int
    size: int
    side: str
    trade_id: str
    time_replaced: bool = False
    anomaly: bool = False


class BookTick(Record, frozen=True):
    """One exchange's book of one symbol at the tick T (``timestamp``)."""

    symbol: str
    exchange: str
    timestamp: int
    live: bool
    reason: str | None
    conn: str | None
    sequence_id: int | None
    bids: list[Level]
    asks: list[Level]
    bucket_size: int
    bid_buckets: list[Bucket]
    ask_buckets: list[Bucket]
    covered_low: int | None
    covered_high: int | None
    mid_price: int | None
    spread: int | None
    bid_volume: int | None
    ask_volume: int | None
    imbalance: int | None
    quality: int
    bars: list[Bar]


class Gap(Record, frozen=True, gc=False):
    """A hole in what is known of one book; ``until_time`` None while it is open."""

    symbol: str
    exchange: str
    timestamp: int
    from_time: int
    until_time: int | None
    reason: str
    conn: str | None
    detail: str


class Quality(Record, frozen=True, gc=False):
    """What one minute of one book was worth; ``timestamp`` is the minute's end."""

    symbol: str
    exchange: str
    timestamp: int
    score: int
    coverage: int
    accepted: int
    events: int
    rejected: int
    duplicates: int
    anomalies: int
    gaps: int
    crossed_ticks: int
    blind_us: int = 0
    crossed_us: int = 0
    checksum_failures: int = 0
    skewed: int = 0
    clamped: int = 0
    clock_skew_us: int = 0


class Continuity(Record, frozen=True, gc=False):
    """An interval in which one book was proven without a break; ``reason`` None while it goes on."""

    symbol: str
    exchange: str
    timestamp: int
    start_time: int
    end_time: int
    rule: str
    sequenced: int
    checked: int
    snapshots: int
    conn: str
    connections: int
    reason: str | None


class Heatmap(Record, frozen=True):
    """Volume by price bucket over all exchanges at the tick T."""

    symbol: str
    timestamp: int
    bucket_size: int
    data: list[Cell]
    covered_low: int | None
    covered_high: int | None
    exchanges: list[Included]
    missing: list[Missing]


class Consolidated(Record, frozen=True):
    """The books of all exchanges as one, with imbalances, at the tick T."""

    symbol: str
    timestamp: int
    bids: list[MergedLevel]
    asks: list[MergedLevel]
    mid_price: int | None
    spread: int | None
    top: int | None
    depth5: int | None
    depth20: int | None
    bucketed: int | None
    exchanges: list[str]
    missing: list[Missing]


class Candle(Record, frozen=True, gc=False):
    """One candle over all exchanges; a later revision replaces an earlier one."""

    symbol: str
    timestamp: int
    timeframe: str
    open: int
    high: int
    low: int
    close: int
    volume: int
    trade_count: int
    revision: int
    complete: bool
    received_at: int


class Status(Record, frozen=True, gc=False):
    """The state of one slot's connection as its producer saw it."""

    exchange: str
    slot: str
    conn: str | None
    state: str
    since: int
    last_message_at: int | None
    reconnects: int
    breaker: str
    error: str | None
    observed_at: int


class Resync(Record, frozen=True, gc=False):
    """A request to a producer to bring a book's snapshot anew."""

    exchange: str
    slot: str
    conn: str
    symbol: str
    reason: str
    timestamp: int


class Settings(Record, frozen=True, gc=False):
    """Settings that shape results, by hash; with ``source``: taken up by a task from ``next_offset`` on."""

    hash: str
    text: str
    source: str | None = None
    next_offset: int | None = None


NAMES: dict[type[Record], str] = {
    TradeEvent: "trade",
    BookTick: "book",
    Gap: "gap",
    Quality: "quality",
    Continuity: "continuity",
    Heatmap: "heatmap",
    Consolidated: "consolidated",
    Candle: "ohlcv",
    Status: "status",
    Resync: "control",
    Settings: "settings",
    Session: "session",
    Place: "place",
}
"""Struct -> name of its schema, which is also its topic's name (a place lies beside its session)."""
