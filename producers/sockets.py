"""The WebSockets of one connection, numbered in the order in which they were opened."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from COBY.exchanges.base import Connect
from COBY.utils.exceptions import ExchangeError
from producers.allowance import Allowance

MAX_RECEIVED_BYTES = 128 * 1024 * 1024
"""Messages up to this are taken, so that one too large for Kafka can be named by length and hash; a larger
one ends the connection."""
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
MAX_UNSENT = 100
"""Messages of a connection that wait for others of the same address; beyond, its reading waits too."""


class Socket(Protocol):
    """What is used of a WebSocket; errors are those of the WebSocket library."""

    async def recv(self, *, decode: bool | None) -> Any:
        """The next message; ``decode`` False: as bytes. ConnectionClosed at the end."""

    async def send(self, message: str) -> None:
        """Send a text. ConnectionClosed."""

    async def close(self) -> None:
        """End it."""


Opener = Callable[[str], Awaitable[Socket]]
"""url -> an open socket. OSError, WebSocketException."""


class Sockets:
    """Opened together, ended together."""

    def __init__(self, messages: Allowance, opener: Opener | None = None) -> None:
        """``messages``: how many messages all connections of the address may send; ``opener``: else a WebSocket's."""
        self._open: list[Socket] = []
        self._opener: Opener = opener or _socket
        self._messages = messages
        self._unsent: asyncio.Queue[tuple[str, int]] = asyncio.Queue(MAX_UNSENT)

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, target: Connect, is_secret: bool) -> str:
        """Open all; the first one's url as it may be shown. ExchangeError `exchange.unreachable`: none is left open.

        ``is_secret``: the urls' queries may hold a token.
        """
        urls = (target.url, *target.more)
        shown = [_without_query(url) if is_secret else url for url in urls]
        for url, name in zip(urls, shown, strict=True):
            try:
                self._open.append(await self._opener(url))
            except (OSError, WebSocketException) as error:
                await self.close()
                text = f"{type(error).__name__}: {error}"
                raise ExchangeError("exchange.unreachable", text, where=name) from error
        return shown[0]

    async def receive(self, number: int) -> bytes:
        """The next message of one. ConnectionClosed at its end."""
        frame: bytes = await self._open[number].recv(decode=False)
        return frame

    async def send(self, text: str, number: int) -> None:
        """At once, or where messages are limited in turn with those of other connections: reading waits for none.

        A closed socket is no error here.
        """
        if self._messages.bounded:
            await self._unsent.put((text, number))
        else:
            await self._send(text, number)

    async def send_in_turn(self) -> None:
        """Serve what waits, until cancelled."""
        while True:
            text, number = await self._unsent.get()
            await self._messages.take()
            await self._send(text, number)

    async def close(self) -> None:
        """All of them at once: each may take its time."""
        await asyncio.gather(*(socket.close() for socket in self._open))

    async def _send(self, text: str, number: int) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._open[number].send(text)


async def _socket(url: str) -> Socket:
    limits: Any = {
        "max_size": MAX_RECEIVED_BYTES,
        "open_timeout": OPEN_SECONDS,
        "close_timeout": CLOSE_SECONDS,
    }
    return await connect(url, **limits)


def _without_query(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()
