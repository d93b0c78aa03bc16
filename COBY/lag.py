"""How a consumer group is doing, by where it stood over a window of time. Pure.

The rules are Burrow's (github.com/linkedin/Burrow, wiki, "Consumer Lag Evaluation Rules"): they ask whether there is
progress, not whether a count is high, so they need no threshold. Two things differ. Burrow sees each commit and its
time, while brokers tell only the committed offset; so a group that commits nothing new counts as STOP where nobody is
in it, and as STALL where there is. And a lag that stays the same while the group goes on is OK here: at ticks that
come at a fixed pace who looks often sees the one record that is just on its way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from enum import Enum
from itertools import pairwise
from typing import NamedTuple


class Status(Enum):
    """In order of severity; the value is what the exporter shows."""

    OK = 0
    WARN = 1
    """It goes on, and falls further behind from look to look."""
    STALL = 2
    """It has members and something to read, and does not go on."""
    STOP = 3
    """It has something to read and nobody is in it."""


class Point(NamedTuple):
    """Where a group stood in one partition at one look."""

    at_seconds: float
    committed: int
    lag: int


def judge(points: Sequence[Point], window_seconds: float, has_members: bool) -> Status:
    """The status by the looks of a window, oldest first; OK while they do not fill it.

    ``has_members``: whether anybody is in the group now.
    """
    if not points or points[-1].at_seconds - points[0].at_seconds < window_seconds:
        return Status.OK
    if any(point.lag == 0 for point in points):
        return Status.OK
    first, last = points[0], points[-1]
    if all(point.committed == first.committed for point in points):
        return Status.STALL if has_members else Status.STOP
    rises = last.lag > first.lag and all(one.lag <= other.lag for one, other in pairwise(points))
    return Status.WARN if rises and last.committed > first.committed else Status.OK


class Windows:
    """The looks of the last ``seconds`` at many things, each of which has a key."""

    def __init__(self, seconds: float) -> None:
        """Empty."""
        self.seconds = seconds
        self._points: dict[Hashable, deque[Point]] = {}

    def add(self, key: Hashable, point: Point) -> None:
        """One look; what is older than the window goes, but for the one look that still reaches back all of it."""
        points = self._points.setdefault(key, deque())
        points.append(point)
        while len(points) > 2 and point.at_seconds - points[1].at_seconds >= self.seconds:
            points.popleft()

    def keep(self, keys: Iterable[Hashable]) -> None:
        """Forget what is not among these: partitions that a group has given up, groups that are gone."""
        for gone in self._points.keys() - set(keys):
            del self._points[gone]

    def status(self, key: Hashable, has_members: bool) -> Status | None:
        """See `judge`. None: not looked at for long enough, and never seen without lag."""
        points = list(self._points.get(key, ()))
        is_filled = bool(points) and points[-1].at_seconds - points[0].at_seconds >= self.seconds
        if not is_filled and all(point.lag for point in points):
            return None
        return judge(points, self.seconds, has_members)
