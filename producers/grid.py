"""Which grid points are due for a mark. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from COBY.utils.intervals import floor_us


def mark_due(last_us: int | None, now_us: int, grid_us: int) -> int | None:
    """The newest grid point at or before ``now_us``, None unless newer than the last mark (microseconds).

    After a delay that is one mark for all the points missed: marks say how far time is, not how it went.
    """
    due_us = floor_us(now_us, grid_us)
    return due_us if last_us is None or due_us > last_us else None


def marks_passed(last_us: int | None, reached_us: int, grid_us: int, most_us: int) -> Iterator[int]:
    """Every grid point after ``last_us`` up to ``reached_us``: what a clock that was never late has written.

    Without a last mark, or after a leap of more than ``most_us``, only the newest one.
    """
    newest_us = floor_us(reached_us, grid_us)
    if last_us is None or newest_us - last_us > most_us:
        if last_us is None or newest_us > last_us:
            yield newest_us
        return
    yield from range(floor_us(last_us, grid_us) + grid_us, newest_us + 1, grid_us)
