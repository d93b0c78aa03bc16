"""The drill: back up while the sink goes on, restore into an empty database, catch up from the topics, compare."""

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from COBY.runtime.cli import main as coby
from deploy.local.pg_tools import tools_env
from sinks.schema import migrations
from sinks.timescale import TimescaleSink
from tests.drill import feed, hashes, stored
from tests.integration.sink_helpers import Feeder, prepare, query, running, settings, settled, until
from tests.servers import Database


@pytest.fixture
def tools(timescale) -> dict[str, str]:
    """The settings of the commands, from the server the tests started."""
    if timescale.server is None:
        pytest.skip("needs the local server's pg_dump and its superuser")
    return tools_env(timescale.server)


def run(arguments: list[object], database: Database, tools: dict[str, str], code: int = 0) -> str:
    """A command of `coby`, in this process: what it wrote."""
    result = CliRunner().invoke(coby, [str(word) for word in arguments], env=database.env | tools)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def empty(timescale):
    """Another empty database on the same server."""
    with timescale.database() as fresh:
        yield fresh


def test_a_restored_database_catches_up_from_the_topics_to_the_same_hashes(
    kafka, database, empty, tools, topic_prefix, tmp_path
):
    cfg = settings(kafka, database, prefix=topic_prefix)
    prepare(cfg)
    feeder, file = Feeder(cfg), tmp_path / "market.backup"
    with running(TimescaleSink, cfg) as sink:
        feed(feeder, 0, 60)
        until(lambda: stored(database.dsn, 60), run=sink)
        feed(feeder, 60, 100)  # the backup is taken while these are being stored
        said = run(["db", "backup", file], database, tools)
        feed(feeder, 100, 160)
        until(lambda: stored(database.dsn, 160), run=sink)
    assert f"schema version {len(migrations())}" in said
    run(["db", "restore", file], empty, tools)
    restored = query(empty.dsn, "SELECT count(*) FROM trade_events")[0][0]
    assert 60 <= restored < 160
    assert settled(empty.dsn, "trade", restored)  # rows and progress are of one moment
    with running(TimescaleSink, settings(kafka, empty, prefix=topic_prefix)) as sink:
        until(lambda: stored(empty.dsn, 160), run=sink)
    undisturbed = hashes(database.dsn)
    assert undisturbed["trade_events"].startswith("160 ")
    assert hashes(empty.dsn) == undisturbed
    # It goes on as any other: the owner's, with new chunks and new ids.
    with psycopg.connect(empty.dsn) as conn:
        conn.execute("INSERT INTO trade_events (symbol, exchange, timestamp, price, size, side, trade_id) "
                     "VALUES ('BTCUSDT', 'binance', '2030-01-01', 1, 1, 'buy', 'new')")  # fmt: skip
        ids = conn.execute("SELECT count(*), count(DISTINCT id) FROM trade_events").fetchone()
    assert ids == (161, 161)


@pytest.fixture
def backup(database, tools, topic_prefix, tmp_path) -> Path:
    """A backup of a database with one trade."""
    prepare_tables(database, topic_prefix)
    file = tmp_path / "one.backup"
    run(["db", "backup", file], database, tools)
    return file


def prepare_tables(database: Database, prefix: str) -> None:
    from COBY.runtime.database import connect
    from sinks.schema import migrate

    with connect(settings(database, prefix=prefix)) as conn:
        migrate(conn)
        conn.execute(
            "INSERT INTO trade_events (symbol, exchange, timestamp, price, size, side, trade_id) "
            "VALUES ('BTCUSDT', 'binance', '2026-01-01', 1, 1, 'buy', 'one')"
        )


