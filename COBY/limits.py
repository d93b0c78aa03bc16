"""What an exchange allows one client address, and keeping to it. Pure: times are seconds of the caller's clock."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Rate(NamedTuple):
    """At most ``most`` in any ``seconds``."""

    most: int
    seconds: float

    def shared(self, parts: int) -> Rate:
        """One of so many equal parts, at least one in the time."""
        return Rate(max(1, self.most // parts), self.seconds)


class Limits(NamedTuple):
    """What all connections of one address may do together, None: any number.

    Below the exchange's own figures in number, as other programs may share the address, and above them in time: it
    counts arrivals, and what leaves in two windows may arrive in one.

    ``connects``: connection attempts. ``messages``: text messages. ``requests``: REST requests, counted in those for a
    book. ``sockets``: how many a connection opens (`Connect.more`).
    """

    connects: Rate | None = None
    messages: Rate | None = None
    requests: Rate | None = None
    sockets: int = 1


class Window:
    """What went within the last ``rate.seconds``, so that never more than ``rate.most`` do."""

    def __init__(self, rate: Rate) -> None:
        """Nothing went yet."""
        self._seconds = rate.seconds
        self._went: deque[float] = deque(maxlen=rate.most)

    def wait_seconds(self, now: float) -> float:
        """Until the next may go; 0.0: now."""
        if len(self._went) < (self._went.maxlen or 1):
            return 0.0
        return max(0.0, self._went[0] + self._seconds - now)

    def went(self, now: float) -> None:
        """One goes now."""
        self._went.append(now)
