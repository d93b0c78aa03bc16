"""From Kafka to all subscribers of this process: partitions are read while someone holds them, each record once.

The event loop's half; the thread that reads is pump.py. All methods are the loop's.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from time import monotonic, time_ns
from typing import Protocol

from confluent_kafka import KafkaException

from api.ws.channels import GAP, Partition, Selection
from api.ws.items import Item, Key
from api.ws.messages import Freshness
from api.ws.pump import Batch, Begun, Pump
from api.ws.tail import Lost
from COBY.config import Config
from COBY.runtime.offsets import Offsets
from COBY.topics import topic_name
from COBY.utils.exceptions import BrokerError
from COBY.utils.intervals import format_us
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


class Hub:
    """See above. `start`, then `end`."""

    def __init__(self, cfg: Config, observe: Callable[[float], object]) -> None:
        """Reads nothing yet; ``observe`` is told the age in seconds of what it gives out."""
        self._observe = observe
        self._prefix = cfg.topic_prefix
        self._offsets = Offsets(cfg)
        self._holders: Counter[Partition] = Counter()
        self._idle_since: dict[Partition, float] = {}
        self._leaving: set[Partition] = set()
        self._begun: dict[Partition, Begun] = {}
        self._ready: dict[Partition, asyncio.Event] = defaultdict(asyncio.Event)
        self._routes: dict[Route, dict[Subscriber, None]] = defaultdict(dict)
        self._latest: dict[Partition, dict[tuple[str | None, Key], Item]] = defaultdict(dict)
        self._newest_ms: dict[str, int] = {}
        self._fresh: dict[Partition, tuple[int, int]] = {}
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
            if partition not in self._leaving:
                self._pump.wanted |= {partition}

    def release(self, partitions: Iterable[Partition]) -> None:
        """One holder less."""
        for partition in partitions:
            self._holders[partition] -= 1
            if not self._holders[partition]:
                del self._holders[partition]
                self._idle_since[partition] = monotonic()

    async def ready(self, partitions: Iterable[Partition]) -> None:
        """Wait until all that was there when their reading began has come. BrokerError `kafka.silent`."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                for partition in partitions:
                    await self._ready[partition].wait()
        except TimeoutError as error:
            message = f"not read within {READY_SECONDS:g} s"
            raise BrokerError("kafka.silent", message, allowed="a broker that answers") from error

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
                self._leaving.add(partition)
                self._ready[partition].clear()
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
            for item in batch.items:
                self._give(item)
            if batch.items and self._ready[batch.items[0].place].is_set():  # before that it is the past
                self._observe(max(0.0, time_ns() / 1e9 - batch.items[0].time_ms / 1e3))
            for lost in batch.lost:
                self._lose(lost)
            for partition, place in batch.places.items():
                self.places[partition] = place
                if place >= self._begun[partition].end and partition not in self._leaving:
                    self._ready[partition].set()
        finally:
            done()

    def _give(self, item: Item) -> None:
        now = monotonic()
        self.places[item.place] = item.offset + 1
        self._latest[item.place][item.symbol, item.key] = item
        self._newest_ms[item.channel] = max(item.time_ms, self._newest_ms.get(item.channel, 0))
        for subscriber in list(self._routes.get((item.channel, item.symbol), ())):
            subscriber.take(item, now)

    def _lose(self, lost: Lost) -> None:
        log.error(
            "records_lost", topic=lost.topic, partition=lost.partition[1], first=lost.first, end=lost.end
        )
        for found in list(self._routes.values()):
            for subscriber in list(found):
                if lost.partition in subscriber.selection.partitions():
                    subscriber.miss(lost)

    def _drop(self, partition: Partition) -> None:
        self.places.pop(partition, None)
        self._latest.pop(partition, None)
        self._begun.pop(partition, None)
        self._fresh.pop(partition, None)
        self._ready[partition].clear()
        self._leaving.discard(partition)
        if self._holders[partition]:
            self._pump.wanted |= {partition}

    # --- freshness ---------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Ask Kafka where the partitions end."""
        asked_us = time_ns() // 1000
        names = {(topic_name(self._prefix, name), number): (name, number) for name, number in self.places}
        try:
            ends = await asyncio.to_thread(self._offsets.ends, names)
        except (KafkaException, TimeoutError) as error:
            log.warning("ends_unknown", error=str(error))
            return
        for name, end in ends.items():
            partition = names[name]
            if partition in self.places:
                before = self._fresh.get(partition, (0, 0))[0]
                behind = max(0, end - self.places[partition])
                self._fresh[partition] = (before if behind else asked_us, behind)

    def freshness(self, channel: str) -> Freshness:
        """How far the partitions of a channel are that are read."""
        known = [self._fresh.get(name) for name in self.places if name[0] == channel]
        newest_ms = self._newest_ms.get(channel)
        newest = None if newest_ms is None else format_us(1000 * newest_ms)
        found = [one for one in known if one is not None]
        if not found or len(found) < len(known):
            return Freshness(channel, None, None, newest)
        current_us = min(one[0] for one in found)
        return Freshness(
            channel, format_us(current_us) if current_us else None, sum(one[1] for one in found), newest
        )


def _routes(selection: Selection) -> list[Route]:
    own = (selection.channel.name, selection.symbol)
    return [own, (GAP, selection.symbol)] if selection.channel.has_gaps else [own]
