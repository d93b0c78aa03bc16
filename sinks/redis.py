"""The worker that keeps the latest values and a live feed in Redis: `python -m sinks.redis`.

Redis is a cache. Values are written by compare-position-and-set in one script, so that an older one never replaces a
newer one of its source, whoever writes and however often. An empty Redis is filled from the tails of the topics.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic

import click
import redis
from confluent_kafka import KafkaException, Message

from COBY.config import Config
from COBY.records import Status
from COBY.runtime.health import serve_health
from COBY.runtime.kafka import check_topics
from COBY.runtime.main import run
from COBY.runtime.metrics import Metrics, metrics
from COBY.runtime.reader import place_of
from COBY.runtime.redis import built_key, is_passing, make_client, require_redis
from COBY.topics import topic_name
from COBY.utils.exceptions import CobyError, StorageError
from COBY.utils.logging import get_logger
from COBY.utils.timing import measure
from sinks.batch import decode_as
from sinks.intake import Intake, Partition, headers_of
from sinks.latest import CHANNELS, TAIL, TAILS, Entry, Origin, entry_of
from sinks.letters import DeadLetters, Letter
from sinks.patience import pauses
from sinks.rows import TOPICS as STORED

STAGE = "redis"
BATCH_RECORDS = 200
BATCH_SECONDS = 0.05
POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0

SCRIPT = """
local last = redis.call('HGET', KEYS[3], ARGV[1])
if last then
    local first, index = string.match(last, '^(-?%d+):(-?%d+)$')
    first, index = tonumber(first), tonumber(index)
    local new_first, new_index = tonumber(ARGV[2]), tonumber(ARGV[3])
    if new_first < first or (new_first == first and new_index <= index) then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[4])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'value', ARGV[4])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
