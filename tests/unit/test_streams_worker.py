"""Which chunks the worker takes, and what it does about holes. The consumer here records what is asked of it."""

import time
from typing import NamedTuple

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from COBY.runtime.metrics import BLIND, LIVE, NOT_LISTED, Metrics
from COBY.stage import StoredRecord
from COBY.utils.exceptions import BrokerError
from streams.chunks import Chunk
from streams.counting import Shown, count, snapshot_age
from streams.saving import Reader, Source
from streams.worker import TaskFailedError, Worker

PLACE = TP("t.raw.x.v1", 0)


class CountingTask:
    """Notes the offsets it is given; raises at 13."""

    def __init__(self, partition, next_offset=None):
        self.next_offset = next_offset
        self.seen = []
        self.totals = {}

    def process(self, records):
        for record in records:
            if record.offset == 13:
                raise ValueError("thirteen")
            self.seen.append(record.offset)
            self.next_offset = record.offset + 1
        return []

    def counters(self):
        return self.totals


class RecordingConsumer:
    """Positions as streams.transport.Consumer keeps them, and how often it was told to seek."""

    def __init__(self, worker, oldest=0, end=1000):
        self.worker, self.oldest, self.end = worker, oldest, end
        self.epoch, self.seeks = 0, []

    async def earliest_offsets(self, *tps):
        return dict.fromkeys(tps, self.oldest)

    async def perform_seek(self):
        self.epoch += 1
        self.seeks.append(await self.worker.start_offsets({PLACE: (self.oldest, self.end)}))


class AppOf(NamedTuple):
    consumer: RecordingConsumer


class Event:
    """What the worker uses of Faust's."""

    def __init__(self, consumer, *offsets, epoch=None):
        records = [StoredRecord(offset, 0, b"", b"", ()) for offset in offsets]
        self.value = Chunk(PLACE, consumer.epoch if epoch is None else epoch, records)
        self.app = AppOf(consumer)
        self.acked = False

    def ack(self):
        self.acked = True


class Direct:
    """An outbox whose outputs are confirmed at once."""

    async def send(self, stage, outputs, done):
        done()


class Saver:
    """Tasks start where they say themselves, else at the oldest record; notes what it is asked to save."""

    def __init__(self):
        self.saved = []

    async def restore(self, wanted, bounds):
        readers = {}
        for tp, source in wanted.items():
            task = source.make_task(tp.partition)
            readers[tp] = Reader(source, task, task.next_offset or bounds[tp][0], bounds[tp][0])
        return readers

    async def save(self, tp, reader):
        self.saved.append((tp, reader.next_offset))
        reader.saved = reader.next_offset


@pytest.fixture
async def world():
    metrics = Metrics(CollectorRegistry())
    worker = Worker({PLACE.topic: Source("normalize", "x", CountingTask)}, Direct(), metrics, Saver())
    consumer = RecordingConsumer(worker)
    await consumer.perform_seek()
    return worker, consumer, metrics


async def take(worker, consumer, *offsets, **more):
    event = Event(consumer, *offsets, **more)
    await worker.take(event)
    return event.acked


async def test_older_records_are_cut_off(world):
    worker, consumer, _ = world
    assert await take(worker, consumer, 0, 1, 2)
    assert await take(worker, consumer, 1, 2, 3)
    assert await take(worker, consumer, 2, 3)
    assert worker.readers[PLACE].task.seen == [0, 1, 2, 3]


async def test_a_chunk_fetched_before_a_seek_is_ignored_and_not_acked(world):
    worker, consumer, _ = world
    assert not await take(worker, consumer, 0, 1, epoch=consumer.epoch - 1)
    assert worker.readers[PLACE].task.seen == []


async def test_a_hole_at_the_head_is_retention_and_the_task_goes_on(world):
    worker, consumer, _ = world
    assert await take(worker, consumer, 0, 1)
    consumer.oldest = 50
    assert await take(worker, consumer, 50, 51)
    assert worker.readers[PLACE].task.seen == [0, 1, 50, 51]
    assert len(consumer.seeks) == 1


