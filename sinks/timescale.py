"""The worker that stores topics in TimescaleDB: `python -m sinks.timescale`.

Each record once: rows and the offsets they came from are written in one transaction, which holds only if nobody
else has moved those offsets (sink_progress). Kafka's committed offsets follow, for displays of lag.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic

import click
import psycopg
from confluent_kafka import KafkaException
from psycopg_pool import PoolTimeout

from COBY.config import Config
from COBY.runtime import crash
from COBY.runtime.database import Connection, connect, is_passing, is_row_fault, make_pool, refused
from COBY.runtime.health import serve_health
from COBY.runtime.kafka import check_topics
from COBY.runtime.main import run
from COBY.runtime.metrics import Metrics, metrics
from COBY.topics import topic_name
from COBY.utils.logging import get_logger
from COBY.utils.timing import measure
from sinks.batch import Batch, Taker
from sinks.compression import compress
from sinks.holes import write_holes
from sinks.intake import Intake, Partition, age_seconds
from sinks.letters import DeadLetters, Letter
from sinks.patience import pauses
from sinks.progress import Start, read_start
from sinks.retention import Retention
from sinks.rows import TOPICS
from sinks.schema import check_schema
from sinks.tables import TABLES
from sinks.writer import Cursor, Step, another_writer, is_done, isolate, move_progress, write_items

STAGE = "timescale"
BATCH_SECONDS = 0.3
"""A record waits no longer than this for its batch to fill."""
POLL_SECONDS = 0.1
AHEAD = 500
LAG_SECONDS = 1.0

log = get_logger(__name__)


class StoppedError(Exception):
    """Told to stop in the middle of a transaction, which is rolled back."""


class TimescaleSink:
    """The worker. `run` returns when ``stop`` is set, within 30 seconds."""

    def __init__(self, cfg: Config, stop: threading.Event, shown: Metrics) -> None:
        self._cfg = cfg
        self._stop = stop
        self._shown = shown
        self._limit = cfg.batch_write_size
        self._group = f"{cfg.topic_prefix}-timescale"
        names = {topic_name(cfg.topic_prefix, name): name for name in TOPICS}
        self._taker = Taker(names, cfg.store_interval_us)
        self._intake = Intake(cfg, self._group, list(names), AHEAD)
        self._letters = DeadLetters(cfg, STAGE, shown)
        self._pool = make_pool(cfg)
        self._retention = Retention(cfg)
        self._stored: dict[Partition, int] = {}
        self._trouble: str | None = None
        self._lag_shown = monotonic()
        shown.init_stage(STAGE, TABLES)
        shown.show_writes(STAGE, lambda: self._trouble is None)

    def run(self) -> None:
        """Store until told to stop. StorageError `db.another_writer`, `db.refused`; BrokerError `kafka.fatal`."""
        try:
            while not self._stop.is_set():
                if not self._intake.placed:
                    self._place()
                    continue
                batch = self._collect()
                if batch and self._write(batch):
                    self._settle(batch)
                self._tidy()
        finally:
            self._intake.close()
            self._pool.close()

    def writes(self) -> tuple[bool, str]:
        """A check: whether the database took what was last sent."""
        return self._trouble is None, self._trouble or "writes"

    def reads(self) -> tuple[bool, str]:
        """A check: whether the group's deal is known. No partitions: other processes have them all."""
        return self._intake.placed, f"{len(self._intake.dealt)} partitions"

    def _place(self) -> None:
        generation = self._intake.generation
        starts: list[Start] = []

        def read(conn: Connection, _again: bool) -> None:
            dealt = self._intake.dealt
            starts.append(read_start(conn, dealt, self._intake.bounds(dealt)))

        if not self._attempt(read) or generation != self._intake.generation:
            return
        self._taker.start(starts[-1].offsets, starts[-1].positions)
        self._stored = dict(starts[-1].offsets)
        self._intake.place(self._stored)
        log.info("placed", partitions=len(self._stored))

    def _collect(self) -> Batch:
        """Records until there are rows enough or the first one has waited long enough; empty after a rebalance."""
        batch, generation = Batch(), self._intake.generation
        until = monotonic() + POLL_SECONDS
        while batch.rows < self._limit and monotonic() < until and not self._stop.is_set():
            message = self._intake.next(min(POLL_SECONDS, max(0.0, until - monotonic())))
            if generation != self._intake.generation:
                return Batch()
            if message is None:
                continue
            if not batch:
                until = monotonic() + BATCH_SECONDS
            self._taker.take(batch, message)
        return batch

    def _write(self, batch: Batch) -> bool:
        """Store a batch; False if a rebalance or the end came before it was stored."""
        steps = self._taker.steps(batch)
        self._shown.buffered.labels(STAGE).set(batch.records)
        with measure(self._shown.batch_seconds.labels(STAGE).observe):
            if batch.letters and not self._letters.send(batch.letters, self._stop.is_set):
                return False
            return self._attempt(lambda conn, again: self._store(conn, batch, steps, again))

    def _store(self, conn: Connection, batch: Batch, steps: Sequence[Step], again: bool) -> None:
        try:
            self._transact(
                conn, batch, steps, again, lambda cursor: write_items(cursor, batch.items, self._limit)
            )
        except psycopg.Error as error:
            if not is_row_fault(error):
                raise
            self._transact(conn, batch, steps, again, lambda cursor: self._write_good(cursor, batch))

    def _transact(
        self,
        conn: Connection,
        batch: Batch,
        steps: Sequence[Step],
        again: bool,
        write: Callable[[Cursor], object],
    ) -> None:
        with conn.transaction(), conn.cursor() as cursor:
            if batch.holes:
                write_holes(cursor, batch.holes)  # first: it reads when the progress was last moved
            moved = move_progress(cursor, steps)
            if moved == 0 and again and is_done(cursor, steps):
                return  # the commit of an earlier attempt succeeded, only its answer was lost
            if moved < len(steps):
                raise another_writer(steps)
            crash.reached("timescale.moved")
            write(cursor)
            crash.reached("timescale.written")
        crash.reached("timescale.committed")

    def _write_good(self, cursor: Cursor, batch: Batch) -> None:
        """Write what the database takes; what it refuses goes to the dead letters before the commit."""
        faults = isolate(cursor, batch.items, self._limit)
        batch.refused = [fault.message for fault in faults]
        letters = [
            Letter(fault.message, f"db.{fault.error.sqlstate or 'value'}", str(fault.error).strip())
            for fault in faults
        ]
        if not self._letters.send(letters, self._stop.is_set):
            raise StoppedError

    def _attempt(self, work: Callable[[Connection, bool], None]) -> bool:
        """Do it, and again after each passing error (the one place of retries); False if it had to be given up.

        ``work`` is told whether it is called again. StorageError `db.refused` for an error that will not pass.
        """
        generation, again = self._intake.generation, False
        for seconds in pauses():
            try:
                with self._pool.connection() as conn:
                    work(conn, again)
                self._trouble = None
                return True
            except StoppedError:
                return False
            except (psycopg.Error, PoolTimeout, KafkaException) as error:
                if not is_passing(error) and not isinstance(error, KafkaException):
                    raise refused(error) from error
                self._trouble = " ".join(str(error).split()) or type(error).__name__
            self._shown.retries.labels(STAGE).inc()
            log.warning("write_failed", error=self._trouble, wait_seconds=round(seconds, 2))
            again = True
            self._intake.wait(seconds, self._stop.is_set)
            if self._stop.is_set() or generation != self._intake.generation:
                return False
        raise AssertionError("pauses do not end")

    def _settle(self, batch: Batch) -> None:
        """After the commit: show it."""
        moved = {partition: next_offset for partition, (_, next_offset) in batch.steps.items()}
        self._stored |= moved
        self._intake.commit(moved)
        self._shown.records.labels(STAGE).inc(batch.records)
        if batch.items:  # the first one has waited longest
            self._shown.hops.labels(STAGE).observe(age_seconds(batch.items[0].message))
        for table, count in batch.written().items():
            self._shown.outputs.labels(STAGE, table).inc(count)
        self._shown.buffered.labels(STAGE).set(0)
        if monotonic() >= self._lag_shown + LAG_SECONDS:
            self._lag_shown = monotonic()
            for partition, next_offset in self._stored.items():
                end = self._intake.end(partition)
                lag = 0 if end is None else max(0, end - next_offset)
                self._shown.lag.labels(self._group, partition[0], str(partition[1])).set(lag)

    def _tidy(self) -> None:
        """Retention, when due. It can wait: a failure is logged and tried again later."""
        if not self._retention.is_due() or self._stop.is_set():
            return
        try:
            with self._pool.connection() as conn:
                dropped = self._retention.apply(conn)
                compressing = compress(conn, self._cfg)
            log.info("retention_applied", chunks_dropped=dropped, compressing=compressing)
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("retention_failed", error=str(error).strip())


def serve(cfg: Config, stop: threading.Event) -> None:
    """Check topics and schema, then store until stopped."""
    check_topics(cfg)
    with connect(cfg) as conn:
        check_schema(conn)
    sink = TimescaleSink(cfg, stop, metrics())
    health = serve_health(cfg.metrics_port, {"database": sink.writes, "kafka": sink.reads})
    try:
        sink.run()
    finally:
        if health is not None:
            health.close()


@click.command()
def main() -> None:
    """Store trades, books, heatmaps, candles, gaps, quality and continuity in TimescaleDB, each row once.

    Needs the topics (`coby topics apply`) and the tables (`coby db init`). SIGTERM ends it within 30 seconds.

    \b
    Example:
      BATCH_WRITE_SIZE=1000 python -m sinks.timescale
    """
    run("sinks-timescale", serve)


if __name__ == "__main__":
    main()
