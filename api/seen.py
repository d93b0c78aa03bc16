"""What an onlooker of the topics has seen in the last seconds: frames by exchange, latencies by hop. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

WINDOW_SECONDS = 10
MOST_LATENCIES = 500
"""Of one hop and second: what comes beyond them takes the places of the earliest."""

HOPS = {
    "receive": "exchange's time of a trade to its receipt here",
    "kafka": "receipt to raw topic",
    "normalize": "receipt of a trade to trade topic",
    "tick": "tick to book topic",
    "aggregate": "tick to heatmap topic",
}
"""Hop -> from where to where. The first is the difference of two machines' clocks, and may be below 0."""


class Hop(NamedTuple):
    """Latencies of one hop over the window, in milliseconds; of `receive` by exchange, else ``exchange`` is None."""

    hop: str
    exchange: str | None
    records: int
    median_ms: float
    p99_ms: float
    max_ms: float


class Second:
    """What was seen in one second."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.latencies: dict[tuple[str, str], list[float]] = defaultdict(list)


class Seen:
    """The window: whole seconds, so that a rate does not depend on when one asks."""

    def __init__(self) -> None:
        self._seconds: dict[int, Second] = {}
        self._first: int | None = None
        self.last_at: float | None = None
        """When the newest record was seen."""

    def frame(self, exchange: str, now: float) -> None:
        """A frame of an exchange; ``now``: seconds of any clock that does not go back."""
        self._at(now).frames[exchange] += 1

    def latency(self, hop: str, exchange: str | None, seconds: float, now: float) -> None:
        """How long a record took for a hop."""
        second, name = self._at(now), (hop, exchange or "")
        kept = second.latencies[name]
        if len(kept) < MOST_LATENCIES:
            kept.append(seconds)
        else:
            kept[second.counts[name] % MOST_LATENCIES] = seconds
        second.counts[name] += 1

    def seconds(self, now: float) -> int:
        """How many whole seconds the window has by now, WINDOW_SECONDS at most."""
        return 0 if self._first is None else min(WINDOW_SECONDS, max(0, int(now) - self._first - 1))

    def rates(self, now: float) -> dict[str, float]:
        """Exchange -> frames a second; none before the first whole second."""
        whole = self.seconds(now)
        counts: Counter[str] = Counter()
        for second in self._window(now):
            counts += second.frames
        return {name: count / whole for name, count in sorted(counts.items())} if whole else {}

    def hops(self, now: float) -> list[Hop]:
        """The hops that were seen, in the order of HOPS, then by exchange."""
        values: dict[tuple[str, str], list[float]] = defaultdict(list)
        counts: Counter[tuple[str, str]] = Counter()
        for second in self._window(now):
            counts += second.counts
            for name, kept in second.latencies.items():
                values[name] += kept
        order = sorted(values, key=lambda name: (list(HOPS).index(name[0]), name[1]))
        return [_hop(name, counts[name], sorted(values[name])) for name in order]

    def _at(self, now: float) -> Second:
        number = int(now)
        self.last_at = now
        if self._first is None:
            self._first = number
        if number not in self._seconds:
            self._seconds[number] = Second()
            for old in [one for one in self._seconds if one < number - WINDOW_SECONDS]:
                del self._seconds[old]
        return self._seconds[number]

    def _window(self, now: float) -> Iterator[Second]:
        """The whole seconds before this one; the first of all is not whole."""
        for number in range(int(now) - self.seconds(now), int(now)):
            if number in self._seconds:
                yield self._seconds[number]


def _hop(name: tuple[str, str], count: int, values: list[float]) -> Hop:
    median, late, last = (1e3 * values[int(share * (len(values) - 1))] for share in (0.5, 0.99, 1))
    return Hop(name[0], name[1] or None, count, round(median, 1), round(late, 1), round(last, 1))
