"""The fair price that all exchanges follow, and the seconds in which much happens at once. Pure, no clock.

Both depend on the seed and market time alone: two exchanges with the same seed see the same price at the same
market time, so their books stay within some basis points of each other.
"""

import random

PRICE_ONE = 100_000_000
STEP_US = 100_000
SECOND_US = 1_000_000
DRIFT_PERCENT = 1
# One step of the walk is at most this part of the start (0.2 basis points), in a burst five times that.
REACH_PART = 50_000
BURST_REACH = 5
# One second in so many is a burst: three quarters of its frames fall into a fifth of it.
BURST_ONE_IN = 12
BURST_WIDTH_US = 200_000
BURST_SHARE_US = 750_000
BURST_BEGINS_US = (100_000, 700_000)

KNOWN = {"BTCUSDT": 60_000 * PRICE_ONE, "ETHUSDT": 3_000 * PRICE_ONE}


class Bursts:
    """Which seconds of the market are bursts, and when in such a second its frames fall."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._second = -1
        self._begin: int | None = None

    def begin_us(self, second: int) -> int | None:
        """Microseconds into the second at which its cluster begins; None: an even second."""
        if second != self._second:
            # A string seeds by SHA-512, so hash randomisation plays no part.
            draw = random.Random(f"{self._seed}:burst:{second}").randrange
            self._second = second
            self._begin = None if draw(BURST_ONE_IN) else draw(*BURST_BEGINS_US)
        return self._begin

    def frame_us(self, number: int, rate: int) -> int:
        """When frame `number` (from 0) of a market with `rate` frames a second is due, µs of market time.

        Frame j of a second stays in its second and in its order.
        """
        second, place = divmod(number, rate)
        even = place * SECOND_US // rate
        begin = self.begin_us(second)
        if begin is None:
            return second * SECOND_US + even
        outside, calm = SECOND_US - BURST_SHARE_US, SECOND_US - BURST_WIDTH_US
        before = outside * begin // calm
        if even < before:
            into = even * begin // before
        elif even < before + BURST_SHARE_US:
            into = begin + (even - before) * BURST_WIDTH_US // BURST_SHARE_US
        else:
            late = even - before - BURST_SHARE_US
            into = begin + BURST_WIDTH_US + late * (calm - begin) // (outside - before)
        return second * SECOND_US + into


class Path:
    """One symbol's fair price, units of 1e-8: a random walk of one step each 100 ms, within 1 % of its start."""

    def __init__(self, seed: int, symbol: str) -> None:
        self._random = random.Random(f"{seed}:{symbol}:path")
        self._bursts = Bursts(seed)
        self.start = KNOWN.get(symbol) or self._random.randrange(2_000, 10_000) * PRICE_ONE
        self._price, self._steps = self.start, 0
        # (begin, how long, how far in units) of what the price was made to run besides
        self._runs: list[tuple[int, int, int]] = []

    def run(self, begin_us: int, lasts_us: int, thousandths: int) -> None:
        """Besides its walk the price goes so far, evenly, and stays there."""
        self._runs.append((begin_us, lasts_us, self.start * thousandths // 1000))

    def at(self, time_us: int) -> int:
        """The price at a market time; times may not go back."""
        steps = time_us // STEP_US
        assert steps >= self._steps, "a path is walked forwards"
        while self._steps < steps:
            self._steps += 1
            self._price += self._step(self._steps * STEP_US // SECOND_US)
        return self._price + sum(
            far * min(max(time_us - begin_us, 0), lasts_us) // lasts_us
            for begin_us, lasts_us, far in self._runs
        )

    def _step(self, second: int) -> int:
        reach = self.start // REACH_PART
        if self._bursts.begin_us(second) is not None:
            reach *= BURST_REACH
        step = self._random.randrange(-reach, reach + 1)
        if abs(self._price - self.start) * 100 > self.start * DRIFT_PERCENT:
            return -abs(step) if self._price > self.start else abs(step)
        return step
