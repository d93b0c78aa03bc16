"""The time that a raw partition has reached, and the ticks that a record makes due (DESIGN.md, Time is in the log)."""

SECOND_NS = 1_000_000_000
LONGEST_STEP_NS = 2 * SECOND_NS


class StreamTime:
    """Stream time of one raw partition, in nanoseconds."""

    def __init__(self, update_frequency_us: int) -> None:
        self.step_ns = update_frequency_us * 1000
        self.now_ns: int | None = None
        self.newest_mark_ns: int | None = None
        self.jumped_from_ns: int | None = None

    def advance(self, received_ns: int, is_mark: bool) -> list[int]:
        """Take one record; returns the ticks T (microseconds) due before it, oldest first.

        jumped_from_ns is where stream time was before this record, if it left out ticks, else None.
        """
        self.jumped_from_ns = None
        if self.now_ns is None:
            self.now_ns = received_ns
        before_ns = self.now_ns
        if is_mark:
            if self.newest_mark_ns is None:
                # The first mark sets stream time, even backwards, and passes no tick: nothing was emitted before it.
                self.now_ns = self.newest_mark_ns = received_ns
                return []
            self.newest_mark_ns = max(self.newest_mark_ns, received_ns)
        if self.newest_mark_ns is None:
            return []
        self.now_ns = max(self.now_ns, min(received_ns, self.newest_mark_ns + SECOND_NS))
        return self.ticks_between(before_ns, self.now_ns)

    def ticks_between(self, before_ns: int, now_ns: int) -> list[int]:
        """The multiples T of the step with before < T <= now; after a jump of more than 2 s only the newest."""
        numbers = range(before_ns // self.step_ns + 1, now_ns // self.step_ns + 1)
        ticks = [number * self.step_ns // 1000 for number in numbers]
        if now_ns - before_ns > LONGEST_STEP_NS:
            self.jumped_from_ns = before_ns
            return ticks[-1:]
        return ticks
