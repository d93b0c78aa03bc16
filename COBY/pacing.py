"""Messages to an exchange that allows so many in a while: those beyond wait their turn. Pure."""

from __future__ import annotations

from collections import deque

from COBY.exchanges.base import Command, Send
from COBY.limits import Rate, Window


class Paced:
    """At most so many messages in any window of time, in order; times are seconds of the caller's monotonic clock.

    The exchange counts arrivals, which may crowd on the way: leave a margin to its own figures.
    """

    def __init__(self, most: int, window_seconds: float) -> None:
        """``most`` messages, at least 1, in ``window_seconds``."""
        if most < 1:
            raise ValueError(f"{most} messages in {window_seconds:g} s would never be sent")
        self._window = Window(Rate(most, window_seconds))
        self._waiting: deque[Send] = deque()

    def add(self, *texts: str, socket: int | None = None) -> None:
        """Queue messages for a socket: see `Send`. Name it where there are several: what waits answers no frame."""
        self._waiting.extend(Send(text, socket) for text in texts)

    def due(self, now: float) -> list[Command]:
        """What may be sent now. To be asked at the end of each of the session's methods, at least by its timer."""
        commands: list[Command] = []
        while self._waiting and not self._window.wait_seconds(now):
            self._window.went(now)
            commands.append(self._waiting.popleft())
        return commands
