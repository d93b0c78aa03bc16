"""What lies in the topics, by a plain consumer, as digests, and what one undisturbed worker makes of the raw ones.

Records of one source and key are in an order of their own (Recovery 9), so they are held against each other by group:
(topic, source, key). A record is kept as its position and a digest: a run of half an hour fits into memory.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from COBY.aggregate import AggregateTask
from COBY.config import Config
from COBY.normalize import NormalizeTask
from COBY.stage import StoredRecord
from COBY.topics import topic_name
from tests.faults.segments import Writers

DERIVED = ("trade", "book", "gap", "quality", "continuity", "heatmap", "consolidated", "ohlcv")
QUIET_SECONDS = 10.0
PIECE = 2_000

Position = tuple[int, int]
Group = tuple[str, str, str]
"""Topic without prefix, source, key."""
Digests = dict[Group, dict[Position, bytes]]


class Found(NamedTuple):
    """The derived topics: distinct records by group, and what was wrong on the way."""

    digests: Digests
    problems: list[str]
    runs: dict[tuple[str, int, str], int]
    """(Topic, partition, source) -> how often a writer began (I3)."""


def partitions(config: Config, topic: str) -> list[int]:
    """The numbers of a topic's partitions that hold anything."""
    return [one for one, (begin, end) in bounds(config, topic).items() if begin < end]


def bounds(config: Config, topic: str) -> dict[int, tuple[int, int]]:
    """Partition -> (oldest offset, end). By an admin client: a consumer's questions wait behind its long fetches."""
    client = _admin(config.kafka_bootstrap_servers)
    numbers = sorted(client.list_topics(topic, timeout=10).topics[topic].partitions)
    places = [TopicPartition(topic, one) for one in numbers]
    found = []
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
        answers = client.list_offsets(dict.fromkeys(places, spec), request_timeout=10)
        found.append({place.partition: answer.result(20).offset for place, answer in answers.items()})
    return {one: (found[0][one], found[1][one]) for one in numbers}


def each(config: Config, topic: str, partition: int) -> Iterator[Any]:
    """Every message of a partition up to its end of now, in order. AssertionError if some can't be read.

    One at a time: all share a consumer, for making one takes longer than reading a partition.
    """
    consumer = _consumer(config.kafka_bootstrap_servers)
    place = TopicPartition(topic, partition)
    begin, end = bounds(config, topic)[partition]
    place.offset = at = begin
    consumer.assign([place])
    heard = time.monotonic()
    while at < end:
        for message in consumer.consume(min(PIECE, end - at), timeout=0.2):
            assert message.error() is None, message.error()
            heard = time.monotonic()
            if message.offset() < end:
                yield message
            at = message.offset() + 1
        assert time.monotonic() - heard < QUIET_SECONDS, f"{topic}/{partition} is silent at {at} of {end}"
    consumer.unassign()


@cache
def _consumer(servers: str) -> Consumer:
    # The next partition is asked for only when the fetch under way has come back.
    quiet = {"log_level": 0, "enable.auto.commit": False, "group.id": "faults-look", "fetch.wait.max.ms": 10}
    return Consumer({"bootstrap.servers": servers, **quiet})


