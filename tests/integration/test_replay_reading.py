"""What a consumer sees of live and replay topics on a real broker: each record once, in order, nothing passed over."""

import itertools
import threading
import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from COBY.codec import encode
from COBY.config import load_config
from COBY.records import Candle, TradeEvent
from COBY.runtime.kafka import make_producer
from COBY.runtime.reader import Reader
from COBY.runtime.reading import records
from COBY.utils.exceptions import CobyError
from tests.servers import eventually

SECONDS = 20


class Broker:
    """Writes records by hand to topics of a prefix."""

    def __init__(self, kafka, prefix):
        self.cfg = load_config({"TOPIC_PREFIX": prefix, **kafka.env})
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        self.failures = []
        self.producer = make_producer(self.cfg, self.failures.append)

    def make(self, name, partitions, **config):
        topic = f"{self.cfg.topic_prefix}.{name}.v1"
        config = {"message.timestamp.after.max.ms": str(2**63 - 1)} | config
        (made,) = self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)]).values()
        made.result(60)
        eventually(lambda: topic in self.admin.list_topics(timeout=30).topics)
        return topic

    def write(self, topic, record, headers, time_ms=1_000, partition=0, key=b"BTCUSDT"):
        value = record if isinstance(record, bytes) else encode(record)
        self.producer.produce(topic, value, key, headers, timestamp_ms=time_ms, partition=partition)

    def flush(self):
        assert (self.producer.flush(60), self.failures) == (0, [])

    def read(self, topics, count=None, timeout_seconds=1.5, **options):
        """So many records, or all until nothing comes for a while."""
        options = {"timeout_seconds": SECONDS if count else timeout_seconds} | options
        found = records(self.cfg, topics, **options)
        try:
            return list(itertools.islice(found, count))
        finally:
            found.close()


@pytest.fixture
def broker(kafka, topic_prefix):
    return Broker(kafka, topic_prefix)


def trade(number):
    return TradeEvent("BTCUSDT", "okx", 0, 0, number, 1, "buy", f"t{number}", False, False)


def live(position, source="raw.okx.v1/2"):
    return [("source", source.encode()), ("position", position.encode()), ("settings", b"00")]


def replayed(topic, run, n, position="5:0", *more):
    own = [("topic", topic.encode()), ("session", b"s1"), ("run", b"%d" % run), ("n", b"%d" % n)]
    return [*live(position), *own, *more]


def ids(found):
    return [one.record.trade_id for one in found]


def test_a_live_topic_is_read_by_source_and_position_repeats_dropped(broker):
    topic = broker.make("trade", 2)
    for position, number in (
        ("5:0", 1),
        ("5:1", 2),
        ("7:0", 3),
        ("5:0", 1),
        ("5:1", 2),
        ("7:0", 3),
        ("9:0", 4),
    ):
        broker.write(topic, trade(number), live(position), 1_000 + number)
    broker.write(topic, trade(5), live("5:1", "raw.okx.v1/3"))  # another source has its own positions
    broker.write(topic, trade(6), live("5:1"), partition=1)  # and so has another partition
    broker.flush()
    found = broker.read(topic)
    assert ids(one for one in found if one.partition == 0) == ["t1", "t2", "t3", "t4", "t5"]
    assert ids(one for one in found if one.partition == 1) == ["t6"]
    third = next(one for one in found if one.record.trade_id == "t3")
    assert third == (
        topic, b"BTCUSDT", 1_003, trade(3), "raw.okx.v1/2", (7, 0), None, None, None, False, 0, 2,
    )  # fmt: skip


def test_a_replay_is_read_by_run_and_n_through_repeats_a_zombie_and_a_seek(broker):
    origin, candles = f"{broker.cfg.topic_prefix}.trade.v1", f"{broker.cfg.topic_prefix}.ohlcv.v1"
    topic = broker.make("replay.s1", 1)
    candle = Candle("BTCUSDT", 0, "1m", 1, 1, 1, 1, 1, 1, 0, True, 0)
    scene = ("prelude", b"1")
    broker.write(topic, candle, replayed(candles, 1, 0, "4:0", scene), 900)
    for n, number in ((1, 1), (2, 2), (3, 3)):
        broker.write(topic, trade(number), replayed(origin, 1, n), 1_000 + number)
    # Its worker was killed, and another goes on from the last place saved: the same again.
    for n, number in ((2, 2), (3, 3), (4, 4)):
        broker.write(topic, trade(number), replayed(origin, 1, n), 1_000 + number)
    # A seek back to before the first; what the killed one's broker connection still held comes late.
    broker.write(topic, candle, replayed(candles, 2, 0, "4:0", scene), 900)
    broker.write(topic, trade(1), replayed(origin, 2, 1), 1_001)
    broker.write(topic, trade(5), replayed(origin, 1, 5), 1_005)
    broker.write(topic, trade(6), replayed(origin, 1, 9), 1_006)
    database = [header for header in replayed(origin, 2, 2) if header[0] not in ("source", "position")]
    broker.write(topic, trade(2), database, 1_002)
    broker.flush()
    found = broker.read(topic)
    assert [(one.run, one.n, one.prelude, one.topic, one.timestamp_ms, one.offset) for one in found] == [
        (1, 0, True, candles, 900, 0),
        (1, 1, False, origin, 1_001, 1),
        (1, 2, False, origin, 1_002, 2),
        (1, 3, False, origin, 1_003, 3),
        (1, 4, False, origin, 1_004, 6),
        (2, 0, True, candles, 900, 7),
        (2, 1, False, origin, 1_001, 8),
        (2, 2, False, origin, 1_002, 11),
    ]
    assert {one.session for one in found} == {"s1"}
    assert [one.record for one in found] == [
        candle, *map(trade, (1, 2, 3, 4)), candle, trade(1), trade(2),
    ]  # fmt: skip
    assert [(one.source, one.position) for one in found[-2:]] == [("raw.okx.v1/2", (5, 0)), (None, None)]


