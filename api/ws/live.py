"""One live subscription of a connection: from its snapshot, or its cursor, to what the hub brings. Then on and on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from api.ws.channels import Partition, Selection
from api.ws.cursors import LiveCursor, live_cursor
from api.ws.hub import READY_SECONDS, Hub
from api.ws.items import Item
from api.ws.messages import Error, Missed
from api.ws.outbox import MAX_BYTES, Feed, Outbox
from api.ws.resume import CatchUp, ExpiredError, Readers
from api.ws.snapshots import cached, composed
from api.ws.tail import Lost
from COBY.config import Config
from COBY.runtime.redis import AsyncClient
from COBY.utils.exceptions import BrokerError

HIGH_BYTES = 256 * 1024
"""What waits at most, beside one fetch, for a client that resumes or replays."""


class Client:
    """What a subscription needs of its connection: where messages wait, and how it learns of the client's pace."""

    def __init__(self) -> None:
        """Nothing waits."""
        self.outbox = Outbox()
        self.awake = asyncio.Event()
        """Set where something waits."""
        self.taken = asyncio.Event()
        """Set each time a message has been sent."""

    async def room(self) -> None:
        """Wait until the client has taken enough."""
        while self.outbox.waiting_bytes > HIGH_BYTES:
            self.taken.clear()
            await self.taken.wait()


class LiveSubscription:
    """See above."""

    def __init__(
        self,
        selection: Selection,
        client: Client,
        slow: Callable[[], object],
        ended: Callable[[ExpiredError], object],
    ) -> None:
        """``slow`` is called when too much waits, ``ended`` when it can't go on."""
        self.selection = selection
        self.feed = Feed(selection, ())
        self._partitions = selection.partitions()
        self._client = client
        self._slow = slow
        self._ended = ended

    async def begin(
        self, cfg: Config, hub: Hub, redis: AsyncClient, readers: Readers, cursor: str | None
    ) -> None:
        """Attach it to the hub, its snapshot sent, or all that came since its cursor.

        Its partitions are held. ValidationError cursor.invalid, cursor.expired; BrokerError.
        """
        if cursor is not None:
            await self._resume(cfg, hub, readers, cursor)
            return
        await hub.ready(self._partitions)
        found = await cached(cfg, redis, self.selection)
        await hub.ready(self._partitions)
        # From here on nothing waits: the snapshot and what follows meet exactly.
        self.feed.topics = hub.topics(self.selection)
        texts, complete = composed(hub, self.selection, found)
        place = tuple(hub.places[name] for name in self._partitions)
        self._client.outbox.snapshot(self.feed, texts, place, monotonic(), complete=complete)
        self._client.awake.set()
        hub.attach(self)

    async def _resume(self, cfg: Config, hub: Hub, readers: Readers, text: str) -> None:
        cursor = live_cursor(text, len(self._partitions), self.selection.name)
        self.feed.seq, self.feed.place = cursor.seq, cursor.offsets
        await hub.ready(self._partitions)
        async with readers.one() as past:
            catch_up = CatchUp(cfg, past, self.selection, cursor)
            await readers.do(past, catch_up.open)
            self.feed.topics = catch_up.topics
            await self._catch_up(hub, lambda: readers.do(past, catch_up.more), catch_up.places)
            # Nothing has waited since: the hub goes on where this stands.
            self.feed.place = tuple(catch_up.places[name] for name in self._partitions)
            hub.attach(self)

    async def _catch_up(
        self, hub: Hub, more: Callable[[], Awaitable[list[Item | Lost]]], places: Mapping[Partition, int]
    ) -> None:
        """Until it is where the hub is. BrokerError `kafka.silent`; ExpiredError: made anew meanwhile."""
        silent_seconds = other_seconds = 0.0
        while True:
            is_ready = hub.is_ready(self._partitions)
            anew = self._anew(hub) if is_ready else {}
            if is_ready and not anew and all(places[name] >= hub.places[name] for name in self._partitions):
                return
            before, asked = dict(places), monotonic()
            for one in await more():
                if isinstance(one, Lost):
                    self.miss(one)
                else:
                    self._take(one, monotonic(), None)
            took = monotonic() - asked
            silent_seconds = 0.0 if places != before else silent_seconds + took
            # The hub may just not have looked yet.
            other_seconds = other_seconds + took if anew else 0.0
            if other_seconds > READY_SECONDS:
                raise self._expired(anew)
            if silent_seconds > READY_SECONDS:
                raise BrokerError("kafka.silent", f"nothing came for {READY_SECONDS:g} s")
            await self._client.room()

    def _anew(self, hub: Hub) -> dict[Partition, str]:
        """The partitions of which the hub reads other topics than this, with the ids of those."""
        ids = zip(self.selection.topics(), hub.topics(self.selection), self.feed.topics, strict=True)
        others = {name: topic_id for name, topic_id, own in ids if topic_id != own}
        return {one: others[one[0]] for one in self._partitions if one[0] in others}

    def take(self, item: Item, now: float) -> None:
        """A record of the hub."""
        self._take(item, now, item.replaces)
        if self._client.outbox.waiting_bytes > MAX_BYTES:
            self._slow()

    def _take(self, item: Item, now: float, key: object) -> None:
        feed = self.feed
        index = self._partitions.index(item.place)
        if item.offset < feed.place[index] or not item.is_for(self.selection):
            return
        place = (*feed.place[:index], item.offset + 1, *feed.place[index + 1 :])
        self._client.outbox.offer(feed, item.kind, item.text(), place, now, key=key)
        self._client.awake.set()

    def expire(self, anew: Mapping[Partition, str]) -> None:
        """See `Subscriber`."""
        self._ended(self._expired(anew))

    def _expired(self, anew: Mapping[Partition, str]) -> ExpiredError:
        """The new ones are to be read from their beginnings, the others from where the client stands."""
        ids = dict(zip(self.selection.topics(), self.feed.topics, strict=True)) | {
            name: topic_id for (name, _), topic_id in anew.items()
        }
        standing = zip(self._partitions, self.feed.standing(), strict=True)
        offsets = tuple(0 if name in anew else place for name, place in standing)
        cursor = LiveCursor(self.feed.seq, offsets, tuple(ids.values()))
        names = " ".join(sorted({name for name, _ in anew}))
        return ExpiredError(f"made anew: {names}", self.selection, cursor)

    def miss(self, lost: Lost) -> None:
        """Records that retention took before they were read."""
        self.feed.replaceable.clear()  # what comes after a hole must not be shown before it
        missed = Missed(lost.topic, lost.partition[1], lost.first, lost.end)
        message = (
            f"retention took {lost.topic}/{lost.partition[1]} {lost.first}-{lost.end} before it was read"
        )
        error = Error(
            seq=0, code="ws.missed", message=message, subscription=self.selection.name, missed=[missed]
        )
        self._client.outbox.tell(error, monotonic())
        self._client.awake.set()
