"""One worker, a task that echoes: order, limits, commits, the exit. Also the program the other streams tests start.

python -m tests.integration.test_streams_echo       # a streams process with EchoTask; settings as usual
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from COBY.config import load_config
from COBY.runtime.kafka import apply_topics
from COBY.stage import Output, header, parse_position, position_headers
from deploy.local.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
POISON, HUGE = b"poison", b"huge"


class EchoTask:
    """Every ``every``-th record comes out as count, length and hash; POISON raises, HUGE comes out too large."""

    def __init__(self, source, every=1, log=None):
        self.next_offset = None
        self.source, self.every, self.log = source, every, log
        self.count = self.chunks = 0

    def process(self, records):
        if self.log:
            self.chunks += 1
            if str(self.chunks) == os.environ.get("ECHO_TERM_AT"):
                os.kill(os.getpid(), signal.SIGTERM)
            size = sum(len(record.value or b"") + len(record.key or b"") for record in records)
            line = (os.getpid(), self.source, len(records), size, records[0].offset, records[0].timestamp)
            self.log.write(" ".join(map(str, line)) + "\n")
        outputs = []
        for record in records:
            self.next_offset = record.offset + 1
            self.count += 1
            if record.value == POISON:
                raise RuntimeError("the task met poison")
            if self.every and record.offset % self.every == 0:
                outputs.append(self.echo(record))
        return outputs

    def echo(self, record):
        headers = position_headers(self.source.encode(), record.offset, 0, b"test")
        value = bytes(40 << 20) if record.value == HUGE else echo_of(record.value, self.count)
        return Output("trade", record.key or b"", value, record.timestamp, headers)

    def save(self):
        return json.dumps([self.next_offset, self.count]).encode()

    def load(self, state):
        self.next_offset, self.count = json.loads(state)

    def counters(self):
        return {("frames", "ws"): self.count}


def echo_of(value, count):
    """What EchoTask makes of the count-th record."""
    digest = "null" if value is None else f"{len(value)} {sha256(value).hexdigest()}"
    return f"{count} {digest}".encode()


def program():
    """The streams process of these tests: ECHO_LOG is the file chunks are told to, ECHO_EVERY the share of outputs;
    ECHO_TERM_AT the number of the chunk at which a task has its own process stopped."""
    from streams.service import launch

    log = Path(os.environ["ECHO_LOG"]).open("a", buffering=1)  # noqa: SIM115  # as long as the process
    every = int(os.environ.get("ECHO_EVERY", "1"))

    def factories(cfg):
        return (
            lambda exchange, partition: EchoTask(f"{exchange}/{partition}", every, log),
            lambda partition: EchoTask(f"book/{partition}", 0, log),
        )

    launch(factories, os.environ.get("ECHO_STAGE", "all"))


class Bench:
    """A prefix with its topics, and what one does to them."""

    def __init__(self, kafka, prefix, folder):
        self.prefix, self.folder = prefix, folder
        self.env = {
            **kafka.env,
            "TOPIC_PREFIX": prefix,
            "EXCHANGES": "binance",
            "LOG_FILE": "-",
            "SNAPSHOT_INTERVAL": "0.3",
            "ECHO_LOG": str(folder / "chunks.log"),
        }
        self.servers = kafka.bootstrap_servers
        self.raw, self.book = f"{prefix}.raw.binance.v1", f"{prefix}.book.v1"
        self.cfg = load_config(self.env)
        apply_topics(self.cfg)
        settings = {
            "message.max.bytes": 32 << 20,
            "linger.ms": 5,
            "enable.idempotence": True,
            "compression.type": "lz4",
        }
        self.producer = Producer({"bootstrap.servers": self.servers, **settings})
        self.admin = AdminClient({"bootstrap.servers": self.servers})
        # Only asks, never joins. A broker just started has no group coordinator, and an AdminClient that asks for
        # groups then waits in vain and crashes the process when it is freed (librdkafka); a consumer waits rightly.
        self.reader = Consumer({"bootstrap.servers": self.servers, "group.id": f"{prefix}-streams"})
        until(self._answers)

    def _answers(self):
        """The first coordinator that is named may not be one yet."""
        try:
            return self.committed() is not None
        except KafkaException:
            return False

    def write(self, partition, values, topic=None, timestamps=None):
        for at, value in enumerate(values):
            stamp = {"timestamp": timestamps[at]} if timestamps else {}
            while True:
                try:
                    self.producer.produce(topic or self.raw, value, b"key", partition=partition, **stamp)
                    break
                except BufferError:
                    self.producer.poll(0.1)
        assert self.producer.flush(60) == 0

    @contextmanager
    def worker(self, **env):
        """A streams process; killed at the end if it still runs."""
        log = (self.folder / f"worker-{time.monotonic_ns()}.log").open("wb")
        command = [sys.executable, "-m", "tests.integration.test_streams_echo"]
        with (
            log,
            subprocess.Popen(
                command, env={**os.environ, **self.env, **env}, cwd=REPOSITORY, stdout=log, stderr=log
            ) as process,
        ):
            process.log = log.name
            try:
                yield process
            finally:
                process.kill()

    def chunks(self):
        """What the tasks were given: (pid, source, records, bytes, first offset, first time)."""
        path = Path(self.env["ECHO_LOG"])
        lines = path.read_text().splitlines() if path.exists() else []
        found = [line.split() for line in lines if re.fullmatch(r"(\S+ ){5}\S+", line)]
        return [(int(pid), source, *map(int, rest)) for pid, source, *rest in found]

    def committed(self, topic=None, partitions=4):
        """Committed offsets, None where there is none."""
        wanted = [TopicPartition(topic or self.raw, partition) for partition in range(partitions)]
        found = self.reader.committed(wanted, timeout=30)
        return [None if place.offset < 0 else place.offset for place in found]

    def outputs(self):
        """Source -> its outputs as read, in order: [(offset, value, key, timestamp)]."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": f"{self.prefix}-test"})
        topic = f"{self.prefix}.trade.v1"
        ends = {part: consumer.get_watermark_offsets(TopicPartition(topic, part))[1] for part in range(12)}
        consumer.assign([TopicPartition(topic, part, 0) for part in range(12)])
        found, left = defaultdict(list), sum(ends.values())
        while left > 0:
            for record in consumer.consume(min(left, 1000), 10):
                assert record.error() is None
                left -= 1
                source = header(record.headers(), "source").decode()
                offset, _ = parse_position(header(record.headers(), "position"))
                found[source].append((offset, record.value(), record.key(), record.timestamp()[1]))
        consumer.close()
        return dict(found)


