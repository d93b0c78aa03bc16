"""Compression and retention by policies: as far as an edition without them can tell.

The Apache-2 edition that Debian has knows every function of the Community one by its name and arguments, and refuses
when it is called (SQLSTATE 0A000). So it shows that what we ask for exists as we ask for it, and not what it does.
"""

from datetime import timedelta

import psycopg
import pytest

from COBY.runtime.database import connect
from sinks import compression, retention
from sinks.compression import LAYOUTS, compress, enable
from sinks.retention import Retention, has_policies
from sinks.schema import migrate
from sinks.tables import TABLES
from tests.integration.sink_helpers import query, settings

REFUSED = "0A000"


@pytest.fixture
def cfg(database, topic_prefix):
    return settings(database, prefix=topic_prefix)


@pytest.fixture
def conn(cfg):
    with connect(cfg) as opened:
        migrate(opened)
        yield opened


def without_policies(conn) -> None:
    if has_policies(conn):
        pytest.skip("this edition has policies: the tests after these look at them")


def with_policies(conn) -> None:
    if not has_policies(conn):
        pytest.skip("the Apache-2 edition has no policies")


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (compression.REMOVE, ["trade_events"]),
        (compression.ADD, ["trade_events", timedelta(days=7)]),
        (retention.REMOVE, ["trade_events"]),
        (retention.ADD, ["trade_events", timedelta(days=30)]),
        *((enable(table, layout), []) for table, layout in LAYOUTS.items()),
    ],
    ids=str,
)
def test_what_the_community_edition_is_asked_for_is_known_here_too_and_refused(conn, statement, values):
    without_policies(conn)
    with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
        conn.execute(statement, values)
    assert caught.value.sqlstate == REFUSED
    assert "license" in str(caught.value)


def test_a_statement_that_is_wrong_is_told_from_one_that_is_refused(conn):
    without_policies(conn)
    wrong = compression.ADD.replace("compress_created_before", "compress_made_before")
    with pytest.raises(psycopg.errors.UndefinedFunction):
        conn.execute(wrong, ["trade_events", timedelta(days=7)])


def test_without_policies_nothing_is_compressed_and_nothing_fails(conn, cfg):
    without_policies(conn)
    assert compress(conn, cfg) is False


def test_layouts_hold_each_column_of_the_key_once(database, conn):
    for table, layout in LAYOUTS.items():
        named = [*layout.segment_by.split(", "), *layout.order_by.split(", ")]
        assert sorted(named) == sorted(TABLES[table].key)
        rows = "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
        columns = {row[0] for row in conn.execute(rows, [table])}
        assert set(named) <= columns


def test_policies_say_what_the_settings_say_and_follow_them(conn, cfg, database, topic_prefix):
    with_policies(conn)
    Retention(cfg).apply(conn)
    assert compress(conn, cfg)
    assert compress(conn, cfg)  # a second time changes nothing
    assert jobs(database, "policy_compression") == set(LAYOUTS)
    assert jobs(database, "policy_retention") == set(TABLES) - {"ohlcv_data"}
    never = settings(database, prefix=topic_prefix, COMPRESS_AFTER="0", RETENTION_TABLES="0")
    Retention(never).apply(conn)
    assert compress(conn, never)
    assert jobs(database, "policy_compression") == jobs(database, "policy_retention") == set()


def jobs(database, kind: str) -> set[str]:
    found = query(
        database.dsn,
        f"SELECT hypertable_name FROM timescaledb_information.jobs WHERE proc_name = '{kind}'",
    )
    return {name for (name,) in found}
