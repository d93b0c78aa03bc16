"""Faust's aiokafka transport with one event per chunk instead of per record, and positions that are our own.

Faust spends 100-180 us per event whatever is in it (two asyncio tasks each), so an event carries a whole chunk. Offsets
committed in Kafka are for lag displays only: after each assignment reading goes on where `Positions` says.
Registered as ``coby`` in the entry-point group ``faust.transports``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Protocol, cast

import aiokafka
from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, ensure_aiokafka_TP, server_list
from faust.types import TP, ConsumerMessage, Message
from faust.types.tuples import ack_lock

from COBY.runtime.memory import memory
from COBY.utils.logging import get_logger
from streams.assignor import ModuloAssignor
from streams.chunks import Chunk, Ledger, Queue
from streams.group import give_up_place, rebalances
from streams.pace import Pace

FETCH_WAIT_MS = 100
"""How long a broker may hold a fetch for which it has nothing: a partition drained meanwhile waits as long."""
HOLD_SECONDS = 2.0
"""How long pieces wait for an older partition of their number whose broker does not answer."""
FULL_SECONDS = 0.005

log = get_logger(__name__)


class Positions(Protocol):
    """Who says where reading goes on: the app's worker."""

    def keep(self, assigned: set[TP]) -> None:
        """Only these partitions are ours from now on."""

    def saved_offset(self, tp: TP) -> int | None:
        """How far the partition's task is saved: no more is committed."""

    async def save(self) -> None:
        """Our partitions are about to be given away: save their tasks."""

    async def start_offsets(self, bounds: Mapping[TP, tuple[int, int]]) -> dict[TP, int]:
        """Our partitions -> (oldest offset, end offset); gives for each the offset to read from."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread aiokafka runs in."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        """As Faust's, but with our assignor: Faust takes its own only for tables, else round robin."""
        conf = self.app.conf
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id or None,
            bootstrap_servers=server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[ModuloAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            # aiokafka's 100 ms make some fifty lines of log a second while a broker is away.
            retry_backoff_ms=500,
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            isolation_level="read_uncommitted",
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def on_thread_stop(self) -> None:
        """As Faust's, but a worker asked to stop leaves its group at once."""
        if self._consumer is not None:
            give_up_place(self._consumer)
        await super().on_thread_stop()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """As Faust's, but a commit that fails is tried again later: nothing depends on it, so nothing crashes.

        None while the group rebalances: it would wait in the connection behind the request to join, come with a
        generation that is over by then, and aiokafka would answer the refusal by joining anew, without end.
        """
        consumer, assigned = self._ensure_consumer(), self.assignment()
        if rebalances(consumer):
            return False
        place = aiokafka.structs.OffsetAndMetadata
        wanted = {ensure_aiokafka_TP(tp): place(at, "") for tp, at in offsets.items() if tp in assigned}
        try:
            await consumer.commit(wanted)
        except KafkaError as error:
            log.warning("commit_failed", error=repr(error))
            return False
        return True


class Consumer(driver.Consumer):
    """Delivers chunks. `epoch` rises whenever positions change: a chunk of an older one is to be ignored."""

    epoch = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queue = Queue()
        self._ledger = Ledger()
        self._read_to: dict[TP, int] = {}
        self._confirmed: dict[TP, int] = {}
        self._seeking = asyncio.Lock()
        self._held_since: float | None = None
        self._pace = Pace()

    @property
    def _positions(self) -> Positions:
        return cast(Positions, self.app.positions)  # type: ignore[attr-defined]  # see app.App

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # --- reading ---------------------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch once, then yield every chunk that may be delivered, oldest first."""
        if not self.flow_active:
            await self._flow()
        await self._fetch(timeout)
        while self.flow_active and (found := self._queue.pop(self._behind())) is not None:
            self._held_since = None
            chunk = Chunk(found[0], self.epoch, found[1])
            self._ledger.delivered(chunk.tp, chunk.last_offset)
            yield chunk.tp, self._message(chunk)

    async def _fetch(self, timeout: float) -> None:
        """Take what aiokafka has of the partitions of which nothing waits."""
        if not self._queue and (early := self._pace.early(time.monotonic())) > 0:
            await self.sleep(early)
        epoch = self.epoch
        wanted = {tp for tp in self._get_active_partitions() if tp not in self._queue}
        if not wanted or memory().full:
            # All are full, or none is assigned (aiokafka would take an empty set for "all"); or we are.
            await self.sleep(FULL_SECONDS)
            return
        fetched = await self._getmany(wanted, FETCH_WAIT_MS / 1000 if self._queue else timeout)
        if epoch != self.epoch:
            # Positions changed in between, and whether before or after these records were taken can't be known.
            if fetched:
                await self._flow()
                await self._seek_again()
            return
        self._pace.took(sum(map(len, fetched.values())), time.monotonic())
        for tp, records in fetched.items():
            self._queue.add(TP(*tp), records)
            self._read_to[TP(*tp)] = records[-1].offset + 1

    async def _flow(self) -> None:
        """Wait while Faust stops the flow: during rebalances."""
        await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # mode takes asyncio's events as well

    async def _seek_again(self) -> None:
        try:
            await self.perform_seek()
        except IllegalStateError as error:
            # The rebalance that lost us the partition will seek.
            log.info("seek_overtaken", error=repr(error))

    def _behind(self) -> list[TP]:
        """Partitions that have records which are not fetched yet."""
        if not self._queue:
            return []
        behind = [tp for tp in self.assignment() if tp not in self._queue and self._lags(tp)]
        now = time.monotonic()
        self._held_since = self._held_since or now
        return behind if now - self._held_since < HOLD_SECONDS else []

    def _lags(self, tp: TP) -> bool:
        try:
            end = self.highwater(tp)
        except (AssertionError, AttributeError):
            return False  # the thread has just lost it: aiokafka asserts and has no state of it
        return end is None or self._read_to.get(tp, 0) < end

    def _message(self, chunk: Chunk) -> ConsumerMessage:
        last = chunk.records[-1]
        return ConsumerMessage(
            chunk.tp.topic,
            chunk.tp.partition,
            last.offset,
            last.timestamp / 1000,
            0,
            None,
            None,
            chunk,  # type: ignore[arg-type]  # Faust hands a value on as it is; see app.ChunkSchema
            None,
            0,
            0,
            chunk.tp,
            generation_id=self.app.consumer_generation_id,
        )

    # --- acks and commits ------------------------------------------------------------------------------------------

    def ack(self, message: Message) -> bool:
        """A chunk is done: its outputs are delivered."""
        chunk = cast(Chunk, message.value)
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
            if chunk.epoch == self.epoch:
                self._ledger.ack(chunk.tp, chunk.last_offset)
                self._n_acked += 1
            return True

    def given(self, tp: TP) -> int | None:
        """The end of what was given out of a partition and is not acked; None: nothing. From any thread."""
        return self._ledger.given(tp)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        """All of ours: also one on which nothing has come since it was taken over has an offset to be shown."""
        return (tp for tp in self.assignment() if not topics or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        """The end of the acked prefix of delivered chunks, as far as a snapshot covers it."""
        acked, saved = self._ledger.end(tp), self._positions.saved_offset(tp)
        return saved if acked is None or saved is None else min(acked, saved)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return self._confirmed.get(tp) != offset

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done: bool = await super()._commit(offsets)
        if done:
            self._confirmed.update(offsets)
        return done

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: Faust sees a chunk by its last offset only and would take the others for missing."""

    # --- positions -------------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Save the tasks, forget what is in flight, then as Faust."""
        await self._positions.save()
        self._forget()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """As Faust, which then has `perform_seek` called unless nothing is assigned."""
        self._positions.keep(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Go to where `Positions` says, on all partitions; what was fetched before or meanwhile is forgotten."""
        async with self._seeking:
            self._forget()
            await super().perform_seek()
            self._forget(keep_read=True)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Despite its name (Faust's): seek to our own positions, and return them."""
        assigned = self.assignment()
        if not assigned:
            return {}
        oldest, ends = await self.earliest_offsets(*assigned), await self.highwaters(*assigned)
        offsets = await self._positions.start_offsets({tp: (oldest[tp], ends[tp]) for tp in assigned})
        self._read_to.update(offsets)
        await self.seek_wait(offsets)
        return offsets

    def _forget(self, keep_read: bool = False) -> None:
        self.epoch += 1
        self._queue.clear()
        self._ledger.clear()
        self._confirmed.clear()
        self._held_since = None
        if not keep_read:
            self._read_to.clear()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's check counts events by record and would complain of every partition."""


class Transport(driver.Transport):
    """Faust's aiokafka transport with that consumer."""

    Consumer = Consumer
