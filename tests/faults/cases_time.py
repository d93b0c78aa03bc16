"""Cases of time: the clock process gone or twice, wall clocks that are wrong, and a consumer that is slow."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from COBY.topics import topic_name
from deploy.local.programs import Program
from tests.faults.cases import Case
from tests.faults.content import each, partitions
from tests.faults.pipeline import EXCHANGES, MIB, FaultError, Load, Pipeline
from tests.faults.skew import Skew, ahead_seconds

SKEWED = (f"producer-{EXCHANGES[0]}", "streams", "sink-timescale", "clock")
"""The last is only stepped: its time is everybody's."""
SKEWED_SECONDS = 5.0
STEP_SECONDS = 10
NEAR_SECONDS = 4.0

DEAD_SECONDS = 10.0
TWICE_SECONDS = 10.0
SLOW_SECONDS = 20.0
SLICE_SECONDS = 0.5
RUNS = 0.1
"""Share of the time that the slow sink runs."""
FLAT_BYTES = 200 * MIB
WATCHDOG_SECONDS = 10
STALLED = 4
"""The exit code of a worker that its watchdog has ended (python -m streams --help)."""
STUCK_SECONDS = 60.0
"""Longer than the watchdog waits, and looks, and its supervisor takes to see the end."""


class TwoClocks(Pipeline):
    """A second clock, which stands still at first; programs whose wall clocks can be set wrong."""

    skew: Skew

    def _table(self, port: int) -> list[Program]:
        table = super()._table(port)
        (clock,) = (one for one in table if one.name == "clock")
        self.skew = Skew(self.folder / "skew")
        skewed = [
            replace(one, env={**one.env, **self.skew.env(one.name)}) if one.name in SKEWED else one
            for one in table
        ]
        return [*skewed, replace(clock, name="clock-2", metrics_port=0)]

    def rest(self) -> None:
        """As ever, after the second clock has ended."""
        self.programs.stop("clock-2")
        super().rest()

    def set_clock(self, name: str, seconds: int) -> None:
        """Set a running program's wall clock wrong, and see that it is. CannotRunError: not on this machine."""
        self.skew.set(name, seconds)
        self.see_clock(name, seconds)

    def see_clock(self, name: str, seconds: int) -> None:
        """Wait until the program says the time that it should."""
        port = self.programs.table[name].metrics_port
        what = f"the wall clock of {name} {seconds:+d} s ahead"
        self.until(lambda: abs(ahead_seconds(port) - seconds) < NEAR_SECONDS, 60, what)


