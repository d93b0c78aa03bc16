"""The worker that keeps the latest values and a live feed in Redis: `python -m sinks.redis`.

Redis is a cache. Values are written by compare-position-and-set (sinks/cache.py), so that an older one never replaces
a newer one of its source, whoever writes and however often. An empty Redis is filled by sinks/rebuild.py before
anything new is written into it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic

import click
import redis
from confluent_kafka import KafkaException, Message

from COBY.config import Config
from COBY.runtime.health import serve_health
from COBY.runtime.kafka import check_topics
from COBY.runtime.main import run
from COBY.runtime.metrics import Metrics, metrics
from COBY.runtime.redis import is_passing, make_client, require_redis
from COBY.topics import topic_name
from COBY.utils.exceptions import CobyError, StorageError
from COBY.utils.logging import get_logger
from COBY.utils.timing import measure
from sinks.cache import LOST, entry_of_message, held, write_entries
from sinks.intake import Intake, Partition, age_seconds
from sinks.known import TABLES
from sinks.latest import CHANNELS, Entry
from sinks.letters import DeadLetters, Letter
from sinks.patience import pauses
from sinks.rebuild import Filled, Rebuild, Span, tail_start
from sinks.rows import TOPICS as STORED

STAGE = "redis"
HEATMAP = "heatmap"
BATCH_RECORDS = 500
BATCH_SECONDS = 0.05
POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0
FILL_SECONDS = 60.0

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
        self._rebuild = Rebuild(cfg, self._names, self._client, stop.is_set)
        self._next: dict[Partition, int] = {}
        self._lost = False
        self._partial: set[Partition] = set()
        """Partitions filled without the database: keys whose newest record lies far back may be missing."""
        self._filled = monotonic()
        self._trouble: str | None = None
        self._looked = monotonic()
        self._heatmaps_ms = dict.fromkeys(cfg.symbols, 0)
        """Symbol -> T of its newest heatmap that is in Redis."""
        shown.init_stage(STAGE, CHANNELS)
        shown.show_writes(STAGE, lambda: self._trouble is None)
        for symbol in cfg.symbols:
            shown.show_heatmap_age(symbol, partial(self._heatmaps_ms.__getitem__, symbol))

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
        """Start where we were (``current``, else committed); fill first what Redis lost, or never had."""
        starts: dict[Partition, int] = {}
        filled = Filled()

        def read() -> None:
            known = self._intake.committed(partitions) | current
            there = held(self._client, self._prefix, list(partitions))
            spans = {item: Span(*span) for item, span in self._intake.bounds(partitions).items()}
            self._fill({item: span for item, span in spans.items() if item not in there}, known, filled)
            for partition, span in spans.items():
                tail = tail_start(self._names[partition[0]], span)
                place = filled.ends.get(partition, known.get(partition, tail))
                starts[partition] = max(span.first, min(place, span.end))

        if self._attempt(read) and self._bury(filled.letters) and not self._stop.is_set():
            self._next, self._lost = starts, False
            self._count(filled.new)
            self._intake.place(starts)
            log.info("placed", partitions=len(starts))

    def _fill(self, spans: Mapping[Partition, Span], known: Mapping[Partition, int], filled: Filled) -> None:
        if not spans:
            return
        self._rebuild.fill(spans, known, filled)
        self._filled = monotonic()
        if not filled.complete:
            self._partial |= {item for item in spans if self._names[item[0]] in TABLES}
        log.info("filled", partitions=len(spans), with_database=filled.complete)

    def _complete(self) -> None:
        """Fill again what was filled without the database. What is there already is newer, or the same, and stays."""
        self._filled = monotonic()
        self._partial &= set(self._intake.dealt)
        spans = {item: Span(*span) for item, span in self._intake.bounds(self._partial).items()}
        again = Filled()
        self._rebuild.fill(spans, {}, again, without_database=False)
        if again.complete:
            self._partial.clear()
            log.info("filled", partitions=len(spans), with_database=True)

    def _look(self) -> None:
        """Once a second: has Redis been emptied? Then its partitions are filled again."""
        self._looked = monotonic()
        dealt = list(self._intake.dealt)
        there: list[bool] = []
        if not self._attempt(
            lambda: there.append(len(held(self._client, self._prefix, dealt)) == len(dealt))
        ):
            return
        if self._lost or not there[-1]:
            log.warning("cache_lost", action="filling it again from topics and database")
            self._place(dealt, dict(self._next))
        elif self._partial and monotonic() >= self._filled + FILL_SECONDS:
            self._attempt(self._complete)
        for partition, next_offset in self._next.items():
            end = self._intake.end(partition)
            lag = 0 if end is None else max(0, end - next_offset)
            self._shown.lag.labels(self._group, partition[0], str(partition[1])).set(lag)

    def _collect(self) -> list[Message]:
        """A record, and what has come by a batch's time after it; a full batch waits for nothing more."""
        generation = self._intake.generation
        first = self._intake.next(POLL_SECONDS)
        if first is None:
            return []
        messages = [first]
        self._take_up(messages)
        if len(messages) < BATCH_RECORDS:
            self._stop.wait(BATCH_SECONDS)
            self._take_up(messages)
        return messages if generation == self._intake.generation else []

    def _take_up(self, messages: list[Message]) -> None:
        """Add what is there by now."""
        while len(messages) < BATCH_RECORDS and (message := self._intake.next(0)) is not None:
            messages.append(message)

    def _handle(self, messages: Sequence[Message]) -> None:
        entries: list[tuple[Entry, Partition]] = []
        letters: list[Letter] = []
        for message in messages:
            try:
                entry = entry_of_message(self._prefix, self._names, message)
                entries.append((entry, place_in(message)))
            except CobyError as error:
                letters.append(Letter(message, error.code, error.detail()))
        with measure(self._shown.batch_seconds.labels(STAGE).observe):
            if self._bury(letters) and self._attempt(lambda: self._send(entries)) and not self._lost:
                self._settle(messages)

    def _bury(self, letters: Sequence[Letter]) -> bool:
        """Write the dead letters; False if told to stop meanwhile.

        What the other sink reads too is its to bury: each record that can't be used is one dead letter.
        """
        own = [letter for letter in letters if self._names[str(letter.message.topic())] not in STORED]
        return not own or self._letters.send(own, self._stop.is_set)

    def _send(self, entries: Sequence[tuple[Entry, Partition]]) -> None:
        """Write entries; where Redis has been emptied nothing is written, and it is filled first."""
        if entries and LOST in write_entries(self._client, self._prefix, entries):
            self._lost, self._looked = True, monotonic() - LOOK_SECONDS

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
        moved = {place_in(message): int(message.offset() or 0) + 1 for message in messages}
        self._next |= moved
        self._shown.hops.labels(STAGE).observe(age_seconds(messages[0]))  # it has waited longest
        for message in messages:
            if self._names[str(message.topic())] == HEATMAP:
                self._show_heatmap(message)
        self._count(Counter(self._names[str(message.topic())] for message in messages))
        self._intake.commit(moved)

    def _show_heatmap(self, message: Message) -> None:
        symbol = (message.key() or b"").decode(errors="replace")
        if symbol in self._heatmaps_ms:
            self._heatmaps_ms[symbol] = max(self._heatmaps_ms[symbol], message.timestamp()[1])

    def _count(self, records: Mapping[str, int]) -> None:
        """Show records taken, by channel."""
        for channel, count in records.items():
            self._shown.outputs.labels(STAGE, channel).inc(count)
        self._shown.records.labels(STAGE).inc(sum(records.values()))


def place_in(message: Message) -> Partition:
    """The partition a record came from."""
    number = message.partition()
    assert number is not None
    return str(message.topic()), number


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