def tables(database: Database) -> list[tuple[str]]:
    return query(database.dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


def restoring(database: Database) -> str | None:
    """What TimescaleDB is told in new sessions: 'on' would leave the database half awake."""
    return query(database.dsn, "SELECT current_setting('timescaledb.restoring', true)")[0][0]


def test_a_backup_of_newer_code_is_refused(backup, empty, tools):
    rewrite(backup, schema_version=999)
    said = run(["db", "restore", backup], empty, tools, code=2)
    assert "db.schema_newer" in said
    assert "999" in said
    assert tables(empty) == []


def test_a_database_of_newer_code_is_not_backed_up_and_not_restored_over(backup, database, tools, tmp_path):
    query(database.dsn, "INSERT INTO schema_version (version, name) VALUES (999, 'future') RETURNING 1")
    other = tmp_path / "other.backup"
    said = run(["db", "backup", other], database, tools, code=2)
    assert "db.schema_newer" in said
    assert "db.schema_newer" in run(["db", "restore", backup], database, tools, code=2)
    assert list(tmp_path.iterdir()) == [backup]


def test_a_database_with_tables_is_left_as_it_is(backup, database, tools):
    query(database.dsn, "UPDATE trade_events SET price = 2 RETURNING 1")
    said = run(["db", "restore", backup], database, tools, code=2)
    assert "db.not_empty" in said
    assert "trade_events" in said
    assert query(database.dsn, "SELECT price::int FROM trade_events") == [(2,)]


@pytest.mark.parametrize("harm", ["cut", "flipped", "no backup"])
def test_a_broken_backup_is_refused_before_anything_is_touched(backup, empty, tools, harm):
    data = bytearray(backup.read_bytes())
    if harm == "cut":
        del data[len(data) // 2 :]
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
    else:
        data = bytearray(b"-- PostgreSQL database dump\n")
    backup.write_bytes(data)
    assert "db.backup_broken" in run(["db", "restore", backup], empty, tools, code=2)
    assert tables(empty) == []


def test_a_dump_exchanged_for_another_is_refused(backup, empty, tools):
    rewrite(backup, sha256="0" * 64)
    assert "db.backup_broken" in run(["db", "restore", backup], empty, tools, code=2)


def test_another_version_of_timescaledb_is_refused(backup, empty, tools):
    rewrite(backup, timescaledb="1.7.5")
    said = run(["db", "restore", backup], empty, tools, code=2)
    assert "db.backup_timescaledb" in said
    assert "1.7.5" in said


def test_a_restore_that_fails_in_the_middle_leaves_an_empty_database(backup, empty, tools):
    with zipfile.ZipFile(backup) as archive:
        dump = archive.read("DATABASE.dump")
    cut = dump[: len(dump) * 3 // 4]  # a whole file with a dump that ends too early
    rewrite(backup, cut, sha256=hashlib.sha256(cut).hexdigest(), size=len(cut))
    assert "db.restore_failed" in run(["db", "restore", backup], empty, tools, code=2)
    assert tables(empty) == []
    assert restoring(empty) == "off"


def test_who_is_no_superuser_is_told_so(backup, empty, tools):
    ordinary = {"DB_TOOLS": tools["DB_TOOLS"]}
    assert "db.not_superuser" in run(["db", "restore", backup], empty, ordinary, code=2)


def test_a_backup_is_not_written_over_and_a_failed_one_leaves_no_file(backup, database, tools, tmp_path):
    before = backup.read_bytes()
    assert "file.exists" in run(["db", "backup", backup], database, tools, code=2)
    assert backup.read_bytes() == before
    failing = tmp_path / "bin"
    failing.mkdir()
    for name, text in (
        ("pg_dump", "echo 'pg_dump (PostgreSQL) 99.1'; [ $# = 1 ] || exit 1"),
        ("pg_restore", "echo 99.1"),
    ):
        (failing / name).write_text(f"#!/bin/sh\n{text}\n")
        (failing / name).chmod(0o755)
    said = run(["db", "backup", backup, "--force", "--tools", failing], database, tools, code=2)
    assert "db.backup_failed" in said
    assert backup.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_tools_that_are_missing_or_too_old_are_named(backup, database, tools, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    other = tmp_path / "other.backup"
    said = run(["db", "backup", other, "--tools", old], database, tools, code=2)
    assert "db.tools" in said
    for name in ("pg_dump", "pg_restore"):
        (old / name).write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
        (old / name).chmod(0o755)
    said = run(["db", "backup", other, "--tools", old], database, tools, code=2)
    assert "db.tools" in said
    assert "version 9" in said


def test_no_password_stands_on_a_command_line(backup, database, tools, tmp_path):
    spy = tmp_path / "spy"
    spy.mkdir()
    for name in ("pg_dump", "pg_restore"):
        text = f'#!/bin/sh\necho "$@" >> {spy}/seen\nexec {tools["DB_TOOLS"]}/{name} "$@"\n'
        (spy / name).write_text(text)
        (spy / name).chmod(0o755)
    run(["db", "backup", tmp_path / "other.backup", "--tools", spy], database, tools)
    seen = (spy / "seen").read_text()
    assert database.dbname in seen
    assert database.password not in seen


def test_the_dump_in_a_backup_is_what_pg_restore_itself_reads(backup, tools, tmp_path):
    with zipfile.ZipFile(backup) as archive:
        assert archive.testzip() is None
        listed = subprocess.run(
            [f"{tools['DB_TOOLS']}/pg_restore", "--list"],
            input=archive.read("DATABASE.dump"),
            capture_output=True,
        )
    assert b"TABLE public trade_events" in listed.stdout


def rewrite(file: Path, dump: bytes | None = None, **changed: object) -> None:
    """The backup with another manifest, or another dump."""
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("MANIFEST.json")) | changed
        dump = archive.read("DATABASE.dump") if dump is None else dump
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("DATABASE.dump", dump)
        archive.writestr("MANIFEST.json", json.dumps(manifest))
