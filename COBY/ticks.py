"""The record of a book at a tick: live, or blind with a reason."""

from __future__ import annotations

import msgspec

from COBY import metrics
from COBY.book import Book
from COBY.records import Bar, BookTick, Bucket, Level

TOP_LEVELS = 50


def book_tick(
    symbol: str,
    exchange: str,
    time_us: int,
    depth: int,
    bucket_size: int,
    book: Book,
    conn: str,
    bars: list[Bar],
) -> BookTick:
    """The record of a live book at the tick ``time_us`` (flushed and not crossed)."""
    levels = (book.bids.top(TOP_LEVELS), book.asks.top(TOP_LEVELS))
    buckets = (book.bids.top_buckets(depth), book.asks.top_buckets(depth))
    tick = unproven_tick(symbol, exchange, time_us, bucket_size, levels, buckets)
    low, high = book.coverage()
    return msgspec.structs.replace(
        tick, conn=conn, sequence_id=book.sequence_id, covered_low=low, covered_high=high, bars=bars
    )


def blind_tick(
    symbol: str, exchange: str, time_us: int, bucket_size: int, reason: str, bars: list[Bar]
) -> BookTick:
    """The record of a blind book: it states nothing of the book, only why, and the trades that came all the same."""
    none = None
    return BookTick(
        symbol, exchange, time_us, False, reason, none, none, [], [], bucket_size, [], [],
        none, none, none, none, none, none, none, 0, bars,
    )  # fmt: skip


def unproven_tick(
    symbol: str,
    exchange: str,
    time_us: int,
    bucket_size: int,
    levels: tuple[list[Level], list[Level]],
    buckets: tuple[list[Bucket], list[Bucket]],
) -> BookTick:
    """A tick from levels and buckets that somebody brings, without limit of coverage: what merging takes."""
    figures = metrics.metrics(*levels)
    return BookTick(
        symbol,
        exchange,
        time_us,
        True,
        None,
        None,
        None,
        *levels,
        bucket_size,
        *buckets,
        None,
        None,
        figures.mid_price,
        figures.spread,
        figures.bid_volume,
        figures.ask_volume,
        figures.imbalance,
        figures.quality,
        [],
    )
