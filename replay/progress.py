"""A line that says how a replay goes: position, speed, rate, time left. Pure: the time is an argument."""

from __future__ import annotations

from datetime import timedelta

from COBY.models import ReplaySession, ReplayStatus
from COBY.utils.intervals import format_us, to_us

BAR = 20


class Progress:
    """Of one session; remembers the last look."""

    def __init__(self, session: ReplaySession) -> None:
        """Nothing was seen yet."""
        self._session = session
        self._last: tuple[float, int, int | None] | None = None

    def line(self, status: ReplayStatus, now: float) -> str:
        """``now``: seconds of a monotonic clock."""
        position_us = None if status.position is None else to_us(status.position)
        parts = [status.state.ljust(8)]
        share = self._share(position_us, status.state)
        if share is not None:
            filled = round(share * BAR)
            parts.append(f"[{'#' * filled}{'.' * (BAR - filled)}] {share:4.0%}")
        parts.append("-" if position_us is None else format_us(position_us)[:-4] + "Z")
        parts.append(f"{status.records:,} records")
        parts.append("as fast as can be" if status.speed == 0 else f"x{status.speed:g}")
        if self._last is not None and now > self._last[0]:
            parts += self._rates(status, position_us, now)
        self._last = (now, status.records, position_us)
        return "  ".join(parts)

    def _share(self, position_us: int | None, state: str) -> float | None:
        start, end = self._session.start_time, self._session.end_time
        if start is None or end is None:
            return None
        if state == "finished":
            return 1.0
        if position_us is None:
            return 0.0
        return min(1.0, (position_us - to_us(start)) / (to_us(end) - to_us(start)))

    def _rates(self, status: ReplayStatus, position_us: int | None, now: float) -> list[str]:
        assert self._last is not None
        seconds, records, former_us = self._last
        found = [f"{(status.records - records) / (now - seconds):,.0f}/s"]
        if position_us is None or former_us is None or self._session.end_time is None:
            return found
        pace = (position_us - former_us) / (now - seconds)
        if pace > 0:
            left = timedelta(seconds=round((to_us(self._session.end_time) - position_us) / pace))
            found.append(f"{left} left")
        return found
