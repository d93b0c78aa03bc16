"""The storekeeper: `python -m sinks.keeper` backs the database up on schedule and tells how long the disks last.

It holds no data: killed at any moment it loses nothing, and the next one finds in BACKUP_FOLDER how old the newest
backup is. A backup that fails is told by its code, counted, and tried again; the age that rises is what to watch.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Mapping
from functools import partial
from math import inf, nan
from pathlib import Path
from time import monotonic

import click
import psycopg
from confluent_kafka import KafkaException

from COBY.config import Config
from COBY.forecast import DAY_SECONDS, Growth, days_left
from COBY.runtime import growth
from COBY.runtime.database import connect
from COBY.runtime.health import serve_health
from COBY.runtime.main import run
from COBY.runtime.metrics import Metrics, metrics
from COBY.utils.exceptions import CobyError, ServiceError
from COBY.utils.logging import get_logger
from COBY.utils.timing import utc_now
from sinks.backups import Backups
from sinks.cli import tools_option
from sinks.pg_tools import Tools

RETRY_SECONDS = 60.0
"""After a backup or a forecast that failed: the server may have been starting."""
LONGEST_RETRY_SECONDS = 1800.0
FORECAST_SECONDS = 600.0
POLL_SECONDS = 1.0
ASK_SECONDS = 10.0

log = get_logger(__name__)


class Keeper:
    """The loop; ``disks``: what lies where, by name (topics, tables, backups)."""

    def __init__(self, cfg: Config, tools: Tools | None, disks: Mapping[str, Path], shown: Metrics) -> None:
        """``tools`` None: no backups are made. ServiceError `file.unwritable`, `file.unreadable` for a folder."""
        self._cfg, self._tools, self._shown = cfg, tools, shown
        self._backups = Backups(cfg)
        self._disks = {**disks, "backups": self._backups.folder}
        self._retry_at, self._failures = 0.0, 0
        self._forecast_at = 0.0
        self._trouble: str | None = None
        self._show()

    def run(self, stop: threading.Event) -> None:
        """Go on until told to stop."""
        while not stop.is_set():
            if self._tools is not None and monotonic() >= self._retry_at and self._backups.is_due(utc_now()):
                self._back_up(self._tools, stop)
            if monotonic() >= self._forecast_at and not stop.is_set():
                self._forecast_at = monotonic() + (FORECAST_SECONDS if self._forecast() else RETRY_SECONDS)
            stop.wait(POLL_SECONDS)

    def backs_up(self) -> tuple[bool, str]:
        """A check: whether the last backup that was tried was made."""
        return self._trouble is None, self._trouble or f"{len(self._backups.there())} backups"

    def _show(self) -> None:
        database = self._cfg.db_name
        for result in ("done", "failed"):
            self._shown.backups.labels(database, result)
        self._shown.backup_age.labels(database).set_function(
            lambda: _or_nan(lambda: self._backups.age_seconds(utc_now()))
        )
        self._shown.backup_interval.labels(database).set(self._cfg.backup_interval)
        self._shown.backup_bytes.labels(database).set_function(lambda: _or_nan(self._backups.newest_bytes))
        for name, path in self._disks.items():
            try:
                shutil.disk_usage(path)
            except OSError as error:
                raise ServiceError(
                    "file.unreadable", error.strerror or str(error), where=str(path), allowed="a folder"
                ) from error
            free, size = self._shown.storage_free.labels(name), self._shown.storage_size.labels(name)
            free.set_function(partial(_or_nan, partial(_free_bytes, path)))
            size.set_function(partial(_or_nan, partial(_size_bytes, path)))
            self._shown.seconds_left.labels(name).set(nan)

    def _back_up(self, tools: Tools, stop: threading.Event) -> None:
        began, database = monotonic(), self._cfg.db_name
        try:
            file, manifest = self._backups.make(tools, utc_now(), stop.is_set)
        except CobyError as error:
            if stop.is_set():
                log.info("backup_given_up", database=database)
                return
            self._failures += 1
            wait = min(RETRY_SECONDS * 2 ** (self._failures - 1), LONGEST_RETRY_SECONDS)
            self._retry_at = monotonic() + wait
            self._trouble = str(error)
            self._shown.backups.labels(database, "failed").inc()
            log.error("backup_failed", code=error.code, error=str(error), wait_seconds=wait)
            return
        self._failures, self._trouble = 0, None
        self._shown.backups.labels(database, "done").inc()
        seconds = round(monotonic() - began, 1)
        log.info("backup_made", file=str(file), size_bytes=manifest.size, seconds=seconds)

    def _forecast(self) -> bool:
        """Ask what grows how fast, and tell for each disk how long it lasts with all on it; whether one could ask."""
        try:
            with connect(self._cfg) as conn:
                found = {"tables": growth.of_tables(conn, self._cfg)}
            found["topics"] = growth.of_topics(self._cfg, ASK_SECONDS)
        except (CobyError, psycopg.Error, KafkaException, TimeoutError) as error:
            log.warning("forecast_failed", error=str(error).strip())
            for name in self._disks:
                self._shown.seconds_left.labels(name).set(nan)
            return False
        found["backups"] = [self._backups_growth()]
        devices = {name: os.stat(path).st_dev for name, path in self._disks.items()}
        for name, path in self._disks.items():
            there = [
                each for other, device in devices.items() if device == devices[name] for each in found[other]
            ]
            days = days_left(shutil.disk_usage(path).free, there)
            self._shown.seconds_left.labels(name).set(days * DAY_SECONDS)
            log.info("forecast", place=name, days_left=None if days == inf else round(days, 2))
        return True

    def _backups_growth(self) -> Growth:
        """One of the newest's size each interval, until BACKUP_KEEP of them are there."""
        interval, size = self._cfg.backup_interval, self._backups.newest_bytes()
        held = sum(file.stat().st_size for _, file in self._backups.there())
        return Growth("backups", size / interval if interval else 0.0, held, interval * self._cfg.backup_keep)


