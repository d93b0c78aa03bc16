"""When the next fetch is due. Pure: the time is an argument."""

from __future__ import annotations

PACE_SECONDS = 0.08
FEW_RECORDS = 500
"""A fetch that brings no more found what had come since the last one, and the next one waits: what a chunk costs beside
its records is as much as some ten of these, so many small ones would use up a core for nothing."""


class Pace:
    """Of one consumer."""

    def __init__(self) -> None:
        """The first fetch is due at once."""
        self._next = 0.0

    def early(self, now: float) -> float:
        """Seconds until the next fetch is due; 0 or less: it is."""
        return self._next - now

    def took(self, records: int, now: float) -> None:
        """A fetch brought so many."""
        if records <= FEW_RECORDS:
            self._next = now + PACE_SECONDS
