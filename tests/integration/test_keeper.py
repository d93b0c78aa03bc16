"""The storekeeper on real servers: backups by schedule, what it says when it can't make one, what fills the disks."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, isnan
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from COBY.forecast import Growth
from COBY.runtime import growth
from COBY.runtime.database import connect
from COBY.runtime.doctor import examine
from COBY.runtime.kafka import make_producer
from COBY.runtime.metrics import Metrics
from COBY.runtime.offsets import MOVING
from COBY.topics import topic_name
from deploy.local.pg_tools import tools_env
from deploy.local.ports import free_port
from sinks import keeper as keeping
from sinks.backups import Backups
from sinks.keeper import Keeper
from sinks.pg_tools import Tools
from sinks.schema import migrate
from tests.integration.sink_helpers import Feeder, prepare, query, settings, until

NOW = datetime(2026, 9, 21, 12, tzinfo=UTC)


@pytest.fixture
def tools(timescale) -> str:
    """The folder of the server's own pg_dump."""
    if timescale.server is None:
        pytest.skip("needs the local server's pg_dump")
    return tools_env(timescale.server)["DB_TOOLS"]


@pytest.fixture
def cfg(kafka, database, topic_prefix, tmp_path):
    """Topics, tables, and a folder for backups."""
    folder = str(tmp_path / "backups")
    cfg = settings(
        kafka, database, prefix=topic_prefix, BACKUP_FOLDER=folder, BACKUP_INTERVAL="1h", BACKUP_KEEP="2"
    )
    prepare(cfg)
    return cfg


@contextmanager
def kept(cfg, tools, disks=None):
    """A keeper at work, and how to ask for one of its metrics."""
    registry, stop = CollectorRegistry(), threading.Event()
    keeper = Keeper(cfg, Tools(tools), disks or {}, Metrics(registry))
    thread = threading.Thread(target=keeper.run, args=(stop,))
    thread.start()
    try:
        yield keeper, lambda name, **labels: registry.get_sample_value(f"coby_{name}", labels)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def old(cfg, hours: float) -> Path:
    """A file as one of so many hours ago is named."""
    begun = datetime.now(UTC) - timedelta(hours=hours)
    file = Path(cfg.backup_folder) / f"{cfg.db_name}-{begun:%Y%m%dT%H%M%SZ}.backup"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"old")
    return file


def test_a_backup_is_made_when_the_newest_is_too_old_and_the_oldest_go(cfg, tools, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "RETRY_SECONDS", 1.0)  # a new topic has no leader for a moment
    oldest, older, other = old(cfg, 50), old(cfg, 2), Path(cfg.backup_folder) / "mine.backup"
    other.mkdir()
    left = Path(f"{old(cfg, 60)}.part")
    left.write_bytes(b"of one that was killed")
    with kept(cfg, tools, {"tables": tmp_path, "topics": tmp_path}) as (keeper, metric):
        assert 7200 <= metric("backup_age_seconds", database=cfg.db_name) < 7260
        until(lambda: metric("backups_total", database=cfg.db_name, result="done") == 1)
        there = [file for _, file in Backups(cfg).there()]
        assert there[0] == older
        assert len(there) == 2
        assert not oldest.exists()
        assert not left.exists()
        assert other.exists()
        with zipfile.ZipFile(there[1]) as archive:
            assert json.loads(archive.read("MANIFEST.json"))["owner"] == cfg.db_user
            assert archive.testzip() is None
        assert metric("backup_age_seconds", database=cfg.db_name) < 60
        assert metric("backup_size_bytes", database=cfg.db_name) == there[1].stat().st_size
        assert keeper.backs_up() == (True, "2 backups")
        until(lambda: not isnan(metric("storage_left_seconds", place="tables")))
        usage = os.statvfs(tmp_path)
        assert metric("storage_size_bytes", place="topics") == usage.f_blocks * usage.f_frsize
        assert metric("storage_free_bytes", place="tables") == pytest.approx(
            usage.f_bavail * usage.f_frsize, rel=0.05
        )
        # One disk: what fills it is the same whatever of it one asks for.
        assert metric("storage_left_seconds", place="tables") == metric(
            "storage_left_seconds", place="backups"
        )
    with kept(cfg, tools) as (_, metric):  # a restart finds a fresh one there
        time.sleep(2 * keeping.POLL_SECONDS)
        assert metric("backups_total", database=cfg.db_name, result="done") == 0


