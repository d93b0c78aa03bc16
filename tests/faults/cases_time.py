"""Cases of time: the clock process gone or twice, and a consumer that is slow."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

from deploy.local.programs import Program
from tests.faults.cases import Case
from tests.faults.pipeline import MIB, Pipeline

DEAD_SECONDS = 10.0
TWICE_SECONDS = 10.0
SLOW_SECONDS = 20.0
SLICE_SECONDS = 0.5
RUNS = 0.1
"""Share of the time that the slow sink runs."""
FLAT_BYTES = 200 * MIB


class TwoClocks(Pipeline):
    """A second clock, which stands still at first."""

    def _table(self, port: int) -> list[Program]:
        table = super()._table(port)
        (clock,) = (one for one in table if one.name == "clock")
        return [*table, replace(clock, name="clock-2", metrics_port=0)]

    def rest(self) -> None:
        """As ever, after the second clock has ended."""
        self.programs.stop("clock-2")
        super().rest()


class ClockWrong(Case):
    """Marks of one T may come twice; without marks stream time stands still within a second."""

    number = 12
    title = "the clock process dead for 10 s, and two of them at once (skewed wall clocks: not dealt)"
    rounds = 4
    # Two clocks at once are as one.
    is_seen = False

    def make_pipeline(self, folder: Path, seed: int, session: int) -> Pipeline:
        """With a second clock."""
        return TwoClocks(folder, self.load, seed, session)

    def begin(self, pipeline: Pipeline) -> None:
        """One clock."""
        pipeline.programs.stop("clock-2")
        pipeline.recover()

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """Dead and twice in turn."""
        if round_ % 2 == 0:
            pipeline.programs.kill("clock", signal.SIGKILL)
            pipeline.programs.stop("clock")
            pipeline.watch(DEAD_SECONDS)
            pipeline.programs.start("clock")
            what = f"clock dead for {DEAD_SECONDS:g} s"
        else:
            pipeline.programs.start("clock-2")
            pipeline.watch(TWICE_SECONDS)
            pipeline.programs.stop("clock-2")
            what = f"two clocks for {TWICE_SECONDS:g} s"
        pipeline.fault_ended = time.monotonic()
        return what


class SinkSlow(Case):
    """Backpressure: the sink lags, holds no more than before, and catches up."""

    number = 14
    title = "slow consumer: the sink at a tenth of its speed (a stuck agent: see the watchdog's tests)"
    rounds = 2

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The sink runs a tenth of the time."""
        lag, before = pipeline.require_lag(), pipeline.memory_bytes_max
        ended = time.monotonic() + SLOW_SECONDS
        while time.monotonic() < ended:
            pipeline.programs.kill("sink-timescale", signal.SIGSTOP)
            time.sleep(SLICE_SECONDS * (1 - RUNS))
            pipeline.programs.kill("sink-timescale", signal.SIGCONT)
            time.sleep(SLICE_SECONDS * RUNS)
            pipeline.watch_memory()
        pipeline.trouble()
        pipeline.fault_ended = time.monotonic()
        grown = pipeline.memory_bytes_max - before
        self._grown = max(getattr(self, "_grown", 0), grown)
        return f"sink at {RUNS:.0%} for {SLOW_SECONDS:g} s, lag {lag} before, {pipeline.lag()} after"

    def end(self, pipeline: Pipeline) -> list[str]:
        """Memory stayed flat."""
        return [f"I8: {self._grown // MIB} MiB more than before"] if self._grown > FLAT_BYTES else []
