"""Keeps a slot connected: backoff, breaker, and make-before-break when an exchange says farewell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from COBY.records import Status
from COBY.runtime.metrics import Metrics
from COBY.utils.exceptions import ExchangeError
from COBY.utils.logging import get_logger
from producers.backoff import BREAKER_STATES, Backoff
from producers.connection import Connection
from producers.connector import SlotConnector
from producers.raw import listed

STATUS_SECONDS = 1.0
ANSWER_POLL_SECONDS = 0.05
TAKES_OVER_SECONDS = 60.0
"""A replacement has so long for its subscriptions, which some exchanges let through a few a second."""

log = get_logger(__name__)


class StatusOutlet(Protocol):
    """Where statuses go: the `Publisher`."""

    def put_status(self, status: Status) -> None:
        """Take one."""


class Supervisor:
    """One per slot. `run` returns after `stop`, with the connections closed and the last status written."""

    def __init__(
        self,
        connector: SlotConnector,
        publisher: StatusOutlet,
        backoff: Backoff,
        metrics: Metrics,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``backoff`` carries the randomness, ``monotonic`` the time."""
        self.connector = connector
        self._publisher = publisher
        self._backoff = backoff
        self._monotonic = monotonic
        self._reconnects = metrics.reconnects.labels(connector.slot.exchange)
        self._changed = asyncio.Event()
        connector.on_change = self._changed.set
        exchange, slot = connector.slot.exchange, connector.slot.name
        connector.on_silent = lambda silent: metrics.silent.labels(exchange, silent.channel).inc()
        metrics.breaker.labels(exchange, slot).set_function(self._breaker_state)

    async def run(self, stop: asyncio.Event) -> None:
        """Connect, and connect again, until ``stop``."""
        try:
            async with asyncio.TaskGroup() as group:
                reporter = group.create_task(self._report())
                if listed(self.connector.slot):
                    await self._keep(stop)
                await stop.wait()
                reporter.cancel()
        finally:
            await self.connector.disconnect()
            self._publisher.put_status(self.connector.status())

    async def _keep(self, stop: asyncio.Event) -> None:
        first = True
        while not stop.is_set():
            if not first:
                self._reconnects.inc()
            first = False
            delay = await self._attempt(stop)
            await first_of(stop.wait(), asyncio.sleep(delay))

    async def _attempt(self, stop: asyncio.Event) -> float:
        """One connection and its replacements, from opening to end; seconds to wait afterwards."""
        await first_of(stop.wait(), self._allowed())
        if stop.is_set():
            return 0.0
        self._show_breaker()
        if not await self.connector.connect():
            return self._failed()
        connection = self.connector.current
        if connection is None:  # it broke at once
            return self._failed()
        await connection.start()
        while (following := await self._live(connection, stop)) is not None:
            connection = following
        if stop.is_set():
            return 0.0
        now = self._monotonic()
        log.warning("disconnected", slot=self.connector.slot.name, error=self.connector.status().error)
        if connection.subscribed_at is None:
            return self._failed()
        return self._backoff.ended(now - connection.subscribed_at, now)

    async def _live(self, connection: Connection, stop: asyncio.Event) -> Connection | None:
        """Until the connection ends or stop (None), or another has taken its place (that one)."""
        ended = self.connector.ended(connection)
        await first_of(stop.wait(), connection.farewell.wait(), self._watch(connection), ended)
        if stop.is_set() or connection not in self.connector.connections:
            return None
        return await self._replace(connection, stop)

    async def _watch(self, connection: Connection) -> None:
        """Close the breaker once the exchange has confirmed."""
        await self._subscribed(connection)
        self._backoff.subscribed()
        self._show_breaker()
        await asyncio.Event().wait()

    async def _replace(self, old: Connection, stop: asyncio.Event) -> Connection | None:
        """Make before break: another connection first, subscribed, then the end of the old one."""
        while not stop.is_set() and old in self.connector.connections:
            await first_of(stop.wait(), self._allowed(), self.connector.ended(old))
            if stop.is_set() or old not in self.connector.connections:
                break
            try:
                new = await self.connector.open()
            except ExchangeError as error:
                log.warning("connect_failed", slot=self.connector.slot.name, error=error.detail())
                await first_of(stop.wait(), asyncio.sleep(self._failed()), self.connector.ended(old))
                continue
            self._reconnects.inc()
            await new.start()
            await first_of(stop.wait(), self._takes_over(old, new), self.connector.ended(new))
            if new in self.connector.connections and new.subscribed_at is not None:
                # Confirmed is not proven: the old books are shown until the snapshots of the new ones have come.
                handover = asyncio.sleep(self._backoff.handover_seconds)
                await first_of(stop.wait(), handover, self.connector.ended(old), self.connector.ended(new))
                if new in self.connector.connections:
                    if old in self.connector.connections:
                        await self.connector.close(old, "farewell")
                    return new
            await first_of(stop.wait(), asyncio.sleep(self._failed()))
        return None

    async def _subscribed(self, connection: Connection) -> None:
        """Until the exchange has confirmed; a connection without an answer ends itself."""
        while connection.subscribed_at is None:
            await asyncio.sleep(ANSWER_POLL_SECONDS)

    async def _takes_over(self, old: Connection, new: Connection) -> None:
        """Until the exchange has confirmed on the new one what it had on the old, refusals aside, or long enough."""
        end = self._monotonic() + TAKES_OVER_SECONDS
        while self._monotonic() < end:
            wanted = {pair for pair in old.acknowledged if pair[0] not in new.refused}
            if new.subscribed_at is not None and wanted <= new.acknowledged:
                return
            await asyncio.sleep(ANSWER_POLL_SECONDS)

    def _failed(self) -> float:
        now = self._monotonic()
        delay = self._backoff.failed(now)
        self._show_breaker()
        return delay

    async def _allowed(self) -> None:
        """Until the exchange allows this address another connection, with all its sockets."""
        allowances = self.connector.allowances
        await allowances.connects.take(allowances.sockets)

    def _breaker_state(self) -> float:
        return float(BREAKER_STATES.index(self._backoff.breaker(self._monotonic())))

    def _show_breaker(self) -> None:
        """In the status, which follows each change."""
        state = self._backoff.breaker(self._monotonic())
        if state != self.connector.breaker:
            self.connector.breaker = state
            self._changed.set()

    async def _report(self) -> None:
        """The status, once a second and on change."""
        while True:
            self._changed.clear()
            self._show_breaker()
            self._publisher.put_status(self.connector.status())
            await first_of(self._changed.wait(), asyncio.sleep(STATUS_SECONDS))


async def first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Wait for the first to be done, cancel the others; raises what any of them raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