def test_several_topics_are_read_by_one(broker):
    one, other = broker.make("trade", 1), broker.make("replay.s2", 1)
    broker.write(one, trade(1), live("5:0"))
    broker.write(other, trade(1), replayed(one, 1, 0))
    broker.flush()
    assert sorted((each.topic, each.session or "") for each in broker.read([one, other], 2)) == [
        (one, ""), (one, "s1"),
    ]  # fmt: skip


def test_newest_begins_with_what_comes_after_the_call(broker):
    topic = broker.make("trade", 1)
    broker.write(topic, trade(1), live("1:0"))
    broker.flush()
    found = records(broker.cfg, topic, start="newest", timeout_seconds=SECONDS)
    broker.write(topic, trade(2), live("2:0"))  # before anything was asked of the iterator
    broker.flush()
    assert next(found).record == trade(2)
    found.close()


def test_one_goes_on_from_offsets_and_positions_that_were_saved(broker):
    topic = broker.make("trade", 2)
    for number in (1, 2, 3):
        broker.write(topic, trade(number), live(f"{number}:0"))
    broker.write(topic, trade(9), live("1:0"), partition=1)
    broker.flush()
    reader = Reader()
    first = broker.read(topic, 4, reader=reader)
    saved = reader.save(topic, 0)
    for number in (2, 3, 4):  # a stream worker begins anew at its snapshot
        broker.write(topic, trade(number), live(f"{number}:0"))
    broker.flush()
    later = Reader()
    later.load(topic, 0, saved)
    after = max(one.offset for one in first if one.partition == 0) + 1
    found = broker.read(topic, reader=later, start={(topic, 0): after})
    assert sorted(ids(found)) == ["t4", "t9"]  # partition 1 was not named: from its oldest


def test_it_waits_for_more_and_ends_when_stopped(broker):
    topic = broker.make("trade", 1)
    stop = threading.Event()
    found = []

    def read():
        found.extend(one.record for one in records(broker.cfg, topic, stopped=stop.is_set))

    thread = threading.Thread(target=read)
    thread.start()
    for number in (1, 2):
        broker.write(topic, trade(number), live(f"{number}:0"))
        broker.flush()
        end = time.monotonic() + SECONDS
        while len(found) < number and time.monotonic() < end:
            time.sleep(0.02)
    stop.set()
    thread.join(SECONDS)
    assert (thread.is_alive(), found) == (False, [trade(1), trade(2)])


def test_it_stops_within_what_has_come_already(broker):
    topic = broker.make("trade", 1)
    for number in range(100):
        broker.write(topic, trade(number), live(f"{number}:0"))
    broker.flush()
    found = []
    iterator = records(broker.cfg, topic, stopped=lambda: len(found) == 3, timeout_seconds=SECONDS)
    found.extend(iterator)
    assert ids(found) == ["t0", "t1", "t2"]


def test_what_cannot_be_used_is_handed_over_or_raised_with_its_place(broker):
    topic = broker.make("trade", 1)
    broker.write(topic, trade(1), live("1:0"))
    broker.write(topic, b"no record", live("2:0"))
    broker.write(topic, trade(3), [])
    broker.write(topic, trade(4), live("4:0"))
    broker.flush()
    told = []
    found = broker.read(topic, 2, unusable=lambda message, error: told.append((message.offset(), error.code)))
    assert (ids(found), told) == (["t1", "t4"], [(1, "codec.format"), (2, "reader.no_position")])
    with pytest.raises(CobyError) as caught:
        broker.read(topic, 2)
    assert (caught.value.code, caught.value.where) == ("codec.format", f"{topic}/0 offset 1")


def test_records_that_are_gone_are_an_error_and_no_hole(broker):
    topic = broker.make("trade", 1)
    for number in range(5):
        broker.write(topic, trade(number), live(f"{number}:0"))
    broker.flush()
    (gone,) = broker.admin.delete_records([TopicPartition(topic, 0, 3)]).values()
    gone.result(60)
    assert ids(broker.read(topic, 2)) == ["t3", "t4"]  # the oldest is what is there
    for offset in (1, 6):
        with pytest.raises(CobyError, match=r"replay\.offsets"):
            broker.read(topic, 1, start={(topic, 0): offset})


def test_a_topic_that_is_not_there_is_an_error(broker):
    with pytest.raises(CobyError, match=r"topics\.missing.*\.nosuch\.v1"):
        broker.read(f"{broker.cfg.topic_prefix}.nosuch.v1", 1)
