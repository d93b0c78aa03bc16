"""A replay session for one connection: its topic from the beginning, or from cursors, as fast as the client takes it.

The messages are those of live. What sets the scene (header `prelude`) is the snapshot; a new run begins with an empty
one, as nothing before it holds any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from api.ws.channels import CHANNELS, GAP, Selection
from api.ws.cursors import ReplayCursor
from api.ws.items import Item, headers_of, item_of
from api.ws.live import Client
from api.ws.messages import End
from api.ws.outbox import Feed
from api.ws.past import FETCH_RECORDS, POLL_SECONDS, SHORTLY
from COBY.codec import decode
from COBY.config import Config
from COBY.models import ReplayStatus
from COBY.replays.sessions import ENDED, replay_topic
from COBY.runtime.kafka import broker_error, make_consumer
from COBY.runtime.reader import place_of
from COBY.stage import header, parse_position
from COBY.utils.exceptions import ProcessingError, ReplayError
from COBY.utils.logging import get_logger

STATUS_SECONDS = 1.0
START = (-1, 0)
"""(run, n) before anything: runs count from 0."""
NO_RUN = -1
"""Before the first run, which is 0."""

T = TypeVar("T")
Do = Callable[[Callable[[], Any]], Any]
"""Runs something that blocks in a thread: ``await do(work)``."""

log = get_logger(__name__)


class Released(NamedTuple):
    """One record of a session's topic. ``item`` None: no channel of ours, or nothing that can be read."""

    run: int
    n: int
    offset: int
    is_prelude: bool
    item: Item | None


class ReplaySubscription:
    """One subscription to a session."""

    def __init__(
        self, selection: Selection, session: str, place: tuple[int, int, int], cursor: ReplayCursor | None
    ) -> None:
        """``place``: where the session's reading stands; ``cursor``: where this subscription goes on."""
        seq = 0 if cursor is None else cursor.seq
        self.selection = selection
        self.feed = Feed(selection, place if cursor is None else cursor[2:], seq=seq, session=session)
        self.after = START if cursor is None else (cursor.run, cursor.n)
        self.run = NO_RUN if cursor is None else cursor.run
        """Whose snapshot was sent."""
        self.scene: list[str] = []

    def wants(self, item: Item) -> bool:
        """Whether a record is for it."""
        if item.symbol != self.selection.symbol or not item.is_for(self.selection):
            return False
        name = self.selection.channel.name
        return item.channel == name or (item.channel == GAP and self.selection.channel.has_gaps)


