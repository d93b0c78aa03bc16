"""Books that begin by REST: when to fetch the first snapshot, for sessions. Pure.

An answer may be older than the stream (REST lags, caches answer). Beside an update that was received before, such a
snapshot can't be joined, and is asked for once more; with nothing beside it nobody could tell. So the first one is
fetched when the stream has brought an update of that book, or has stayed quiet for a while.
"""

from __future__ import annotations

from collections.abc import Iterable

from COBY.channels import Heard
from COBY.renewals import Deadlines

QUIET_SECONDS = 1.0


class FirstUpdates:
    """Symbols whose books are confirmed and of which nothing has come yet; times are seconds of the caller's clock."""

    def __init__(self, heard: Heard) -> None:
        """None. ``heard``: the session's."""
        self._heard = heard
        self._due = Deadlines()

    def await_of(self, symbols: Iterable[str], now: float) -> None:
        """The streams of their books were confirmed."""
        self._due |= dict.fromkeys(symbols, now + QUIET_SECONDS)

    def took(self, frame: bytes) -> list[str]:
        """The symbol whose first update a frame is; of all others none."""
        heard = self._heard(frame) if self._due else None
        if heard is None or heard[1] != "book" or self._due.pop(heard[0], None) is None:
            return []
        return [heard[0]]

    def overdue(self, now: float) -> list[str]:
        """Those that stay quiet; each is told once."""
        return self._due.overdue(now)
