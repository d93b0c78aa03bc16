"""Going on from a cursor: the topics are read from its offsets until the hub is reached, then the hub goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from confluent_kafka import KafkaException

from api.ws.channels import CHANNELS, Partition, Selection
from api.ws.cursors import LiveCursor
from api.ws.items import Item
from api.ws.messages import Missed
from api.ws.past import Past
from api.ws.tail import Lost, Tail
from COBY.config import Config
from COBY.runtime.kafka import broker_error
from COBY.topics import TOPICS, topic_name
from COBY.utils.exceptions import ValidationError

READERS = 4
"""Clients that resume at once; others wait for their turn, which is a matter of moments."""

T = TypeVar("T")


class ExpiredError(ValidationError):
    """`cursor.expired`, with what is known to be gone, and the cursor at which what is there goes on."""

    def __init__(
        self, message: str, selection: Selection, cursor: LiveCursor, missed: Sequence[Missed] = ()
    ) -> None:
        allowed = "subscribe with the cursor `resume`, or without one"
        super().__init__("cursor.expired", message, where=selection.name, allowed=allowed)
        self.resume = cursor.text()
        self.missed = list(missed)


class Readers:
    """The consumers that read the past for clients: few, and kept. Close it."""

    def __init__(self, cfg: Config) -> None:
        """Makes them when they are needed."""
        self._cfg = cfg
        self._free: list[Past] = []
        self._turns = asyncio.BoundedSemaphore(READERS)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="resume")

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Past]:
        """A reader, for as long as the block runs."""
        async with self._turns:
            past = self._free.pop() if self._free else Past(self._cfg)
            try:
                yield past
            finally:
                # A thread may still be reading with it (whoever waited was cancelled): this comes after that.
                await asyncio.shield(self.do(past, past.leave))
                self._free.append(past)

    async def do(self, past: Past, work: Callable[[], T]) -> T:
        """Something with a reader, in a thread. BrokerError `kafka.refused` for what librdkafka says."""

        def alone() -> T:
            with past.lock:
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, alone)
        except KafkaException as error:
            raise broker_error("kafka.refused", error) from error

    async def close(self) -> None:
        """End them all."""
        try:
            await asyncio.gather(*(self.do(past, past.close) for past in self._free))
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)  # the loop is this thread's


class CatchUp:
    """One subscription's partitions from a cursor on. Its methods block; one thread at a time."""

    def __init__(self, cfg: Config, past: Past, selection: Selection, cursor: LiveCursor) -> None:
        """Reads nothing yet."""
        names = {topic_name(cfg.topic_prefix, name): name for name in CHANNELS}
        self._prefix = cfg.topic_prefix
        self._past = past
        self._selection = selection
        self._cursor = cursor
        self.topics: tuple[str, ...] = ()
        """Ids of the topics that are read, once it is open."""
        self._tail = Tail(names, past)

    @property
    def places(self) -> dict[Partition, int]:
        """How far it is."""
        return self._tail.next

    def open(self) -> None:
        """Check the cursor against what is there. ExpiredError; ValidationError `cursor.invalid`; BrokerError."""
        names = self._selection.topics()
        self.topics = tuple(map(self._past.topic_id, names))
        known = self._cursor.topics or self.topics
        anew = {name for name, before, now in zip(names, known, self.topics, strict=False) if before != now}
        gone: list[Missed] = []
        starts: dict[Partition, int] = {}
        for partition, offset in zip(self._selection.partitions(), self._cursor.offsets, strict=True):
            oldest, end = self._past.bounds(partition)
            starts[partition] = oldest if partition[0] in anew else offset
            topic = topic_name(self._prefix, partition[0])
            if starts[partition] > end:
                message = f"offset {offset} of {topic}/{partition[1]} was not written yet"
                allowed = "a cursor of this system"
                raise ValidationError("cursor.invalid", message, where=self._selection.name, allowed=allowed)
            if starts[partition] < oldest and TOPICS[partition[0]].cleanup != "compact":
                gone.append(Missed(topic, partition[1], offset, oldest))
                starts[partition] = oldest
        if gone or anew:
            raise self._expired(starts, gone, anew)
        for partition, offset in starts.items():
            self._tail.begin(partition, *self._past.look_back(partition, offset), offset)
        self._past.begin(self._tail.next)

    def _expired(self, starts: dict[Partition, int], gone: list[Missed], anew: set[str]) -> ExpiredError:
        texts = [
            f"retention took {one.topic}/{one.partition} {one.from_offset}-{one.until_offset}" for one in gone
        ] + [f"{topic_name(self._prefix, name)} was made anew" for name in sorted(anew)]
        cursor = LiveCursor(self._cursor.seq, tuple(starts.values()), self.topics)
        return ExpiredError("; ".join(texts), self._selection, cursor, gone)

    def more(self) -> list[Item | Lost]:
        """What has come, for this subscription, and what was lost before it."""
        found: list[Item | Lost] = []
        for message in self._past.more():
            for one in self._tail.take(message):
                if isinstance(one, Lost):
                    found.append(one)
                elif one.symbol == self._selection.symbol and one.is_for(self._selection):
                    one.text()
                    found.append(one)
        if self._tail.has_looked_back:
            self._tail.has_looked_back = False
            self._past.begin(self._tail.next)
        return found
