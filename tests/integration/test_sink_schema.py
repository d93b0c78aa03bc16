"""The database schema: exactly the user's tables, migrated once, refused when it is not ours."""

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from click.testing import CliRunner

from COBY.runtime.database import connect
from COBY.utils.exceptions import StorageError
from sinks.cli import db
from sinks.retention import Retention, has_policies
from sinks.schema import check_schema, migrate, migrations
from sinks.tables import TABLES, TRADES
from sinks.writer import write_rows
from tests.integration.sink_helpers import query, settings

# The columns of DESIGN.md, as PostgreSQL spells their types; then those beside them.
PROMISED = {
    "order_book_snapshots": {
        "id": "bigint",
        "symbol": "character varying(20)",
        "exchange": "character varying(20)",
        "timestamp": "timestamp with time zone",
        "bids": "jsonb",
        "asks": "jsonb",
        "sequence_id": "bigint",
        "mid_price": "numeric(20,8)",
        "spread": "numeric(20,8)",
        "bid_volume": "numeric(30,8)",
        "ask_volume": "numeric(30,8)",
    },
    "trade_events": {
        "id": "bigint",
        "symbol": "character varying(20)",
        "exchange": "character varying(20)",
        "timestamp": "timestamp with time zone",
        "price": "numeric(20,8)",
        "size": "numeric(30,8)",
        "side": "character varying(4)",
        "trade_id": "character varying(100)",
    },
    "heatmap_data": {
        "symbol": "character varying(20)",
        "timestamp": "timestamp with time zone",
        "bucket_size": "numeric(10,2)",
        "price_bucket": "numeric(20,8)",
        "volume": "numeric(30,8)",
        "side": "character varying(3)",
        "exchange_count": "integer",
    },
    "ohlcv_data": {
        "symbol": "character varying(20)",
        "timestamp": "timestamp with time zone",
        "timeframe": "character varying(10)",
        "open_price": "numeric(20,8)",
        "high_price": "numeric(20,8)",
        "low_price": "numeric(20,8)",
        "close_price": "numeric(20,8)",
        "volume": "numeric(30,8)",
        "trade_count": "integer",
        "revision": "integer",
        "complete": "boolean",
    },
}
KEYS = {
    "order_book_snapshots": "timestamp symbol exchange",
    "trade_events": "timestamp symbol exchange trade_id",
    "heatmap_data": "timestamp symbol bucket_size price_bucket side",
    "ohlcv_data": "timestamp symbol timeframe",
}
BESIDE = {"received_at": "timestamp with time zone", "position": "text"}


@pytest.fixture
def cfg(database, topic_prefix):
    return settings(database, prefix=topic_prefix)


@pytest.fixture
def conn(cfg):
    with connect(cfg) as conn:
        yield conn


def columns_of(dsn: str, table: str) -> dict[str, str]:
    return dict(
        query(
            dsn,
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            table,
        )
    )


def test_the_tables_have_exactly_the_promised_columns_and_keys(conn, database):
    migrate(conn)
    for table, columns in PROMISED.items():
        assert columns_of(database.dsn, table) == columns | BESIDE
        key = query(
            database.dsn,
            "SELECT string_agg(a.attname, ' ' ORDER BY array_position(i.indkey::int[], a.attnum::int)) "
            "FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) "
            "WHERE i.indrelid = %s::regclass AND i.indisprimary",
            table,
        )
        assert key == [(KEYS[table],)]
    hypertables = query(database.dsn, "SELECT hypertable_name FROM timescaledb_information.hypertables")
    assert {name for (name,) in hypertables} == set(TABLES)


def test_the_sink_writes_every_column_but_the_generated_id(conn, database):
    migrate(conn)
    for table in TABLES.values():
        assert set(table.columns) == set(columns_of(database.dsn, table.name)) - {"id"}


def test_migrating_twice_changes_nothing(conn, database):
    assert migrate(conn) == list(migrations())
    before = query(database.dsn, "SELECT * FROM schema_version")
    assert migrate(conn) == []
    assert query(database.dsn, "SELECT * FROM schema_version") == before
    check_schema(conn)


def test_two_migrations_at_once_take_turns(cfg, database):
    errors = []

    def run():
        try:
            with connect(cfg) as conn:
                migrate(conn)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    versions = query(database.dsn, "SELECT version FROM schema_version ORDER BY version")
    assert versions == [(step.version,) for step in migrations()]


def test_minutes_stored_before_more_was_counted_say_nothing_was(conn, database, monkeypatch):
    import sinks.schema

    steps = migrations()
    monkeypatch.setattr(sinks.schema, "migrations", lambda: steps[:1])
    migrate(conn)
    conn.execute(
        "INSERT INTO quality (symbol, exchange, timestamp, score, coverage, accepted, events, rejected, duplicates,"
        " anomalies, gaps, crossed_ticks) VALUES ('BTCUSDT', 'x', now(), 1, 1, 1, 19, 0, 0, 0, 0, 0)"
    )
    monkeypatch.undo()
    assert migrate(conn) == list(steps[1:])
    found = query(
        database.dsn,
        "SELECT blind_us, crossed_us, checksum_failures, skewed, clamped, clock_skew_us FROM quality",
    )
    assert found == [(0,) * 6]


