"""From Kafka to all subscribers of this process: partitions are read while someone holds them, each record once.

The event loop's half; the thread that reads is pump.py. All methods are the loop's.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from time import monotonic, time_ns
from typing import Protocol

from confluent_kafka import KafkaException

from api.ws.channels import GAP, Partition, Selection
from api.ws.freshness import Progress
from api.ws.items import Item, Key
from api.ws.messages import Freshness
from api.ws.pump import Batch, Begun, Pump
from api.ws.tail import Lost
from api.ws.topic_ids import TopicIds
from COBY.config import Config
from COBY.runtime.offsets import Offsets
from COBY.topics import topic_name
from COBY.utils.exceptions import BrokerError
from COBY.utils.logging import get_logger

READY_SECONDS = 10.0
LINGER_SECONDS = 30.0
"""A partition that nobody holds is read on for so long: whoever was cut comes back at once."""
LOOK_SECONDS = 1.0

Route = tuple[str, str | None]

log = get_logger(__name__)


class Subscriber(Protocol):
    """Who takes what comes."""

    @property
    def selection(self) -> Selection:
        """What it is for."""

    def take(self, item: Item, now: float) -> None:
        """A record of its channel and symbol, or a gap of its symbol."""

    def miss(self, lost: Lost) -> None:
        """Records of its partition that nobody can have any more."""

    def expire(self, anew: Mapping[Partition, str]) -> None:
        """These partitions are of topics made anew, with these ids: it ends, and detaches itself."""


class Hub:
    """See above. `start`, then `end`."""

    def __init__(self, cfg: Config, observe: Callable[[float], object]) -> None:
        """Reads nothing yet; ``observe`` is told the age in seconds of what it gives out."""
        self._observe = observe
        self._prefix = cfg.topic_prefix
        self._offsets = Offsets(cfg)
        self._topic_ids = TopicIds(cfg)
        self._holders: Counter[Partition] = Counter()
        self._idle_since: dict[Partition, float] = {}
        self._begun: dict[Partition, Begun] = {}
        self._failed_to_begin: dict[Partition, BrokerError] = {}
        self._ready: dict[Partition, asyncio.Event] = defaultdict(asyncio.Event)
        self._routes: dict[Route, dict[Subscriber, None]] = defaultdict(dict)
        self._latest: dict[Partition, dict[tuple[str | None, Key], Item]] = defaultdict(dict)
        self._progress = Progress()
        self._pump = Pump(cfg, self._deliver_soon, self._fail_soon)
        self.places: dict[Partition, int] = {}
        """The offset after the last record that subscribers were given, by partition."""

    async def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = self._loop.create_future()
        self._pump.start()

    async def watch(self) -> None:
        """Compare with Kafka each second, let go of what nobody holds; for ever, or until a bug ends the thread."""
        while not self._failed.done():
            await self._look()
            self._let_go()
            await asyncio.wait((self._failed,), timeout=LOOK_SECONDS)
        self._failed.result()

    async def end(self) -> None:
        """Stop reading."""
        await asyncio.to_thread(self._pump.end)

    # --- partitions --------------------------------------------------------------------------------------------------

    def hold(self, partitions: Iterable[Partition]) -> None:
        """Have these read, until `release`."""
        for partition in partitions:
            self._holders[partition] += 1
            self._idle_since.pop(partition, None)
            if partition not in self._pump.leaving:
                self._pump.wanted |= {partition}

    def release(self, partitions: Iterable[Partition]) -> None:
        """One holder less."""
        for partition in partitions:
            self._holders[partition] -= 1
            if not self._holders[partition]:
                del self._holders[partition]
                self._idle_since[partition] = monotonic()

    async def ready(self, partitions: Iterable[Partition]) -> None:
        """Wait until all that was there when their reading began has come. BrokerError: why it did not, or
        `kafka.silent`.
        """
        try:
            async with asyncio.timeout(READY_SECONDS):
                for partition in partitions:
                    await self._ready[partition].wait()
        except TimeoutError:
            message = f"not read within {READY_SECONDS:g} s"
            silent = BrokerError("kafka.silent", message, allowed="a broker that answers")
            found = (self._failed_to_begin[name] for name in partitions if name in self._failed_to_begin)
            raise next(found, silent) from None

    def topics(self, selection: Selection) -> tuple[str, ...]:
        """The ids of the topics that its partitions are read of; they are ready."""
        ids = {name[0]: self._begun[name].topic_id for name in selection.partitions()}
        return tuple(ids[name] for name in selection.topics())

    def is_ready(self, partitions: Iterable[Partition]) -> bool:
        """Whether `ready` would not wait."""
        return all(self._ready[name].is_set() for name in partitions)

    def latest(self, selection: Selection) -> tuple[dict[Key, Item], bool]:
        """The newest records read, by key, and whether what came before them is in Redis, or is nothing."""
        partitions = [name for name in selection.partitions() if name[0] == selection.channel.name]
        found = {
            key: item
            for partition in partitions
            for (symbol, key), item in self._latest[partition].items()
            if symbol == selection.symbol
        }
        return found, all(self._begun[name].complete for name in partitions)

    def is_whole(self, selection: Selection) -> bool:
        """Whether all its records there are were read: nothing can be in Redis that is not in `latest`."""
        return all(self._begun[name].first == 0 for name in selection.partitions() if name[0] != GAP)

    def _let_go(self) -> None:
        now = monotonic()
        for partition, since in list(self._idle_since.items()):
            if now - since > LINGER_SECONDS:
                del self._idle_since[partition]
                self._leave(partition)

    def _leave(self, partition: Partition) -> None:
        """Read it no more; whoever holds it has it begun again after that."""
        self._pump.leaving |= {partition}
        self._ready[partition].clear()
        self._failed_to_begin.pop(partition, None)
        self._pump.wanted -= {partition}

    # --- subscribers -------------------------------------------------------------------------------------------------

    def attach(self, subscriber: Subscriber) -> None:
        """It takes what comes from now on; its partitions are held and ready."""
        for route in _routes(subscriber.selection):
            self._routes[route][subscriber] = None
        self._encode()

    def detach(self, subscriber: Subscriber) -> None:
        """No more; nothing happens if it was not attached."""
        for route in _routes(subscriber.selection):
            found = self._routes[route]
            found.pop(subscriber, None)
            if not found:
                del self._routes[route]
        self._encode()

    def _encode(self) -> None:
        if len(self._routes) != len(self._pump.encoded):
            self._pump.encoded = frozenset(self._routes)

    # --- what comes --------------------------------------------------------------------------------------------------

    def _deliver_soon(self, batch: Batch, done: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(self._deliver, batch, done)

    def _fail_soon(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._failed.set_exception, error)

    def _deliver(self, batch: Batch, done: Callable[[], object]) -> None:
        try:
            for partition in batch.dropped:
                self._drop(partition)
            self._begun |= batch.begun
            for partition in batch.begun:
                self._failed_to_begin.pop(partition, None)
            self._failed_to_begin |= batch.failed
            for one in batch.came:
                if isinstance(one, Lost):
                    self._lose(one)
                else:
                    self._give(one)
            first = next((one for one in batch.came if isinstance(one, Item)), None)
            if first is not None and self._ready[first.place].is_set():  # before that it is the past
                self._observe(max(0.0, time_ns() / 1e9 - first.time_ms / 1e3))
            for partition, place in batch.places.items():
                self.places[partition] = place
                if place >= self._begun[partition].end and partition not in self._pump.leaving:
                    self._ready[partition].set()
        finally:
            done()

    def _give(self, item: Item) -> None:
        now = monotonic()
        self.places[item.place] = item.offset + 1
        self._latest[item.place][item.symbol, item.key] = item
        self._progress.came(item.channel, item.time_ms)
        for subscriber in list(self._routes.get((item.channel, item.symbol), ())):
            subscriber.take(item, now)

    def _lose(self, lost: Lost) -> None:
        log.error(
            "records_lost", topic=lost.topic, partition=lost.partition[1], first=lost.first, end=lost.end
        )
        for subscriber in self._readers({lost.partition}):
            subscriber.miss(lost)

    def _readers(self, partitions: set[Partition]) -> list[Subscriber]:
        """Who takes what comes of any of these, each once."""
        there = dict.fromkeys(one for found in self._routes.values() for one in found)
        return [one for one in there if partitions.intersection(one.selection.partitions())]

    def _drop(self, partition: Partition) -> None:
        self.places.pop(partition, None)
        self._latest.pop(partition, None)
        self._begun.pop(partition, None)
        self._progress.drop(partition)
        self._ready[partition].clear()
        self._pump.leaving -= {partition}
        if self._holders[partition]:
            self._pump.wanted |= {partition}
        else:
            self._idle_since.pop(partition, None)

    # --- freshness ---------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Ask Kafka where the partitions end, and whether their topics are still those that they were."""
        asked_us = time_ns() // 1000
        try:
            ids = await asyncio.to_thread(self._topic_ids.all, {name for name, _ in self.places})
            names = {
                (topic_name(self._prefix, name), number): (name, number)
                for name, number in self.places
                if name in ids
            }
            self._renew(ids)
            ends = await asyncio.to_thread(self._offsets.ends, names)
        except (KafkaException, TimeoutError, BrokerError) as error:
            log.warning("ends_unknown", error=str(error))
            return
        for name, end in ends.items():
            partition = names[name]
            if partition in self.places:
                self._progress.looked(partition, asked_us, max(0, end - self.places[partition]))

    def _renew(self, ids: Mapping[str, str]) -> None:
        """Topics made anew: their offsets begin again, and who stood somewhere in the old ones stands nowhere."""
        anew = {
            partition: ids[partition[0]]
            for partition in self.places
            if ids.get(partition[0], self._begun[partition].topic_id) != self._begun[partition].topic_id
            and partition not in self._pump.leaving
        }
        if not anew:
            return
        log.warning("topics_made_anew", partitions=sorted(anew))
        for partition in anew:
            self._leave(partition)
        for subscriber in self._readers(set(anew)):
            subscriber.expire(anew)

    def freshness(self, channel: str) -> Freshness:
        """How far the partitions of a channel are that are read."""
        return self._progress.of(channel, [name for name in self.places if name[0] == channel])


def _routes(selection: Selection) -> list[Route]:
    own = (selection.channel.name, selection.symbol)
    return [own, (GAP, selection.symbol)] if selection.channel.has_gaps else [own]
