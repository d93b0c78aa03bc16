"""The TimescaleDB sink broken at its weak points: nothing may be lost, doubled, or half written."""

import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry

import sinks.timescale
import sinks.writer
from COBY.runtime.metrics import Metrics
from COBY.utils.exceptions import StorageError
from sinks.timescale import TimescaleSink
from tests.integration.sink_helpers import (
    Feeder,
    Running,
    dead_letters,
    prepare,
    query,
    running,
    settings,
    settled,
    trade,
    until,
)

COUNT = 1_000
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def cfg(kafka, database, topic_prefix):
    cfg = settings(kafka, database, prefix=topic_prefix)
    prepare(cfg)
    return cfg


@pytest.fixture
def feeder(cfg):
    return Feeder(cfg)


class BugError(Exception):
    """Something that ends the process."""


def fault_after(monkeypatch, dsn, module, name, call, kind):
    """Have the call-th call of a function followed by the end of its database session, or by a bug."""
    real = getattr(module, name)
    calls = 0

    def faulty(cursor, *arguments):
        nonlocal calls
        calls += 1
        result = real(cursor, *arguments)
        if calls == call and kind == "session":
            query(dsn, "SELECT pg_terminate_backend(%s)", cursor.connection.info.backend_pid)
        elif calls == call:
            raise BugError(name)
        return result

    monkeypatch.setattr(module, name, faulty)
    return lambda: calls


