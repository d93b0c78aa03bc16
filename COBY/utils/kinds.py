"""Kinds of settings: from text to a value, with the words that say what is allowed.

A parser raises ValueError; whoever calls it knows the setting's name and makes the ConfigurationError.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Generic, TypeVar

from COBY.utils.intervals import US_PER_SECOND, interval_us

T = TypeVar("T")
SYMBOL = re.compile(r"[A-Z0-9]{5,20}", re.ASCII)
SYMBOL_ALLOWED = "5 to 20 characters out of A-Z and 0-9, such as BTCUSDT"
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", re.ASCII)
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.ASCII)
_HIGHEST_BUCKET = Decimal("99999999.99")  # the column bucket_size is decimal(10,2)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How the text of a setting becomes a value, and what is allowed, in words."""

    parse: Callable[[str], T]
    allowed: str


def integer(low: int, high: int, unit: str = "") -> Kind[int]:
    """Integers from `low` to `high`, both included."""

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return Kind(parse, f"an integer from {low} to {high}{unit and f' ({unit})'}")


def decimal_steps(low: str, high: str, step: str, unit: str = "") -> Kind[float]:
    """Decimal numbers from `low` to `high` that are multiples of `step`."""

    def parse(text: str) -> float:
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise ValueError(text) from None
        if not value.is_finite() or not Decimal(low) <= value <= Decimal(high) or value % Decimal(step):
            raise ValueError(text)
        return float(value)

    return Kind(parse, f"a multiple of {step} from {low} to {high}{unit and f' ({unit})'}")


def one_of(*values: str, upper: bool = False) -> Kind[str]:
    """One of the given words; with `upper` also when written in lower case."""

    def parse(text: str) -> str:
        value = text.upper() if upper else text
        if value not in values:
            raise ValueError(text)
        return value

    return Kind(parse, "one of " + ", ".join(values))


def matching(pattern: str, allowed: str) -> Kind[str]:
    """Texts that match `pattern` as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(text)
        return text

    return Kind(parse, allowed)


def url(*schemes: str) -> Kind[str]:
    """A URL of one of the schemes with a host; a slash at its end is dropped."""
    compiled = re.compile(rf"(?:{'|'.join(schemes)})://[^\s/?#]+[^\s#]*", re.ASCII)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(text)
        return text.rstrip("/")

    return Kind(parse, "a URL beginning with " + " or ".join(f"{scheme}://" for scheme in schemes))


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.rstrip("/").lower() for origin in _words(text))
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(text)
    return origins


def _boolean(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _words(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(","))
    if not all(words) or len(set(words)) != len(words):
        raise ValueError(text)
    return words


def _symbols(text: str) -> tuple[str, ...]:
    symbols = _words(text)
    if not all(SYMBOL.fullmatch(symbol) for symbol in symbols):
        raise ValueError(text)
    return symbols


def _servers(text: str) -> str:
    servers = _words(text)
    matches = [_SERVER.fullmatch(server) for server in servers]
    if not all(match and 1 <= int(match[2]) <= 65_535 for match in matches):
        raise ValueError(text)
    return ",".join(servers)


def _duration(text: str) -> int:
    if text == "0":
        return 0
    try:
        microseconds = interval_us(text)
    except Exception as error:
        raise ValueError(text) from error
    if microseconds < US_PER_SECOND:
        raise ValueError(text)
    return microseconds // US_PER_SECOND


BOOLEAN = Kind(_boolean, "true or false (also 1, 0, yes, no, on, off)")
TEXT = Kind(str, "any text")
HOST = matching(r"[A-Za-z0-9._:-]+|/[^\s]*", "a host name, an address, or the folder of a socket")
PORT = integer(1, 65_535)
FREE_PORT = integer(0, 65_535, "0: a free one")
WORDS = Kind(_words, "names separated by commas, none twice")
SYMBOLS = Kind(_symbols, f"symbols separated by commas, none twice, each {SYMBOL_ALLOWED}")
SERVERS = Kind(_servers, "host:port, several separated by commas")
ORIGINS = Kind(_origins, "origins (https://host, or with :port) separated by commas, none twice")
DURATION = Kind(_duration, "an integer and s, m, h or d (7d), or 0 for ever; kept in seconds")
BUCKET_SIZE = decimal_steps("0.01", str(_HIGHEST_BUCKET), "0.01")