def test_a_database_newer_than_the_code_is_refused_and_left_alone(conn):
    migrate(conn)
    conn.execute("INSERT INTO schema_version (version, name) VALUES (999, 'future')")
    for action in (migrate, check_schema):
        with pytest.raises(StorageError) as caught:
            action(conn)
        assert caught.value.code == "db.schema_newer"
        assert "999" in str(caught.value)


def test_a_step_that_fails_leaves_nothing_behind(conn, database, monkeypatch):
    import sinks.schema

    good = migrations()
    broken = good[0]._replace(
        version=len(good) + 1, name="broken", sql="CREATE TABLE half (a int); SELECT 1/0"
    )
    monkeypatch.setattr(sinks.schema, "migrations", lambda: (*good, broken))
    with pytest.raises(StorageError) as caught:
        migrate(conn)
    assert caught.value.code == "db.refused"
    assert query(database.dsn, "SELECT to_regclass('half'), (SELECT max(version) FROM schema_version)") == [
        (None, len(good))
    ]
    with pytest.raises(StorageError) as caught:
        check_schema(conn)
    assert caught.value.code == "db.schema_older"


def test_an_empty_database_is_told_from_a_migrated_one(conn):
    with pytest.raises(StorageError) as caught:
        check_schema(conn)
    assert caught.value.code == "db.schema_missing"
    assert "coby db init" in str(caught.value)


def test_coby_db_init_creates_the_tables_and_may_be_repeated(database, monkeypatch):
    for name, value in database.env.items():
        monkeypatch.setenv(name, value)
    first, second = (CliRunner().invoke(db, ["init"], catch_exceptions=False) for _ in range(2))
    assert "applied 1 tables" in first.output
    assert second.output == f"the schema is at version {len(migrations())}\n"


def test_a_missing_database_server_is_one_clear_error(topic_prefix):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cfg = settings(prefix=topic_prefix, DB_HOST="127.0.0.1", DB_PORT=str(port))
    with pytest.raises(StorageError) as caught:
        connect(cfg)
    assert caught.value.code == "db.unreachable"
    assert f"127.0.0.1:{port}" in str(caught.value)


def store_trade(conn, trade_id: str, time: datetime) -> None:
    values = ("BTCUSDT", "binance", time, Decimal(1), Decimal(1), "buy", trade_id, time, None)
    with conn.transaction(), conn.cursor() as cursor:
        write_rows(cursor, TRADES, [values])


def made_long_ago(database, timescale) -> None:
    """As if the chunks there are had been made two hours ago."""
    local = timescale.server
    with local.as_superuser(database.dbname) if local else psycopg.connect(database.dsn) as superuser:
        superuser.execute(
            "UPDATE _timescaledb_catalog.chunk SET creation_time = creation_time - interval '2 hours'"
        )


def test_retention_counts_from_when_rows_came_not_from_their_times(conn, database, timescale, topic_prefix):
    migrate(conn)
    if has_policies(conn):
        pytest.skip("this edition drops by policies of its own, in the background")
    query(database.dsn, "SELECT set_chunk_time_interval('trade_events', interval '1 second')")
    old = datetime(2024, 8, 8, tzinfo=UTC)
    store_trade(conn, "recorded", old)
    month = Retention(settings(database, prefix=topic_prefix))
    assert month.apply(conn) == 0
    assert query(database.dsn, "SELECT trade_id FROM trade_events") == [("recorded",)]
    made_long_ago(database, timescale)
    store_trade(conn, "later", old + timedelta(days=1))
    second = Retention(settings(database, prefix=topic_prefix, RETENTION_TABLES="1h"))
    assert second.is_due()
    assert second.apply(conn) == 1  # made more than 1 h (kept) + 1 s (a chunk's span) ago
    assert not second.is_due()
    assert query(database.dsn, "SELECT trade_id FROM trade_events") == [("later",)]


def test_retention_of_nought_keeps_for_ever(conn, database, topic_prefix):
    migrate(conn)
    if has_policies(conn):
        pytest.skip("this edition drops by policies of its own, in the background")
    query(database.dsn, "SELECT set_chunk_time_interval('trade_events', interval '1 second')")
    store_trade(conn, "a", datetime(2024, 8, 8, tzinfo=UTC))
    time.sleep(1.2)
    assert Retention(settings(database, prefix=topic_prefix, RETENTION_TABLES="0")).apply(conn) == 0


def test_a_null_where_none_may_be_is_an_error_of_the_row(conn):
    migrate(conn)
    with pytest.raises(psycopg.IntegrityError), conn.transaction(), conn.cursor() as cursor:
        write_rows(cursor, TRADES, [(None,) * len(TRADES.columns)])