def assert_all_once(dsn, count=COUNT):
    found = query(dsn, "SELECT count(*), count(DISTINCT trade_id), sum(size) FROM trade_events")
    assert found == [(count, count, Decimal(count * (count + 1) // 2).scaleb(-8))]


POINTS = [
    pytest.param(sinks.writer, "copy_rows", id="after COPY"),
    pytest.param(sinks.writer, "upsert_rows", id="after the upsert"),
    pytest.param(sinks.timescale, "move_progress", id="after moving the progress"),
    pytest.param(sinks.timescale, "write_items", id="before COMMIT"),
]


@pytest.mark.parametrize(("module", "name"), POINTS)
def test_a_session_ended_in_mid_batch_is_made_good(cfg, database, feeder, monkeypatch, module, name):
    calls = fault_after(monkeypatch, database.dsn, module, name, 3, "session")
    feeder.trades(0, COUNT)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", COUNT), run=run)
        assert run.metrics.registry.get_sample_value("coby_write_retries_total", {"stage": "timescale"}) >= 1
    assert calls() > 3
    assert_all_once(database.dsn)
    assert dead_letters(cfg) == []


@pytest.mark.parametrize(("module", "name"), POINTS)
def test_a_sink_that_dies_in_mid_batch_is_taken_up_by_the_next(
    cfg, database, feeder, monkeypatch, module, name
):
    feeder.trades(0, COUNT)
    with monkeypatch.context() as broken:
        fault_after(broken, database.dsn, module, name, 3, "bug")
        with running(TimescaleSink, cfg) as run:
            assert isinstance(run.join(), BugError)
    stored = query(database.dsn, "SELECT count(*) FROM trade_events")[0][0]
    assert 0 < stored < COUNT
    assert settled(database.dsn, "trade", stored)  # rows and progress agree
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", COUNT), run=run)
    assert_all_once(database.dsn)


def test_a_commit_whose_answer_is_lost_is_not_taken_for_another_writer(cfg, database, feeder, monkeypatch):
    real = TimescaleSink._transact
    calls = 0

    def answer_lost(self, *arguments):
        nonlocal calls
        calls += 1
        real(self, *arguments)
        if calls == 2:
            raise psycopg.OperationalError("the connection broke after COMMIT")

    monkeypatch.setattr(TimescaleSink, "_transact", answer_lost)
    feeder.trades(0, COUNT)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", COUNT), run=run)
    assert calls > 3
    assert_all_once(database.dsn)


def test_a_second_writer_makes_the_late_one_stop_without_a_row(cfg, database, feeder):
    feeder.trades(0, 100)
    with running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 100), run=run)
        # Somebody else has written the next 50 records.
        query(
            database.dsn,
            "UPDATE sink_progress SET next_offset = next_offset + 50 WHERE next_offset > 0 RETURNING 1",
        )
        feeder.trades(100, 120)
        error = run.join()
    assert isinstance(error, StorageError)
    assert error.code == "db.another_writer"
    assert query(database.dsn, "SELECT count(*) FROM trade_events") == [(100,)]


def test_two_sinks_share_the_partitions_and_store_everything_once(cfg, database, feeder):
    symbols = [f"SYM{number}USDT" for number in range(20)]
    for number in range(COUNT):
        feeder.send(trade(number, symbol=symbols[number % 20]), f"{number}:0")
    feeder.flush()
    with running(TimescaleSink, cfg) as first:
        until(lambda: query(database.dsn, "SELECT count(*) FROM trade_events")[0][0] > 0, run=first)
        with running(TimescaleSink, cfg) as second:
            until(lambda: len(first.sink._intake.dealt) == len(second.sink._intake.dealt) > 0, run=second)
            for number in range(COUNT, 2 * COUNT):
                feeder.send(trade(number, symbol=symbols[number % 20]), f"{number}:0")
            feeder.flush()
            until(lambda: settled(database.dsn, "trade", 2 * COUNT), run=first)
            assert first.error is second.error is None
    assert_all_once(database.dsn, 2 * COUNT)


@pytest.mark.long
def test_a_locked_table_is_waited_for(cfg, database, feeder):
    with psycopg.connect(database.dsn) as conn, running(TimescaleSink, cfg) as run:
        conn.execute("LOCK TABLE trade_events IN ACCESS EXCLUSIVE MODE")
        feeder.trades(0, 200)
        labels = {"stage": "timescale"}
        # lock_timeout is ten seconds: the sink gives up, says so, and tries again.
        until(lambda: run.metrics.registry.get_sample_value("coby_write_retries_total", labels), run=run)
        assert run.sink.writes()[0] is False
        conn.rollback()
        until(lambda: settled(database.dsn, "trade", 200), run=run)
        assert run.sink.writes()[0] is True
    assert_all_once(database.dsn, 200)


def test_a_sink_without_its_database_waits_in_its_group_and_goes_on(cfg, database, feeder, timescale):
    feeder.trades(0, 100)
    superuser = None if timescale.server is None else timescale.server.as_superuser()
    if superuser is None:
        pytest.skip("needs the superuser of the local server")
    name = psycopg.conninfo.conninfo_to_dict(database.dsn)["dbname"]
    with superuser, running(TimescaleSink, cfg) as run:
        until(lambda: settled(database.dsn, "trade", 100), run=run)
        superuser.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        feeder.trades(100, 300)
        until(lambda: not run.sink.writes()[0], run=run)
        time.sleep(3)
        assert run.error is None
        superuser.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        until(lambda: settled(database.dsn, "trade", 300), run=run)
    assert_all_once(database.dsn, 300)


def test_a_stop_while_the_database_is_away_ends_the_sink(cfg, database, feeder, monkeypatch):
    feeder.trades(0, 10)

    tried = []

    def away(*_arguments):
        tried.append(stop.is_set())
        raise psycopg.OperationalError("gone")

    stop, metrics = threading.Event(), Metrics(CollectorRegistry())
    monkeypatch.setattr(sinks.timescale, "move_progress", away)
    run = Running(TimescaleSink(cfg, stop, metrics), stop, metrics)
    until(lambda: not run.sink.writes()[0], run=run)
    stop.set()
    assert run.join() is None
    assert tried.count(True) <= 1, "it gives up instead of trying on"
    assert query(database.dsn, "SELECT count(*) FROM trade_events") == [(0,)]


@pytest.mark.long
def test_the_program_killed_under_load_and_started_again_stores_everything_once(kafka, database, cfg, feeder):
    count = 20_000
    feeder.trades(0, count)
    environ = os.environ | kafka.env | database.env
    environ |= {"TOPIC_PREFIX": cfg.topic_prefix, "LOG_FILE": "-", "BATCH_WRITE_SIZE": "200"}

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "sinks.timescale"]
        return subprocess.Popen(command, env=environ, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)

    for least in (1, 6_000):
        with start() as process:
            until(lambda least=least: query(database.dsn, "SELECT count(*) FROM trade_events")[0][0] >= least)
            process.kill()
            process.communicate()
    with start() as process:
        until(lambda: settled(database.dsn, "trade", count), seconds=60)
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=30)
        assert process.returncode == 0, logged
    assert_all_once(database.dsn, count)
