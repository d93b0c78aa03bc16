"""A worker that starts again: from which snapshot, and what then comes out. The task is an echo that counts, so that a
state lost, loaded twice or loaded from the wrong place shows in its outputs.
"""

import signal
import time
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from COBY.runtime.kafka import apply_topics
from COBY.snapshots import FORM, Snapshot, key, pack, unpack
from COBY.topics import PARTITIONS, partition_of
from tests.integration.test_streams_echo import bench, end_of, expected, places, until

__all__ = ["bench"]  # the fixture

TASK = ("normalize", "raw.binance.v1", 0)


def kill(worker):
    worker.send_signal(signal.SIGKILL)
    assert end_of(worker) == -signal.SIGKILL


def snapshots(bench, kind="state"):
    """The task's snapshots in Kafka, in the order written."""
    topic = f"{bench.prefix}.{kind}.normalize.v1"
    consumer = Consumer({"bootstrap.servers": bench.servers, "group.id": f"{bench.prefix}-look"})
    places_of = [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
    left = sum(consumer.get_watermark_offsets(place)[1] for place in places_of)
    consumer.assign(places_of)
    found = []
    while left > 0:
        for record in consumer.consume(left, 10):
            assert record.error() is None
            left -= 1
            found.append((record.timestamp()[1], unpack(record.value())))
    consumer.close()
    return [one for _, one in sorted(found, key=lambda item: item[1].number) if one.task == TASK]


def put(bench, value, snapshot, kind="state"):
    """Write these bytes where that snapshot would be."""
    producer = Producer({"bootstrap.servers": bench.servers, "message.max.bytes": 32 << 20})
    topic, name = f"{bench.prefix}.{kind}.normalize.v1", key(snapshot)
    producer.produce(topic, value, name, partition=partition_of(name, PARTITIONS))
    assert producer.flush(60) == 0


def starts(bench):
    """Where each process began on partition 0, by pid."""
    first = {}
    for pid, source, _, _, offset, _ in bench.chunks():
        if source == "binance/0":
            first.setdefault(pid, offset)
    return first


def distinct(outputs):
    """Repeats dropped by position; a repeat that is not identical is a failure."""
    seen = {}
    for offset, value in places(outputs):
        assert seen.setdefault(offset, value) == value, offset
    return sorted(seen.items())


def test_a_killed_worker_goes_on_from_its_last_snapshot_with_the_same_outputs(bench):
    values = [b"%d" % at for at in range(9_000)]
    bench.write(0, values[:6_000])
    with bench.worker() as worker:
        until(lambda: (bench.committed()[0] or 0) > 0)
        kill(worker)
    saved = snapshots(bench)[-1].next_offset
    assert bench.committed()[0] <= saved, "no more is committed than is saved"
    bench.write(0, values[6_000:])
    with bench.worker() as worker:
        until(lambda: bench.committed()[0] == 9_000)
        assert starts(bench)[worker.pid] == saved
    assert distinct(bench.outputs()["binance/0"]) == expected(values)


def test_each_number_is_written_under_its_key_and_the_hour_s_first_is_a_checkpoint(bench):
    with bench.worker():
        for round_ in range(5):
            bench.write(0, [b"x"] * 10)
            until(lambda end=10 * (round_ + 1): bench.committed()[0] == end)
    found = snapshots(bench)
    assert [one.next_offset for one in found] == sorted({one.next_offset for one in found})
    assert [one.number for one in found] == list(range(len(found)))
    assert len(found) >= 5
    assert 1 <= len(snapshots(bench, "checkpoint")) <= 2, "two if an hour began just now"


def test_damaged_snapshots_are_told_and_an_older_one_is_taken(bench):
    values = [b"%d" % at for at in range(600)]
    bench.write(0, values[:300])
    with bench.worker() as worker:
        until(lambda: bench.committed()[0] == 300)
        kill(worker)
    bench.write(0, values[300:])
    last = snapshots(bench)[-1]
    ahead = [msgspec.structs.replace(last, number=last.number + step, next_offset=600) for step in range(4)]
    value = pack(ahead[0])
    put(bench, value[: len(value) // 2], ahead[0])
    put(bench, value[:60] + bytes((value[60] ^ 4,)) + value[61:], ahead[1])
    put(bench, value[:8] + bytes((FORM + 1,)) + value[9:], ahead[2])
    put(bench, pack(msgspec.structs.replace(ahead[3], state=b"no state at all")), ahead[3])
    with bench.worker() as worker:
        until(lambda: bench.committed()[0] == 600)
        assert starts(bench)[worker.pid] == 300
        told = Path(worker.log).read_text()
    assert told.count("snapshot_unusable") == 4
    assert all(code in told for code in ("snapshot.checksum", "snapshot.form", "JSONDecodeError"))
    assert distinct(bench.outputs()["binance/0"]) == expected(values)


@pytest.mark.parametrize("checkpoint", [True, pytest.param(False, marks=pytest.mark.long)])
def test_with_nothing_usable_a_checkpoint_is_the_start_and_else_the_oldest_record(bench, checkpoint):
    values = [b"%d" % at for at in range(400)]
    bench.write(0, values)
    with bench.worker() as worker:
        until(lambda: bench.committed()[0] == 400)
        kill(worker)
    written = snapshots(bench, "checkpoint")
    make_anew(bench, ["state"] if checkpoint else ["state", "checkpoint"])
    put(bench, b"broken", Snapshot(*TASK, 0, 0, "", b""))
    bench.write(0, [b"400"])
    with bench.worker() as worker:
        until(lambda: worker.pid in starts(bench))
        assert starts(bench)[worker.pid] == (written[-1].next_offset if checkpoint else 0)
        until(lambda: len(distinct(bench.outputs()["binance/0"])) == 401)
    assert distinct(bench.outputs()["binance/0"]) == expected([*values, b"400"])


def make_anew(bench, kinds):
    """Empty topics of these kinds: what lies in a compacted one can't be deleted."""
    names = [f"{bench.prefix}.{kind}.normalize.v1" for kind in kinds]
    for done in bench.admin.delete_topics(names).values():
        done.result(60)
    until(lambda: not set(names) & set(bench.admin.list_topics(timeout=30).topics))
    apply_topics(bench.cfg)


def test_a_worker_stopped_and_continued_can_skip_nothing(bench):
    """The zombie: it was stopped while another took over, goes on, and writes its older snapshot last."""
    values = [b"%d" % at for at in range(3_000)]
    bench.write(0, values[:1_000])
    with bench.worker() as first:
        until(lambda: bench.committed()[0] == 1_000)
        bench.write(0, values[1_000:1_200])
        until(lambda: len(bench.outputs().get("binance/0", ())) >= 1_100)
        first.send_signal(signal.SIGSTOP)
        try:
            with bench.worker() as second:
                until(lambda: (bench.committed()[0] or 0) >= 1_200, 90)
                bench.write(0, values[1_200:2_500])
                until(lambda: bench.committed()[0] == 2_500, 90)
                newest = snapshots(bench)[-1]
                # What the first one wrote when it went on: a state of long ago, under a number that comes next.
                old = snapshots(bench)[0]
                put(bench, pack(msgspec.structs.replace(old, number=newest.number + 1)), newest)
                first.send_signal(signal.SIGCONT)
                time.sleep(3)
                kill(second)
        finally:
            first.send_signal(signal.SIGCONT)
            kill(first)
    bench.write(0, values[2_500:])
    with bench.worker() as third:
        until(lambda: bench.committed()[0] == 3_000, 90)
        assert starts(bench)[third.pid] <= 2_500
    assert distinct(bench.outputs()["binance/0"]) == expected(values)
