"""A relay of WebSocket messages between an exchange and its producer, which does to them what a fault test wants."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.faults.looped import Looped

PASS, DROP, DOUBLE, SWAP, DELAY, CHECKSUM, CROSS, SILENT, REFUSE = (
    "pass", "drop", "double", "swap", "delay", "checksum", "cross", "silent", "refuse",
)  # fmt: skip
MODES = (PASS, DROP, DOUBLE, SWAP, DELAY, CHECKSUM, CROSS, SILENT, REFUSE)
SHARE = 0.05
"""Of the messages that are touched, but for `silent` (all) and `refuse` (new connections)."""
DELAY_SECONDS = 0.3
BID = re.compile(rb'("(?:b|bids)":\[+(?:\{"price":)?"?)(\d)')
MESSAGE_BYTES_MAX = 64 * 1024 * 1024


def wrong_checksum(message: bytes) -> bytes:
    """Its checksum with another last digit; as it is where there is none."""
    return re.sub(
        rb'("checksum":-?\d*)(\d)', lambda found: found[1] + (b"1" if found[2] != b"1" else b"2"), message
    )


def crossed(message: bytes) -> bytes:
    """Its first bid with a 9 before it, so that it is above every ask; as it is where there is none."""
    return BID.sub(rb"\g<1>9\2", message, count=1)


class Relay(Looped):
    """Listens on a port and relays to ``target`` (``ws://host:port``); a thread of its own runs it."""

    def __init__(self, target: str, seed: int | str) -> None:
        super().__init__()
        self.target = target
        self.port = 0
        self.touched = 0
        self._mode = PASS
        self._random = random.Random(seed)
        self._held: dict[ServerConnection, bytes | str] = {}
        self._connections: set[ServerConnection] = set()
        self._server: Any = None

    def set(self, mode: str) -> None:
        """Do this from now on. ValueError for a mode that there is not."""
        if mode not in MODES:
            raise ValueError(f"mode {mode!r}; allowed: {' '.join(MODES)}")
        self._mode = mode

    def close_all(self, code: int, reason: str) -> None:
        """End every connection with this code, as an exchange says farewell."""
        self._call(self._end(code, reason))

    async def _open(self) -> None:
        limits: dict[str, Any] = {"max_size": MESSAGE_BYTES_MAX, "ping_interval": None, "compression": None}
        self._server = await serve(self._serve, "127.0.0.1", 0, process_request=self._admit, **limits)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _end(self, code: int, reason: str) -> None:
        self.touched += len(self._connections)
        await asyncio.gather(*(one.close(code, reason) for one in set(self._connections)))

    def _admit(self, connection: ServerConnection, _request: Any) -> Any:
        if self._mode != REFUSE:
            return None
        self.touched += 1
        return connection.respond(429, "too many requests\n")

    async def _serve(self, client: ServerConnection) -> None:
        assert client.request is not None
        limits: dict[str, Any] = {"max_size": MESSAGE_BYTES_MAX, "ping_interval": None, "compression": None}
        self._connections.add(client)
        try:
            async with connect(self.target + client.request.path, **limits) as exchange:
                both = [
                    asyncio.ensure_future(self._upwards(client, exchange)),
                    asyncio.ensure_future(self._downwards(client, exchange)),
                ]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for one in both:
                    one.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except (OSError, InvalidStatus):
            pass  # the exchange is not there: so is the relay's connection
        finally:
            self._connections.discard(client)
            self._held.pop(client, None)

    @staticmethod
    async def _upwards(client: ServerConnection, exchange: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in client:
                await exchange.send(message)

    async def _downwards(self, client: ServerConnection, exchange: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in exchange:
                for one in await self._changed(client, message):
                    await client.send(one)

    async def _changed(self, client: ServerConnection, message: bytes | str) -> list[bytes | str]:
        """What is sent on for this message."""
        if self._mode == SILENT:
            self.touched += 1
            return []
        if (held := self._held.pop(client, None)) is not None:
            return [message, held]
        if self._mode in (PASS, REFUSE) or self._random.random() >= SHARE:
            return [message]
        return await self._touch(client, message)

    async def _touch(self, client: ServerConnection, message: bytes | str) -> list[bytes | str]:
        mode, sent = self._mode, [message]
        if mode == DROP:
            sent = []
        elif mode == DOUBLE:
            sent = [message, message]
        elif mode == SWAP:
            self._held[client] = message
            sent = []
        elif mode == DELAY:
            await asyncio.sleep(DELAY_SECONDS)
        elif mode in (CHECKSUM, CROSS) and isinstance(message, str):
            change = wrong_checksum if mode == CHECKSUM else crossed
            sent = [change(message.encode()).decode()]
            if sent == [message]:
                return sent
        self.touched += 1
        return sent