def until(ask, seconds=90.0):
    """Wait until the answer is true, and return it."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"not so within {seconds} s; last answer {answer!r}"
        time.sleep(0.2)
    return answer


def end_of(process, seconds=90):
    """The exit code."""
    return process.wait(seconds)


@pytest.fixture
def bench(kafka, topic_prefix, tmp_path):
    made = Bench(kafka, topic_prefix, tmp_path)
    yield made
    made.reader.close()


def expected(values, first=0):
    """The echoes of a partition's values."""
    return [(first + at, echo_of(value, at + 1)) for at, value in enumerate(values)]


def places(outputs):
    return [(offset, value) for offset, value, _, _ in outputs]


def test_each_record_is_processed_once_in_order_whatever_it_holds(bench):
    values = {part: [b"%d-%d" % (part, at) for at in range(1200 + part)] for part in range(4)}
    values[1][700] = None
    values[2][3] = b"x" * 5_000_000
    values[3][10] = b""
    for part in range(4):
        bench.write(part, values[part])
    port = free_port()
    with bench.worker(METRICS_PORT=str(port)) as worker:
        ends = [len(values[part]) for part in range(4)]
        until(lambda: bench.committed() == ends)
        outputs = bench.outputs()
        assert {source: places(found) for source, found in outputs.items()} == {
            f"binance/{part}": expected(values[part]) for part in range(4)
        }
        assert outputs["binance/0"][0][2] == b"key"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready") as answer:
            assert json.load(answer)["checks"][0]["text"] == "16 partitions"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        assert f'coby_records_total{{stage="normalize"}} {sum(ends)}.0' in text
        assert f'coby_frames_total{{exchange="binance"}} {sum(ends)}.0' in text
        worker.send_signal(signal.SIGTERM)
        assert end_of(worker) == 0
    assert bench.committed() == ends