def _free_bytes(path: Path) -> float:
    return shutil.disk_usage(path).free


def _size_bytes(path: Path) -> float:
    return shutil.disk_usage(path).total


def _or_nan(ask: Callable[[], float]) -> float:
    """What a folder says; NaN where it can't be asked, for a scrape shows all else, too."""
    try:
        return ask()
    except OSError:
        return nan


def serve(cfg: Config, stop: threading.Event, tools: str | None, disks: Mapping[str, Path]) -> None:
    """Keep until stopped. StorageError `db.tools`: without pg_dump there is no backup."""
    keeper = Keeper(cfg, Tools(tools) if cfg.backup_interval else None, disks, metrics())
    health = serve_health(cfg.metrics_port, {"backup": keeper.backs_up})
    try:
        keeper.run(stop)
    finally:
        if health is not None:
            health.close()


@click.command()
@tools_option
@click.option("--topics", type=click.Path(path_type=Path), help="A path on the disk that holds Kafka's data.")
@click.option(
    "--tables", type=click.Path(path_type=Path), help="A path on the disk that holds the database's."
)
def main(tools: str | None, topics: Path | None, tables: Path | None) -> None:
    """Back the database up each BACKUP_INTERVAL into BACKUP_FOLDER, keep BACKUP_KEEP, and watch the disks.

    Shows on METRICS_PORT how old the newest backup is and for how many days each disk lasts.

    \b
    Example:
      BACKUP_INTERVAL=12h BACKUP_FOLDER=/backups python -m sinks.keeper --topics /var/lib/kafka
    """
    disks = {name: path for name, path in (("topics", topics), ("tables", tables)) if path is not None}
    run("sinks-keeper", lambda cfg, stop: serve(cfg, stop, tools, disks))


if __name__ == "__main__":
    main()
