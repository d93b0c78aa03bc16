"""Going on from a cursor: the topics are read from its offsets until the hub is reached, then the hub goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from confluent_kafka import KafkaException

from api.ws.channels import CHANNELS, Partition, Selection
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
    """`cursor.expired`, with what is gone."""

    missed: list[Missed]


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

    def __init__(self, cfg: Config, past: Past, selection: Selection, offsets: Sequence[int]) -> None:
        """``offsets``: of the cursor."""
        names = {topic_name(cfg.topic_prefix, name): name for name in CHANNELS}
        self._prefix = cfg.topic_prefix
        self._past = past
        self._selection = selection
        self._starts = dict(zip(selection.partitions(), offsets, strict=True))
        self._tail = Tail(names, past)

    @property
    def places(self) -> dict[Partition, int]:
        """How far it is."""
        return self._tail.next

    def open(self) -> None:
        """Check the cursor against what is there. ExpiredError; ValidationError `cursor.invalid`."""
        gone: list[Missed] = []
        for partition, offset in self._starts.items():
            name, number = partition
            oldest, end = self._past.bounds(partition)
            topic = topic_name(self._prefix, name)
            if offset > end:
                message = f"offset {offset} of {topic}/{number} was not written yet"
                raise ValidationError(
                    "cursor.invalid", message, where=self._selection.name, allowed="a cursor of this system"
                )
            if offset < oldest and TOPICS[name].cleanup != "compact":
                gone.append(Missed(topic, number, offset, oldest))
        if gone:
            text = "; ".join(
                f"{one.topic}/{one.partition} {one.from_offset}-{one.until_offset}" for one in gone
            )
            error = ExpiredError(
                "cursor.expired",
                f"retention took {text}",
                where=self._selection.name,
                allowed="subscribe without a cursor",
            )
            error.missed = gone
            raise error
        for partition, offset in self._starts.items():
            self._tail.begin(partition, *self._past.look_back(partition, offset), offset)
        self._past.begin(self._tail.next)

    def more(self) -> tuple[list[Item], list[Lost]]:
        """What has come, for this subscription."""
        items = []
        for message in self._past.more():
            item = self._tail.take(message)
            if item is not None and item.symbol == self._selection.symbol and item.is_for(self._selection):
                item.text()
                items.append(item)
        lost, self._tail.lost = self._tail.lost, []
        if self._tail.has_looked_back:
            self._tail.has_looked_back = False
            self._past.begin(self._tail.next)
        return items, lost