def test_a_chunk_holds_at_most_500_records_or_a_mebibyte(bench):
    bench.write(0, [b"s" * 100] * 1700)
    bench.write(1, [b"m" * 10_000] * 1000)
    bench.write(2, [b"l" * 3_000_000] * 3)
    with bench.worker():
        until(lambda: bench.committed()[:3] == [1700, 1000, 3])
    sizes = defaultdict(list)
    for _, source, records, size, _, _ in bench.chunks():
        sizes[source].append((records, size))
    assert sizes["binance/2"] == [(1, 3_000_003)] * 3
    for source in ("binance/0", "binance/1"):
        assert all(records <= 500 and size <= 1 << 20 for records, size in sizes[source])
    assert max(records for records, _ in sizes["binance/0"]) == 500
    assert max(size for _, size in sizes["binance/1"]) == 104 * 10_003


def test_outputs_wait_while_the_queue_to_kafka_is_full(bench):
    values = [b"%d" % at for at in range(5_000)]
    bench.write(0, values)
    with bench.worker(DATA_BUFFER_SIZE="100"):
        until(lambda: bench.committed()[0] == 5_000)
    assert places(bench.outputs()["binance/0"]) == expected(values)


def test_partitions_of_one_number_are_read_side_by_side_by_time(bench):
    now_ms = int(time.time() * 1000) - 3_600_000
    bench.write(0, [b"raw"] * 10_000, timestamps=[now_ms + at * 100 for at in range(10_000)])
    bench.write(0, [b"book"] * 1_000, bench.book, timestamps=[now_ms + at * 1000 for at in range(1_000)])
    with bench.worker(ECHO_EVERY="0"):
        until(lambda: bench.committed()[0] == 10_000 and bench.committed(bench.book, 1) == [1_000])
    chunks = [(source, at) for _, source, _, _, _, at in bench.chunks()]
    assert [source for source, _ in chunks].count("book/0") == 2
    book_seconds = [(at - now_ms) / 1000 for source, at in chunks if source == "book/0"]
    assert book_seconds[1] == 500
    second = next(index for index, (source, at) in enumerate(chunks) if source == "book/0" and at > now_ms)
    raw_before = [(at - now_ms) / 1000 for source, at in chunks[:second] if source == "binance/0"]
    # A raw chunk is 50 s long, and each agent has at most three of them before it.
    assert 500 - 150 <= max(raw_before) <= 500 + 150


def test_retention_that_overtakes_a_worker_is_told_by_the_offsets(bench):
    bench.write(0, [b"old"] * 100)
    with bench.worker() as worker:
        until(lambda: bench.committed()[0] == 100)
        worker.send_signal(signal.SIGSTOP)
        try:
            bench.write(0, [b"gone"] * 3000 + [b"new"] * 10)
            gone = bench.admin.delete_records([TopicPartition(bench.raw, 0, 3100)])
            next(iter(gone.values())).result(60)
        finally:
            worker.send_signal(signal.SIGCONT)
        until(lambda: bench.committed()[0] == 3110)
        offsets = [offset for offset, _ in places(bench.outputs()["binance/0"])]
        assert offsets[:100] == list(range(100))
        assert offsets[-10:] == list(range(3100, 3110))
        assert offsets == sorted(set(offsets))
        assert worker.poll() is None


if __name__ == "__main__":
    program()
