"""Resync requests from `coby.control.v1` to the connections they complain of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from confluent_kafka import Message, TopicPartition

from COBY.codec import decode
from COBY.config import Config
from COBY.records import Resync
from COBY.runtime.kafka import make_consumer
from COBY.runtime.metrics import Metrics
from COBY.topics import PARTITIONS, topic_name
from COBY.utils.exceptions import CobyError
from COBY.utils.logging import get_logger
from producers.backoff import Limiter
from producers.connector import SlotConnector
from producers.offsets import bounds

POLL_SECONDS = 0.1
BATCH_RECORDS = 100
BURST, EACH_SECONDS = 4, 4.0
"""Per symbol: four requests at once (a snapshot may be too old a few times), then one each four seconds: a
book that is asked for again is live within five."""

log = get_logger(__name__)


class Control:
    """Reads the requests from the moment of its making on; older ones complain of connections long gone."""

    def __init__(
        self,
        cfg: Config,
        exchange: str,
        connectors: Mapping[str, SlotConnector],
        metrics: Metrics,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``connectors`` by name of slot. Asks Kafka for the ends of the topic: BrokerError."""
        self._exchange = exchange
        self._connectors = connectors
        self._monotonic = monotonic
        self._limiter = Limiter(BURST, EACH_SECONDS)
        self._waiting: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._resyncs = metrics.resyncs
        self._consumer = make_consumer(cfg, f"{cfg.topic_prefix}.producers.{exchange}")
        topic = topic_name(cfg.topic_prefix, "control")
        # Ends asked for now: librdkafka would look for them later, and pass over what comes in between.
        ends = [bounds(self._consumer, topic, number)[1] for number in range(PARTITIONS)]
        self._consumer.assign([TopicPartition(topic, number, end) for number, end in enumerate(ends)])

    async def run(self, stop: asyncio.Event) -> None:
        """Serve requests until ``stop``."""
        try:
            async with asyncio.TaskGroup() as group:
                while not stop.is_set():
                    for message in self._consumer.consume(BATCH_RECORDS, 0):
                        self._take(message, group)
                    await asyncio.sleep(POLL_SECONDS)
                for task in self._tasks:
                    task.cancel()
        finally:
            self._consumer.close()

    def _take(self, message: Message, group: asyncio.TaskGroup) -> None:
        if (error := message.error()) is not None:
            log.warning("control_trouble", error=error.str())
            return
        try:
            request = decode(message.value())
        except CobyError as broken:
            log.warning("control_broken", offset=message.offset(), error=str(broken))
            return
        if isinstance(request, Resync) and request.exchange == self._exchange:
            self._ask(request, group)

    def _ask(self, request: Resync, group: asyncio.TaskGroup) -> None:
        """Requests beyond the limit wait; a second one for the same book while one waits says nothing new."""
        connector = self._connectors.get(request.slot)
        key = (request.conn, request.symbol)
        if connector is None or key in self._waiting or not connector.has(request.conn):
            return  # what another collector is asked for takes nothing of our own limit
        self._waiting.add(key)
        task = group.create_task(self._serve(connector, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connector: SlotConnector, request: Resync) -> None:
        book = (request.slot, request.symbol)
        while (wait_seconds := self._limiter.wait(book, self._monotonic())) > 0:
            await asyncio.sleep(wait_seconds)
        self._waiting.discard((request.conn, request.symbol))
        if not connector.has(request.conn):
            return  # it has gone while it waited: the place is for another
        self._limiter.take(book, self._monotonic())
        if await connector.resync(request.conn, request.symbol, request.reason, request.timestamp):
            self._resyncs.labels(self._exchange, request.symbol).inc()
            told = {"slot": request.slot, "symbol": request.symbol, "reason": request.reason}
            log.info("resync", **told, correlation_id=request.conn)
