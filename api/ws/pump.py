"""The thread of the hub: reads what is wanted from Kafka, once, and hands it to the event loop in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import random
from time import monotonic
from typing import NamedTuple

from confluent_kafka import KafkaException

from api.ws.channels import CHANNELS, Partition
from api.ws.items import Item
from api.ws.past import Past
from api.ws.tail import Lost, Tail
from COBY.config import Config
from COBY.runtime.kafka import broker_error
from COBY.topics import TOPICS, topic_name
from COBY.utils.exceptions import BrokerError
from COBY.utils.logging import get_logger

AHEAD_BATCHES = 2
"""Batches that the event loop has not taken yet."""
FARTHEST_RECORDS = 10_000
"""What is not in Redis yet is read when a partition is begun, but no more than this."""
LONGEST_PAUSE_SECONDS = 5.0
AGAIN_SECONDS = 1.0
"""After this a partition that could not be begun is tried again."""

log = get_logger(__name__)


class Begun(NamedTuple):
    """A partition whose reading has begun; ``complete``: what lies before ``first`` is in Redis, or is nothing."""

    first: int
    end: int
    complete: bool
    topic_id: str


class Batch(NamedTuple):
    """What has come: new records, and what was lost, in order; the next offset of each partition; what began, could
    not begin, was dropped.
    """

    came: list[Item | Lost]
    places: dict[Partition, int]
    begun: dict[Partition, Begun]
    failed: dict[Partition, BrokerError]
    dropped: frozenset[Partition]


Deliver = Callable[[Batch, Callable[[], object]], object]
"""Called in this thread: takes a batch over to the loop, which calls the second argument when it is done with it."""


class Pump(threading.Thread):
    """Reads until `end`. ``wanted``, ``leaving`` and ``encoded`` may be replaced at any time, from any thread.

    Each partition of ``leaving`` comes as dropped, whether it was read or not, until it is taken out again; only then
    may it be wanted.
    """

    def __init__(self, cfg: Config, deliver: Deliver, failed: Callable[[BaseException], object]) -> None:
        """Not started. ``failed`` is told of a bug, after which the thread is over."""
        super().__init__(name="hub", daemon=True)
        self._cfg = cfg
        self._deliver = deliver
        self._failed = failed
        self._slots = threading.BoundedSemaphore(AHEAD_BATCHES)
        self._stop_asked = threading.Event()
        self.wanted: frozenset[Partition] = frozenset()
        self.leaving: frozenset[Partition] = frozenset()
        self.encoded: frozenset[tuple[str, str | None]] = frozenset()
        """(channel, symbol) of which records are made JSON here, once, and not where they are sent."""
        self._not_before: dict[Partition, float] = {}

    def end(self) -> None:
        """Stop reading; returns when it has."""
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        """The thread."""
        main, aside = Past(self._cfg), Past(self._cfg)
        names = {topic_name(self._cfg.topic_prefix, name): name for name in CHANNELS}
        tail = Tail(names, aside)
        try:
            failures = 0
            while not self._stop_asked.is_set():
                try:
                    self._turn(main, aside, tail)
                    failures = 0
                except (KafkaException, BrokerError) as error:
                    log.warning("hub_waits", error=str(error))
                    self._stop_asked.wait(
                        min(LONGEST_PAUSE_SECONDS, 0.1 * 2**failures) * (0.5 + random() / 2)
                    )
                    failures = min(failures + 1, 10)
                    main.begin(tail.next)  # what was fetched and not taken comes again
        except BaseException as error:
            log.critical("hub_failed", exc_info=True)
            self._failed(error)
        finally:
            main.close()
            aside.close()

    def _turn(self, main: Past, aside: Past, tail: Tail) -> None:
        wanted = self.wanted
        dropped = self.leaving  # read after `wanted`: nothing is in both
        for partition in dropped & tail.next.keys():
            tail.drop(partition)
        begun, failed = self._begin_all(wanted - dropped - tail.next.keys(), aside, tail)
        for (name, _), there in begun.items():
            main.expect(name, there.topic_id)
        if begun or dropped:
            main.begin(tail.next)
        if begun or dropped or failed:
            self._hand_over(Batch([], {name: tail.next[name] for name in begun}, begun, failed, dropped))
        came: list[Item | Lost] = []
        places: dict[Partition, int] = {}
        try:
            for message in main.more():
                for one in tail.take(message):
                    came.append(one)
                    if isinstance(one, Item) and (one.channel, one.symbol) in self.encoded:
                        one.text()
            places = dict(tail.next)
        finally:
            # Also what was taken before something failed: it will not come again.
            if came or places:
                self._hand_over(Batch(came, places or dict(tail.next), {}, {}, frozenset()))

    def _begin_all(
        self, partitions: frozenset[Partition], aside: Past, tail: Tail
    ) -> tuple[dict[Partition, Begun], dict[Partition, BrokerError]]:
        """Begin those that can be begun. After the first that can't be the others are read on before one more."""
        begun: dict[Partition, Begun] = {}
        for partition in sorted(partitions, key=lambda name: (self._not_before.get(name, 0.0), name)):
            if self._stop_asked.is_set() or monotonic() < self._not_before.get(partition, 0.0):
                break
            try:
                begun[partition] = self._begin(partition, aside, tail)
                self._not_before.pop(partition, None)
            except (KafkaException, BrokerError) as error:
                problem = error if isinstance(error, BrokerError) else broker_error("kafka.refused", error)
                log.warning("partition_waits", topic=partition[0], partition=partition[1], error=str(problem))
                self._not_before[partition] = monotonic() + AGAIN_SECONDS
                return begun, {partition: problem}
        return begun, {}

    def _begin(self, partition: Partition, aside: Past, tail: Tail) -> Begun:
        topic_id = aside.topic_id(partition[0])
        oldest, end = aside.bounds(partition)
        first, floor_ms = aside.look_back(partition, end)
        cached = aside.in_redis(partition)
        if cached is not None:
            first = min(first, max(cached, oldest, end - FARTHEST_RECORDS))
        is_whole = TOPICS[partition[0]].cleanup == "compact" or first == 0
        tail.begin(partition, first, floor_ms, first)
        return Begun(first, end, is_whole or (cached is not None and cached >= first), topic_id)

    def _hand_over(self, batch: Batch) -> None:
        while not self._slots.acquire(timeout=0.5):
            if self._stop_asked.is_set():
                return
        self._deliver(batch, self._slots.release)