class Session:
    """A session as one connection sees it. `run` until the session is deleted, or cancelled."""

    def __init__(
        self, cfg: Config, name: str, client: Client, do: Do, status: Callable[[], ReplayStatus]
    ) -> None:
        """``status`` blocks."""
        self.name = name
        self.subscriptions: dict[str, ReplaySubscription] = {}
        self._client = client
        self._do = do
        self._status = status
        self._names = {f"{cfg.topic_prefix}.{channel}.v1": channel for channel in CHANNELS}
        self._topic = replay_topic(cfg.topic_prefix, name)
        self._cfg = cfg
        self._taken = START
        self._scene_run = NO_RUN
        self._offset = 0
        self._begun = asyncio.Event()
        self._told: tuple[str, int] | None = None

    @property
    def place(self) -> tuple[int, int, int]:
        """(run, n) of the last record, and the next offset."""
        return (*self._taken, self._offset)

    def begin(self, made: Iterable[ReplaySubscription]) -> None:
        """More subscriptions. Reading begins with the first ones; later ones begin where it stands by then."""
        for one in made:
            self.subscriptions[one.selection.name] = one
            if self._begun.is_set() and one.run == NO_RUN:
                self.snapshot(one, self.place, complete=False)
        if self.subscriptions:
            self._begun.set()

    async def run(self) -> None:
        """Read and send. BrokerError `kafka.refused`."""
        await self._begun.wait()
        starts = [one.feed.place for one in self.subscriptions.values()]
        run, n, self._offset = min(starts, key=lambda place: place[2])
        self._taken = (run, n)
        more: Any = SHORTLY
        consumer = make_consumer(self._cfg, f"{self._cfg.topic_prefix}.api-replay", **more)
        consumer.assign([TopicPartition(self._topic, 0, self._offset)])
        try:
            await self._follow(consumer)
        finally:
            await asyncio.shield(self._do(consumer.close))

    async def _follow(self, consumer: Consumer) -> None:
        looked = monotonic() - STATUS_SECONDS
        ended: ReplayStatus | None = None
        while True:
            released = await self._do(lambda: self._read(consumer))
            self._send(released)
            await self._client.room()
            if ended is not None and self._is_reached(ended, is_quiet=not released):
                self._end(ended)
                ended = None
            if released or monotonic() - looked < STATUS_SECONDS:
                continue
            looked = monotonic()
            try:
                status = await self._do(self._status)
            except ReplayError:
                self._tell(End(seq=0, reason="deleted", session=self.name))
                return
            # What was released before its end was written lies in the topic by now: `end` comes after that.
            is_over = status.state in ENDED and self._told != (status.state, status.run)
            ended = status if is_over else None

    def _is_reached(self, status: ReplayStatus, *, is_quiet: bool) -> bool:
        return self._taken >= (status.run, status.n) or (is_quiet and status.n == 0)

    def _read(self, consumer: Consumer) -> list[Released]:
        """What has come. In a thread."""
        first = consumer.poll(POLL_SECONDS)
        messages = [] if first is None else [first, *consumer.consume(FETCH_RECORDS, 0)]
        released: list[Released] = []
        for message in messages:
            error: Any = message.error()
            if error is None:
                released += self._released(message)
            # One that was deleted is no error: its status says so. The end of a partition is none either.
            elif error.code() not in (KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART):
                raise broker_error("kafka.refused", KafkaException(error), where=self._topic)
        return released

    def _released(self, message: Message) -> list[Released]:
        headers, offset = headers_of(message), message.offset()
        assert offset is not None
        try:
            _, (run, n) = place_of(headers)
        except ProcessingError as error:
            log.warning("unreadable", topic=self._topic, offset=offset, error=str(error))
            return []
        is_prelude = header(headers, "prelude") is not None
        return [Released(run, n, offset, is_prelude, self._item(message))]

    def _item(self, message: Message) -> Item | None:
        headers = headers_of(message)
        topic = (header(headers, "topic") or b"").decode(errors="replace")
        source, position = header(headers, "source"), header(headers, "position")
        if topic not in self._names or source is None or position is None:
            return None
        try:
            place = parse_position(position)
            return item_of(message, decode(message.value()), source.decode(), place, topic)
        except (ProcessingError, ValueError) as error:
            log.warning("unreadable", topic=self._topic, offset=message.offset(), error=str(error))
            return None

    # --- in the event loop -------------------------------------------------------------------------------------------

    def _send(self, released: Iterable[Released]) -> None:
        for one in released:
            self._offset = max(self._offset, one.offset + 1)
            if (one.run, one.n) <= self._taken:
                continue  # again, after a worker was killed
            self._taken = (one.run, one.n)
            if not one.is_prelude and self._scene_run < one.run:
                self._scene_run = one.run
                self._set_scene(one)
            if one.item is not None:
                self._give(one, one.item)
        self._client.awake.set()

    def _give(self, one: Released, item: Item) -> None:
        now = monotonic()
        for subscription in self.subscriptions.values():
            if (one.run, one.n) <= subscription.after or not subscription.wants(item):
                continue
            if one.is_prelude and subscription.run < one.run:
                subscription.scene.append(item.text())
                continue
            of = f'"session":"{self.name}","run":{one.run},"n":{one.n},'
            place = (one.run, one.n, one.offset + 1)
            self._client.outbox.offer(subscription.feed, item.kind, item.text(), place, now, of=of)

    def _set_scene(self, one: Released) -> None:
        """Before the first record of a run that is no prelude: what the prelude has brought, to whom it is new."""
        place = (one.run, one.n - 1, one.offset)
        for subscription in self.subscriptions.values():
            if subscription.run < one.run:
                self.snapshot(subscription, place, complete=one.run == 0)

    def snapshot(
        self, subscription: ReplaySubscription, place: tuple[int, int, int], *, complete: bool
    ) -> None:
        """The first message of a subscription, or of a run; what follows it stands after ``place``."""
        texts, subscription.scene, subscription.run = subscription.scene, [], place[0]
        self._client.outbox.snapshot(subscription.feed, texts, place, monotonic(), complete=complete)
        self._client.awake.set()

    def _end(self, status: ReplayStatus) -> None:
        self._told = (status.state, status.run)
        for subscription in self.subscriptions.values():
            if subscription.run < status.run:  # nothing has followed its prelude
                self.snapshot(subscription, (status.run, *self.place[1:]), complete=True)
        reason: Any = status.state
        missing = list(status.missing)
        self._tell(End(seq=0, reason=reason, session=self.name, error=status.error, missing=missing))

    def _tell(self, message: End) -> None:
        self._client.outbox.tell(message, monotonic())
        self._client.awake.set()
