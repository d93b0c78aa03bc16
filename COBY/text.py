"""The exchanges' decimal text -> ints of 1e-8, validated once per distinct text.

The text itself stays the key and value of the book (fastest, exact, and what checksums are made of); it is rounded
half-even to the 8th decimal once, here, where it leaves the book.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache

from COBY.records import UNITS

MAX_TEXT = 64
PLACES = 8
MAX_DIGITS = 30
_ZEROS = ["0" * (PLACES - count) for count in range(PLACES + 1)]
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)
_MEMORY = 200_000


class NumberError(ValueError):
    """A text that is no price or size; its message says what is allowed."""


class Units(dict[str, int]):
    """text -> units; a text is checked and converted when first asked for. NumberError for one that is no such number.

    A memo of a pure function: what it holds never shows in a result, so it may be emptied whenever it is full.
    """

    def __init__(self, kind: str, minimum: int, digits: int) -> None:
        """``minimum`` in units; ``digits`` before the decimal point, from the Avro schemas' precision."""
        super().__init__()
        self._kind = kind
        self._minimum = minimum
        self._limit = 10 ** (digits + 8)
        self._allowed = f"a decimal of at most {digits} digits before the point, {'>' if minimum else '>='} 0"

    def __missing__(self, text: str) -> int:
        units = _plain_units(text)
        if units is None:
            if len(text) > MAX_TEXT or not _NUMBER.fullmatch(text):
                raise NumberError(f"{self._kind} {text[:MAX_TEXT]!r}, allowed: {self._allowed}")
            units = int(_EXACT.multiply(Decimal(text), UNITS).to_integral_value(ROUND_HALF_EVEN))
        if not self._minimum <= units < self._limit:
            raise NumberError(f"{self._kind} {text!r}, allowed: {self._allowed}")
        if len(self) >= _MEMORY:
            self.clear()
        self[text] = units
        return units


def _plain_units(text: str) -> int | None:
    """Units of a text of digits with at most 8 decimals, as nearly all are: nothing to round. None for any other."""
    whole, point, part = text.partition(".")
    if len(part) > PLACES or len(whole) > MAX_DIGITS or not whole or bool(point) != bool(part):
        return None
    digits = whole + part
    return int(digits + _ZEROS[len(part)]) if digits.isdigit() and digits.isascii() else None


PRICES = Units("price", 1, 12)
SIZES = Units("size", 0, 22)


class Fixed(dict[bytes, str]):
    """The bytes of a JSON number -> its decimal text with a fixed number of decimals, so that a value has one text.

    Checked by ``units`` when first asked for. Decimals beyond ``places`` are kept unless they are zeros: nothing is
    rounded here.
    A memo of a pure function, as `Units`.
    """

    def __init__(self, units: Units, places: int) -> None:
        """``units``: PRICES or SIZES."""
        super().__init__()
        self._units = units
        self._places = places

    def __missing__(self, number: bytes) -> str:
        raw = number.decode("ascii", "replace")
        self._units[raw]  # NumberError for what is no number, or out of range
        whole, _, part = f"{Decimal(raw):f}".partition(".")
        part = part.rstrip("0").ljust(self._places, "0")
        text = f"{whole}.{part}" if part else whole
        self._units[text]  # without its exponent it may have become too long
        if len(self) >= _MEMORY:
            self.clear()
        self[number] = text
        return text


@lru_cache(maxsize=1024)
def fixed_prices(places: int) -> Fixed:
    """Prices with ``places`` decimals."""
    return Fixed(PRICES, places)


@lru_cache(maxsize=1024)
def fixed_sizes(places: int) -> Fixed:
    """Sizes with ``places`` decimals."""
    return Fixed(SIZES, places)


@lru_cache(maxsize=_MEMORY)
def places_of(number: bytes) -> int:
    """Decimals of a number as it is written: 2 for 1.50, 6 for 5.1e-05; 0 for what is no number."""
    text = number.decode("ascii", "replace")
    if len(text) > MAX_TEXT or not _NUMBER.fullmatch(text):
        return 0
    exponent = Decimal(text).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


class Plain(dict[str, str]):
    """A price's decimal text -> the same without exponent and needless zeros, so that a price has one text."""

    def __missing__(self, text: str) -> str:
        PRICES[text]  # NumberError for what is no price
        plain = text
        if "." in text or "e" in text.lower() or text[0] == "0":
            plain = f"{Decimal(text):f}"
            plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
            PRICES[plain]  # without its exponent it may have become too long
        if len(self) >= _MEMORY:
            self.clear()
        self[text] = plain
        return plain


PLAIN_PRICES = Plain()


def check_levels(levels: Iterable[tuple[str, str]]) -> None:
    """NumberError for the first level whose price or size is no such number."""
    prices, sizes = PRICES, SIZES
    for price, size in levels:
        prices[price]
        sizes[size]


@lru_cache(maxsize=1024)
def is_zero(size: str) -> bool:
    """Whether the text of a size is zero itself, not only rounded to it."""
    return not size.strip("0.") or not size.lower().partition("e")[0].strip("0.")


def decimal_text(units: int) -> str:
    """Units as decimal text with 8 decimals, as prices and sizes are written everywhere: 150000000 -> 1.50000000."""
    sign = "-" if units < 0 else ""
    whole, part = divmod(abs(units), UNITS)
    return f"{sign}{whole}.{part:08d}"


def ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator in units, half-even; the denominator is positive."""
    return divide(numerator * UNITS, denominator)


def divide(numerator: int, denominator: int) -> int:
    """numerator / denominator as an int, half-even; the denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient
