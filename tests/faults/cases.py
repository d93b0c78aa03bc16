"""The cases of FAULTS.md: what each deals to the pipeline, round by round."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from tests.faults.pipeline import EXCHANGES, MANY_SYMBOLS, Load, Pipeline

CASES: dict[int, type[Case]] = {}


class Case:
    """One case. `deal` is called once a round and returns when the fault has ended."""

    number: ClassVar[int]
    title: ClassVar[str]
    load: Load = Load()
    rounds: ClassVar[int] = 5
    """If not asked for otherwise."""
    raw_is_whole: ClassVar[bool] = True
    """Whether a recomputation from the raw topics is possible afterwards."""
    is_seen: ClassVar[bool] = True
    """Whether the fault lasts long enough to show (I9)."""
    keeps_data: ClassVar[bool] = True
    """Whether an interrupted run can go on with the data it left; else it begins anew."""

    def __init_subclass__(cls) -> None:
        if cls.number > 0:  # else one that others share
            CASES[cls.number] = cls

    def make_pipeline(self, folder: Path, seed: int, session: int) -> AbstractContextManager[Pipeline]:
        """What the faults are dealt to; not started. Here as in `deal`, CannotRunError: not on this machine."""
        return Pipeline(folder, self.load, seed, session)

    def begin(self, pipeline: Pipeline) -> None:
        """Before the first round (of this start)."""

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """Deal the fault of this round (from 0); says what was done."""
        raise NotImplementedError

    def end(self, pipeline: Pipeline) -> list[str]:
        """After the last round, before the market stops: what is wrong beyond the invariants."""
        return []

    def judge(self, pipeline: Pipeline) -> list[str]:
        """After everything has come to rest: the same."""
        return []


HEAVY = Load(rate=2_000, symbols=MANY_SYMBOLS)
"""Thirty books at two thousand frames a second."""
STREAM_POINTS = (
    "streams.processed",
    "streams.producing",
    "streams.produced",
    "streams.delivered",
    "streams.saved",
)
SINK_POINTS = (
    "timescale.moved",
    "timescale.copied",
    "timescale.upserted",
    "timescale.written",
    "timescale.committed",
)


BOOKS_SECONDS = 35.0
"""Ten REST books weigh 2,500 of the 6,000 a minute that Binance gives an address: asked for more, it refuses."""


class ProducerKilled(Case):
    """A new connection, so new books from new snapshots; what was in the buffer shows as the old one's end."""

    number = 1
    title = "producer killed (-9) at random moments"
    load = HEAVY

    def __init__(self) -> None:
        self._binance_from = 0.0

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """A random producer at a random moment."""
        pipeline.pause(1.5)
        exchange = pipeline.random.choice(EXCHANGES)
        if exchange == "binance" and time.monotonic() < self._binance_from:
            exchange = pipeline.random.choice(("kraken", "okx"))
        if exchange == "binance":
            self._binance_from = time.monotonic() + BOOKS_SECONDS
        return pipeline.kill(f"producer-{exchange}")


class KilledAtPoints(Case):
    """Random moments and named points in turn."""

    number = 0  # shared by the two below
    load = HEAVY
    program: str
    points: tuple[str, ...]

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """Even rounds: the next named point, at a random pass; odd ones: a random moment."""
        if round_ % 2:
            pipeline.pause(1.5)
            return pipeline.kill(self.program)
        point = self.points[round_ // 2 % len(self.points)]
        return pipeline.die_at(point, pipeline.random.randint(1, 5))


class WorkerKilled(KilledAtPoints):
    """The outputs since its last snapshot come again, identical."""

    number = 2
    title = "stream worker killed in mid-batch and at each step of a snapshot"
    program, points = "streams", STREAM_POINTS


class SinkKilled(KilledAtPoints):
    """Rows and their place are one transaction."""

    number = 3
    title = "TimescaleDB sink killed between COPY, upsert, progress and COMMIT"
    program, points = "sink-timescale", SINK_POINTS


def all_cases() -> dict[int, type[Case]]:
    """Number -> case, of every file."""
    from tests.faults import (  # noqa: F401  # each registers its own
        cases_brokers,
        cases_data,
        cases_disks,
        cases_exchange,
        cases_servers,
        cases_time,
        cases_workers,
    )

    return dict(sorted(CASES.items()))
