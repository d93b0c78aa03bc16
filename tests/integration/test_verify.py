"""`coby verify` on real servers: an undisturbed run is equal, and every change to tables and Redis is found."""

import json
import re
from collections import defaultdict

import psycopg
import pytest
import redis

from sinks.redis import RedisSink
from sinks.timescale import TimescaleSink
from tests.conftest import delete_topics
from tests.integration.sink_helpers import prepare, query, running, settings, settled, until
from tests.integration.verify_run import (
    DERIVED,
    SECONDS,
    SYMBOLS,
    Made,
    Run,
    different,
    frames,
    started_ns,
    told,
)


@pytest.fixture(scope="module")
def full(kafka, timescale, redis_session):
    """A run in topics, database and Redis, and the environment that leads to them."""
    prefix = "tverify"
    with redis.Redis(redis_session.host, redis_session.port) as client:
        client.flushall()
    with timescale.database() as database:
        more = {"EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS)}
        cfg = settings(kafka, database, redis_session, prefix=prefix, **more)
        prepare(cfg)
        log = frames(started_ns())
        run = Run(cfg, log, Made(log, cfg).outputs, told(cfg))
        run.database = database
        run.env = {**kafka.env, **database.env, **redis_session.env, **more, "TOPIC_PREFIX": prefix}
        counts = defaultdict(int)
        for one in Made(log, cfg).outputs:
            counts[one.topic] += 1
        with running(TimescaleSink, cfg) as store, running(RedisSink, cfg) as cache:
            stored = ("trade", "book", "gap", "quality", "continuity", "heatmap", "ohlcv")
            until(lambda: all(settled(database.dsn, name, counts[name]) for name in stored), 60, store)
            with redis.Redis(redis_session.host, redis_session.port) as client:
                feeds = lambda: sum(client.xlen(name) for name in client.scan_iter(f"{prefix}:feed:*"))  # noqa: E731
                until(lambda: feeds() == sum(counts[name] for name in DERIVED), 60, cache)
        yield run
    delete_topics(kafka.bootstrap_servers, prefix)


# --- nothing changed ----------------------------------------------------------------------------------------------


def test_an_undisturbed_run_is_equal_in_topics_tables_and_redis(full):
    code, table, output = full.verify(full.env)
    assert code == 0, output
    assert set(table) == {
        "raw.binance.v1",
        *[f"{name}.v1" for name in (*DERIVED, "control", "dlq")],
        "order_book_snapshots", "trade_events",
        "heatmap_data", "heatmap_ticks", "ohlcv_data", "gaps", "quality", "continuity", "redis latest",
    }  # fmt: skip
    # By arithmetic: a trade of each symbol each half second, a heatmap at each mark after the first.
    assert table["trade.v1"][0] == table["trade_events"][0] == 2 * 2 * SECONDS
    assert table["heatmap.v1"][0] == 2 * 2 * SECONDS
    assert table["heatmap_ticks"][0] == 2 * SECONDS
    assert min(count for name, (count, _) in table.items() if name not in ("control.v1", "dlq.v1")) > 0
    assert output.rstrip().endswith("equal")


@pytest.mark.long
def test_a_range_inside_is_equal_too_and_leaves_redis_out(full):
    code, table, output = full.verify(full.env, first=20, last=50)
    assert code == 0, output
    assert table["trade.v1"][0] == table["trade_events"][0] == 2 * 2 * 30
    assert table["heatmap.v1"][0] == 2 * 2 * 30
    assert "before the head" in output


@pytest.mark.long
def test_one_symbol_is_compared_by_itself(full):
    code, table, output = full.verify(full.env, "--symbols", "ETHUSDT")
    assert code == 0, output
    assert table["trade.v1"][0] == table["trade_events"][0] == 2 * SECONDS
    assert "control.v1" not in table


# --- the database -------------------------------------------------------------------------------------------------


CHANGES = [
    ("heatmap_data", "UPDATE heatmap_data SET volume = volume + 0.00000001 WHERE {one}", "volume"),
    ("trade_events", "DELETE FROM trade_events WHERE {one}", "is missing"),
    (
        "trade_events",
        "INSERT INTO trade_events (symbol, exchange, timestamp, price, size, side, trade_id, received_at, position)"
        " SELECT symbol, exchange, timestamp, price, size, side, trade_id || 'x', received_at, position"
        " FROM trade_events WHERE {one}",
        "should not be there",
    ),
    ("ohlcv_data", "UPDATE ohlcv_data SET revision = revision + 1 WHERE {one}", "revision"),
    ("gaps", "UPDATE gaps SET until_time = NULL WHERE {one}", "until_time"),
    (
        "order_book_snapshots",
        "UPDATE order_book_snapshots SET bids = jsonb_set(bids, '{{0,1}}', '\"9.00000000\"') WHERE {one}",
        "bids[0][1] 9.00000000 instead of",
    ),
    ("heatmap_ticks", 'UPDATE heatmap_ticks SET missing = \'{{"x": "stale"}}\' WHERE {one}', "missing.x"),
    ("quality", "UPDATE quality SET events = events - 1 WHERE {one}", "events"),
    ("continuity", "UPDATE continuity SET sequenced = sequenced - 1 WHERE {one}", "sequenced"),
]
"""Table, what is done to it, what verify says. The first is one digit of a heatmap; the others take longer together."""


@pytest.mark.parametrize(
    ("table", "change", "shown"),
    [CHANGES[0], *[pytest.param(*one, marks=pytest.mark.long) for one in CHANGES[1:]]],
)
def test_one_changed_row_of_a_table_is_found(full, table, change, shown):
    """The table is put back from a copy."""
    one = f"ctid = (SELECT ctid FROM {table} WHERE symbol = 'BTCUSDT' ORDER BY received_at LIMIT 1)"
    one += f" AND tableoid = (SELECT tableoid FROM {table} WHERE symbol = 'BTCUSDT' ORDER BY received_at LIMIT 1)"
    with psycopg.connect(full.database.dsn, autocommit=True) as conn:
        conn.execute(f"CREATE TABLE kept AS SELECT * FROM {table}")
        try:
            assert conn.execute(change.format(one=one)).rowcount == 1
            code, found, output = full.verify(full.env, "--wait", "0")
        finally:
            conn.execute(f"DELETE FROM {table}")
            conn.execute(f"INSERT INTO {table} SELECT * FROM kept")
            conn.execute("DROP TABLE kept")
    assert code == 1, output
    assert different(found) == {table}
    assert shown in output
    assert output.endswith("DIFFERENT: 1 difference\n")


@pytest.mark.long
def test_rows_that_the_sink_has_not_come_to_are_no_differences(full):
    """The sink's progress says how far it has come."""
    with psycopg.connect(full.database.dsn, autocommit=True) as conn:
        conn.execute(
            "CREATE TABLE kept AS SELECT * FROM trade_events; CREATE TABLE places AS TABLE sink_progress"
        )
        try:
            conn.execute("DELETE FROM trade_events WHERE position = (SELECT max(position) FROM trade_events)")
            conn.execute("UPDATE sink_progress SET next_offset = next_offset - 1 WHERE topic LIKE '%trade%'")
            code, _, output = full.verify(full.env, "--wait", "0")
        finally:
            conn.execute(
                "DELETE FROM trade_events; INSERT INTO trade_events SELECT * FROM kept; DROP TABLE kept"
            )
            conn.execute(
                "DELETE FROM sink_progress; INSERT INTO sink_progress TABLE places; DROP TABLE places"
            )
    assert code == 2, output
    assert "not there yet" in output


# --- Redis --------------------------------------------------------------------------------------------------------


KEYS = [
    (channel, what)
    for channel in ("heatmap", "trade", "book", "ohlcv")
    for what in ("digit", "gone", "older")
]


@pytest.mark.parametrize(
    ("channel", "what"), [KEYS[0], *[pytest.param(*one, marks=pytest.mark.long) for one in KEYS[1:]]]
)
def test_one_changed_key_of_redis_is_found(full, channel, what):
    cfg = full.cfg
    with redis.Redis(cfg.redis_host, cfg.redis_port) as client:
        name = min(client.scan_iter(f"tverify:latest:{channel}:BTCUSDT*"))
        kept = client.get(name)
        value = json.loads(kept)
        if what == "digit":
            text = re.sub(
                rb'(\d)\.(\d{7})(\d)"',
                lambda one: b'%s.%s%d"' % (one[1], one[2], (int(one[3]) + 1) % 10),
                kept,
                count=1,
            )
            assert text != kept
            client.set(name, text)
        elif what == "gone":
            client.delete(name)
        else:
            client.set(name, json.dumps({**value, "position": "1:0"}))
        try:
            code, found, output = full.verify(full.env, "--wait", "0")
        finally:
            client.set(name, kept)
    assert code == 1, output
    assert different(found) == {"redis latest"}
    assert name.decode() in output


@pytest.mark.long
def test_a_key_of_redis_that_is_no_record_s_is_found(full):
    cfg = full.cfg
    with redis.Redis(cfg.redis_host, cfg.redis_port) as client:
        client.set("tverify:latest:trade:BTCUSDT:other", client.get("tverify:latest:trade:BTCUSDT:binance"))
        try:
            code, found, output = full.verify(full.env, "--wait", "0")
        finally:
            client.delete("tverify:latest:trade:BTCUSDT:other")
    assert code == 1, output
    assert different(found) == {"redis latest"}


@pytest.mark.long
def test_rows_are_read_from_the_database_as_sql_has_them(full):
    """The sums of verify's own reading and of plain SQL agree: nothing was left out of what was compared."""
    _, table, _ = full.verify(full.env)
    for name in ("trade_events", "ohlcv_data", "order_book_snapshots", "quality", "continuity", "gaps"):
        assert table[name][0] == query(full.database.dsn, f"SELECT count(*) FROM {name}")[0][0]
