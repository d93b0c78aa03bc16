"""Subscriptions, for sessions: asked for again while unanswered; renewed where only that brings a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

ANSWER_SECONDS = 5.0
"""An unsubscription without an answer for so long counts as done."""


class Deadlines(dict[str, float]):
    """Name -> when it is overdue; times are seconds of the caller's monotonic clock."""

    def overdue(self, now: float) -> list[str]:
        """Those that are, each told once: they are forgotten."""
        late = [name for name, due in self.items() if now >= due]
        for name in late:
            del self[name]
        return late


class Renewals:
    """Which books are being subscribed anew; times are seconds of the caller's monotonic clock."""

    def __init__(self) -> None:
        """None under way."""
        self._due = Deadlines()
        self._subscribed: dict[str, float] = {}

    def subscribed(self, names: Iterable[str], now: float) -> None:
        """The books are being subscribed now."""
        self._subscribed |= dict.fromkeys(names, now)

    def begin(self, name: str, now: float, age_seconds: float) -> bool:
        """Whether to unsubscribe now; False while a renewal of that book is under way, or has begun since it was asked.

        Without the latter, requests that come late would take down a book that is live again, each leading to the next.
        """
        if name in self._due or now - self._subscribed.get(name, -inf) < age_seconds:
            return False
        self._due[name] = now + ANSWER_SECONDS
        return True

    def confirmed(self, name: str) -> bool:
        """The unsubscription was answered: whether to subscribe now."""
        return self._due.pop(name, None) is not None

    def overdue(self, now: float) -> list[str]:
        """Those to subscribe without an answer."""
        return self._due.overdue(now)


REPEAT_SECONDS = 15.0
"""A subscription without an answer, or refused for a passing reason, is asked for again after so long."""


class Awaited:
    """Subscriptions that were asked for and not confirmed, by channel and the exchange's symbol."""

    def __init__(self) -> None:
        """None."""
        self._due: dict[tuple[str, str], float] = {}

    def asked(self, channel: str, names: Iterable[str], now: float) -> None:
        """A request was sent."""
        self._due |= {(channel, name): now + REPEAT_SECONDS for name in names}

    def answered(self, channel: str | None, name: str) -> None:
        """It was confirmed, or refused for good; ``channel`` None: whichever it was."""
        for one in [one for one in self._due if one[1] == name and channel in (None, one[0])]:
            del self._due[one]

    def overdue(self, now: float) -> list[tuple[str, str]]:
        """Those to ask for again; each is told once per REPEAT_SECONDS."""
        late = [one for one, due in self._due.items() if now >= due]
        self._due |= dict.fromkeys(late, now + REPEAT_SECONDS)
        return late
