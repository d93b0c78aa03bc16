"""The clock writes marks into every partition of a real Kafka."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from confluent_kafka import Producer as KafkaProducer

from COBY.config import Config
from producers.clock import tick_tock
from tests.producer_world import Raw, configured, read_topic
from tests.servers import KafkaServer
from tests.waiting import until

GRID_NS = 100_000_000


@contextmanager
def clock(cfg: Config) -> Iterator[None]:
    stop = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            tick_tock(cfg, stop)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
    assert not failures


def marks_by_partition(kafka: KafkaServer, prefix: str, exchange: str = "binance") -> list[list[Raw]]:
    records = read_topic(kafka.bootstrap_servers, f"{prefix}.raw.{exchange}.v1")
    return [[record for record in records if record.partition == number] for number in range(4)]


async def test_marks_come_at_each_grid_point_into_every_partition(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix, UPDATE_FREQUENCY="0.1")
    started = time.time_ns()
    with clock(cfg):
        await until(lambda: all(marks_by_partition(kafka, topic_prefix)), 30)
        await until(lambda: all(len(marks) >= 20 for marks in marks_by_partition(kafka, topic_prefix)), 60)
    ended = time.time_ns()
    for marks in marks_by_partition(kafka, topic_prefix):
        times = [mark.received_ns for mark in marks]
        assert times == sorted(set(times))
        assert all(at % GRID_NS == 0 for at in times)
        assert started - GRID_NS <= times[0] < times[-1] <= ended
        # a machine too busy for a grid point leaves it out; a clock that drifts would leave out many
        assert sum(after - before == GRID_NS for before, after in pairwise(times)) > len(times) / 2
        for mark in marks:
            assert mark.headers == [
                ("received_ns", str(mark.received_ns)),
                ("conn", "clock"),
                ("seq", "0"),
                ("kind", "mark"),
            ]
            assert (mark.key, mark.value) == (b"clock", b"")
            assert mark.timestamp_ms == mark.received_ns // 1_000_000


@pytest.mark.long
async def test_a_clock_never_writes_a_mark_older_than_the_last_one_there(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix, UPDATE_FREQUENCY="0.1")
    ahead = (time.time_ns() // GRID_NS + 80) * GRID_NS
    producer = KafkaProducer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    headers = [("received_ns", str(ahead)), ("conn", "clock"), ("seq", "0"), ("kind", "mark")]
    options = {"headers": headers, "partition": 2, "timestamp": ahead // 1_000_000}
    producer.produce(f"{topic_prefix}.raw.binance.v1", b"", b"clock", **options)
    producer.flush(10)
    with clock(cfg):
        time.sleep(max(0.0, (ahead - time.time_ns()) / 1e9) + 1)
    partitions = marks_by_partition(kafka, topic_prefix)
    times = [mark.received_ns for mark in partitions[2]]
    assert times[0] == ahead
    assert len(times) > 3
    assert times == sorted(set(times))
    assert partitions[1][0].received_ns < ahead


async def test_of_two_clocks_at_once_either_may_end(kafka, topic_prefix):
    cfg = configured(kafka.env, topic_prefix, UPDATE_FREQUENCY="0.1")
    with clock(cfg):
        with clock(cfg):
            # one T twice: both write at the same grid points
            await until(lambda: all(twice(marks) for marks in marks_by_partition(kafka, topic_prefix)), 60)
        ended_ns = time.time_ns()
        await until(
            lambda: all(
                len(since(marks, ended_ns)) >= 5 for marks in marks_by_partition(kafka, topic_prefix)
            ),
            60,
        )
    for marks in marks_by_partition(kafka, topic_prefix):
        times = sorted({mark.received_ns for mark in marks})
        assert all(at % GRID_NS == 0 for at in times)
        # see above: only a machine too busy leaves points out, the end of one clock does not
        assert sum(after - before == GRID_NS for before, after in pairwise(times)) > len(times) / 2
        assert len(since(marks, ended_ns)) == len(set(since(marks, ended_ns)))


def twice(marks: list[Raw]) -> bool:
    """Whether any T came from both clocks."""
    return len({mark.received_ns for mark in marks}) < len(marks)


def since(marks: list[Raw], at_ns: int) -> list[int]:
    return [mark.received_ns for mark in marks if mark.received_ns > at_ns]


@pytest.mark.long
async def test_after_a_pause_of_kafka_only_the_newest_grid_point_follows(kafka, topic_prefix):
    if kafka.server is None:
        pytest.skip("a broker in a container is not paused")
    cfg = configured(kafka.env, topic_prefix, UPDATE_FREQUENCY="0.1")
    with clock(cfg):
        await until(lambda: all(marks_by_partition(kafka, topic_prefix)), 30)
        kafka.server.pause()
        try:
            time.sleep(3)
        finally:
            kafka.server.resume()
        time.sleep(2)
    for marks in marks_by_partition(kafka, topic_prefix):
        times = [mark.received_ns for mark in marks]
        assert times == sorted(set(times))
        assert max(after - before for before, after in pairwise(times)) > 2_500_000_000
