"""Messages to an exchange that allows so many in a while: those beyond wait their turn. Pure."""

from __future__ import annotations

from collections import deque

from COBY.exchanges.base import Command, Send


class Paced:
    """At most so many messages in any window of time, in order; times are seconds of the caller's monotonic clock.

    The exchange counts arrivals, which may crowd on the way: leave a margin to its own figures.
    """

    def __init__(self, most: int, window_seconds: float) -> None:
        """``most`` messages, at least 1, in ``window_seconds``."""
        if most < 1:
            raise ValueError(f"{most} messages in {window_seconds:g} s would never be sent")
        self._most = most
        self._window_seconds = window_seconds
        self._waiting: deque[Send] = deque()
        self._sent: deque[float] = deque()

    def add(self, *texts: str, socket: int | None = None) -> None:
        """Queue messages for a socket: see `Send`. Name it where there are several: what waits answers no frame."""
        self._waiting.extend(Send(text, socket) for text in texts)

    def due(self, now: float) -> list[Command]:
        """What may be sent now. To be asked at the end of each of the session's methods, at least by its timer."""
        sent = self._sent
        while sent and now - sent[0] >= self._window_seconds:
            sent.popleft()
        count = min(len(self._waiting), self._most - len(sent))
        sent.extend(now for _ in range(count))
        return [self._waiting.popleft() for _ in range(count)]
