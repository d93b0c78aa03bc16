"""Clocks and measurement, and all of intervals.py. Only shells read clocks: pure code is given times."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from COBY.utils.intervals import (
    US_PER_SECOND,
    floor_us,
    format_us,
    from_us,
    interval_us,
    parse_time,
    to_us,
)

__all__ = [
    "US_PER_SECOND",
    "Stopwatch",
    "WallClock",
    "floor_us",
    "format_us",
    "from_us",
    "interval_us",
    "measure",
    "parse_time",
    "to_us",
    "utc_now",
]


def utc_now() -> datetime:
    """Now, in UTC, with tzinfo."""
    return datetime.now(UTC)


class Stopwatch:
    """Seconds since it was made, until `stop()`; by a monotonic clock that nobody can set."""

    __slots__ = ("_start_ns", "_stop_ns")

    def __init__(self) -> None:
        """Starts at once."""
        self._start_ns = time.perf_counter_ns()
        self._stop_ns: int | None = None

    @property
    def seconds(self) -> float:
        """Seconds from start to `stop()`, or to now while it runs."""
        end_ns = time.perf_counter_ns() if self._stop_ns is None else self._stop_ns
        return (end_ns - self._start_ns) / 1e9

    def stop(self) -> float:
        """Stop (the first call counts) and return the seconds."""
        if self._stop_ns is None:
            self._stop_ns = time.perf_counter_ns()
        return self.seconds


@contextmanager
def measure(observe: Callable[[float], object] | None = None) -> Iterator[Stopwatch]:
    """Measure the block; `observe` (a histogram's method, say) is told the seconds, also if it raises."""
    watch = Stopwatch()
    try:
        yield watch
    finally:
        seconds = watch.stop()
        if observe is not None:
            observe(seconds)


class WallClock:
    """Wall time at its making plus the monotonic clock since: never steps within a process (DESIGN, *Time*).

    Two calls never go backwards, and an administrator setting the clock moves nothing. What it costs: a
    process that runs for weeks drifts with the machine's oscillator; marks clamp that (stream time).
    """

    __slots__ = ("_monotonic_ns", "_offset_ns")

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Reads both clocks once; other functions may be given where time is simulated."""
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return self._monotonic_ns() + self._offset_ns

    def now_seconds(self) -> float:
        """Seconds since 1970 UTC."""
        return self.now_ns() / 1e9

    def now_us(self) -> int:
        """Microseconds since 1970 UTC, cut off."""
        return self.now_ns() // 1_000
