"""`coby dlq`: what lies in the dead letters is shown, and a sink's letters are stored once by that sink."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
import redis
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from prometheus_client import CollectorRegistry

from COBY.codec import encode
from COBY.records import Consolidated
from COBY.runtime.cli import main as coby
from COBY.runtime.kafka import make_producer
from COBY.runtime.metrics import Metrics
from COBY.stage import StoredRecord, dead_letter, position_headers
from COBY.topics import partition_of, topic_name
from COBY.utils.intervals import parse_time
from sinks.letters import DeadLetters, Letter
from sinks.redis import RedisSink
from sinks.timescale import TimescaleSink
from tests.integration.sink_helpers import (
    START_US,
    Feeder,
    candle,
    prepare,
    query,
    running,
    settings,
    settled,
    trade,
    until,
)

# When the stage wrote its letters: yesterday at noon, for letters are kept for 30 days.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
LATER = (NOON + timedelta(seconds=1)).isoformat()
TOO_LARGE = 10**21  # units of 1e-8: ten million million, more than decimal(20,8) holds
FRAME = b'{"stream":"btcusdt@trade","data":{}}'


@pytest.fixture
def cfg(kafka, redis_server, database, topic_prefix):
    cfg = settings(kafka, redis_server, database, prefix=topic_prefix)
    prepare(cfg)
    return cfg


@pytest.fixture
def feeder(cfg):
    return Feeder(cfg)


@pytest.fixture
def run(cfg, kafka, redis_server, database):
    """Runs `coby dlq …`: its exit code and what it wrote."""
    environ = kafka.env | redis_server.env | database.env | {"TOPIC_PREFIX": cfg.topic_prefix}

    def call(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(coby, ["dlq", *words], env=environ)
        assert result.exit_code in (0, 1, 2), result.exception
        return result.exit_code, result.output

    return call


def rows(run, *words: str) -> list[dict[str, str]]:
    code, output = run("list", "--json", *words)
    assert code == 0, output
    return [json.loads(line) for line in output.splitlines()]


def numbers(run, *words: str) -> list[str]:
    return [row["number"] for row in rows(run, "--each", *words)]


def refused(cfg, database, feeder) -> None:
    """Three trades of which the database takes one and the sink can't read another."""
    feeder.send(trade(1), "1:0")
    feeder.send(trade(2, price=TOO_LARGE), "2:0")
    feeder.raw("trade", b"rubbish", "3:0")
    feeder.flush()
    with running(TimescaleSink, cfg) as sink:
        until(lambda: settled(database.dsn, "trade", 3), run=sink)


def widen(database) -> None:
    """What an operator would do about it."""
    with psycopg.connect(database.dsn, autocommit=True) as conn:
        conn.execute("ALTER TABLE trade_events ALTER COLUMN price TYPE decimal(40,8)")


def stage_letter(cfg, feeder, offset: int = 5) -> None:
    """A letter as normalize writes it."""
    record = StoredRecord(offset, int(NOON.timestamp() * 1000), b"binance-0", FRAME, [])
    headers = position_headers(b"raw.binance.v1/2", offset, 0, b"s")
    letter = dead_letter(record, headers, "normalize", "frame.shape", "no price")
    topic = topic_name(cfg.topic_prefix, "dlq")
    feeder._producer.produce(
        topic, letter.value, letter.key, letter.headers, timestamp_ms=letter.timestamp_ms
    )
    feeder.flush()


def redis_letter(cfg, record, position: str) -> None:
    """A letter of the Redis sink about a record that it can read today, as one of an older program would be."""
    topic = topic_name(cfg.topic_prefix, "consolidated")
    headers = [("source", b"aggregate/BTCUSDT"), ("position", position.encode()), ("settings", b"s")]
    place = {"partition": partition_of(b"BTCUSDT", 12), "offset": 0}
    message = Message(topic=topic, key=b"BTCUSDT", value=encode(record), headers=headers, **place)
    letters = DeadLetters(cfg, "redis", Metrics(CollectorRegistry()))
    assert letters.send([Letter(message, "codec.unknown_schema", "schema 99")], lambda: False)


