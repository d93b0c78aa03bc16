"""Quality of a book by minute. score = coverage * accepted, both 0 to 1 (schemas/quality.avsc)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from COBY.records import UNITS, Quality
from COBY.text import ratio

MINUTE_US = 60_000_000


class Minute(msgspec.Struct):
    """Counts of the minute that is open; ``number`` minutes since the epoch, 0 before the first tick."""

    number: int = 0
    ticks: int = 0
    live_ticks: int = 0
    events: int = 0
    rejected: int = 0
    duplicates: int = 0
    anomalies: int = 0
    gaps: int = 0
    crossed_ticks: int = 0

    def close_until(self, symbol: str, exchange: str, time_us: int, emit: Callable[[Quality], None]) -> None:
        """Before the tick ``time_us`` is counted: emit the minute before, if the tick begins a newer one.

        A tick on the minute belongs to the minute it ends.
        """
        number = (time_us - 1) // MINUTE_US
        if number == self.number:
            return
        if self.ticks:
            emit(self._record(symbol, exchange))
        for name in self.__struct_fields__:
            setattr(self, name, 0)
        self.number = number

    def _record(self, symbol: str, exchange: str) -> Quality:
        coverage = ratio(self.live_ticks, self.ticks)
        accepted = UNITS - ratio(self.rejected, self.events + self.rejected) if self.rejected else UNITS
        return Quality(
            symbol,
            exchange,
            (self.number + 1) * MINUTE_US,
            ratio(coverage * accepted, UNITS * UNITS),
            coverage,
            accepted,
            self.events,
            self.rejected,
            self.duplicates,
            self.anomalies,
            self.gaps,
            self.crossed_ticks,
        )
