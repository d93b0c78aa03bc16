"""Between the public models (floats, datetimes) and what the pipeline computes with (texts, units, microseconds)."""

from __future__ import annotations

from datetime import datetime

from COBY.book import Book
from COBY.models import OrderBookSnapshot, PriceLevel
from COBY.records import UNITS, Level
from COBY.text import PRICES, SIZES, NumberError, check_levels
from COBY.utils.exceptions import ProcessingError, ValidationError
from COBY.utils.intervals import from_us


def snapshot_model(symbol: str, exchange: str, book: Book, at: datetime | None) -> OrderBookSnapshot:
    """The public model of a live book, all levels, best first."""
    book.flush()
    if book.reason is not None:
        raise ProcessingError("book.unproven", f"the book is blind: {book.reason}", where=symbol)
    time = from_us(book.time_us) if book.time_us is not None else at or from_us(0)
    sides = (book.bids, book.asks)
    bids, asks = (tuple(_level_model(level) for level in side.top(len(side.order))) for side in sides)
    return OrderBookSnapshot(symbol, exchange, time, bids, asks, book.sequence_id)


def float_text(value: float) -> str:
    """A public model's float as the decimal text it was made from (Python's shortest repr)."""
    return repr(value).removesuffix(".0") if value == value else "nan"


def level_texts(levels: tuple[PriceLevel, ...]) -> list[tuple[str, str]]:
    """A public model's levels as the texts of an exchange."""
    return [(float_text(level.price), float_text(level.size)) for level in levels]


def checked_texts(levels: tuple[PriceLevel, ...]) -> list[tuple[str, str]]:
    """level_texts() of levels that the pipeline would take; ValidationError ``value.price`` for others."""
    texts = level_texts(levels)
    try:
        check_levels(texts)
    except NumberError as error:
        raise ValidationError("value.price", str(error)) from error
    return texts


def units_levels(levels: tuple[PriceLevel, ...]) -> list[Level]:
    """A public model's levels in units."""
    return [Level(PRICES[price], SIZES[size]) for price, size in checked_texts(levels)]


def _level_model(level: Level) -> PriceLevel:
    return PriceLevel(level.price / UNITS, level.size / UNITS)


def float_of(units: int | None) -> float | None:
    """Units as a float; None stays None."""
    return None if units is None else units / UNITS
