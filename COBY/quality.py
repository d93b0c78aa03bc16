"""Quality of a book by minute: what it is made of and the score (schemas/quality.avsc). Pure.

    score  = coverage * events / (events + faults)
    faults = rejected + duplicates + anomalies + gaps + crossed_ticks + checksum_failures + skewed + clamped

coverage is the share of the minute's ticks at which the book was live. Each fault counts as one event that was not
good: no weights to argue about. Nothing wrong is exactly 1.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from COBY.records import UNITS, Quality
from COBY.text import ratio

MINUTE_US = 60_000_000
SKEW_US = 2_000_000
"""An exchange's time may be so far from receipt: as long as a connection may be silent before it counts as lost."""
LIMIT_US = 2**63 - 1


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
    """Ticks at which a book was found crossed, that of any connection."""
    crossed_blind: int = 0
    """Ticks at which it was blind for that reason."""
    checksum_failures: int = 0
    skewed: int = 0
    clamped: int = 0
    clock_skew_us: int = 0

    def met(self, time_us: int | None, received_us: int | None) -> None:
        """An update or a trade was taken in, of that exchange time; None: no time to look at."""
        self.events += 1
        if time_us is None or received_us is None:
            return
        skew_us = time_us - received_us
        distance_us = abs(skew_us)
        if distance_us > abs(self.clock_skew_us):
            self.clock_skew_us = max(-LIMIT_US, min(skew_us, LIMIT_US))
        if distance_us > SKEW_US:
            self.skewed += 1

    def tick(self, reason: str | None) -> None:
        """A tick of the book: live (None), or blind with a reason."""
        self.ticks += 1
        if reason is None:
            self.live_ticks += 1
        elif reason == "crossed":
            self.crossed_blind += 1

    def left_out(self, first_us: int, end_us: int, grid_us: int) -> None:
        """Ticks from ``first_us`` to before ``end_us`` are not emitted: those of this minute were not live."""
        last_us = min(end_us - grid_us, (self.number + 1) * MINUTE_US // grid_us * grid_us)
        first_us = max(first_us, (self.number * MINUTE_US // grid_us + 1) * grid_us)
        if self.number and last_us >= first_us:
            self.ticks += (last_us - first_us) // grid_us + 1

    def close_until(
        self, symbol: str, exchange: str, time_us: int, grid_us: int, emit: Callable[[Quality], None]
    ) -> bool:
        """Before the tick ``time_us`` is counted: emit the minute before, if the tick begins a newer one.

        A tick on the minute belongs to the minute it ends. True if a newer one begins.
        """
        number = (time_us - 1) // MINUTE_US
        if number == self.number:
            return False
        if self.ticks:
            emit(self._record(symbol, exchange, grid_us))
        for name in self.__struct_fields__:
            setattr(self, name, 0)
        self.number = number
        return True

    @property
    def faults(self) -> int:
        """How many things were wrong, each counted once by the kind it is."""
        return (
            self.rejected
            + self.duplicates
            + self.anomalies
            + self.gaps
            + self.crossed_ticks
            + self.checksum_failures
            + self.skewed
            + self.clamped
        )

    def _record(self, symbol: str, exchange: str, grid_us: int) -> Quality:
        faults, good = self.faults, self.events
        shares = (self.live_ticks * good, self.ticks * (good + faults))
        coverage = ratio(self.live_ticks, self.ticks)
        return Quality(
            symbol,
            exchange,
            (self.number + 1) * MINUTE_US,
            ratio(*shares) if faults else coverage,
            coverage,
            UNITS - ratio(self.rejected, self.events + self.rejected) if self.rejected else UNITS,
            self.events,
            self.rejected,
            self.duplicates,
            self.anomalies,
            self.gaps,
            self.crossed_ticks,
            (self.ticks - self.live_ticks) * grid_us,
            self.crossed_blind * grid_us,
            self.checksum_failures,
            self.skewed,
            self.clamped,
            self.clock_skew_us,
        )
