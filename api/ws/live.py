"""One live subscription of a connection: from its snapshot, or its cursor, to what the hub brings. Then on and on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from api.ws.channels import Selection
from api.ws.cursors import live_cursor
from api.ws.hub import Hub
from api.ws.items import Item
from api.ws.messages import Error, Missed
from api.ws.outbox import MAX_BYTES, Feed, Outbox
from api.ws.resume import CatchUp, Readers
from api.ws.snapshots import cached, composed
from api.ws.tail import Lost
from COBY.config import Config
from COBY.runtime.redis import AsyncClient

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

    def __init__(self, selection: Selection, client: Client, slow: Callable[[], object]) -> None:
        """``slow`` is called when too much waits."""
        self.selection = selection
        self.feed = Feed(selection, ())
        self._partitions = selection.partitions()
        self._client = client
        self._slow = slow

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
            catch_up = CatchUp(cfg, past, self.selection, cursor.offsets)
            await readers.do(past, catch_up.open)
            while True:
                items, lost = await readers.do(past, catch_up.more)
                for one in lost:
                    self.miss(one)
                for item in items:
                    self._take(item, monotonic(), None)
                places = catch_up.places
                if all(places[name] >= hub.places.get(name, 0) for name in self._partitions):
                    # Nothing waits in between: the hub goes on where this stands.
                    self.feed.place = tuple(places[name] for name in self._partitions)
                    hub.attach(self)
                    return
                await self._client.room()

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

    def miss(self, lost: Lost) -> None:
        """Records that retention took before they were read."""
        missed = Missed(lost.topic, lost.partition[1], lost.first, lost.end)
        message = (
            f"retention took {lost.topic}/{lost.partition[1]} {lost.first}-{lost.end} before it was read"
        )
        error = Error(
            seq=0, code="ws.missed", message=message, subscription=self.selection.name, missed=[missed]
        )
        self._client.outbox.tell(error, monotonic())
        self._client.awake.set()
