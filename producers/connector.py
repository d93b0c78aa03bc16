"""One slot of one exchange: its connections, as the user's `ExchangeConnector` and as the supervisor's.

Both forms call the same inner functions: `connect` opens a socket and starts its reader, the subscriptions
send what the session sends first, callbacks get each raw record that is published.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from COBY.exchanges.base import Endpoints, Exchange, Slot
from COBY.interfaces import ExchangeConnector
from COBY.models import ConnectionStatus
from COBY.records import Status
from COBY.utils.exceptions import ConfigurationError, ExchangeError, ValidationError
from COBY.utils.logging import get_logger, set_correlation_id
from COBY.utils.timing import from_us
from producers.allowance import Allowances
from producers.backoff import CLOSED
from producers.connection import Connection, Wiring
from producers.raw import RawRecord, listed
from producers.raw_stream import Outlet
from producers.rest import Rest
from producers.silence import Silent
from producers.sockets import Opener

log = get_logger(__name__)


class SlotConnector(ExchangeConnector):
    """The connections of one slot: one, or two while one replaces another. Lives in one event loop."""

    def __init__(
        self,
        slot: Slot,
        exchange: Exchange,
        endpoints: Endpoints,
        publisher: Outlet,
        rest: Rest,
        *,
        now_seconds: Callable[[], float] | None = None,
        allowances: Allowances | None = None,
        opener: Opener | None = None,
        collector: str | None = None,
    ) -> None:
        """``now_seconds`` gives the time that sessions are told; else the publisher's clock does.

        ``allowances``: those of all slots of the exchange; else the slot is alone. ``opener``: see `Wiring`.
        ``collector``: name of this producer where an exchange has several: each has statuses of its own.
        """
        self.slot = slot
        self._status_name = slot.name if collector is None else f"{slot.name}@{collector}"
        self.connections: list[Connection] = []
        self.breaker = CLOSED
        self.on_change: Callable[[], None] = lambda: None
        self.on_silent: Callable[[Silent], None] = lambda _silent: None
        self.last_message_us: int | None = None
        self._exchange = exchange
        self._endpoints = endpoints
        self._publisher = publisher
        self.allowances = allowances or Allowances.of(exchange.limits)
        self._wiring = Wiring(
            publisher,
            rest,
            self._observe,
            self._changed,
            now_seconds or publisher.clock.now_seconds,
            self.allowances.messages,
            opener,
            exchange.silence_seconds,
            self._silent,
        )
        self._callbacks: list[Callable[[RawRecord], Any]] = []
        self._opened = 0
        self._error: str | None = None
        self._state = "disconnected"
        self._since_us = publisher.clock.now_us()

    # --- the user's form --------------------------------------------------------------------------------

    async def connect(self) -> bool:
        """See `ExchangeConnector`. With an open connection nothing happens."""
        if self.current is not None:
            return True
        try:
            await self.open()
        except ExchangeError as error:
            log.warning("connect_failed", slot=self.slot.name, error=error.detail())
            return False
        return True

    async def disconnect(self) -> None:
        """See `ExchangeConnector`."""
        for connection in list(self.connections):
            await self.close(connection, "stopped")
        self._set_state("stopped")

    async def subscribe_orderbook(self, symbol: str) -> None:
        """See `ExchangeConnector`. A slot's symbols are served together: the first call subscribes all."""
        await self.subscribe(symbol, "book")

    async def subscribe_trades(self, symbol: str) -> None:
        """See `ExchangeConnector`. A slot's symbols are served together: the first call subscribes all."""
        await self.subscribe(symbol, "trade")

    def get_connection_status(self) -> ConnectionStatus:
        """See `ExchangeConnector`."""
        status = self.status()
        last = status.last_message_at
        return ConnectionStatus(
            status.exchange,
            status.state,
            from_us(status.since),
            None if last is None else from_us(last),
            status.reconnects,
            status.breaker,
            status.error,
            slot=status.slot,
            observed_at=from_us(status.observed_at),
        )

    def add_data_callback(self, callback: Callable[..., Any]) -> None:
        """Have `callback` called with each `RawRecord` as it is published, in the reader.

        What it raises is logged. ValidationError `value.callback` for a coroutine function.
        """
        if inspect.iscoroutinefunction(callback):
            raise ValidationError("value.callback", "a coroutine function", allowed="a plain function")
        self._callbacks.append(callback)

    # --- the pipeline's form ----------------------------------------------------------------------------

    @property
    def current(self) -> Connection | None:
        """The newest open connection."""
        return self.connections[-1] if self.connections else None

    async def open(self) -> Connection:
        """Open a further connection and start its reader. ExchangeError `exchange.unreachable`."""
        if self.current is None:
            self._set_state("connecting")
        names = {name: symbol for name, symbol in self.slot.symbols.items() if not name.startswith("!")}
        conn = f"{self.slot.name}-{uuid4().hex[:12]}"
        session = self._exchange.session(names, self._endpoints)
        connection = Connection(conn, self.slot, session, self._wiring)
        try:
            await connection.open()
        except ExchangeError as error:
            self._error = error.detail()
            self._changed()
            raise
        self._opened += 1
        self.connections.append(connection)
        connection.reader = asyncio.create_task(self._read(connection), name=conn)
        self._changed()
        return connection

    async def subscribe(self, symbol: str, channel: str) -> None:
        """Subscribe the slot and wait for this symbol's channel; errors as `ExchangeConnector` says."""
        if symbol not in self.slot.symbols.values():
            allowed = " ".join(sorted(self.slot.symbols.values()))
            raise ConfigurationError(
                "config.unknown_symbol", f"{symbol!r}", where=self.slot.name, allowed=allowed
            )
        if symbol not in listed(self.slot):
            raise ExchangeError("exchange.not_listed", f"{symbol} is not listed", where=self.slot.exchange)
        if (connection := self.current) is None:
            raise ExchangeError("exchange.not_connected", "connect() comes first", where=self.slot.name)
        await connection.start()
        await connection.wait_acknowledged(symbol, channel)

    async def ended(self, connection: Connection) -> str:
        """Wait for the end of a connection; its reason. Raises what its reader raised."""
        assert connection.reader is not None, "open() starts it"
        return await asyncio.shield(connection.reader)

    async def close(self, connection: Connection, reason: str) -> None:
        """End a connection and wait for its last record."""
        await connection.close(reason)
        await self.ended(connection)

    def has(self, conn: str) -> bool:
        """Whether the connection of that name is one of these, and not another collector's or long gone."""
        return any(connection.conn == conn for connection in self.connections)

    async def resync(self, conn: str, symbol: str, reason: str, asked_us: int) -> bool:
        """Have the named connection bring a snapshot; False if there is no such connection or symbol."""
        for connection in self.connections:
            if connection.conn == conn and symbol in listed(self.slot):
                age_us = self._publisher.clock.now_us() - asked_us
                await connection.resync(symbol, reason, max(0.0, age_us / 1e6))
                return True
        return False

    def status(self) -> Status:
        """The status as it is published; times in microseconds."""
        current = self.current
        return Status(
            self.slot.exchange,
            self._status_name,
            None if current is None else current.conn,
            self._state,
            self._since_us,
            self.last_message_us,
            max(0, self._opened - 1),
            self.breaker,
            self._error,
            self._publisher.clock.now_us(),
        )

    async def _read(self, connection: Connection) -> str:
        # What is logged from here on, by every task of the connection's, can be found by what its records and the
        # gaps and intervals made of them have in `conn`.
        set_correlation_id(connection.conn)
        log.info("connected", exchange=self.slot.exchange, slot=self.slot.name, url=connection.url)
        try:
            reason = await connection.run()
            log.info("connection_ended", exchange=self.slot.exchange, slot=self.slot.name, reason=reason)
            self._error = reason
            return reason
        finally:
            self.connections.remove(connection)
            self._changed()

    def _observe(self, record: RawRecord) -> None:
        if record.kind == "ws":
            self.last_message_us = record.received_ns // 1000
        for callback in self._callbacks:
            try:
                callback(record)
            except Exception:
                log.exception("callback_failed", slot=self.slot.name)

    def _silent(self, silent: Silent) -> None:
        log.warning("channel_silent", slot=self.slot.name, **silent._asdict())
        self.on_silent(silent)

    def _changed(self) -> None:
        """Work the state out anew."""
        current = self.current
        if current is None:
            self._set_state("disconnected")
        elif current.acknowledged or any(other.acknowledged for other in self.connections):
            self._error = None
            self._set_state("subscribed")
        else:
            self._set_state("connected")

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._since_us = self._publisher.clock.now_us()
            self.on_change()