class ClockWrong(Case):
    """Marks of one T may come twice; without marks stream time stands still within a second.

    Of a wrong wall clock nothing may come but what the producer stamps, and that is bounded by the marks.
    """

    number = 12
    title = "clock dead 10 s, two clocks; producer, worker, sink 2 h ahead and behind; a step back of 10 s"
    rounds = 2 + 2 * len(SKEWED[:3]) + len(SKEWED)
    # Two clocks at once are as one, and a wrong wall clock is to change nothing.
    is_seen = False

    def make_pipeline(self, folder: Path, seed: int, session: int) -> Pipeline:
        """With a second clock."""
        return TwoClocks(folder, self.load, seed, session)

    def begin(self, pipeline: Pipeline) -> None:
        """One clock."""
        pipeline.programs.stop("clock-2")
        pipeline.recover()

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """Dead, twice, then each program's wall clock ahead, behind, and stepped back."""
        assert isinstance(pipeline, TwoClocks)
        deals = [partial(self._dead, pipeline), partial(self._twice, pipeline)]
        deals += [partial(self._skewed, pipeline, name, 2 * sign) for name in SKEWED[:3] for sign in (1, -1)]
        deals += [partial(self._stepped, pipeline, name) for name in SKEWED]
        what = deals[round_ % len(deals)]()
        pipeline.fault_ended = time.monotonic()
        return what

    @staticmethod
    def _dead(pipeline: TwoClocks) -> str:
        pipeline.programs.kill("clock", signal.SIGKILL)
        pipeline.programs.stop("clock")
        pipeline.watch(DEAD_SECONDS)
        pipeline.programs.start("clock")
        return f"clock dead for {DEAD_SECONDS:g} s"

    @staticmethod
    def _twice(pipeline: TwoClocks) -> str:
        pipeline.programs.start("clock-2")
        pipeline.watch(TWICE_SECONDS)
        pipeline.programs.stop("clock-2")
        return f"two clocks for {TWICE_SECONDS:g} s"

    @staticmethod
    def _skewed(pipeline: TwoClocks, name: str, hours: int) -> str:
        """Started with a wrong clock, all has to become current under it; then started with a right one."""
        lag = pipeline.require_lag()
        pipeline.skew.set(name, hours * 3_600)
        pipeline.programs.restart(name)
        pipeline.see_clock(name, hours * 3_600)
        pipeline.fault_ended = time.monotonic()
        seconds = pipeline.recover()
        pipeline.watch(SKEWED_SECONDS)
        pipeline.skew.set(name, 0)
        pipeline.programs.restart(name)
        pipeline.see_clock(name, 0)
        return f"{name} {hours:+d} h, current under it after {seconds:.1f} s, lag {lag}"

    @staticmethod
    def _stepped(pipeline: TwoClocks, name: str) -> str:
        """Back and, later, forward again, while it runs."""
        lag = pipeline.require_lag()
        pipeline.set_clock(name, -STEP_SECONDS)
        pipeline.watch(STEP_SECONDS + SKEWED_SECONDS)
        if name != "clock":  # its marks are what time goes by: while it is behind alone, all is
            pipeline.recover()
        pipeline.set_clock(name, 0)
        return f"{name} {STEP_SECONDS} s back and forward again, lag {lag}"

    def judge(self, pipeline: Pipeline) -> list[str]:
        """What a producer stamps never goes back within a connection."""
        newest: dict[bytes, int] = {}
        back = set()
        for exchange in pipeline.config.exchanges:
            topic = topic_name(pipeline.config.topic_prefix, "raw", exchange)
            for number in partitions(pipeline.config, topic):
                for message in each(pipeline.config, topic, number):
                    headers = dict(message.headers() or [])
                    if headers["kind"] == b"mark":
                        continue
                    conn, received = headers["conn"], int(headers["received_ns"])
                    if received < newest.get(conn, received):
                        back.add(conn.decode())
                    newest[conn] = received
        return [f"case 12: received_ns of {conn} goes back" for conn in sorted(back)]


class SlowAndStuck(Case):
    """Backpressure: the sink lags, holds no more than before, and catches up. Who hangs is ended and started again."""

    number = 14
    title = "slow consumer: the sink at a tenth of its speed; a stuck agent: a worker whose event loop hangs"
    rounds = 2
    # At a tenth of its speed a sink still carries a few hundred frames a second: more than that has to come.
    load = Load(rate=1_500, env={"WATCHDOG_SECONDS": str(WATCHDOG_SECONDS)})
    _grown = 0

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """Slow and stuck in turn."""
        return self._stuck(pipeline) if round_ % 2 else self._slow(pipeline)

    @staticmethod
    def _stuck(pipeline: Pipeline) -> str:
        """In a task, so in the event loop: neither heartbeats nor signals are answered any more."""
        done = pipeline.hang_at("streams.processed", pipeline.random.randint(1, 5), STUCK_SECONDS)
        ended = pipeline.programs.status()["streams"].last_exit
        if ended != f"exit status {STALLED}":
            raise FaultError(f"it was not the watchdog that ended the worker: {ended}")
        return f"{done} by the watchdog ({ended})"

    def _slow(self, pipeline: Pipeline) -> str:
        """The sink runs a tenth of the time."""
        lag, before = pipeline.require_lag(), pipeline.memory_bytes_max
        ended = time.monotonic() + SLOW_SECONDS
        while time.monotonic() < ended:
            pipeline.programs.kill("sink-timescale", signal.SIGSTOP)
            time.sleep(SLICE_SECONDS * (1 - RUNS))
            pipeline.trouble()
            pipeline.programs.kill("sink-timescale", signal.SIGCONT)
            time.sleep(SLICE_SECONDS * RUNS)
        pipeline.fault_ended = time.monotonic()
        self._grown = max(self._grown, pipeline.memory_bytes_max - before)
        return f"sink at {RUNS:.0%} for {SLOW_SECONDS:g} s, lag {lag} before, {pipeline.lag()} after"

    def end(self, pipeline: Pipeline) -> list[str]:
        """Memory stayed flat."""
        return [f"I8: {self._grown // MIB} MiB more than before"] if self._grown > FLAT_BYTES else []
