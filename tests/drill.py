"""`make drill`: is a backup worth anything? Back up while the sink stores, drop, restore, catch up, compare hashes.

Servers, sink and `coby db` are the real ones, in a folder of their own. Exit code 0: every table is what it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import click
import psycopg

from COBY.config import load_config
from deploy.local import fetch
from deploy.local.errors import LocalError
from deploy.local.stack import ROOT, Stack
from tests.integration.sink_helpers import (
    SECOND_US,
    START_US,
    Feeder,
    candle,
    gap,
    prepare,
    query,
    settled,
    trade,
)

FOLDER = ROOT / ".local" / "drill"
SECONDS = 300.0


def hashes(dsn: str) -> dict[str, str]:
    """Rows and SHA-256 of every table, all columns but id and the clock's own, in the order of the rows' texts."""
    tables = query(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    found = {}
    for (table,) in tables:
        rows = query(dsn, f"SELECT to_jsonb(t) - 'id' - 'updated_at' - 'applied_at' FROM {table} t")
        texts = sorted(json.dumps(row, sort_keys=True) for row in rows)
        found[table] = f"{len(texts)} {hashlib.sha256(repr(texts).encode()).hexdigest()}"
    return found


def feed(feeder: Feeder, first: int, end: int, chunk: int = 40) -> None:
    """Trades, candles with revisions, gaps that open and close; ``chunk`` of each a day, so that chunks are made."""
    for number in range(first, end):
        day = (number // chunk) * 86_400 * SECOND_US
        time_us = START_US + number * SECOND_US + day
        feeder.send(trade(number, timestamp=time_us), f"{number}:0")
        candle_ = candle(timestamp=time_us, revision=number % 3, volume=number)
        feeder.send(candle_, f"{number}:0", "aggregate/BTCUSDT")
        later = candle(timestamp=time_us - SECOND_US, revision=number % 5, volume=number)
        feeder.send(later, f"{number}:1", "aggregate/BTCUSDT")
        until_us = time_us if number % 2 else None
        feeder.send(gap(from_time=time_us, timestamp=time_us, until_time=until_us), f"{number}:2")
    feeder.flush()


def stored(dsn: str, count: int) -> bool:
    """Whether all of what ``feed`` sent up to that number is in the tables."""
    counts = (("trade", count), ("ohlcv", 2 * count), ("gap", count))
    return all(settled(dsn, name, number) for name, number in counts)


class Drill:
    """The steps, each told with the seconds it took."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.postgres = stack.postgres
        self.env = {**os.environ, **stack.env(), "TOPIC_PREFIX": "drill", "LOG_FILE": "-"}
        self.cfg = load_config(self.env)
        self.backup = folder / "market.backup"
        self._began = time.monotonic()

    def tell(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:6.1f} s  {text}")

    def coby(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "COBY.runtime.cli", *map(str, arguments)]
        subprocess.run(command, env=self.env, check=True, stdout=subprocess.DEVNULL)

    @contextmanager
    def sink(self):
        """The sink as a process; SIGTERM at the end."""
        process = subprocess.Popen(
            [sys.executable, "-m", "sinks.timescale"], env=self.env, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def wait(self, holds: Callable[[], bool], sink: subprocess.Popen) -> None:
        end = time.monotonic() + SECONDS
        while not holds():
            if sink.poll() is not None or time.monotonic() > end:
                raise click.ClickException("the sink ended, or did not catch up")
            time.sleep(0.1)

    def run(self, count: int) -> bool:
        """All of it; whether the hashes are the same."""
        prepare(self.cfg)
        feeder = Feeder(self.cfg)
        with self.sink() as sink:
            feed(feeder, 0, count // 3)
            self.wait(lambda: stored(self.postgres.dsn, count // 3), sink)
            feed(feeder, count // 3, count * 2 // 3)
            self.coby("db", "backup", self.backup)  # while these are being stored
            self.tell(f"backed up, {self.backup.stat().st_size:,} bytes, while the sink went on")
            feed(feeder, count * 2 // 3, count)
            self.wait(lambda: stored(self.postgres.dsn, count), sink)
        before = hashes(self.postgres.dsn)
        self.postgres.drop_database(self.cfg.db_name)
        self.tell(f"dropped {self.cfg.db_name} with {before['trade_events'].split()[0]} trades")
        with self.postgres.as_superuser() as conn:
            conn.execute(
                f'CREATE DATABASE "{self.cfg.db_name}" OWNER "{self.cfg.db_user}" TEMPLATE template0'
            )
        self.coby("db", "restore", self.backup)
        restored = query(self.postgres.dsn, "SELECT count(*) FROM trade_events")[0][0]
        self.tell(f"restored with {restored} trades")
        with self.sink() as sink:
            self.wait(lambda: stored(self.postgres.dsn, count), sink)
        after = hashes(self.postgres.dsn)
        for table in sorted(before.keys() | after.keys()):
            same = before.get(table) == after.get(table)
            click.echo(f"{'ok  ' if same else 'FAIL'} {table}: {after.get(table, 'is not there')[:28]}")
        self.tell("caught up from the topics")
        # A restore of everything, or of nothing, would have shown less than it should.
        return before == after and 0 < restored < count


@click.command()
@click.option("--records", default=30_000, show_default=True, help="Trades, and as many gaps and candles.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=FOLDER, help="Data and logs (emptied first)."
)
def main(records: int, folder: Path) -> None:
    """Back up, drop, restore, catch up, compare the hashes of every table.

    \b
    Example:
      python -m tests.drill --records 3000
    """
    fetch.fetch()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with Stack(folder.resolve()) as stack:
            held = Drill(stack, folder.resolve()).run(records)
    except (LocalError, psycopg.Error, subprocess.CalledProcessError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("the hashes are equal" if held else "FAIL: the hashes differ, or nothing was left to catch up")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