@cache
def _admin(servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": servers, "log_level": 0})


def forget(config: Config) -> None:
    """Close what reading has opened."""
    _consumer(config.kafka_bootstrap_servers).close()
    _consumer.cache_clear()
    _admin.cache_clear()


def stored(message: Any) -> StoredRecord:
    """As tasks take it."""
    headers = message.headers() or []
    return StoredRecord(message.offset(), message.timestamp()[1], message.key(), message.value(), headers)


def digest(value: bytes | None, key: bytes | None, timestamp_ms: int, headers: Iterable[Any]) -> bytes:
    """Of all that counts when two records are called equal."""
    whole = repr((value, key, timestamp_ms, [tuple(one) for one in headers]))
    return hashlib.blake2b(whole.encode(), digest_size=12).digest()


def place_of(headers: Iterable[tuple[str, bytes]]) -> tuple[str, Position] | None:
    """Source and position by the headers; None for a record that has none (a fault of ours put it there)."""
    named = dict(headers)
    if "poison" in named or "source" not in named or "position" not in named:
        return None
    first, _, index = named["position"].decode().partition(":")
    return named["source"].decode(), (int(first), int(index))


def read_derived(config: Config, names: Iterable[str] = DERIVED, logs: Path | None = None) -> Found:
    """Derived topics. A repeat that differs from what it repeats is a problem. ``logs``: the broker's, for I3."""
    found = Found({}, [], {})
    for name in names:
        topic = topic_name(config.topic_prefix, name)
        for partition in partitions(config, topic):
            writers = Writers(logs, topic, partition) if logs is not None else None
            _read_partition(found, (name, partition), writers, each(config, topic, partition))
    return found


def joined(parts: Iterable[Found]) -> Found:
    """What was read topic by topic, as one."""
    whole_of = Found({}, [], {})
    for part in parts:
        whole_of.digests.update(part.digests)
        whole_of.problems.extend(part.problems)
        whole_of.runs.update(part.runs)
    return whole_of


def _read_partition(
    found: Found, where: tuple[str, int], writers: Writers | None, messages: Iterable[Any]
) -> None:
    name, runs = where[0], Runs()
    for message in messages:
        headers = message.headers() or []
        if (place := place_of(headers)) is None:
            continue
        source, position = place
        group = found.digests.setdefault((name, source, (message.key() or b"").decode()), {})
        content = digest(message.value(), message.key(), message.timestamp()[1], headers)
        if group.setdefault(position, content) != content:
            found.problems.append(f"I2 {name}: a repeat of {source} {position} is not what it repeats")
        if writers is not None:
            runs.take(source, writers.of(message.offset()), position)
    for source, count in runs.counts.items():
        found.runs[*where, source] = count


class Runs:
    """How often a writer began: with its first record of a source, and wherever it went back in its positions.

    A task that is given to a worker anew begins anew; nothing else may (I3).
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lasts: dict[tuple[str, int], Position] = {}

    def take(self, source: str, writer: int, position: Position) -> None:
        """The next record."""
        last = self._lasts.get((source, writer))
        if last is None or position < last:
            self.counts[source] += 1
        self._lasts[source, writer] = position


def recompute(config: Config) -> Digests:
    """What one undisturbed worker makes of the raw topics and of the book topic that lie in Kafka."""
    found = recompute_books(config)
    for exchange in config.exchanges:
        found.update(recompute_raw(config, exchange))
    return found


def recompute_raw(config: Config, exchange: str) -> Digests:
    """The first stage of one exchange."""
    found: Digests = {}
    topic = topic_name(config.topic_prefix, "raw", exchange)
    for partition in partitions(config, topic):
        _run(found, NormalizeTask(config, exchange, partition), each(config, topic, partition))
    return found


def recompute_books(config: Config) -> Digests:
    """The second stage."""
    found: Digests = {}
    topic = topic_name(config.topic_prefix, "book")
    for partition in partitions(config, topic):
        _run(found, AggregateTask(config, partition), each(config, topic, partition))
    return found


def _run(found: Digests, task: Any, messages: Iterable[Any]) -> None:
    piece: list[StoredRecord] = []

    def flush() -> None:
        for output in task.process(piece) if piece else ():
            place = place_of(output.headers)
            if place is not None and output.topic in DERIVED:
                group = found.setdefault((output.topic, place[0], (output.key or b"").decode()), {})
                group[place[1]] = digest(output.value, output.key, output.timestamp_ms, output.headers)
        piece.clear()

    for message in messages:
        piece.append(stored(message))
        if len(piece) == PIECE:
            flush()
    flush()


def whole(digests: Digests, name: str) -> str:
    """SHA-256 of a topic's content, in order by group."""
    total = hashlib.sha256()
    for group in sorted(one for one in digests if one[0] == name):
        total.update(repr(group).encode())
        for position, content in sorted(digests[group].items()):
            total.update(repr(position).encode() + content)
    return total.hexdigest()


def compare(expected: Digests, actual: Digests) -> Iterator[str]:
    """Where topics differ; for each topic the smallest difference: the first position of the first group."""
    for name in DERIVED:
        if whole(expected, name) == whole(actual, name):
            continue
        for group in sorted({one for one in (*expected, *actual) if one[0] == name}):
            left, right = expected.get(group, {}), actual.get(group, {})
            if differing := {at for at in left.keys() | right.keys() if left.get(at) != right.get(at)}:
                at = min(differing)
                how = "differs" if at in left and at in right else "missing" if at in left else "not expected"
                yield f"I2 {name}: {group[1]} {group[2]}: {at} {how}; {len(differing)} such in the group"
                break
