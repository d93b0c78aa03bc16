"""When to try again: exponential backoff with full jitter, a breaker. Pure: time and chance are given.

Full jitter after Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): the delay is
drawn evenly from zero to the bound, so that clients cut off together do not come back together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
BREAKER_STATES = (CLOSED, HALF_OPEN, OPEN)
"""By the number that the metric shows."""


class Limits(NamedTuple):
    """``base_seconds`` doubles with each failure up to ``cap_seconds``; a connection subscribed for
    ``stable_seconds`` forgets failures; after ``breaker_failures`` in a row nothing is tried for
    ``open_seconds``, then something within ``half_open_seconds``: an exchange that is back is tried within
    thirty seconds (FAULTS.md, I8). An old connection stays ``handover_seconds`` beside the one that takes over
    from it.
    """

    base_seconds: float = 0.5
    cap_seconds: float = 30.0
    stable_seconds: float = 60.0
    breaker_failures: int = 8
    open_seconds: float = 20.0
    half_open_seconds: float = 10.0
    handover_seconds: float = 5.0


DEFAULTS = Limits()


class Backoff:
    """Failures in a row -> the delay before the next attempt."""

    def __init__(self, random: Callable[[], float], limits: Limits = DEFAULTS) -> None:
        """``random`` returns numbers evenly from [0, 1)."""
        self._random = random
        self._limits = limits
        self._failures = 0
        self._opened: float | None = None

    @property
    def handover_seconds(self) -> float:
        """See `Limits`."""
        return self._limits.handover_seconds

    def failed(self, now: float) -> float:
        """Count a failure; seconds to wait before the next attempt."""
        limits = self._limits
        bound = min(limits.cap_seconds, limits.base_seconds * 2.0 ** min(self._failures, 30))
        self._failures += 1
        if self._failures < limits.breaker_failures:
            return self._random() * bound
        self._opened = now
        return limits.open_seconds + self._random() * limits.half_open_seconds

    def ended(self, lived_seconds: float, now: float) -> float:
        """A subscribed connection ended after so long; seconds to wait before the next attempt."""
        if lived_seconds >= self._limits.stable_seconds:
            self.reset()
        return self.failed(now)

    def subscribed(self) -> None:
        """An attempt succeeded: the breaker closes. Failures are forgotten once it proves stable."""
        self._opened = None

    def reset(self) -> None:
        """Forget all failures."""
        self._failures = 0
        self._opened = None

    def breaker(self, now: float) -> str:
        """``closed``; ``open`` while nothing is tried; then ``half_open`` until an attempt succeeds."""
        if self._opened is None:
            return CLOSED
        return OPEN if now - self._opened < self._limits.open_seconds else HALF_OPEN


class Limiter:
    """So many at once per key, then one each ``seconds`` (the generic cell rate algorithm, ITU-T I.371)."""

    def __init__(self, burst: int, seconds: float) -> None:
        """``burst`` requests may come at once."""
        self._seconds = seconds
        self._tolerance = (burst - 1) * seconds
        self._due: dict[object, float] = {}

    def wait(self, key: object, now: float) -> float:
        """Seconds until a place of ``key`` is free, 0.0 for now."""
        return max(0.0, self._due.get(key, now) - self._tolerance - now)

    def take(self, key: object, now: float) -> None:
        """Take a place that is free."""
        self._due[key] = max(self._due.get(key, now), now) + self._seconds
