"""Pieces of topics as streams: repeats, ends, cursors, and what retention takes."""

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from COBY.runtime.kafka import make_producer
from replay.items import Cursor, merged
from replay.topic_streams import Piece, TopicStreams, Wanted
from tests.integration.sink_helpers import settings


@pytest.fixture
def topic(kafka, topic_prefix):
    """(cfg, name, write): a topic of two partitions, and a function that writes (partition, ms, source, position)."""
    cfg = settings(kafka, prefix=topic_prefix)
    name = f"{topic_prefix}.any.v1"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(name, 2, 1)], operation_timeout=10)[name].result(20)
    producer = make_producer(cfg, pytest.fail)

    def write(*rows):
        for number, ms, source, position in rows:
            headers = [("source", source.encode()), ("position", position.encode())]
            producer.produce(name, b"%d" % ms, b"K", headers, timestamp_ms=ms, partition=number)
        assert producer.flush(20) == 0

    return cfg, name, write


def read(cfg, pieces, wanted=None, cursors=None):
    """(times in the order of the replay, cursors at the end, what went)."""
    streams = TopicStreams(cfg, pieces, wanted or Wanted(), lambda: False)
    cursors = dict(cursors or {})
    try:
        streams.begin({name: cursor.place for name, cursor in cursors.items()})
        times = []
        for name, cursor, item in merged(streams.streams, cursors):
            cursors[name] = cursor
            times.append(item.time_ms)
        return times, cursors, streams.lost()
    finally:
        streams.close()


def test_two_partitions_come_by_the_time_reached_and_none_is_reordered(topic):
    cfg, name, write = topic
    write(
        (0, 100, "a", "0:0"),
        (0, 90, "a", "1:0"),
        (0, 300, "a", "2:0"),
        (1, 95, "b", "0:0"),
        (1, 250, "b", "1:0"),
    )
    pieces = [Piece(name, 0, 0, 3), Piece(name, 1, 0, 2)]
    # By hand: 95 is reached first, then 100 with 90 behind it, then 250, then 300.
    assert read(cfg, pieces)[0] == [95, 100, 90, 250, 300]
    assert read(cfg, pieces, Wanted(95, 300))[0] == [95, 100, 250]


def test_repeats_of_a_source_are_dropped_also_over_a_restart(topic):
    cfg, name, write = topic
    rows = [(0, 10 * at, "a", f"{at}:0") for at in range(1, 9)]
    write(*rows[:6], *rows[3:])
    assert read(cfg, [Piece(name, 0, 0, 11)])[0] == [10, 20, 30, 40, 50, 60, 70, 80]
    piece = Piece(name, 0, 0, 11, {"a": (5, 0)})
    times, cursors, lost = read(cfg, [piece], cursors={piece.name: Cursor(5, 50)})
    assert (times, lost) == ([60, 70, 80], [])
    assert cursors == {piece.name: Cursor(11, 80)}


def test_what_retention_takes_before_it_is_read_is_named(topic):
    cfg, name, write = topic
    write(*[(0, 10 * at, "a", f"{at}:0") for at in range(10)])
    admin = AdminClient({"bootstrap.servers": cfg.kafka_bootstrap_servers, "log_level": 0})
    admin.delete_records([TopicPartition(name, 0, 6)])[TopicPartition(name, 0)].result(20)
    times, _, lost = read(cfg, [Piece(name, 0, 2, 10)])
    assert times == [60, 70, 80, 90]
    assert lost == [f"{name}/0: from offset 2 on records went while they were read"]


def test_a_piece_without_records_ends(topic):
    cfg, name, write = topic
    write((0, 1, "a", "0:0"))
    assert read(cfg, [Piece(name, 0, 1, 1), Piece(name, 1, 0, 0)])[0] == []