def test_a_database_that_comes_late_is_waited_for(cfg, tools, database, timescale, monkeypatch):
    monkeypatch.setattr(keeping, "RETRY_SECONDS", 0.2)
    name = f"{database.dbname}late"
    late = settings(
        database, prefix=cfg.topic_prefix, BACKUP_FOLDER=cfg.backup_folder, DB_NAME=name,
        KAFKA_BOOTSTRAP_SERVERS=cfg.kafka_bootstrap_servers,
    )  # fmt: skip
    try:
        with kept(late, tools) as (keeper, metric):
            until(lambda: metric("backups_total", database=name, result="failed") >= 2)
            assert metric("backup_age_seconds", database=name) == inf
            well, said = keeper.backs_up()
            assert not well
            assert "does not exist" in said
            timescale.server.create_database(name)
            with connect(late) as conn:
                migrate(conn)
            until(lambda: metric("backups_total", database=name, result="done") == 1)
            assert keeper.backs_up()[0]
    finally:
        timescale.server.drop_database(name)


def test_a_backup_under_way_is_given_up_when_told_to_stop(cfg, tmp_path):
    """By a pg_dump that never ends."""
    for name, does in (
        ("pg_dump", "while :; do head -c 20000 /dev/zero; sleep 0.05; done"),
        ("pg_restore", "exit 1"),
    ):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\n[ $# = 1 ] && echo 'pg (PostgreSQL) 99.1' && exit\n{does}\n")
        script.chmod(0o755)
    folder = Path(cfg.backup_folder)
    with kept(cfg, str(tmp_path)) as (keeper, metric):
        until(lambda: [part for part in folder.glob("*.part") if part.stat().st_size > 100])
    assert list(folder.iterdir()) == []
    assert metric("backups_total", database=cfg.db_name, result="failed") == 0
    assert keeper.backs_up() == (True, "0 backups")


@pytest.fixture
def program(cfg, tools, tmp_path):
    """Starts `python -m sinks.keeper` on a disk of its own of 16 KiB; gives its process and its port."""
    started = []

    def start(**more: str) -> tuple[subprocess.Popen, int]:
        port = free_port()
        env = {
            **os.environ,
            **_env(cfg),
            "METRICS_PORT": str(port),
            "DB_TOOLS": tools,
            "LOG_FILE": "-",
            **more,
        }
        Path(cfg.backup_folder).mkdir(exist_ok=True)
        mounted = (
            f"mount -t tmpfs -o size=16k tmpfs {cfg.backup_folder} && exec {sys.executable} -m sinks.keeper"
        )
        command = ["unshare", "--mount", "sh", "-c", mounted]
        started.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
        return started[-1], port

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _env(cfg) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": cfg.kafka_bootstrap_servers, "TOPIC_PREFIX": cfg.topic_prefix,
        "DB_HOST": cfg.db_host, "DB_PORT": str(cfg.db_port), "DB_NAME": cfg.db_name, "DB_USER": cfg.db_user,
        "DB_PASSWORD": cfg.db_password, "BACKUP_FOLDER": cfg.backup_folder,
    }  # fmt: skip


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, "No space left on device"), ({"DB_PASSWORD": "wrong-one"}, "password authentication failed")],
    ids=["a full disk", "a wrong password"],
)
def test_why_there_is_no_backup_is_in_log_health_and_metrics_and_the_program_goes_on(program, more, said):
    process, port = program(**more)
    failed = 'result="failed"} 1.0'
    until(lambda: failed in asked(port, "/metrics")[1])
    status, ready = asked(port, "/health/ready")
    assert status == 503
    assert said in ready
    assert asked(port, "/health/live")[0] == 200
    assert "coby_backup_age_seconds" in asked(port, "/metrics")[1]
    assert process.poll() is None
    process.terminate()
    log = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    (told,) = [line for line in lines if line["event"] == "backup_failed"]
    assert said in told["error"]
    assert "wrong-one" not in log


