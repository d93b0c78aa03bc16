"""What the WebSockets of a process share: hub, readers of the past, sessions, who is connected."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from api.callers import ANYONE, Caller
from api.closing import closed
from api.services import Services
from api.ws.asked import Known
from api.ws.hub import Hub
from api.ws.resume import Readers
from COBY.ohlcv import TIMEFRAMES_US
from COBY.utils.exceptions import ServiceError
from COBY.utils.logging import get_logger

if TYPE_CHECKING:
    from api.ws.client import Connection

REPLAYS = 16
"""Connections that replay at once in a process: each reads a topic by a client and a thread of its own."""
END_SECONDS = 5.0
"""How long clients have, when the server stops, to take what waits for them."""

log = get_logger(__name__)


class Sockets:
    """See above; made by `open_sockets`."""

    def __init__(self, services: Services) -> None:
        """Reads nothing yet."""
        cfg = services.cfg
        self.services = services
        services.metrics.init_clients()
        self.hub = Hub(cfg, services.metrics.hops.labels("api").observe)
        self.readers = Readers(cfg)
        self.known = Known(cfg.symbols, cfg.exchanges, tuple(TIMEFRAMES_US))
        self.replaying = 0
        self._threads = ThreadPoolExecutor(REPLAYS, thread_name_prefix="replay")
        self._connections: dict[Connection, str] = {}
        self._counts: Counter[str] = Counter()
        self._shown = services.metrics.ws_connections

    async def do(self, work: Callable[[], Any]) -> Any:
        """Something of a replay that blocks, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def admit(self, connection: Connection, caller: Caller) -> None:
        """Count a connection as its caller's. ServiceError `ws.too_many_connections`."""
        name = caller.address if caller.name == ANYONE else caller.name
        most = self.services.cfg.ws_connections
        if self._counts[name] >= most:
            allowed = f"{most} a key, or an address without one (WS_CONNECTIONS)"
            raise ServiceError("ws.too_many_connections", f"there are {most}", allowed=allowed)
        self.leave(connection)
        self._connections[connection] = name
        self._counts[name] += 1
        self._shown.set(len(self._connections))

    def leave(self, connection: Connection) -> None:
        """It is gone; nothing happens if it was not counted."""
        name = self._connections.pop(connection, None)
        if name is not None:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
        self._shown.set(len(self._connections))

    async def end(self) -> None:
        """Say `end` to everyone, and wait until they have it, or END_SECONDS."""
        there = list(self._connections)
        for connection in there:
            connection.end()
        try:
            async with asyncio.timeout(END_SECONDS):
                while self._connections:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()

    async def close(self) -> None:
        """Stop all threads."""
        await closed(hub=self.hub.end(), readers=self.readers.close())
        self._threads.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def open_sockets(services: Services) -> AsyncIterator[Sockets]:
    """The WebSockets' part of a process; a bug in the thread that reads Kafka comes out of this block."""
    sockets = Sockets(services)
    await sockets.hub.start()
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(sockets.hub.watch())
            yield sockets
            watching.cancel()
    finally:
        await sockets.close()
