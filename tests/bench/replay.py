"""replay_vs_copy: a replay session at full speed, against a plain consumer and producer that copy the same topics.

Both sides are a process of their own at a replay worker's niceness, write one partition, and are timed from outside,
by the offsets of that partition. The topics are what the pipeline's tasks make of the recording, at its own pace,
24 times over, each frame for two symbols: over a million records.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from COBY.aggregate import AggregateTask
from COBY.config import Config, load_config
from COBY.normalize import NormalizeTask
from COBY.replays.manager import KafkaReplayManager
from COBY.replays.sessions import CHANNELS, replay_topic
from COBY.replays.topic_admin import delete_topic, make_topic
from COBY.runtime.kafka import admin, apply_topics, client_settings, make_producer
from COBY.stage import Output, StoredRecord
from COBY.topics import PARTITIONS, RAW_PARTITIONS, partition_of, topic_name
from COBY.utils.intervals import from_us
from tests.bench.plain_copy import COPY
from tests.bench.stage import length_ns, one_pass
from tests.raw import GRID_NS, RawLog, recorded

REPEATS = 24
CHUNK = 500
SYMBOLS = ("BTCUSDT", "ETHUSDT")
LAST_MS = 10_000
"""So much of the end is not in the session's range: there are ticks after it, so that it is known to be over."""
LOOK_SECONDS = 0.05
END_SECONDS = 300.0


class Filled(NamedTuple):
    """What lies in the topics: records in all, and the range [from, to) with so many of them."""

    records: int
    from_ms: int
    to_ms: int
    within: int


def measure(recording: Path, kafka_env: dict[str, str], rounds: int) -> dict[str, float]:
    """Records per second of both sides (the best of ``rounds``, taken in turn) and their ratio."""
    env = {**kafka_env, "TOPIC_PREFIX": "benchreplay", "EXCHANGES": "binance", "SYMBOLS": ",".join(SYMBOLS)}
    env |= {"LOG_FILE": "-", "METRICS_PORT": "0"}
    config = load_config(env)
    apply_topics(config)
    filled = fill(config, recording)
    best = {"copy": 0.0, "session": 0.0}
    for _ in range(rounds):
        best["copy"] = max(best["copy"], copied(config, env, filled))
        best["session"] = max(best["session"], replayed(config, env, filled))
    return {**best, "ratio": best["session"] / best["copy"]}


def fill(config: Config, recording: Path) -> Filled:
    """Write the derived topics; their times are of now, or retention would take them away."""
    rows = list(recorded(recording))
    length = length_ns(rows, 1.0)
    start = time.time_ns() // GRID_NS * GRID_NS - REPEATS * length
    from_ms, to_ms = start // 10**6, (start + REPEATS * length) // 10**6 - LAST_MS
    producer, tasks = make_producer(config, on_error=_raise), Tasks(config)
    records = within = 0
    for repeat in range(REPEATS):
        log = RawLog()
        one_pass(log, rows, start + repeat * length, f"bench-{repeat}", symbols=SYMBOLS)
        for one in tasks.outputs(log):
            if one.topic in CHANNELS:
                records += 1
                within += one.timestamp_ms < to_ms
                topic = topic_name(config.topic_prefix, one.topic)
                producer.produce(topic, one.value, one.key, one.headers, timestamp_ms=one.timestamp_ms)
    producer.flush()
    return Filled(records, from_ms, to_ms, within)


class Tasks:
    """The pipeline's two stages, one exchange."""

    def __init__(self, config: Config) -> None:
        """As workers begin."""
        self._normalize = NormalizeTask(config, "binance", partition_of(b"binance-0", RAW_PARTITIONS))
        numbers = {partition_of(symbol.encode(), PARTITIONS) for symbol in SYMBOLS}
        self._aggregate = {number: AggregateTask(config, number) for number in numbers}
        self._raw = 0
        self._books = Counter[int]()

    def outputs(self, log: RawLog) -> Iterator[Output]:
        """What they make of the next piece of the raw partition."""
        records = [one._replace(offset=self._raw + at) for at, one in enumerate(log.records)]
        self._raw += len(records)
        for first in range(0, len(records), CHUNK):
            for one in self._normalize.process(records[first : first + CHUNK]):
                yield one
                if one.topic == "book":
                    yield from self._merged(one)

    def _merged(self, book: Output) -> list[Output]:
        number = partition_of(book.key, PARTITIONS)
        offset, self._books[number] = self._books[number], self._books[number] + 1
        record = StoredRecord(offset, book.timestamp_ms, book.key, book.value, book.headers)
        return self._aggregate[number].process([record])


def copied(config: Config, env: dict[str, str], filled: Filled) -> float:
    """The plain copy, from its first record to its last."""
    client = admin(config)
    make_topic(config, client, COPY)
    try:
        with process(env, "tests.bench.plain_copy"):
            return rate(config, COPY, filled.records)
    finally:
        delete_topic(config, client, COPY)


def replayed(config: Config, env: dict[str, str], filled: Filled) -> float:
    """A session played by `python -m replay`, from its first record to its last."""
    manager = KafkaReplayManager(config)
    try:
        with process(env, "replay"):
            first, last = from_us(1000 * filled.from_ms), from_us(1000 * filled.to_ms)
            session = manager.create_replay_session(first, last, 0.0, source="topics")
            asyncio.run(manager.start_replay(session))
            found = rate(config, session, filled.within)
            asyncio.run(manager.delete(session))
            return found
    finally:
        manager.close()


def rate(config: Config, session: str, records: int) -> float:
    """Records per second, as its topic grows from the first look that finds some until all are there."""
    place = TopicPartition(replay_topic(config.topic_prefix, session), 0)
    consumer = Consumer(client_settings(config) | {"group.id": "bench-replay"})
    try:
        seen: list[tuple[float, int]] = []
        limit = time.monotonic() + END_SECONDS
        while not seen or seen[-1][1] < records:
            assert time.monotonic() < limit, f"{seen[-1:]} of {records} records have come"
            count = consumer.get_watermark_offsets(place, timeout=10)[1]
            if count:
                seen.append((time.perf_counter(), count))
            time.sleep(LOOK_SECONDS)
        assert seen[-1][1] == records, f"{seen[-1][1]} records instead of {records}"
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
    finally:
        consumer.close()


@contextmanager
def process(env: dict[str, str], module: str) -> Iterator[None]:
    """A program of ours, ended at the end."""
    command = [sys.executable, "-m", module]
    running = subprocess.Popen(command, env={**os.environ, **env}, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        running.wait(40)


def _raise(error: Exception) -> None:
    raise error