def by_name(cfg) -> dict[str, Growth]:
    """Growth of topics; nothing yet while a new one has no leader."""
    try:
        return {each.name: each for each in growth.of_topics(cfg, 10)}
    except KafkaException as error:
        if error.args[0].code() not in MOVING:
            raise
        return {}


def test_growth_of_topics_is_what_lies_in_them(cfg):
    feeder, before = Feeder(cfg), until(lambda: by_name(cfg))
    name = topic_name(cfg.topic_prefix, "trade")
    assert before[name].held_bytes == 0
    assert before[name].bytes_per_second == 0
    for number in range(300):
        feeder.raw("trade", b"v" * 90, f"{number}:0", key=b"0123456789")
    feeder.flush()
    found = by_name(cfg)
    headers = len("source") + len("raw.binance.v1/0") + len("position")
    size = 100 + headers + 5  # positions of 3 to 5 characters, the newest have 5
    assert found[name].held_bytes == pytest.approx(300 * size)
    assert found[name].bytes_per_second == pytest.approx(300 * size / growth.SAMPLE_SECONDS)
    assert found[name].keep_seconds == 7 * 86_400
    assert topic_name(cfg.topic_prefix, "status") not in found  # compacted: it does not grow by the day


def test_a_raw_topic_grows_until_its_time_or_its_size_is_reached(cfg):
    feeder = Feeder(cfg)
    until(lambda: by_name(cfg))
    name = topic_name(cfg.topic_prefix, "raw", "binance")
    producer = make_producer(cfg, feeder.errors.append)
    for number in range(400):
        producer.produce(name, b"f" * 990, f"{number:10}".encode())
    assert producer.flush(60) == 0
    rate = 400 * 1000 / growth.SAMPLE_SECONDS
    assert by_name(cfg)[name].bytes_per_second == pytest.approx(rate)
    assert by_name(cfg)[name].keep_seconds == 7 * 86_400
    small = replace(cfg, retention_raw_bytes=100_000)  # a partition, of which there are four
    assert by_name(small)[name].keep_seconds == pytest.approx(400_000 / rate)
    endless = replace(small, retention_raw=0)
    assert by_name(endless)[name].keep_seconds == pytest.approx(400_000 / rate)
    assert by_name(replace(cfg, retention_raw=0, retention_raw_bytes=-1))[name].keep_seconds == 0


def test_growth_of_tables_is_what_their_chunks_take(cfg, database):
    with connect(cfg) as conn:
        conn.execute(
            "INSERT INTO trade_events (symbol, exchange, timestamp, price, size, side, trade_id) "
            "SELECT 'BTCUSDT', 'binance', '2026-01-01'::timestamptz + n * interval '1 hour', 1, 1, 'buy', n "
            "FROM generate_series(1, 96) n"  # four chunks and a bit
        )
        found = {each.name: each for each in growth.of_tables(conn, cfg)}
    assert set(found) == {"trade_events"}
    size = query(database.dsn, "SELECT sum(pg_total_relation_size(c)) FROM show_chunks('trade_events') c")[0][
        0
    ]
    assert found["trade_events"].held_bytes == size
    assert found["trade_events"].keep_seconds == cfg.retention_tables
    assert found["trade_events"].bytes_per_second > 0


def test_the_doctor_tells_how_long_the_disk_lasts_with_topics_and_tables(cfg, redis_server, tmp_path):
    feeder = Feeder(cfg)
    until(lambda: by_name(cfg))
    for number in range(200):
        feeder.raw("trade", b"v" * 1000, f"{number}:0")
    feeder.flush()
    env = {**_env(cfg), **redis_server.env, "LOG_FILE": "-"}
    findings = {finding.name: finding for finding in examine(str(tmp_path), 5.0, env)}
    assert {name: finding.ok for name, finding in findings.items() if name != "disk"} == dict.fromkeys(
        ("settings", "kafka", "database", "redis"), True
    )
    said = findings["disk"].seen
    assert topic_name(cfg.topic_prefix, "trade") in said  # what grows fastest is named
    rate = re.search(r": ([\d,]+) bytes/s come", said)
    assert rate, said
    assert float(rate[1].replace(",", "")) >= 200 * 1000 // growth.SAMPLE_SECONDS
