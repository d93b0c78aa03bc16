"""`from` and `to` of a request as a range of time. Pure: what time it is, is an argument."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import US_PER_SECOND, format_us, parse_time, to_us

DAY_US = 86_400 * US_PER_SECOND
_END_US = to_us(datetime(3000, 1, 1, tzinfo=UTC))
_UNITS = (("days", DAY_US), ("hours", 3_600 * US_PER_SECOND), ("minutes", 60 * US_PER_SECOND))


class Span(NamedTuple):
    """A range of time in microseconds: ``since_us`` belongs to it, ``until_us`` does not."""

    since_us: int
    until_us: int


def parse_span(since: str | None, until: str | None, now_us: int, usual_us: int, longest_us: int) -> Span:
    """The range that `from` and `to` name; without `to` it ends now, without `from` it is ``usual_us`` long.

    ValidationError `time.naive`, `time.invalid` (where: the parameter), `api.range_empty`, and `api.range_too_long`
    for more than ``longest_us``.
    """
    until_us = now_us if until is None else _time("to", until)
    since_us = until_us - usual_us if since is None else _time("from", since)
    return check_span(Span(since_us, until_us), longest_us)


def check_span(span: Span, longest_us: int) -> Span:
    """The range itself, if it is one and not too long. Errors as `parse_span`."""
    if span.since_us >= span.until_us:
        text = f"from {format_us(span.since_us)} to {format_us(span.until_us)} holds no time"
        raise ValidationError("api.range_empty", text, where="query.from", allowed="from before to")
    if (length := span.until_us - span.since_us) > longest_us:
        text = f"from {format_us(span.since_us)} to {format_us(span.until_us)} are {length_text(length)}"
        allowed = f"at most {length_text(longest_us)} in one request"
        raise ValidationError("api.range_too_long", text, where="query.from", allowed=allowed)
    return span


def length_text(length_us: int) -> str:
    """A length of time in words: `7 days`, `1.5 hours`, `0.5 seconds`."""
    name, unit = next(
        ((name, unit) for name, unit in _UNITS if length_us >= unit), ("seconds", US_PER_SECOND)
    )
    return f"{length_us / unit:g} {name}"


def _time(name: str, text: str) -> int:
    try:
        time_us = parse_time(text)
        if not 0 <= time_us < _END_US:  # what is computed from it is to stay a time
            raise ValidationError(
                "time.invalid", f"'{text}' is too far away", allowed="the years 1970 to 2999"
            )
    except ValidationError as error:
        error.where = f"query.{name}"
        if " " in text:  # what "+01:00" becomes in a URL
            error.allowed = f"{error.allowed}; + is written %2B in a URL"
        raise
    return time_us
