"""A sink's consumer: its partitions start where the sink says, and it stays in its group while the sink waits.

Eager rebalancing: at each one all partitions are given up and dealt anew. What was taken and not yet written is
dropped then (``generation`` rises); whoever gets the partition starts where the last write ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, time
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, broker_error, group_instance_id, make_consumer
from COBY.runtime.memory import memory
from COBY.runtime.offsets import Offsets
from COBY.utils.logging import get_logger

Partition = tuple[str, int]

POLL_SECONDS = 0.1
log = get_logger(__name__)


class Intake:
    """The consumer of a group, subscribed to topics. One thread uses it."""

    def __init__(self, cfg: Config, group: str, topics: Sequence[str], ahead: int) -> None:
        """``group`` and ``topics``: full names; ``ahead``: records taken from librdkafka at once, at most."""
        name = group_instance_id(cfg)
        self._consumer = make_consumer(cfg, group, **{"group.instance.id": name} if name else {})
        self._offsets = Offsets(cfg)
        self._ahead = min(ahead, cfg.data_buffer_size)
        self._backlog: deque[Message] = deque()
        self._held: int | None = None
        self.generation = 0
        self.dealt: list[Partition] = []
        """Partitions of this member."""
        self.placed = True
        """Whether the dealt partitions have been given their starting offsets; if not, `place` has to be called."""
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def place(self, offsets: dict[Partition, int]) -> None:
        """Start the dealt partitions at these offsets, and commit these for displays of lag."""
        places = _places(offsets)
        self._consumer.assign(places)
        self._held = None  # what is assigned anew is not paused
        self.placed = True
        self.commit(offsets)

    def next(self, seconds: float) -> Message | None:
        """The next record; None after ``seconds`` without any, or when a rebalance came meanwhile.

        BrokerError `kafka.fatal` when the consumer can't go on.
        """
        self._hold(memory().full)
        if not self._backlog:
            self._backlog.extend(self._records(lambda: self._fetch(seconds)))
        return self._backlog.popleft() if self._backlog else None

    def _fetch(self, seconds: float) -> list[Message]:
        """What there is, as soon as there is anything: consume() waits until it has as many as it was asked for."""
        first = self._consumer.consume(1, seconds)
        return [*first, *self._consumer.consume(self._ahead - 1, 0)] if first and self._ahead > 1 else first

    def wait(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Let time pass with the partitions paused, as a member of the group; shorter if stopped or rebalanced."""
        until, generation = monotonic() + seconds, self.generation
        paused = _partitions(self.dealt if self.placed else [])
        self._consumer.pause(paused)
        while monotonic() < until and not stopped() and generation == self.generation:
            self._backlog.extend(self._records(lambda: self._consumer.consume(1, POLL_SECONDS)))
        if generation == self.generation and self._held is None:
            self._consumer.resume(paused)

    def _hold(self, full: bool) -> None:
        """Take nothing new while the process' memory is full: all it is dealt is paused, as a member of its group."""
        if full and self._held != self.generation:
            self._consumer.pause(_partitions(self.dealt if self.placed else []))
            self._held = self.generation
        elif not full and self._held is not None:
            if self._held == self.generation:
                self._consumer.resume(_partitions(self.dealt if self.placed else []))
            self._held = None

    def bounds(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        """(oldest offset, end offset) by partition, asked of the brokers. Errors: see Offsets."""
        asked = list(partitions)
        lows, ends = self._offsets.oldest(asked), self._offsets.ends(asked)
        return {partition: (low, ends[partition]) for partition, low in lows.items()}

    def end(self, partition: Partition) -> int | None:
        """The end offset as last seen with fetched records, without asking; None before the first fetch."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        return high if high >= 0 else None

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The committed offsets; partitions without one are left out."""
        answer = self._consumer.committed(_partitions(partitions), timeout=ANSWER_SECONDS)
        return {(item.topic, item.partition): item.offset for item in answer if item.offset >= 0}

    def commit(self, offsets: dict[Partition, int], *, wait: bool = False) -> None:
        """Commit offsets, which serve displays of lag (and the Redis sink's start); a failure is logged."""
        if not offsets:
            return
        try:
            if wait:
                self._consumer.commit(offsets=_places(offsets), asynchronous=False)
            else:
                self._consumer.commit(offsets=_places(offsets), asynchronous=True)
        except KafkaException as error:
            log.warning("commit_failed", error=str(error))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _records(self, fetch: Callable[[], list[Message]]) -> list[Message]:
        generation = self.generation
        try:
            messages = fetch()
        except KafkaException as error:
            raise broker_error("kafka.fatal", error) from error
        if generation != self.generation:
            return []  # fetched for the former deal: what is still ours comes again from where we start
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            _check_errors(messages)
        return good

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Nothing is fetched until `place`: where to start may have to be asked of a database that is down.
        consumer.assign([])
        self.dealt = [(item.topic, item.partition) for item in partitions]
        self.placed = not partitions
        self.generation += 1
        self._backlog.clear()

    def _on_revoke(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        consumer.unassign()
        self.dealt, self.placed = [], True
        self.generation += 1
        self._backlog.clear()


def headers_of(message: Message) -> list[tuple[str, bytes]]:
    """The headers as pairs of name and bytes; values that are null are left out."""
    headers = cast(Iterable[tuple[str, bytes | None]], message.headers() or [])
    return [(name, value) for name, value in headers if value is not None]


def age_seconds(message: Message) -> float:
    """How long ago the record was made, by its own time; never below 0."""
    return max(0.0, time() - message.timestamp()[1] / 1000)


def _check_errors(messages: Iterable[Message]) -> None:
    for message in messages:
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            continue
        # Of a consumer's fatal error fatal() says False (confluent-kafka-python's issue 869). After its session has
        # timed out a named member may be fenced by its own name (librdkafka's issue 3437), and is silent from then on.
        if error.fatal() or error.code() == KafkaError._FATAL:
            raise broker_error("kafka.fatal", error)
        log.warning("kafka_trouble", error=error.str(), topic=message.topic())


def _partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic, number in partitions]


def _places(offsets: dict[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
