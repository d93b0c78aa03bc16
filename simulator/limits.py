"""What a client of a simulated exchange may do, as far as whoever drives the exchange has to see to it."""

from collections import deque
from collections.abc import Mapping

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What a client may do, and when it is given up. Zero: the exchange has no such limit, sends no such ping.

    By connection: messages_per_second, streams_max. By address, and here all clients have one: address_messages (text
    messages a second), connects, rest_weight.
    """

    ping_seconds: float = 0.0
    pong_seconds: float = 60.0
    messages_per_second: int = 0
    address_messages_per_second: int = 0
    streams_max: int = 0
    connects_max: int = 0
    connects_window_seconds: float = 300.0
    rest_weight_max: int = 0
    rest_weight_window_seconds: float = 60.0
    # A client this far behind a live market is cut off: it may neither stop the market nor fill the memory.
    unsent_bytes_max: int = 64 * 1024 * 1024

    def changed(self, changes: Mapping[str, float]) -> "Limits":
        """With other figures, by field; a limit the exchange does not have stays absent, whatever is asked."""
        known = {name: value for name, value in changes.items() if getattr(self, name)}
        return msgspec.structs.replace(self, **known)


class Window:
    """How much came within a time, and the most that ever did; times are seconds of the caller's clock."""

    def __init__(self, most: int, seconds: float) -> None:
        """most: what is allowed, 0: any."""
        self._most, self._seconds = most, seconds
        self._came: deque[tuple[float, int]] = deque()
        self._now = 0
        self.peak = 0

    def add(self, now: float, weight: int = 1) -> bool:
        """Whether it is within the limit, this one included. What is refused counts too: it was sent."""
        if not self._most:
            return True
        self._came.append((now, weight))
        self._now += weight
        while self._came[0][0] <= now - self._seconds:
            self._now -= self._came.popleft()[1]
        self.peak = max(self.peak, self._now)
        return self._now <= self._most