def consolidated(mid: int) -> Consolidated:
    return Consolidated("BTCUSDT", START_US, [], [], mid, *[None] * 5, ["binance"], [])


def test_letters_are_counted_by_stage_and_code_and_chosen_by_filters(cfg, database, feeder, run):
    refused(cfg, database, feeder)
    stage_letter(cfg, feeder)
    stage_letter(cfg, feeder)  # written again after a crash
    stage_letter(cfg, feeder, offset=6)
    found = rows(run)
    assert [(row["stage"], row["code"], row["letters"]) for row in found] == [
        ("normalize", "frame.shape", "2"),
        ("timescale", "codec.format", "1"),
        ("timescale", "db.22003", "1"),
    ]
    assert found[0]["first"] == found[0]["last"] == f"{NOON:%Y-%m-%d}T12:00:00.000000Z"
    assert parse_time(found[1]["first"]) > parse_time(LATER)
    assert [row["code"] for row in rows(run, "--code", "db.22003", "--code", "frame.shape")] == [
        "frame.shape",
        "db.22003",
    ]
    assert [row["code"] for row in rows(run, "--until", LATER)] == ["frame.shape"]
    assert {row["stage"] for row in rows(run, "--since", LATER)} == {"timescale"}
    assert rows(run, "--stage", "redis") == []
    (line,) = rows(run, "--each", "--code", "db.22003")
    partition = partition_of(b"BTCUSDT", 12)
    assert line["origin"] == f"{cfg.topic_prefix}.trade.v1/{partition}@1"
    table = run("list")[1].splitlines()
    assert table[0].split() == ["STAGE", "CODE", "LETTERS", "FIRST", "LAST"]
    assert len(table) == 4


def test_a_letter_is_shown_with_its_headers_and_bytes(cfg, database, feeder, run):
    refused(cfg, database, feeder)
    stage_letter(cfg, feeder)
    (number,) = numbers(run, "--code", "db.22003")
    value = encode(trade(2, price=TOO_LARGE))
    code, shown = run("show", number)
    assert code == 0
    for line in (
        f"letter {number}  ",
        "header stage: timescale",
        "header code: db.22003",
        "header position: 2:0",
        f"value: {len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}",
        f"0x{value.hex()}",
    ):
        assert line in shown
    text = run("show", "--stage", "normalize")[1]
    assert FRAME.decode() in text
    assert run("show", "--stage", "normalize", "--raw")[1] == FRAME.decode()
    assert run("show", "--last", "9")[1].count("header code: ") == 3


@pytest.mark.parametrize("number", ["x", "1", "99/0", "0/99", "1/2/3", "-1/0"])
def test_a_number_that_is_none_is_one_clear_error(run, number):
    code, said = run("show", "--", number)
    assert code == 2
    assert said.startswith(("error dlq.number: ", "error dlq.unknown: "))


def test_a_mended_sink_takes_the_letter_once_however_often_it_is_retried(cfg, database, feeder, run):
    refused(cfg, database, feeder)
    (number,) = numbers(run, "--code", "db.22003")
    code, said = run("retry", number)
    assert code == 1
    assert said.startswith(f"refused   {number}  ")
    assert "db.22003" in said
    widen(database)
    assert run("retry", number)[1].splitlines()[-1] == "1 stored"
    before = query(database.dsn, "SELECT xmin::text, t.* FROM trade_events t ORDER BY trade_id")
    assert [(row[8], row[5]) for row in before] == [
        ("1", Decimal("61837.63000000")),
        ("2", Decimal("10000000000000.00000000")),
    ]
    assert before[1][10] == "2:0"
    code, said = run("retry", "--all", "--stage", "timescale")
    assert code == 1  # the unreadable one
    assert said.splitlines()[-1] == "1 present, 1 refused"
    # Not even written again: the rows are of the same transactions.
    assert query(database.dsn, "SELECT xmin::text, t.* FROM trade_events t ORDER BY trade_id") == before
    assert settled(database.dsn, "trade", 3)  # no progress moved


