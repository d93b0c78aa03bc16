"""The worker that stores topics in TimescaleDB: `python -m sinks.timescale`.

Each record once: rows and the offsets they came from are written in one transaction, which holds only if nobody else
has moved those offsets (sink_progress). Kafka's committed offsets follow for displays of lag.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, perf_counter

import click
import psycopg

from COBY.config import Config
from COBY.runtime.database import Connection, Pool, connect, is_passing, is_row_fault, make_pool, refused
from COBY.runtime.health import serve_health
from COBY.runtime.kafka import check_topics, make_consumer
from COBY.runtime.main import run
from COBY.runtime.metrics import Metrics, metrics
from COBY.topics import topic_name
from COBY.utils.logging import get_logger
from sinks.batch import Batch, Hole, Taker
from sinks.intake import Intake
from sinks.letters import DeadLetters, Letter
from sinks.patience import pauses
from sinks.progress import read_start
from sinks.retention import Retention
from sinks.rows import TOPICS
from sinks.schema import check_schema
from sinks.tables import GAPS, TABLES, Values
from sinks.writer import Cursor, Fault, Step, another_writer, is_done, isolate, move_progress, write_items, write_rows

STAGE = "timescale"
BATCH_SECONDS = 0.5
"""A record waits no longer than this for its batch to fill."""
LAG_SECONDS = 1.0

log = get_logger(__name__)


class TimescaleSink:
    """The worker. `run` returns when `stop` is set, within 30 seconds."""

    def __init__(self, cfg: Config, stop: threading.Event, shown: Metrics) -> None:
        """Connects to nothing but Kafka yet; close it."""
        self._cfg = cfg
        self._stop = stop
        self._metrics = shown
        self._names = {topic_name(cfg.topic_prefix, name): name for name in TOPICS}
        self._taker = Taker(self._names, cfg.store_interval_us)
        self._intake = Intake(make_consumer(cfg, f"{cfg.topic_prefix}-timescale"), list(self._names))
        self._letters = DeadLetters(cfg, STAGE, shown)
        self._pool: Pool = make_pool(cfg)
        self._retention = Retention(cfg)
        self._trouble: str | None = None
        self._lag_shown = 0.0
        shown.init_stage(STAGE, TABLES)

    def run(self) -> None:
        """Store until told to stop. StorageError `db.another_writer`, `db.refused`, BrokerError `kafka.fatal`."""
        try:
            while not self._stop.is_set():
                if not self._intake.placed:
                    self._place()
                    continue
                batch = self._collect()
                if batch and self._write(batch):
                    self._settle(batch)
                self._attempt(self._retention.apply_due)
        finally:
            self._intake.commit(self._taker.next_offsets if self._intake.placed and not batch_lost(self) else {})
            self._intake.close()
            self._pool.close()

    def health(self) -> tuple[bool, str]:
        """Whether the database took what was last sent."""
        return self._trouble is None, self._trouble or "writes"

    def member(self) -> tuple[bool, str]:
        """Whether partitions were dealt to us (none: another process has them all)."""
        return self._intake.placed, f"{len(self._intake.dealt)} partitions"
