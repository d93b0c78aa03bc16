"""When a record of a replay is due. Pure: times are arguments."""

from __future__ import annotations

from COBY.models.sessions import FULL


class Pace:
    """Maps stream time to the caller's monotonic clock. Speeds are thousandths; FULL: everything is due at once.

    Due times follow from one anchor and not from record to record, so that nothing adds up.
    """

    def __init__(self, speed_milli: int, now: float) -> None:
        """Stands still until `begin`. ``now``: seconds of the clock."""
        self.speed_milli = speed_milli
        self._anchor = now
        self._anchor_ms: int | None = None

    def begin(self, time_ms: int, now: float) -> None:
        """That stream time is due now; what follows by the speed."""
        self._anchor, self._anchor_ms = now, time_ms

    def stop(self) -> None:
        """The next record is the new beginning: after a pause, a seek, or a wait for others."""
        self._anchor_ms = None

    def set_speed(self, speed_milli: int, now: float) -> None:
        """Go on from the stream time of now at another speed."""
        if self._anchor_ms is not None and self.speed_milli != FULL:
            passed_ms = (now - self._anchor) * self.speed_milli
            self._anchor, self._anchor_ms = now, self._anchor_ms + round(passed_ms)
        else:
            self._anchor_ms = None
        self.speed_milli = speed_milli

    def due(self, time_ms: int, now: float) -> float:
        """When a record of that time is due; the first one now."""
        if self.speed_milli == FULL:
            return now
        if self._anchor_ms is None:
            self.begin(time_ms, now)
        assert self._anchor_ms is not None
        return self._anchor + (time_ms - self._anchor_ms) / self.speed_milli
