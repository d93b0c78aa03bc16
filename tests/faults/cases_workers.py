"""Cases of the stream workers among themselves: one that stands still and goes on, and workers that come and go."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

from tests.faults.cases import HEAVY, Case
from tests.faults.pipeline import Pipeline

SESSION_SECONDS = 10.0
"""The workers' session timeout (streams/app.py): a member silent for longer is put out of its group."""
STAND_SECONDS = 14.0
CHANGE_SECONDS = 10.0


class WorkerStopped(Case):
    """The zombie: what it writes when it goes on are repeats, and its snapshot is older than its successor's."""

    number = 4
    title = "worker stopped (SIGSTOP) beyond its session, replaced, then continued"
    load = replace(HEAVY, workers=2)
    rounds = 3

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """Stop one in turn, let the other take over, continue; each second round the successor is killed then."""
        zombie, other = ("streams", "streams-2") if round_ % 2 == 0 else ("streams-2", "streams")
        pipeline.pause(1.0)
        done = pipeline.kill(zombie, signal.SIGSTOP)
        try:
            pipeline.watch(STAND_SECONDS)
        finally:
            pipeline.programs.kill(zombie, signal.SIGCONT)
        if round_ % 2:
            time.sleep(
                pipeline.random.uniform(1.0, 3.0)
            )  # time in which it may write its older snapshot last
            done += f", continued, then {pipeline.kill(other)}"
        pipeline.fault_ended = time.monotonic()
        return done


class WorkersComeAndGo(Case):
    """One worker, three, two: gracefully and by kill."""

    number = 15
    title = "a worker added or removed every 10 s (1, 3, 2 workers)"
    load = replace(HEAVY, workers=3)
    rounds = 4
    # Partitions handed over gracefully need not be late enough to show.
    is_seen = False

    def begin(self, pipeline: Pipeline) -> None:
        """One is left."""
        for name in pipeline.workers[1:]:
            pipeline.programs.stop(name)
        pipeline.recover()

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """To three, then to two, then to one."""
        first, second, third = pipeline.workers
        lag, step = pipeline.require_lag(), round_ % 3
        if step == 0:
            pipeline.programs.start(second)
            time.sleep(pipeline.random.uniform(0.0, CHANGE_SECONDS / 2))
            pipeline.programs.start(third)
            what = f"started {second} and {third}"
        else:
            gone = third if step == 1 else second
            if pipeline.random.random() < 0.5:
                pipeline.kill(gone)
                what = f"killed and stopped {gone}"
            else:
                what = f"stopped {gone}"
            pipeline.programs.stop(gone)
        pipeline.watch(CHANGE_SECONDS)
        return f"{what}, lag {lag}; {first} stays"
