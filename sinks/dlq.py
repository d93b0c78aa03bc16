"""The dead letters as they lie in their topic: reading them, and what their headers say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from time import monotonic, sleep
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from COBY.config import Config
from COBY.runtime.kafka import ANSWER_SECONDS, broker_error, require_broker
from COBY.runtime.ranges import range_consumer, read_range
from COBY.stage import header
from COBY.topics import PARTITIONS, topic_name
from COBY.utils.exceptions import BrokerError, ValidationError
from sinks.intake import headers_of

SILENCE_SECONDS = 30.0
ASK_AGAIN_SECONDS = 0.2
OWN_HEADERS = ("stage", "code", "detail", "topic", "partition", "offset")
"""What a sink puts before the headers of the record itself, in this order (sinks/letters.py)."""


class DeadLetter(NamedTuple):
    """One dead letter: where it lies, when it was written (milliseconds since 1970), and the record as it came."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def number(self) -> str:
        """Its name for `show` and `retry`: `<partition>/<offset>` in the topic of the dead letters."""
        return f"{self.partition}/{self.offset}"

    @property
    def stage(self) -> str:
        """Who could not use the record."""
        return self.text("stage") or "unknown"

    @property
    def code(self) -> str:
        """Why, as a stable code."""
        return self.text("code") or "unknown"

    @property
    def origin(self) -> str:
        """Which record it was: topic, partition and offset; the same for a letter written again after a crash."""
        if self.text("source") and not self.of_a_sink:
            return f"{self.text('source')}@{self.text('position')}"
        return f"{self.text('topic')}/{self.text('partition')}@{self.text('offset')}"

    @property
    def of_a_sink(self) -> bool:
        """Whether a sink wrote it, which leaves the record's own headers behind its own ones."""
        return tuple(name for name, _ in self.headers[: len(OWN_HEADERS)]) == OWN_HEADERS

    def text(self, name: str) -> str | None:
        """The first header of that name as text."""
        value = header(self.headers, name)
        return None if value is None else value.decode(errors="replace")

    def original(self) -> Message:
        """The record as its sink read it. Of letters of sinks only."""
        topic, partition, offset = (self.text(name) for name in OWN_HEADERS[3:])
        assert topic is not None
        assert partition is not None
        assert offset is not None
        headers = self.headers[len(OWN_HEADERS) :]
        return Message(
            topic=topic,
            partition=int(partition),
            offset=int(offset),
            key=self.key,
            value=self.value,
            headers=list(headers),
        )


class Wanted(NamedTuple):
    """Which letters: empty or None means all. Times in microseconds since 1970, ``since`` included."""

    stages: Collection[str] = ()
    codes: Collection[str] = ()
    since_us: int | None = None
    until_us: int | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether this one is wanted."""
        time_us = letter.timestamp_ms * 1000
        return (
            (not self.stages or letter.stage in self.stages)
            and (not self.codes or letter.code in self.codes)
            and (self.since_us is None or time_us >= self.since_us)
            and (self.until_us is None or time_us < self.until_us)
        )


class Tally(NamedTuple):
    """The letters of one stage and code: how many, and when the first and the last was written (milliseconds)."""

    stage: str
    code: str
    letters: int
    first_ms: int
    last_ms: int


def read_letters(cfg: Config, wanted: Wanted) -> Iterator[DeadLetter]:
    """The wanted letters up to this moment, partition by partition, each record once.

    A letter that a stage wrote again after a crash is left out. BrokerError `kafka.unreachable`, `topics.missing`,
    `kafka.silent`.
    """
    topic = _topic(cfg)
    seen: set[tuple[str, str, str]] = set()
    consumer = range_consumer(cfg, "dlq")
    try:
        for number, (first, end) in enumerate([_bounds(consumer, topic, item) for item in range(PARTITIONS)]):
            for message in read_range(consumer, (topic, number), first, end, silence_seconds=SILENCE_SECONDS):
                letter = _letter(message)
                name = (letter.stage, letter.code, letter.origin)
                if wanted.takes(letter) and name not in seen:
                    seen.add(name)
                    yield letter
    finally:
        consumer.close()


def read_one(cfg: Config, number: str) -> DeadLetter:
    """The letter of that number. ValidationError `dlq.number`, `dlq.unknown`."""
    allowed = "<partition>/<offset>, as `coby dlq list --each` shows it"
    parts = number.split("/")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValidationError("dlq.number", f"'{number}' is no number of a dead letter", allowed=allowed)
    partition, offset = (int(part) for part in parts)
    topic = _topic(cfg)
    consumer = range_consumer(cfg, "dlq")
    try:
        first, end = _bounds(consumer, topic, partition) if partition < PARTITIONS else (0, 0)
        if first <= offset < end:
            place = (topic, partition)
            for message in read_range(consumer, place, offset, offset + 1, silence_seconds=SILENCE_SECONDS):
                return _letter(message)
    finally:
        consumer.close()
    raise ValidationError("dlq.unknown", f"there is no dead letter {number}", where=topic, allowed=allowed)


def tally(letters: Iterable[DeadLetter]) -> list[Tally]:
    """Counts by stage and code, sorted by these."""
    found: dict[tuple[str, str], Tally] = {}
    for letter in letters:
        name, time_ms = (letter.stage, letter.code), letter.timestamp_ms
        former = found.get(name) or Tally(*name, 0, time_ms, time_ms)
        first, last = min(former.first_ms, time_ms), max(former.last_ms, time_ms)
        found[name] = Tally(*name, former.letters + 1, first, last)
    return [found[name] for name in sorted(found)]


def _topic(cfg: Config) -> str:
    topic = topic_name(cfg.topic_prefix, "dlq")
    if topic not in require_broker(cfg).topics:
        raise BrokerError("topics.missing", f"{topic} is missing", allowed="coby topics apply")
    return topic


def _bounds(consumer: Consumer, topic: str, number: int) -> tuple[int, int]:
    """(oldest offset, end offset), asked again while a leader is being chosen. BrokerError `kafka.refused`."""
    until = monotonic() + ANSWER_SECONDS
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=ANSWER_SECONDS)
        except KafkaException as error:
            if monotonic() > until:
                raise broker_error("kafka.refused", error, where=f"{topic}/{number}") from error
            sleep(ASK_AGAIN_SECONDS)


def _letter(message: Message) -> DeadLetter:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    _, timestamp_ms = message.timestamp()
    key, value = message.key(), message.value()
    assert not isinstance(key, str)
    assert not isinstance(value, str)
    return DeadLetter(partition, offset, timestamp_ms, key, value, headers_of(message))
