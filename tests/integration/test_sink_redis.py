"""The Redis sink on real Kafka and Redis: newest values, never older ones, filled again when emptied."""

import json
import socket

import pytest
import redis
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from COBY.codec import encode
from COBY.records import Consolidated, MergedLevel, Missing, Status
from COBY.runtime.kafka import apply_topics
from COBY.runtime.redis import feed_key, latest_key, make_client, positions_key, require_redis
from COBY.topics import partition_of
from COBY.utils.exceptions import StorageError
from sinks.cache import write_entries, write_rebuilt
from sinks.latest import Entry
from sinks.redis import RedisSink
from tests.integration.sink_helpers import (
    SECOND_US,
    START_US,
    Feeder,
    candle,
    dead_letters,
    running,
    settings,
    trade,
    until,
)


@pytest.fixture
def cfg(kafka, redis_server, topic_prefix):
    cfg = settings(kafka, redis_server, prefix=topic_prefix)
    apply_topics(cfg)
    return cfg


@pytest.fixture
def feeder(cfg):
    return Feeder(cfg)


@pytest.fixture
def client(redis_server):
    with redis.Redis(redis_server.host, redis_server.port, decode_responses=True) as client:
        yield client


def consolidated(number: int) -> Consolidated:
    return Consolidated(
        symbol="BTCUSDT",
        timestamp=START_US + number * SECOND_US,
        bids=[MergedLevel(6_183_763_000_000, 150_000_000, 1)],
        asks=[],
        mid_price=None,
        spread=None,
        top=None,
        depth5=-50_000_000,
        depth20=None,
        bucketed=None,
        exchanges=["binance"],
        missing=[Missing("kraken", "stale")],
    )


def latest(client, cfg, *parts):
    text = client.get(":".join((cfg.topic_prefix, "latest", *parts)))
    return None if text is None else json.loads(text)


def read(run) -> float:
    return run.metrics.registry.get_sample_value("coby_records_total", {"stage": "redis"})


def position_of(client, cfg):
    return (latest(client, cfg, "trade", "BTCUSDT", "binance") or {}).get("position")


