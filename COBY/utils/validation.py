"""Checks of single values, of settings, and of the quality of a book. Pure: no I/O, no clock."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from COBY.utils.exceptions import ConfigurationError, ValidationError
from COBY.utils.kinds import SYMBOL, SYMBOL_ALLOWED, Kind

HIGHEST_PRICE = 1e12  # decimal(20,8) holds twelve digits before the point
HIGHEST_SIZE = 1e22  # decimal(30,8)
FULL_DEPTH = 20  # levels a side at which depth counts in full


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table of settings: the variable's name, kind, default as text, a sentence about it."""

    name: str
    kind: Kind[Any]
    default: str
    sentence: str
    secret: bool = False


class _Level(Protocol):
    @property
    def price(self) -> float: ...
    @property
    def size(self) -> float: ...


class _Book(Protocol):
    @property
    def bids(self) -> Sequence[_Level]: ...
    @property
    def asks(self) -> Sequence[_Level]: ...


def validate_symbol(symbol: str) -> str:
    """The symbol itself, else ValidationError `value.symbol`."""
    if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol):
        raise ValidationError("value.symbol", f"{symbol!r} is no symbol", allowed=SYMBOL_ALLOWED)
    return symbol


def validate_price(price: float) -> float:
    """The price itself if finite and 0 < price < 1e12, else ValidationError `value.price`."""
    if not _number(price) or not 0 < price < HIGHEST_PRICE:
        raise ValidationError("value.price", f"{price!r} is no price", allowed="a number above 0, below 1e12")
    return price


def validate_size(size: float) -> float:
    """The size itself if finite and 0 <= size < 1e22, else ValidationError `value.size`."""
    if not _number(size) or not 0 <= size < HIGHEST_SIZE:
        raise ValidationError("value.size", f"{size!r} is no size", allowed="a number from 0, below 1e22")
    return size


def validate_settings(
    table: Iterable[Setting], environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[ConfigurationError]]:
    """Parse every setting of `table` that `environ` holds: (values by setting name, every problem found).

    Empty text counts as not set, as compose files pass unset variables on as empty.
    """
    values: dict[str, Any] = {}
    problems: list[ConfigurationError] = []
    for setting in table:
        text = environ.get(setting.name, "")
        try:
            if text := text if setting.secret else text.strip():
                values[setting.name] = setting.kind.parse(text)
        except ValueError:
            problems.append(wrong_setting(setting.name, text, setting.kind.allowed, secret=setting.secret))
    return values, problems


def wrong_setting(name: str, text: str, allowed: str, *, secret: bool = False) -> ConfigurationError:
    """The error `config.invalid` for a setting: its name, its value (masked if secret), what is allowed."""
    shown = "'***'" if secret else repr(text)
    return ConfigurationError("config.invalid", f"{name} is {shown}", where=name, allowed=allowed)


def quality_of(book: _Book) -> tuple[float, dict[str, float]]:
    """How good one snapshot of a book is: (score 0..1, its parts, each 0..1).

    - `two_sided` (weight 0.4): the share of the sides that hold a level: 0, 0.5 or 1
    - `not_crossed` (0.3): 1 if best bid < best ask, else 0 (also with a side missing: nothing is proven)
    - `sorted` (0.2): the share of neighbouring levels in strictly falling (bids) or rising (asks) order;
      1 with no neighbours at all, if the book holds a level, else 0
    - `depth` (0.1): levels of the thinner side / 20, at most 1

    The score is the weighted sum: 1.0 means two-sided, uncrossed, sorted and at least 20 levels deep; 0.0 is
    an empty book.
    """
    bids = [level.price for level in book.bids]
    asks = [level.price for level in book.asks]
    parts = {
        "two_sided": (bool(bids) + bool(asks)) / 2,
        "not_crossed": float(bool(bids and asks) and max(bids) < min(asks)),
        "sorted": _sorted_share(bids, asks),
        "depth": min(1.0, min(len(bids), len(asks)) / FULL_DEPTH),
    }
    weights = {"two_sided": 4, "not_crossed": 3, "sorted": 2, "depth": 1}
    # Tenths as integers: a perfect book has to give exactly 1.0.
    return sum(weight * parts[name] for name, weight in weights.items()) / 10, parts


def _sorted_share(bids: Sequence[float], asks: Sequence[float]) -> float:
    falling = [left > right for left, right in pairwise(bids)]
    rising = [left < right for left, right in pairwise(asks)]
    pairs = falling + rising
    if not pairs:
        return float(bool(bids or asks))
    return sum(pairs) / len(pairs)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