return 1
"""
"""KEYS: latest, feed, positions. ARGV: field, first, index, value, feed length. Numbers stay below 2^53."""

log = get_logger(__name__)


class RedisSink:
    """The worker. `run` returns when ``stop`` is set."""

    def __init__(self, cfg: Config, stop: threading.Event, shown: Metrics) -> None:
        self._prefix = cfg.topic_prefix
        self._stop = stop
        self._shown = shown
        self._group = f"{cfg.topic_prefix}-redis"
        self._names = {topic_name(cfg.topic_prefix, name): name for name in CHANNELS}
        self._intake = Intake(cfg, self._group, list(self._names), BATCH_RECORDS)
        self._letters = DeadLetters(cfg, STAGE, shown)
        self._client = make_client(cfg)
        self._script = self._client.register_script(SCRIPT)
        self._next: dict[Partition, int] = {}
        self._trouble: str | None = None
        self._looked = monotonic()
        shown.init_stage(STAGE, CHANNELS)

    def run(self) -> None:
        """Cache until told to stop. StorageError `redis.refused`, BrokerError `kafka.fatal`."""
        try:
            while not self._stop.is_set():
                if not self._intake.placed:
                    self._place(self._intake.dealt, {})
                    continue
                messages = self._collect()
                if messages:
                    self._handle(messages)
                if monotonic() >= self._looked + LOOK_SECONDS:
                    self._look()
        finally:
            self._intake.close()
            self._client.close()

    def writes(self) -> tuple[bool, str]:
        """A check: whether Redis took what was last sent."""
        return self._trouble is None, self._trouble or "writes"

    def reads(self) -> tuple[bool, str]:
        """A check: whether the group's deal is known. No partitions: other processes have them all."""
        return self._intake.placed, f"{len(self._intake.dealt)} partitions"

    def _place(self, partitions: Sequence[Partition], current: dict[Partition, int]) -> None:
        """Start where we were (``current``, else committed); at the tail where Redis lost what it had, or never had."""
        starts: dict[Partition, int] = {}

        def read() -> None:
            known = self._intake.committed(partitions) | current
            built = self._built(partitions)
            for partition, (low, end) in self._intake.bounds(partitions).items():
                tail = max(low, end - TAILS.get(self._names[partition[0]], TAIL))
                place = known.get(partition, tail)
                starts[partition] = max(low, min(place, end) if partition in built else min(place, tail))
            if partitions:
                self._client.hset(built_key(self._prefix), mapping={_field(item): 1 for item in partitions})

        if self._attempt(read):
            self._next = starts
            self._intake.place(starts)
            log.info("placed", partitions=len(starts))

    def _built(self, partitions: Sequence[Partition]) -> set[Partition]:
        """The partitions whose tail Redis holds."""
        if not partitions:
            return set()
        marks = self._client.hmget(built_key(self._prefix), [_field(item) for item in partitions])
        return {item for item, mark in zip(partitions, marks, strict=True) if mark is not None}

    def _look(self) -> None:
        """Once a second: has Redis been emptied? Then its partitions are read again from their tails."""
        self._looked = monotonic()
        missing: list[bool] = []
        dealt = list(self._intake.dealt)
        if not self._attempt(lambda: missing.append(len(self._built(dealt)) < len(dealt))):
            return
        if missing[-1]:
            log.warning("cache_lost", action="reading the tails of the topics again")
            self._place(dealt, dict(self._next))
        for partition, next_offset in self._next.items():
            end = self._intake.end(partition)
            lag = 0 if end is None else max(0, end - next_offset)
            self._shown.lag.labels(self._group, partition[0], str(partition[1])).set(lag)

    def _collect(self) -> list[Message]:
        messages: list[Message] = []
        generation = self._intake.generation
        until = monotonic() + POLL_SECONDS
        while len(messages) < BATCH_RECORDS and monotonic() < until and not self._stop.is_set():
            message = self._intake.next(min(POLL_SECONDS, max(0.0, until - monotonic())))
            if generation != self._intake.generation:
                return []
            if message is None:
                continue
            if not messages:
                until = monotonic() + BATCH_SECONDS
            messages.append(message)
        return messages

    def _handle(self, messages: Sequence[Message]) -> None:
        entries: list[Entry] = []
        letters: list[Letter] = []
        for message in messages:
            try:
                entries.append(self._entry(message))
            except CobyError as error:
                letters.append(Letter(message, error.code, error.detail()))
        # What the other sink reads too is its to bury: each record that can't be used is one dead letter.
        own = [letter for letter in letters if self._names[str(letter.message.topic())] not in STORED]
        with measure(self._shown.batch_seconds.labels(STAGE).observe):
            sent = not own or self._letters.send(own, self._stop.is_set)
            if sent and self._attempt(lambda: self._send(entries)):
                self._settle(messages)

    def _entry(self, message: Message) -> Entry:
        topic, number, offset = str(message.topic()), message.partition(), message.offset()
        assert number is not None
        assert offset is not None
        channel = self._names[topic]
        record = decode_as(message, channel)
        if isinstance(record, Status):
            source, position = record.slot, (record.observed_at, 0)  # producers number nothing here
        else:
            source, position = place_of(headers_of(message))
        return entry_of(self._prefix, channel, record, source, position, Origin(topic, number, offset))

    def _send(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        pipe = self._client.pipeline(transaction=False)
        for entry in entries:
            keys = [entry.latest, entry.feed, entry.positions]
            first, index = entry.position
            self._script(keys, [entry.field, first, index, entry.value, entry.feed_length], client=pipe)
        pipe.execute()

    def _attempt(self, work: Callable[[], object]) -> bool:
        """Do it, and again after each passing error (the one place of retries); False if it had to be given up."""
        generation = self._intake.generation
        for seconds in pauses():
            try:
                work()
                self._trouble = None
                return generation == self._intake.generation
            except (redis.RedisError, KafkaException) as error:
                if isinstance(error, redis.RedisError) and not is_passing(error):
                    raise StorageError("redis.refused", str(error)) from error
                self._trouble = str(error) or type(error).__name__
            self._shown.retries.labels(STAGE).inc()
            log.warning("write_failed", error=self._trouble, wait_seconds=round(seconds, 2))
            self._intake.wait(seconds, self._stop.is_set)
            if self._stop.is_set() or generation != self._intake.generation:
                return False
        raise AssertionError("pauses do not end")

    def _settle(self, messages: Sequence[Message]) -> None:
        moved: dict[Partition, int] = {}
        for message in messages:
            topic, number, offset = str(message.topic()), message.partition(), message.offset()
            assert number is not None
            assert offset is not None
            moved[topic, number] = offset + 1
            self._shown.outputs.labels(STAGE, self._names[topic]).inc()
        self._next |= moved
        self._shown.records.labels(STAGE).inc(len(messages))
        self._intake.commit(moved)


def _field(partition: Partition) -> str:
    return f"{partition[0]}/{partition[1]}"


def serve(cfg: Config, stop: threading.Event) -> None:
    """Check topics and Redis, then cache until stopped."""
    check_topics(cfg)
    client = make_client(cfg)
    require_redis(cfg, client)
    client.close()
    sink = RedisSink(cfg, stop, metrics())
    health = serve_health(cfg.metrics_port, {"redis": sink.writes, "kafka": sink.reads})
    try:
        sink.run()
    finally:
        if health is not None:
            health.close()


@click.command()
def main() -> None:
    """Keep the latest value of each kind and a live feed of records in Redis.

    Redis may be emptied at any time: it is filled again from the topics. SIGTERM ends it.

    \b
    Example:
      REDIS_HOST=localhost python -m sinks.redis
    """
    run("sinks-redis", serve)


if __name__ == "__main__":
    main()
