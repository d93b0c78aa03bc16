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

DERIVED = ("trade", "book", "gap", "quality", "heatmap", "consolidated", "ohlcv")


@dataclass
class System:
    """A running one."""

    config: Config
    programs: Programs
    simulator_url: str

    def ledger(self) -> dict[str, Any]:
        return ask(f"{self.simulator_url}/_sim/ledger")["exchanges"]["binance"]

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
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return sum(consumer.get_watermark_offsets(TopicPartition(topic, one))[1] for one in partitions)
        finally:
            consumer.close()

    def rest(self, seconds: float = 30) -> None:
        """Stop market and clock and wait until nothing new comes out: stream time then stands still."""
        ask(f"{self.simulator_url}/_sim/stop", post=True)
        self.programs.stop("clock")
        before: list[int] = []

        def still() -> bool:
            nonlocal before
            time.sleep(1)
            now = [self.count(name) for name in DERIVED]
            before, same = now, now == before
            return same

        until(still, seconds, "the derived topics at rest")


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
    env = {**env, **simulated(["binance"], port), "LOG_FILE": "-"}
    config = load_config(env)
    apply_topics(config)
    ours = [program for program in pipeline(["binance"]) if program.name in names]
    table = on_free_ports([simulator(["binance"], port=port, options=options), *more, *ours])
    with Programs(folder, table, env=env) as programs:
        programs.wait_ready()
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
    """Topic -> what one undisturbed worker makes of the raw topic and the book topic that lie in Kafka."""
    config, outputs = running.config, []
    for partition, records in by_partition(running.messages("raw", "binance")).items():
        outputs += NormalizeTask(config, "binance", partition).process(records)
    for partition, records in by_partition(running.messages("book")).items():
        assert partition < PARTITIONS
        outputs += AggregateTask(config, partition).process(records)
    return {name: contents([as_stored(one) for one in outputs if one.topic == name]) for name in DERIVED}


def by_partition(messages: Sequence[Any]) -> dict[int, list[StoredRecord]]:
    found: dict[int, list[StoredRecord]] = {}
    for message in messages:
        found.setdefault(message.partition(), []).append(stored(message))
    return found


def as_stored(output: Output) -> StoredRecord:
    return StoredRecord(0, output.timestamp_ms, output.key, output.value, output.headers)