def test_a_retry_never_replaces_what_came_later(cfg, database, feeder, run):
    feeder.send(candle(open=TOO_LARGE, high=TOO_LARGE, revision=1), "1:0", "aggregate/BTCUSDT")
    feeder.send(trade(7, price=TOO_LARGE), "7:0")
    feeder.flush()
    with running(TimescaleSink, cfg) as sink:
        until(lambda: settled(database.dsn, "ohlcv", 1) and settled(database.dsn, "trade", 1), run=sink)
        feeder.send(candle(revision=2), "2:0", "aggregate/BTCUSDT")
        feeder.send(trade(7), "8:0")
        feeder.flush()
        until(lambda: settled(database.dsn, "ohlcv", 2) and settled(database.dsn, "trade", 2), run=sink)
    widen(database)
    with psycopg.connect(database.dsn, autocommit=True) as conn:
        conn.execute(
            "ALTER TABLE ohlcv_data ALTER open_price TYPE decimal(40,8), ALTER high_price TYPE decimal(40,8)"
        )
    code, said = run("retry", "--all")
    assert code == 0
    assert said.splitlines()[-1] == "1 outdated, 1 present"
    assert query(database.dsn, "SELECT revision, position FROM ohlcv_data") == [(2, "2:0")]
    assert query(database.dsn, "SELECT position FROM trade_events") == [("8:0",)]


def test_letters_of_the_stages_are_not_retried_and_no_raw_topic_grows(cfg, database, feeder, run, kafka):
    stage_letter(cfg, feeder)
    code, said = run("retry", "--all")
    assert code == 1
    assert "dlq.not_retried" in said
    assert "recompute" in said
    assert ends(cfg, "raw", "binance") == 0
    assert ends(cfg, "dlq") == 1


def ends(cfg, name: str, part: str | None = None) -> int:
    """The sum of a topic's end offsets."""
    consumer = Consumer({**cfg.kafka_client_settings(), "group.id": "x"})
    topic = topic_name(cfg.topic_prefix, name, part)

    def ask() -> list[int] | None:
        try:
            count = len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
            return [consumer.get_watermark_offsets(TopicPartition(topic, n))[1] for n in range(count)]
        except KafkaException:  # a leader is being chosen
            return None

    try:
        return sum(until(ask))
    finally:
        consumer.close()


def test_letters_of_the_redis_sink_go_into_redis_unless_a_newer_value_is_there(
    cfg, run, feeder, redis_server
):
    redis_letter(cfg, consolidated(100), "5:0")
    key = f"{cfg.topic_prefix}:latest:consolidated:BTCUSDT"
    with redis.Redis(redis_server.host, redis_server.port) as client:
        # No sink has filled this Redis yet: what is written now would be taken for all there is.
        assert "redis.not_built" in run("retry", "--all")[1]
        assert client.get(key) is None
        with running(RedisSink, cfg) as sink:
            until(lambda: sink.sink._next, run=sink)
        assert run("retry", "--all")[1].splitlines()[-1] == "1 stored"
        assert json.loads(client.get(key))["mid_price"] == "0.00000100"
        assert run("retry", "--all")[1].splitlines()[-1] == "1 outdated"
        assert client.xlen(f"{cfg.topic_prefix}:feed:consolidated:BTCUSDT") == 1


def test_a_letter_without_its_bytes_says_where_they_are(cfg, run, feeder):
    topic = topic_name(cfg.topic_prefix, "trade")
    own = {
        "stage": "timescale",
        "code": "codec.format",
        "detail": "?",
        "topic": topic,
        "partition": 3,
        "offset": 9,
    }
    headers = [(name, str(value).encode()) for name, value in own.items()]
    errors: list[Exception] = []
    producer = make_producer(cfg, errors.append)
    producer.produce(
        topic_name(cfg.topic_prefix, "dlq"), None, b"BTCUSDT", [*headers, ("sha256", b"ab" * 32)]
    )
    assert producer.flush(20) == 0
    code, said = run("retry", "--all")
    assert code == 1
    assert "dlq.bytes_missing" in said
    assert f"{topic}/3@9" in said


def test_retry_wants_letters_or_all(run):
    assert run("retry")[0] == 2
    assert run("retry", "--all", "1/2")[0] == 2