def test_the_latest_value_is_json_with_decimal_strings_and_its_origin(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        feeder.send(consolidated(0), f"{START_US}:2", "aggregate/BTCUSDT")
        feeder.flush()
        found = until(lambda: latest(client, cfg, "consolidated", "BTCUSDT"), run=run)
    topic = f"{cfg.topic_prefix}.consolidated.v1"
    assert found == {
        "symbol": "BTCUSDT",
        "timestamp": "2026-09-21T14:13:20.000000Z",
        "bids": [{"price": "61837.63000000", "size": "1.50000000", "exchange_count": 1}],
        "asks": [],
        "mid_price": None,
        "spread": None,
        "top": None,
        "depth5": "-0.50000000",
        "depth20": None,
        "bucketed": None,
        "exchanges": ["binance"],
        "missing": [{"exchange": "kraken", "reason": "stale"}],
        "source": "aggregate/BTCUSDT",
        "position": f"{START_US}:2",
        "topic": topic,
        "partition": found["partition"],
        "offset": 0,
    }


def test_keys_are_by_exchange_timeframe_or_slot(cfg, client, feeder):
    status = Status("binance", "binance-0", None, "subscribed", START_US, None, 0, "closed", None, START_US)
    with running(RedisSink, cfg) as run:
        feeder.send(trade(1), "1:0")
        feeder.send(trade(2, exchange="kraken"), "2:0", "raw.kraken.v1/0")
        feeder.send(candle(timeframe="5m"), "3:0", "aggregate/BTCUSDT")
        feeder.send(status, "", headers=[])
        feeder.flush()
        keys = ["trade:BTCUSDT:binance", "trade:BTCUSDT:kraken", "ohlcv:BTCUSDT:5m", "status:binance-0"]
        wanted = {f"{cfg.topic_prefix}:latest:{key}" for key in keys}
        until(lambda: set(client.keys(f"{cfg.topic_prefix}:latest:*")) == wanted, run=run)


def test_the_feed_holds_every_record_once_in_order(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        feeder.trades(0, 300)
        feeder.trades(250, 300)  # written again after a crash
        feeder.trades(300, 500)
        until(lambda: position_of(client, cfg) == "499:0", run=run)
        entries = client.xrange(f"{cfg.topic_prefix}:feed:trade:BTCUSDT")
    assert [json.loads(fields["value"])["trade_id"] for _, fields in entries] == [str(n) for n in range(500)]


def test_feeds_are_capped(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        for number in range(2_500):
            feeder.send(consolidated(number), f"{START_US + number}:0", "aggregate/BTCUSDT")
        feeder.flush()
        position = f"{START_US + 2_499}:0"
        until(
            lambda: (latest(client, cfg, "consolidated", "BTCUSDT") or {}).get("position") == position,
            run=run,
        )
        length = client.xlen(f"{cfg.topic_prefix}:feed:consolidated:BTCUSDT")
    assert 1_000 <= length < 1_300


def test_an_older_record_never_replaces_a_newer_one(cfg, client, feeder):
    seen = []
    with running(RedisSink, cfg) as run:
        for count, position in enumerate((5, 3, 9, 8, 9), start=1):
            feeder.send(trade(position), f"{position}:0")
            feeder.flush()
            until(lambda count=count: read(run) == count, run=run)
            seen.append(position_of(client, cfg))
    assert seen == ["5:0", "5:0", "9:0", "9:0", "9:0"]


def test_positions_are_compared_as_numbers(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        for position in ("99:10", "100:2", "100:10"):
            feeder.send(trade(1, trade_id=position), position)
        feeder.flush()
        until(
            lambda: position_of(client, cfg) == "100:10",
            run=run,
        )


def test_a_flushed_redis_is_filled_again_from_the_topics(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        feeder.trades(0, 50)
        feeder.send(candle(timeframe="1d"), "1:0", "aggregate/BTCUSDT")
        feeder.flush()
        until(lambda: client.exists(f"{cfg.topic_prefix}:latest:ohlcv:BTCUSDT:1d"), run=run)
        client.flushall()
        # Without any new record: the tails are read again.
        until(lambda: client.exists(f"{cfg.topic_prefix}:latest:ohlcv:BTCUSDT:1d"), run=run)
        until(
            lambda: position_of(client, cfg) == "49:0",
            run=run,
        )


def test_a_sink_that_starts_on_an_empty_redis_reads_back_what_it_had_read(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        feeder.trades(0, 20)
        until(
            lambda: position_of(client, cfg) == "19:0",
            run=run,
        )
    client.flushall()
    with running(RedisSink, cfg) as run:
        until(
            lambda: position_of(client, cfg) == "19:0",
            run=run,
        )
        assert client.xlen(f"{cfg.topic_prefix}:feed:trade:BTCUSDT") == 20


def test_a_sink_that_starts_again_goes_on_where_it_was(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        # Dealt and placed: else what it reads may be a part of filling the cache.
        until(lambda: run.sink.reads()[0] and run.sink.reads()[1] != "0 partitions", run=run)
        feeder.trades(0, 20)
        until(
            lambda: position_of(client, cfg) == "19:0",
            run=run,
        )
    feeder.trades(20, 40)
    with running(RedisSink, cfg) as run:
        until(lambda: position_of(client, cfg) == "39:0", run=run)
        until(lambda: read(run) >= 20, run=run)
        assert read(run) == 20
    assert client.xlen(f"{cfg.topic_prefix}:feed:trade:BTCUSDT") == 40


def test_a_redis_without_memory_is_waited_for(cfg, client, feeder):
    policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
    memory = client.config_get("maxmemory")["maxmemory"]
    with running(RedisSink, cfg) as run:
        feeder.trades(0, 5)
        until(
            lambda: position_of(client, cfg) == "4:0",
            run=run,
        )
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        try:
            feeder.trades(5, 10)
            until(lambda: not run.sink.writes()[0], run=run)
            assert position_of(client, cfg) == "4:0"
        finally:
            client.config_set("maxmemory", memory)
            client.config_set("maxmemory-policy", policy)
        until(lambda: position_of(client, cfg) == "9:0", run=run)
        assert run.sink.writes()[0]


def test_a_full_redis_takes_feeds_and_never_a_latest_value(cfg, client):
    """With the policy of our stacks."""
    before = {name: client.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
    assert before["maxmemory-policy"] == "volatile-lru"
    prefix, partition = cfg.topic_prefix, ("full", 0)
    write_rebuilt(client, prefix, partition, [])
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 4 * 1024 * 1024)
    try:
        for number in range(600):
            symbol = f"S{number % 20}USDT"
            latest, feed = latest_key(prefix, "trade", symbol), feed_key(prefix, "trade", symbol)
            positions = positions_key(prefix, *partition)
            entry = Entry(latest, feed, positions, latest, (number, 0), f"{number} {'x' * 20_000}", 1_000)
            assert write_entries(client, prefix, [(entry, partition)]) == [1]
    finally:
        for name, value in before.items():
            client.config_set(name, value)
    kept = [client.get(latest_key(prefix, "trade", f"S{number}USDT")).split()[0] for number in range(20)]
    assert kept == [str(number) for number in range(580, 600)]
    lengths = [client.xlen(feed_key(prefix, "trade", f"S{number}USDT")) for number in range(20)]
    assert 0 < sum(lengths) < 600


def test_broken_connections_are_made_anew(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        feeder.trades(0, 5)
        until(
            lambda: position_of(client, cfg) == "4:0",
            run=run,
        )
        client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
        feeder.trades(5, 10)
        until(lambda: position_of(client, cfg) == "9:0", run=run)


def test_what_cannot_be_read_stops_nothing_and_is_buried_by_one_sink_only(cfg, client, feeder):
    with running(RedisSink, cfg) as run:
        feeder.raw("trade", b"rubbish", "1:0")  # the other sink reads it too, and buries it
        feeder.raw("consolidated", b"rubbish", "1:0")
        feeder.raw("consolidated", None, "2:0")
        feeder.raw("consolidated", encode(trade(1)), "3:0")
        feeder.trades(5, 6)
        feeder.send(consolidated(1), f"{START_US}:0", "aggregate/BTCUSDT")
        feeder.flush()
        until(lambda: latest(client, cfg, "trade", "BTCUSDT", "binance"), run=run)
        until(lambda: latest(client, cfg, "consolidated", "BTCUSDT"), run=run)
    codes = sorted(headers["code"] for _, headers in dead_letters(cfg))
    assert codes == ["codec.format", "codec.null", "codec.wrong_schema"]


def test_partitions_that_retention_has_cut_are_read_from_what_is_left(cfg, client, feeder, kafka):
    feeder.trades(0, 20)
    where = TopicPartition(f"{cfg.topic_prefix}.trade.v1", partition_of(b"BTCUSDT", 12), 15)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for done in admin.delete_records([where]).values():
        done.result(timeout=60)
    with running(RedisSink, cfg) as run:
        until(
            lambda: position_of(client, cfg) == "19:0",
            run=run,
        )
    assert client.xlen(f"{cfg.topic_prefix}:feed:trade:BTCUSDT") == 5


def test_a_missing_redis_is_one_clear_error(topic_prefix):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cfg = settings(prefix=topic_prefix, REDIS_HOST="127.0.0.1", REDIS_PORT=str(port))
    with pytest.raises(StorageError) as caught, make_client(cfg) as client:
        require_redis(cfg, client)
    assert caught.value.code == "redis.unreachable"
    assert f"127.0.0.1:{port}" in str(caught.value)
