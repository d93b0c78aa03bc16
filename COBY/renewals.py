"""Snapshots that only a new subscription brings: unsubscribe, wait for the answer, subscribe. For sessions."""

from __future__ import annotations

ANSWER_SECONDS = 5.0
"""An unsubscription without an answer for so long counts as done."""


class Renewals:
    """Which books are being subscribed anew; times are seconds of the caller's monotonic clock."""

    def __init__(self) -> None:
        """None under way."""
        self._due: dict[str, float] = {}

    def begin(self, name: str, now: float, wait_seconds: float = ANSWER_SECONDS) -> bool:
        """Whether to unsubscribe now; False while a renewal of that book is under way."""
        if name in self._due:
            return False
        self._due[name] = now + wait_seconds
        return True

    def confirmed(self, name: str) -> bool:
        """The unsubscription was answered: whether to subscribe now."""
        return self._due.pop(name, None) is not None

    def overdue(self, now: float) -> list[str]:
        """Those to subscribe without an answer."""
        late = [name for name, due in self._due.items() if now >= due]
        for name in late:
            del self._due[name]
        return late
