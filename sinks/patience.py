"""The one place where writes are tried again: capped, jittered pauses while the consumer stays in its group."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

FIRST_SECONDS = 0.1
HIGHEST_SECONDS = 5.0


def pauses(draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling from 0.1 to 5, each cut at random by up to half."""
    seconds = FIRST_SECONDS
    while True:
        yield seconds * (0.5 + draw() / 2)
        seconds = min(HIGHEST_SECONDS, seconds * 2)
