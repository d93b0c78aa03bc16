"""Numbers that exchanges send as JSON numbers: read from their own digits, never by way of a float.

Servers written in JavaScript print as few digits as tell the number, plain from 0.000001 up, below that with an
exponent (5.6e-7; ECMAScript, Number::toString), and make their checksums of these texts.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

import msgspec

from COBY.text import PRICES, SIZES


def text_of(raw: msgspec.Raw) -> str:
    """What stands in the frame."""
    return bytes(raw).decode("ascii", "replace")


def natural(text: str) -> int:
    """A number of at most 18 digits, as records hold 64 bits. ValueError for any other text."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(f"{text[:40]!r} is no whole number of at most 18 digits")
    return int(text)


def signed_size(raw: msgspec.Raw) -> tuple[bool, str]:
    """Whether an amount is negative, and the text of its size. NumberError for what is none."""
    text = text_of(raw)
    size = text.removeprefix("-")
    SIZES[size]
    return text.startswith("-"), size


@lru_cache(maxsize=200_000)
def price_text(number: bytes) -> str:
    """The one text of a price, as JavaScript prints it, whatever its spelling. NumberError for what is no price."""
    text = number.decode("ascii", "replace")
    PRICES[text]
    if text.isdigit() and text[0] != "0":
        return text
    plain = f"{Decimal(text):f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    if not plain.startswith("0.000000"):
        return plain
    digits = plain[2:].lstrip("0")
    power = len(plain) - 1 - len(digits)
    return f"{digits[0]}.{digits[1:]}e-{power}" if digits[1:] else f"{digits}e-{power}"