@pytest.mark.parametrize("offsets", [(5, 6), (2, 4)])
async def test_any_other_hole_begins_the_task_again(world, offsets):
    worker, consumer, _ = world
    first = worker.readers[PLACE].task
    assert await take(worker, consumer, 0, 1)
    assert not await take(worker, consumer, *offsets)
    assert consumer.seeks[-1] == {PLACE: 0}
    assert worker.readers[PLACE].task is not first
    assert await take(worker, consumer, 0, 1, 2)
    assert worker.readers[PLACE].task.seen == [0, 1, 2]
    assert not worker.failed.done()


async def test_the_same_hole_again_ends_the_process(world):
    worker, consumer, _ = world
    for _ in range(2):
        assert await take(worker, consumer, 0, 1)
        assert not await take(worker, consumer, 5)
    with pytest.raises(BrokerError, match=r"kafka\.hole: .*at t\.raw\.x\.v1/0"):
        await worker.failed


async def test_a_task_that_raises_fails_the_worker_which_takes_nothing_more(world):
    worker, consumer, _ = world
    assert await take(worker, consumer, *range(13))
    assert not await take(worker, consumer, 13)
    with pytest.raises(TaskFailedError, match="thirteen"):
        await worker.failed
    assert not await take(worker, consumer, 13, 14)


async def test_positions_are_the_tasks_own(world):
    worker, consumer, _ = world
    assert consumer.seeks == [{PLACE: 0}]
    await take(worker, consumer, *range(7))
    await consumer.perform_seek()
    assert consumer.seeks[-1] == {PLACE: 7}
    assert worker.readers[PLACE].task.seen == list(range(7))


async def test_reading_starts_at_the_oldest_record_there_is(world):
    worker, consumer, _ = world
    worker.keep(set())
    assert worker.readers == {}
    consumer.oldest = 20
    await consumer.perform_seek()
    assert consumer.seeks[-1] == {PLACE: 20}
    assert await take(worker, consumer, 20, 21)


async def test_a_task_made_from_a_snapshot_says_where_it_begins():
    def loaded(partition):
        return CountingTask(partition, next_offset=40)

    sources = {PLACE.topic: Source("normalize", "x", loaded)}
    worker = Worker(sources, Direct(), Metrics(CollectorRegistry()), Saver())
    assert await worker.start_offsets({PLACE: (10, 90)}) == {PLACE: 40}
    assert await worker.start_offsets({PLACE: (60, 90)}) == {PLACE: 60}, "retention took what comes before"


async def test_every_task_is_saved_and_says_how_far(world):
    worker, consumer, _ = world
    await take(worker, consumer, 0, 1, 2)
    assert worker.saved_offset(PLACE) is None
    await worker.save()
    assert worker.saved_offset(PLACE) == 3
    assert worker.saved_offset(TP("t.raw.x.v1", 1)) is None


async def test_a_task_that_raised_is_not_saved(world):
    worker, consumer, _ = world
    await take(worker, consumer, *range(14))
    with pytest.raises(TaskFailedError):
        await worker.failed
    await worker.save()
    assert worker.saved_offset(PLACE) is None


async def test_a_topic_made_anew_is_read_from_its_start(world):
    worker, consumer, _ = world
    await take(worker, consumer, *range(7))
    consumer.end = 3
    await consumer.perform_seek()
    assert consumer.seeks[-1] == {PLACE: 0}
    assert worker.readers[PLACE].task.seen == []


