"""Times as integers of microseconds UTC: conversion, text, grids. Pure: reads no clock (timing.py does).

RFC 3339 (https://www.rfc-editor.org/rfc/rfc3339) is the only text form.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from COBY.utils.exceptions import ValidationError

US_PER_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOWEST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_HIGHEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_UNITS_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_INTERVAL = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)", re.ASCII)
_RFC3339 = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?P<offset>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_MILLISECONDS = re.compile(r"-?\d{1,15}", re.ASCII)
_TIME_ALLOWED = "RFC 3339 with an offset (2026-01-02T03:04:05.678Z), or an integer of milliseconds since 1970"


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exact. A naive datetime raises ValidationError `time.naive`."""
    if moment.utcoffset() is None:
        raise ValidationError("time.naive", f"the time {moment} has no offset", allowed="a time with tzinfo")
    return (moment - _EPOCH) // _MICROSECOND


def from_us(time_us: int) -> datetime:
    """The datetime in UTC of microseconds since 1970, exact; outside the years 1 to 9999 `time.invalid`."""
    if not _LOWEST_US <= time_us <= _HIGHEST_US:
        raise ValidationError(
            "time.invalid", f"{time_us} microseconds is no time", allowed="the years 1 to 9999"
        )
    return _EPOCH + time_us * _MICROSECOND


def clamp_us(time_us: int) -> int:
    """The nearest time from 1970 on that a date can say: what an exchange sends may be anything."""
    return max(0, min(time_us, _HIGHEST_US))


def format_us(time_us: int) -> str:
    """RFC 3339 in UTC with exactly six decimals: `2026-01-02T03:04:05.678000Z`. `time.invalid` as `from_us`."""
    second, part = divmod(time_us, US_PER_SECOND)
    return f"{_second_text(second)}.{part:06d}Z"


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    """`2026-01-02T03:04:05`: most times of a moment are of the same few seconds."""
    return from_us(second * US_PER_SECOND).isoformat()[:-6]


def parse_time(value: str | int) -> int:
    """Microseconds since 1970 of an RFC 3339 text with an offset, or of integer milliseconds (int or digits).

    Digits beyond the sixth decimal are cut off. Raises ValidationError `time.naive` for a time without an
    offset, `time.invalid` for anything else (leap seconds included: UTC grids have no place for them).
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _no_time(value)
    if isinstance(value, int) or _MILLISECONDS.fullmatch(value):
        return to_us(from_us(int(value) * 1_000))
    match = _RFC3339.fullmatch(value)
    if match is None:
        raise _no_time(value)
    if match["offset"] is None:
        raise ValidationError("time.naive", f"the time '{value}' has no offset", allowed=_TIME_ALLOWED)
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    try:
        whole = to_us(datetime.fromisoformat(f"{match['day']}T{match['time']}{match['offset'].upper()}"))
    except (ValueError, OverflowError):
        raise _no_time(value) from None
    return to_us(from_us(whole + int(fraction)))  # an offset can lead out of the years there are


def floor_us(time_us: int, grid_us: int) -> int:
    """The last point at or before `time_us` of the grid of `grid_us` through 1970 (both microseconds)."""
    if grid_us <= 0:
        raise ValidationError("interval.invalid", f"a grid of {grid_us} microseconds", allowed="above 0")
    return time_us - time_us % grid_us


def interval_us(text: str) -> int:
    """Microseconds of `500ms`, `1s`, `5m`, `4h`, `1d`; anything else raises `interval.invalid`."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise ValidationError(
            "interval.invalid", f"'{text}' is no interval", allowed="an integer and ms, s, m, h or d"
        )
    return int(match[1]) * _UNITS_US[match[2]]


def _no_time(value: object) -> ValidationError:
    return ValidationError("time.invalid", f"{value!r} is no time", allowed=_TIME_ALLOWED)
