"""How long free space lasts: what is written grows at its rate until retention takes as much as comes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

DAY_SECONDS = 86_400


class Growth(NamedTuple):
    """One thing that is written all the time: a topic, a table, the backups."""

    name: str
    bytes_per_second: float
    held_bytes: float
    """What there is of it now."""
    keep_seconds: float
    """How long it is kept; 0: for ever."""

    @property
    def still_grows_seconds(self) -> float:
        """How long it goes on growing at its rate: until as much is held as comes while it is kept."""
        if not self.bytes_per_second:
            return 0.0
        if not self.keep_seconds:
            return inf
        return max(0.0, self.keep_seconds - self.held_bytes / self.bytes_per_second)


def days_left(free_bytes: float, growths: Iterable[Growth]) -> float:
    """Days until `free_bytes` are used up; infinite where retention begins to take as much as comes before that."""
    growing = sorted(growths, key=lambda growth: growth.still_grows_seconds)
    now, free = 0.0, free_bytes
    for number, growth in enumerate(growing):
        rate = sum(other.bytes_per_second for other in growing[number:])
        seconds = growth.still_grows_seconds - now
        if rate and rate * seconds >= free:
            return (now + free / rate) / DAY_SECONDS
        now, free = growth.still_grows_seconds, free - rate * seconds
    return inf


def still_needed_bytes(growths: Iterable[Growth]) -> float:
    """What is yet to come of all that is not kept for ever, until retention takes as much as comes."""
    return sum(
        growth.bytes_per_second * growth.still_grows_seconds for growth in growths if growth.keep_seconds
    )
