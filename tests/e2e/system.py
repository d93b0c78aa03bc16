"""Our programs as processes around real servers, and what they left in the topics, read by a plain consumer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from COBY.aggregate import AggregateTask
from COBY.config import Config, load_config
from COBY.normalize import NormalizeTask
from COBY.runtime.kafka import apply_topics, client_settings
from COBY.stage import Output, StoredRecord, parse_position
from COBY.topics import PARTITIONS, topic_name
from deploy.local.demo_facts import ask, read_all
from deploy.local.ports import HOST, free_port
from deploy.local.programs import Program, on_free_ports, pipeline, simulated, simulator
from deploy.local.supervise import Programs

ENDED = ("stopped", "ended")
DERIVED = ("trade", "book", "gap", "quality", "continuity", "heatmap", "consolidated", "ohlcv")


@dataclass
class System:
    """A running one."""

    config: Config
    programs: Programs
    simulator_url: str

    def ledger(self, exchange: str = "binance") -> dict[str, Any]:
        return ask(f"{self.simulator_url}/_sim/ledger")["exchanges"][exchange]

    def read(self, name: str, part: str | None = None) -> list[StoredRecord]:
        """A topic's records, by partition and offset."""
        return [stored(message) for message in self.messages(name, part)]

    def messages(self, name: str, part: str | None = None) -> list[Any]:
        topic = topic_name(self.config.topic_prefix, name, part)
        return sorted(read_all(self.config, topic), key=lambda one: (one.partition(), one.offset()))

    def count(self, name: str, part: str | None = None) -> int:
        """Records in a topic, by its end offsets."""
        consumer = Consumer(client_settings(self.config) | {"group.id": "test-count"})
        try:
            topic = topic_name(self.config.topic_prefix, name, part)
            partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            return sum(consumer.get_watermark_offsets(TopicPartition(topic, one))[1] for one in partitions)
        finally:
            consumer.close()

    def rest(self) -> None:
        """Stop market and clock and wait until all that follows is there: stream time then stands still.

        By what has been read, not by how long nothing came: a part that stands still is not at rest.
        """
        ask(f"{self.simulator_url}/_sim/stop", post=True)
        for exchange in self.config.exchanges:
            until(lambda exchange=exchange: self.ledger(exchange)["state"] in ENDED, 60, "the market's end")
        self.programs.stop("clock")
        begun_ns = time.time_ns()
        for exchange in self.config.exchanges:
            # A producer's second sign of life comes a second after the first: its sockets are empty by then.
            until(lambda exchange=exchange: self.alive(exchange, begun_ns) >= 2, 60, f"{exchange} drained")
        self.all_taken()

    def alive(self, exchange: str, since_ns: int) -> int:
        """Signs of life of an exchange's one connection since then, among its newest records."""
        found = 0
        for message in self.messages("raw", exchange):
            headers = dict(message.headers())
            later = int(headers["received_ns"]) > since_ns
            found += later and headers["kind"] == b"event" and b'"alive"' in message.value()
        return found

    def all_taken(self) -> None:
        """Wait until the stream workers have committed what lies in the raw topics now, and then in the book topic.

        They commit what they have saved, and save when all its outputs are delivered.
        """
        group = {"group.id": f"{self.config.topic_prefix}-streams", "enable.auto.commit": False}
        consumer = Consumer(client_settings(self.config) | group)  # it asks, and never joins
        try:
            for topics in ([("raw", one) for one in self.config.exchanges], [("book", None)]):
                ends = self._ends(consumer, [topic_name(self.config.topic_prefix, *one) for one in topics])
                until(lambda ends=ends: _committed(consumer, ends), 120, f"{topics} taken by the workers")
        finally:
            consumer.close()

    def _ends(self, consumer: Consumer, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """(Topic, partition) -> end, where there is anything."""
        ends = {}
        for topic in topics:
            for number in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
                _, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
                ends |= {(topic, number): end} if end else {}
        return ends


def _committed(consumer: Consumer, ends: dict[tuple[str, int], int]) -> bool:
    """Whether the consumer's group has committed as far as these ends."""
    found = consumer.committed([TopicPartition(*place) for place in ends], timeout=30)
    return all(one.offset >= ends[one.topic, one.partition] for one in found)


@contextmanager
def system(
    folder: Path,
    env: dict[str, str],
    *,
    names: Sequence[str],
    options: Sequence[str],
    more: Sequence[Program] = (),
) -> Iterator[System]:
    """The programs of these names, and a simulator with these options."""
    port = free_port()
    # Saved often: `System.all_taken` waits for it.
    env = {"EXCHANGES": "binance", "SNAPSHOT_INTERVAL": "1", **env, "LOG_FILE": "-"}
    exchanges = load_config(env).exchanges
    env |= simulated(exchanges, port)
    config = load_config(env)
    apply_topics(config)
    ours = [program for program in pipeline(exchanges) if program.name in names]
    table = on_free_ports([simulator(exchanges, port=port, options=options), *more, *ours])
    with Programs(folder, table, env=env) as programs:
        programs.wait_ready(seconds=120)
        yield System(config, programs, f"http://{HOST}:{port}")


def stored(message: Any) -> StoredRecord:
    """A consumed message as tasks and recomputations take it."""
    return StoredRecord(
        message.offset(), message.timestamp()[1], message.key(), message.value(), message.headers() or []
    )


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something, or fail saying for what."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.2)


Content = tuple[bytes | None, bytes | None, int, tuple[tuple[str, bytes], ...]]


Group = tuple[bytes, bytes | None]
"""Source and key: within these, order counts."""


def contents(records: Sequence[StoredRecord]) -> dict[Group, list[Content]]:
    """Value, key, timestamp and headers in order, repeats dropped by position (Recovery 6 and 9)."""
    newest: dict[Group, tuple[int, int]] = {}
    found: dict[Group, list[Content]] = {}
    for record in records:
        headers = dict(record.headers)
        group, position = (headers["source"], record.key), parse_position(headers["position"])
        if position > newest.get(group, (-1, -1)):
            newest[group] = position
            content = (record.value, record.key, record.timestamp, tuple(record.headers))
            found.setdefault(group, []).append(content)
    return found


def recomputed(running: System) -> dict[str, dict[Group, list[Content]]]:
    """Topic -> what one undisturbed worker makes of the raw topics and the book topic that lie in Kafka."""
    config, outputs = running.config, []
    for exchange in config.exchanges:
        for partition, records in by_partition(running.messages("raw", exchange)).items():
            outputs += NormalizeTask(config, exchange, partition).process(records)
    for partition, records in by_partition(running.messages("book")).items():
        assert partition < PARTITIONS
        outputs += AggregateTask(config, partition).process(records)
    return {name: contents([as_stored(one) for one in outputs if one.topic == name]) for name in DERIVED}


def raw_rows(running: System) -> list[dict[str, Any]]:
    """The raw topics' records as tests/reference takes them."""
    rows = []
    for exchange in running.config.exchanges:
        for message in running.messages("raw", exchange):
            headers = {name: value.decode() for name, value in message.headers()}
            rows.append(
                {
                    "topic": message.topic(),
                    "partition": message.partition(),
                    "offset": message.offset(),
                    "key": message.key(),
                    "value": message.value(),
                    "received_ns": int(headers["received_ns"]),
                    "conn": headers["conn"],
                    "seq": int(headers["seq"]),
                    "kind": headers["kind"],
                    "url": headers.get("url"),
                    "symbol": headers.get("symbol"),
                }
            )
    return rows


def by_partition(messages: Sequence[Any]) -> dict[int, list[StoredRecord]]:
    found: dict[int, list[StoredRecord]] = {}
    for message in messages:
        found.setdefault(message.partition(), []).append(stored(message))
    return found


def as_stored(output: Output) -> StoredRecord:
    return StoredRecord(0, output.timestamp_ms, output.key, output.value, output.headers)
