"""How many operations a client may send in a second, and when it is flooding. Pure."""

from __future__ import annotations

from collections import deque

OPERATIONS = 20
REFUSED = 100
"""So many refused operations within FLOOD_SECONDS end the connection."""
FLOOD_SECONDS = 10.0


class Rate:
    """The operations of one connection within the last second."""

    def __init__(self) -> None:
        """None yet."""
        self._taken: deque[float] = deque(maxlen=OPERATIONS)
        self._refused: deque[float] = deque(maxlen=REFUSED)

    def take(self, now: float) -> bool:
        """Whether one more may be carried out."""
        if len(self._taken) == OPERATIONS and now - self._taken[0] < 1.0:
            self._refused.append(now)
            return False
        self._taken.append(now)
        return True

    def is_flooding(self, now: float) -> bool:
        """Whether the client goes on sending although it was refused."""
        return len(self._refused) == REFUSED and now - self._refused[0] < FLOOD_SECONDS
