"""The checks bite: one frame dropped, one trade doubled, one digit flipped in topic, table and Redis are each found."""

import json
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from COBY.runtime.kafka import client_settings
from COBY.topics import topic_name
from tests.faults import content, invariants, tables
from tests.faults.pipeline import Load, Pipeline

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def rested(tmp_path_factory):
    """A pipeline that ran for some seconds undisturbed, at rest, with nothing wrong."""
    with Pipeline(tmp_path_factory.mktemp("mutations") / "p", Load(rate=60), seed=3, session=0) as pipeline:
        pipeline.recover()
        pipeline.watch(6)
        pipeline.rest()
        assert invariants.check(pipeline, raw_is_whole=True) == []
        yield pipeline
        content.forget(pipeline.config)


def wrong_rows(pipeline):
    with pipeline.sql() as connection:
        return list(tables.table_problems(pipeline.config, connection))


@pytest.mark.parametrize(
    ("table", "column"),
    [("heatmap_data", "volume"), ("trade_events", "size"), ("ohlcv_data", "close_price")],
)
def test_one_digit_in_the_database_is_found(rested, table, column):
    where = f"ctid = (SELECT ctid FROM {table} LIMIT 1) AND tableoid = (SELECT tableoid FROM {table} LIMIT 1)"
    with rested.sql() as connection, connection.transaction(force_rollback=True):
        connection.execute(f"UPDATE {table} SET {column} = {column} + 0.00000001 WHERE {where}")
        (found,) = tables.table_problems(rested.config, connection)
    assert found.startswith(f"I2 table {table}: ")
    assert found.endswith("; 1 rows differ")
    assert wrong_rows(rested) == []


def test_a_row_too_few_and_so_a_sum_that_differs_is_found(rested):
    with rested.sql() as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "DELETE FROM trade_events WHERE position = (SELECT min(position) FROM trade_events)"
        )
        assert next(iter(tables.table_problems(rested.config, connection))).startswith(
            "I2 table trade_events: "
        )


def test_one_digit_in_redis_is_found(rested):
    with rested.cache() as cache:
        key = f"{rested.config.topic_prefix}:latest:heatmap:BTCUSDT"
        before = cache.get(key)
        value = json.loads(before)
        digit = value["data"][0]["volume"]
        value["data"][0]["volume"] = digit[:-1] + ("1" if digit[-1] != "1" else "2")
        cache.set(key, json.dumps(value))
        (found,) = tables.cache_problems(rested.config, cache)
        assert found.startswith(f"I6 {key}: data: ")
        cache.set(key, before)
        assert list(tables.cache_problems(rested.config, cache)) == []


@contextmanager
def changed(monkeypatch, name, change):
    """The messages of a topic as read, changed by ``change`` (list -> list)."""

    def reading(config, topic, partition):
        messages = real(config, topic, partition)
        return change(list(messages)) if topic == topic_name(config.topic_prefix, *name) else messages

    real = content.each
    with monkeypatch.context() as patch:
        patch.setattr(content, "each", reading)
        patch.setattr(invariants, "each", reading)
        yield


def frames(messages):
    return [place for place, one in enumerate(messages) if dict(one.headers())["kind"] == b"ws"]


def test_one_frame_dropped_is_found_by_its_number_and_by_the_recomputation(rested, monkeypatch):
    def without_one(messages):
        places = frames(messages)
        return (
            messages[: places[len(places) // 2]] + messages[places[len(places) // 2] + 1 :]
            if places
            else messages
        )

    actual = content.read_derived(rested.config).digests
    with changed(monkeypatch, ("raw", "binance"), without_one):
        assert [one for one in invariants.read_raw(rested.config).problems if one.startswith("I1 ")]
        assert list(content.compare(content.recompute(rested.config), actual))


def test_one_trade_doubled_and_one_digit_of_a_heatmap_in_the_topic_are_found(rested):
    producer = Producer(client_settings(rested.config))
    actual = content.read_derived(rested.config, logs=rested.broker_logs)
    expected = content.recompute(rested.config)
    assert list(content.compare(expected, actual.digests)) == []
    for name in ("trade", "heatmap"):
        topic = topic_name(rested.config.topic_prefix, name)
        number = content.partitions(rested.config, topic)[0]
        last = list(content.each(rested.config, topic, number))[-1]
        headers = dict(last.headers())
        value = last.value()
        if name == "trade":  # the same trade once more, as one of a later position
            first = int(headers["position"].split(b":")[0])
            headers["position"] = b"%d:0" % (first + 1_000_000)
        else:
            value = value[:-20] + bytes((value[-20] ^ 1,)) + value[-19:]
        stamp = last.timestamp()[1]
        producer.produce(topic, value, last.key(), number, headers=list(headers.items()), timestamp=stamp)
    assert producer.flush(20) == 0
    found = content.read_derived(rested.config, logs=rested.broker_logs)
    more = {
        place: count - actual.runs[place] for place, count in found.runs.items() if count > actual.runs[place]
    }
    assert sorted((place[0], count) for place, count in more.items()) == [("heatmap", 1), ("trade", 1)]
    (doubled,) = content.compare(expected, found.digests)
    assert doubled.startswith("I2 trade: ")
    assert "not expected; 1 such" in doubled
    (differing,) = found.problems
    assert differing.startswith("I2 heatmap: a repeat of aggregate/")
