"""Books that begin by REST: when to fetch the first snapshot, for sessions. Pure.

An answer may be older than the stream (REST lags, caches answer). Beside an update that was received before, such a
snapshot can't be joined, and is asked for once more; with nothing beside it nobody could tell. So the first one is
fetched when the stream has brought an update of that book, or has stayed quiet for a while.
"""

from __future__ import annotations

QUIET_SECONDS = 1.0


class FirstUpdates:
    """The books that are confirmed and of which nothing has come yet; times are seconds of the caller's clock."""

    def __init__(self) -> None:
        """None."""
        self._due: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._due)

    def await_of(self, name: str, now: float) -> None:
        """The stream of a book was confirmed."""
        self._due[name] = now + QUIET_SECONDS

    def awaited(self) -> tuple[str, ...]:
        """Those without an update."""
        return tuple(self._due)

    def came(self, name: str) -> bool:
        """An update of a book has come: whether it is the first."""
        return self._due.pop(name, None) is not None

    def overdue(self, now: float) -> list[str]:
        """Those that stay quiet; each is told once."""
        late = [name for name, due in self._due.items() if now >= due]
        for name in late:
            del self._due[name]
        return late
