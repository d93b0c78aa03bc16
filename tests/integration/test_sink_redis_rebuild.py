"""Redis emptied: everything comes back from topics and database, and no reader ever sees an older value than before."""

import json
import threading
import time

import psycopg
import pytest
import redis
from confluent_kafka import KafkaException

import sinks.rebuild
import sinks.redis
from COBY.codec import encode
from COBY.records import NAMES, Consolidated, Missing
from COBY.topics import topic_name
from sinks.redis import RedisSink
from sinks.timescale import TimescaleSink
from tests.integration.sink_helpers import (
    SECOND_US,
    Feeder,
    candle,
    dead_letters,
    gap,
    prepare,
    query,
    running,
    settings,
    settled,
    trade,
    until,
)

TAIL = 20
# An hour ago: records have their own times in Kafka here, and older ones would expire.
START_US = int(time.time() - 3_600) * SECOND_US


@pytest.fixture
def cfg(kafka, redis_server, database, topic_prefix, monkeypatch):
    monkeypatch.setattr(sinks.rebuild, "TAIL", TAIL)
    monkeypatch.setattr(sinks.rebuild, "TAILS", {})
    cfg = settings(kafka, redis_server, database, prefix=topic_prefix)
    prepare(cfg)
    return cfg


@pytest.fixture
def client(redis_server):
    with redis.Redis(redis_server.host, redis_server.port, decode_responses=True) as client:
        yield client


