"""Outputs to Kafka, and a call once all of a chunk's are confirmed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from COBY.runtime import crash
from COBY.runtime.kafka import Delivered, GaplessProducer
from COBY.runtime.metrics import Metrics
from COBY.stage import Output
from COBY.topics import TOPICS, topic_name
from COBY.utils.exceptions import BrokerError

POLL_SECONDS = 0.01

Done = Callable[[], object]


class Batch:
    """The outputs of one chunk that Kafka has not confirmed yet.

    Only the last output of each topic and key is asked about: those before it went to the same partition, in order,
    by a gapless producer, so they are delivered when it is (or the producer has failed as a whole, and tells it).
    """

    __slots__ = ("_done", "_left", "delivered_all")

    def __init__(self, left: int, done: Done) -> None:
        self._left = left
        self._done = done
        self.delivered_all = asyncio.Event()

    def delivered(self, error: Any, _message: Any) -> None:
        """Called for each last output; an error ends the process and never counts (GaplessProducer tells it)."""
        if error is None:
            self._left -= 1
            if not self._left:
                self._done()
                self.delivered_all.set()


class Outbox:
    """Pipelines: a chunk's outputs are queued, the next chunk goes on, confirmations are served in between."""

    def __init__(self, prefix: str, producer: GaplessProducer, metrics: Metrics) -> None:
        """``prefix`` of the topics; outputs to raw topics are refused: a raw frame is never written twice."""
        self._producer = producer
        self._metrics = metrics
        self._topics = {name: topic_name(prefix, name) for name in TOPICS if name != "raw"}
        self._open: Counter[str] = Counter()
        self._batches: set[Batch] = set()

    @property
    def open_batches(self) -> int:
        """Chunks whose outputs are not all confirmed."""
        return self._open.total()

    def open_batches_by_stage(self) -> dict[str, int]:
        """The same by stage."""
        return dict(self._open)

    async def send(self, stage: str, outputs: Sequence[Output], done: Done) -> None:
        """Queue outputs in order, waiting while the queue is full; ``done`` is called when all are confirmed."""
        if not outputs:
            done()
            return
        self._open[stage] += 1
        last = {(output.topic, output.key): place for place, output in enumerate(outputs)}
        asked = set(last.values())
        batch = Batch(len(asked), lambda: self._close(stage, batch, done))
        self._batches.add(batch)
        for place, output in enumerate(outputs):
            if place == len(outputs) // 2:
                crash.reached("streams.producing")
            on_delivery = batch.delivered if place in asked else None
            while not self._offer(
                output, on_delivery
            ):  # the queue is full: serve confirmations until there is room
                self._producer.poll(0)
                await asyncio.sleep(POLL_SECONDS)
        crash.reached("streams.produced")
        for topic, count in Counter(output.topic for output in outputs).items():
            self._metrics.outputs.labels(stage, topic).inc(count)
        self._producer.poll(0)

    async def serve(self, failures: Sequence[BrokerError]) -> None:
        """Serve confirmations, until there is a failure: raises the first."""
        while not failures:
            self._producer.poll(0)
            await asyncio.sleep(POLL_SECONDS)
        raise failures[0]

    async def settled(self) -> None:
        """Wait until every batch that is open now is confirmed; `serve` has to run."""
        for batch in list(self._batches):
            await batch.delivered_all.wait()

    async def drain(self) -> None:
        """Wait until every batch is confirmed."""
        while self.open_batches:
            self._producer.poll(0)
            await asyncio.sleep(POLL_SECONDS)

    def _close(self, stage: str, batch: Batch, done: Done) -> None:
        self._open[stage] -= 1
        self._batches.discard(batch)
        done()

    def _offer(self, output: Output, on_delivery: Delivered | None) -> bool:
        return self._producer.offer(
            self._topics[output.topic],
            output.value,
            output.key,
            output.headers,
            timestamp_ms=output.timestamp_ms,
            on_delivery=on_delivery,
            reported=on_delivery is not None,
        )