async def test_metrics_grow_by_what_the_tasks_counted_since(world):
    worker, _, metrics = world
    reader = worker.readers[PLACE]

    def shown(name, **labels):
        return metrics.registry.get_sample_value(name, labels)

    totals = {("frames", "ws"): 10, ("frames", "http"): 2, ("rejected", "c"): 1, ("gaps", "S", "r"): 3}
    reader.task.totals = totals | {("clock_skew",): 4, ("ticks", "S", "live"): 5}
    count(reader, metrics)
    reader.task.totals = totals | {("frames", "ws"): 11, ("clock_skew",): 4, ("ticks", "S", "live"): 5}
    count(reader, metrics)
    assert shown("coby_frames_total", exchange="x") == 13
    assert shown("coby_rejected_total", exchange="x", code="c") == 1
    assert shown("coby_dead_letters_total", stage="normalize", code="c") == 1
    assert shown("coby_gaps_total", exchange="x", symbol="S", reason="r") == 3
    assert shown("coby_clock_skew_total", exchange="x") == 4
    assert shown("coby_book_state", exchange="x", symbol="S") == LIVE
    reader.task.totals = {("ticks", "S", "live"): 6, ("ticks", "S", "blind"): 1}
    count(reader, metrics)
    assert shown("coby_book_state", exchange="x", symbol="S") == BLIND
    reader.task.totals = reader.task.totals | {("ticks", "S", "not_listed"): 3}
    count(reader, metrics)
    assert shown("coby_book_state", exchange="x", symbol="S") == NOT_LISTED, "nothing to repair"


async def test_metrics_of_quality_come_with_its_records_in_seconds(world):
    worker, _, metrics = world
    reader = worker.readers[PLACE]
    reader.task.totals = {
        ("quality", "events", "S"): 90,
        ("quality", "checksum_failures", "S"): 2,
        ("quality", "crossed_us", "S"): 1_500_000,
        ("quality", "blind_us", "S"): 2_000_000,
    }
    count(reader, metrics)
    book = {"exchange": "x", "symbol": "S"}
    shown = metrics.registry.get_sample_value
    assert shown("coby_events_total", book) == 90
    assert shown("coby_checksum_failures_total", book) == 2
    assert shown("coby_crossed_seconds_total", book) == 1.5
    assert shown("coby_blind_seconds_total", book) == 2.0


async def test_the_delay_of_an_exchange_is_told_as_the_mean_of_a_second(world):
    worker, _, metrics = world
    reader = worker.readers[PLACE]
    reader.task.totals = {("trades", "S"): 3, ("trades", "R"): 1, ("delay_us",): 400_000}
    count(reader, metrics)
    reader.task.totals = {("trades", "S"): 5, ("trades", "R"): 1, ("delay_us",): 300_000}
    count(reader, metrics)  # an exchange whose clock is ahead: no less than nothing
    shown, receive = metrics.registry.get_sample_value, {"hop": "receive"}
    assert shown("coby_hop_latency_seconds_count", receive) == 2
    assert shown("coby_hop_latency_seconds_sum", receive) == pytest.approx(0.1)


async def test_a_chunk_tells_how_old_its_first_record_was(world):
    worker, consumer, metrics = world
    before = time.time()
    await take(worker, consumer, 0, 1, 2)
    seconds = metrics.registry.get_sample_value("coby_hop_latency_seconds_sum", {"hop": "normalize"})
    assert before - 10 <= seconds <= time.time(), "its records are of 1970"


async def test_a_book_that_went_to_another_worker_is_blind_here(world):
    worker, _, metrics = world
    worker.readers[PLACE].task.totals = {("ticks", "S", "live"): 5}
    counted, book = Shown(), {"exchange": "x", "symbol": "S"}
    counted.count(list(worker.readers.items()), metrics, 0.0)
    assert metrics.registry.get_sample_value("coby_book_state", book) == LIVE
    counted.count([], metrics, 0.0)
    assert metrics.registry.get_sample_value("coby_book_state", book) == BLIND


async def test_the_age_of_snapshots_is_that_of_the_oldest_that_is_missing_something(world):
    worker, consumer, _ = world
    reader = worker.readers[PLACE]
    reader.saved_at = 100.0
    assert snapshot_age("normalize", [reader], 130.0) == 30.0, "never saved"
    await take(worker, consumer, 0, 1, 2)
    await worker.save()
    assert snapshot_age("normalize", [reader], time.monotonic() + 60) == 0.0, "all of it is saved"
    await take(worker, consumer, 3)
    assert snapshot_age("normalize", [reader], reader.saved_at + 7) == 7.0
    assert snapshot_age("aggregate", [reader], 130.0) == 0.0