class TimedFeeder(Feeder):
    """Writes records at the Kafka time that the stages give them."""

    def at(self, record, position: str, time_us: int, source: str = "raw.binance.v1/0") -> None:
        headers = [("source", source.encode()), ("position", position.encode())]
        topic = topic_name(self.cfg.topic_prefix, NAMES[type(record)])
        options = {"timestamp_ms": time_us // 1000}
        self._producer.produce(topic, encode(record), record.symbol.encode(), headers, **options)


@pytest.fixture
def feeder(cfg):
    return TimedFeeder(cfg)


def latest(client, cfg) -> dict[str, str]:
    """Every latest value, as its bytes."""
    keys = sorted(client.keys(f"{cfg.topic_prefix}:latest:*"))
    return dict(zip(keys, client.mget(keys), strict=True)) if keys else {}


def alter(database, text: str) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as conn:
        conn.execute(text)


def letters(cfg) -> list[bytes | None]:
    """The bytes of the dead letters; none while the broker still makes the new topic."""
    try:
        return sorted((message.value() for message, _ in dead_letters(cfg)), key=repr)
    except KafkaException:
        return []


def feed_ids(client, cfg) -> list[str]:
    entries = client.xrange(f"{cfg.topic_prefix}:feed:trade:BTCUSDT")
    return [json.loads(fields["value"])["trade_id"] for _, fields in entries]


def recent_trade(number: int, **more):
    time_us = START_US + number * 1_000
    return trade(number, timestamp=time_us, received_at=time_us + 7, **more)


def feed_quiet_and_busy(feeder) -> None:
    """Keys whose newest record lies far behind the tail of its partition, then a busy one."""
    for number in range(3):  # the newest is the third
        quiet = recent_trade(number, exchange="kraken", trade_id=f"quiet-{number}")
        feeder.at(quiet, f"{number}:0", quiet.received_at, "raw.kraken.v1/1")
    feeder.at(gap(exchange="okx", timestamp=START_US, from_time=START_US), "7:0", START_US, "raw.okx.v1/1")
    for number, length in enumerate(("1d", "1h")):
        feeder.at(
            candle(timeframe=length, timestamp=START_US, received_at=START_US + 3 * SECOND_US),
            f"1:{number}",
            START_US + 3 * SECOND_US,
            "aggregate/BTCUSDT",
        )
    for number in range(10, 10 + 5 * TAIL):
        record = recent_trade(number)
        feeder.at(record, f"{number}:0", record.received_at)
        second = START_US + number * SECOND_US
        record = candle(timestamp=second, received_at=second + 3 * SECOND_US)
        feeder.at(record, f"{number}:0", record.received_at, "aggregate/BTCUSDT")
        feeder.at(gap(from_time=second, timestamp=second), f"{number}:1", second)
    feeder.flush()


KEYS = [
    "gap:BTCUSDT:binance",
    "gap:BTCUSDT:okx",
    "ohlcv:BTCUSDT:1d",
    "ohlcv:BTCUSDT:1h",
    "ohlcv:BTCUSDT:1s",
    "trade:BTCUSDT:binance",
    "trade:BTCUSDT:kraken",
]
NEWEST = '"trade_id":"109"'


def all_there(client, cfg):
    found = latest(client, cfg)
    wanted = [f"{cfg.topic_prefix}:latest:{key}" for key in KEYS]
    done = sorted(found) == wanted and NEWEST in found[wanted[5]] and '"109:0"' in found[wanted[4]]
    return found if done and '"109:1"' in found[wanted[0]] else None


def stored(database) -> bool:
    return all(settled(database.dsn, name, count) for name, count in (("trade", 103), ("ohlcv", 102)))


def test_every_latest_value_is_back_byte_for_byte_though_its_record_lies_far_behind_the_tail(
    cfg, client, feeder, database
):
    with running(RedisSink, cfg) as run:
        until(lambda: run.sink._next, run=run)  # it has filled nothing, so all that follows came one by one
        feed_quiet_and_busy(feeder)
        with running(TimescaleSink, cfg) as store:
            until(lambda: stored(database) and settled(database.dsn, "gap", 101), run=store)
        before = until(lambda: all_there(client, cfg), run=run)
        client.flushall()
        after = until(lambda: all_there(client, cfg), run=run)
        assert after == before
        # The live feed ends as it did; what lies far back is not written behind newer entries.
        assert feed_ids(client, cfg) == [str(number) for number in range(110 - TAIL, 110)]


def test_a_sink_started_on_an_empty_redis_finds_them_too(cfg, client, feeder, database):
    feed_quiet_and_busy(feeder)
    with running(TimescaleSink, cfg) as store:
        until(lambda: stored(database) and settled(database.dsn, "gap", 101), run=store)
    with running(RedisSink, cfg) as run:
        found = until(lambda: all_there(client, cfg), run=run)
    assert '"trade_id":"quiet-2"' in found[f"{cfg.topic_prefix}:latest:trade:BTCUSDT:kraken"]


def test_what_the_database_has_not_stored_yet_is_read_from_the_topic(cfg, client, feeder, database):
    feed_quiet_and_busy(feeder)
    with running(TimescaleSink, cfg) as store:
        until(lambda: stored(database), run=store)
    # As if it had stopped before the third quiet trade: it knows an older one of that key only.
    query(
        database.dsn,
        "DELETE FROM trade_events WHERE trade_id = 'quiet-2' OR exchange = 'binance' RETURNING 1",
    )
    topic = f"{cfg.topic_prefix}.trade.v1"
    query(
        database.dsn,
        "UPDATE sink_progress SET next_offset = 2 WHERE topic = %s AND next_offset > 0 RETURNING 1",
        topic,
    )
    with running(RedisSink, cfg) as run:
        found = until(lambda: all_there(client, cfg), run=run)
    assert '"trade_id":"quiet-2"' in found[f"{cfg.topic_prefix}:latest:trade:BTCUSDT:kraken"]


def test_without_the_database_the_tails_are_there_at_once_and_the_rest_when_it_is_back(
    cfg, client, feeder, database, monkeypatch
):
    feed_quiet_and_busy(feeder)
    with running(TimescaleSink, cfg) as store:
        until(lambda: stored(database) and settled(database.dsn, "gap", 101), run=store)
    monkeypatch.setattr(sinks.redis, "FILL_SECONDS", 0.2)
    alter(database, "ALTER TABLE schema_version RENAME TO away")
    with running(RedisSink, cfg) as run:
        until(lambda: any(NEWEST in value for value in latest(client, cfg).values()), run=run)
        assert f"{cfg.topic_prefix}:latest:trade:BTCUSDT:kraken" not in latest(client, cfg)
        alter(database, "ALTER TABLE away RENAME TO schema_version")
        until(lambda: all_there(client, cfg), run=run)
        assert feed_ids(client, cfg) == [str(number) for number in range(110 - TAIL, 110)]


def test_no_reader_sees_an_older_value_however_often_redis_is_emptied(
    cfg, client, feeder, redis_server, monkeypatch
):
    """A reader that looks all the time, a sink under load, ten flushes at moments of no design."""
    monkeypatch.setattr(sinks.rebuild, "TAIL", 5_000)  # so much is read back that the way there would be seen
    key = f"{cfg.topic_prefix}:latest:trade:BTCUSDT:binance"
    seen: list[int] = []
    ended = threading.Event()

    def look() -> None:
        with redis.Redis(redis_server.host, redis_server.port, decode_responses=True) as reader:
            while not ended.is_set():
                if (value := reader.get(key)) is not None:
                    seen.append(int(json.loads(value)["trade_id"]))

    reader = threading.Thread(target=look)
    with running(RedisSink, cfg) as run:
        reader.start()
        try:
            for round_ in range(10):
                feeder.trades(round_ * 150, round_ * 150 + 75)
                until(
                    lambda last=round_ * 150: client.get(key) is not None and seen and seen[-1] >= last,
                    run=run,
                )
                client.flushall()
                feeder.trades(round_ * 150 + 75, round_ * 150 + 150)
            until(lambda: seen[-1] == 1_499, run=run)
        finally:
            ended.set()
            reader.join()
    assert len(set(seen)) > 10
    assert seen == sorted(seen)


def test_what_cannot_be_read_and_is_met_by_the_rebuild_first_is_buried_once(cfg, client, feeder):
    seen = Consolidated("BTCUSDT", START_US, [], [], *[None] * 6, ["binance"], [Missing("kraken", "stale")])
    with running(RedisSink, cfg) as run:
        feeder.send(seen, f"{START_US}:0", "aggregate/BTCUSDT")
        feeder.raw("consolidated", b"rubbish", "1:0")
        feeder.flush()
        until(lambda: letters(cfg) == [b"rubbish"], run=run)
    feeder.raw("consolidated", b"more rubbish", "2:0")
    feeder.flush()
    client.flushall()
    with running(RedisSink, cfg) as run:  # the first is known to be buried: the group has read it
        until(lambda: latest(client, cfg), run=run)
        until(lambda: len(letters(cfg)) == 2, run=run)
        client.flushall()
        until(lambda: latest(client, cfg), run=run)
    assert letters(cfg) == [b"more rubbish", b"rubbish"]
