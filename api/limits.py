"""How much one caller may ask: a bucket of requests that fills as time goes on. The time is an argument."""

from __future__ import annotations

from collections import OrderedDict

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
"""A body that has not come by then is not waited for."""
MAX_CALLERS = 10_000
"""Callers remembered; the one not heard for longest is forgotten, and begins anew."""
BURST = 2
"""Seconds of requests that may come at once."""


class Rate:
    """Requests of each caller: ``per_second`` on the whole, BURST seconds of them at once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._full = per_second * BURST
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> float:
        """Count one request at ``now`` (seconds): 0, or the seconds until there is room for it."""
        left, at = self._callers.pop(caller, (self._full, now))
        left = min(self._full, left + (now - at) * self._per_second)
        wait = max(0.0, (1 - left) / self._per_second)
        self._callers[caller] = (left if wait else left - 1, now)
        if len(self._callers) > MAX_CALLERS:
            self._callers.popitem(last=False)
        return wait
