"""A TCP proxy that misbehaves when told to: between any two of our parts, without netem.

>>> with FaultProxy(("127.0.0.1", 5432)) as proxy:  # clients go to proxy.port
...     proxy.set("blackhole")
...     proxy.set("pass")
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field

from tests.faults.looped import Looped

PASS, BLACKHOLE, RESET, DELAY, RATE, HALF_OPEN = "pass", "blackhole", "reset", "delay", "rate", "half_open"
MODES = (PASS, BLACKHOLE, RESET, DELAY, RATE, HALF_OPEN)
READ_BYTES = 64 * 1024
PIECES = 64
"""Under way each way and connection, at most: beyond that the sender waits, as with a full window."""
Pieces = asyncio.Queue[tuple[float, bytes] | None]
HOST = "127.0.0.1"


@dataclass
class Fault:
    """How the proxy behaves just now.

    pass: as if it were not there. blackhole: nothing goes either way, connections stay open and new ones are taken.
    reset: all connections, and each new one, end with RST. delay: every piece waits ``seconds`` (order is kept).
    rate: ``bytes_per_second`` each way and connection. half_open: the server's side of every connection is closed and
    the client is not told; what it sends is taken and goes nowhere.
    """

    mode: str = PASS
    seconds: float = 0.3
    bytes_per_second: int = 125_000


@dataclass(eq=False)
class Link:
    """One client's connection and the one to the server behind it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    deaf: bool = False
    """Its server's side was closed without a word to the client."""
    unanswered: bool = False
    """The server got its last piece; its answer is to be lost."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class FaultProxy(Looped):
    """Listens on a port of 127.0.0.1 and passes on to ``target``; a thread of its own runs it."""

    def __init__(self, target: tuple[str, int], port: int = 0) -> None:
        """``port`` 0: a free one, see `port` after the start."""
        super().__init__()
        self.target = target
        self.port = port
        self.fault = Fault()
        self.accepted = 0
        self.answers_lost = 0
        self._pattern = b""
        self._links: set[Link] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def open_links(self) -> int:
        """Clients' connections that are open."""
        return len(self._links)

    def set(self, mode: str, **more: float) -> None:
        """Behave so from now on; `Fault` says what there is. ValueError for a mode that there is not."""
        if mode not in MODES:
            raise ValueError(f"mode {mode!r}; allowed: {' '.join(MODES)}")
        self._call(self._set(Fault(mode, **more)))  # type: ignore[arg-type]

    def lose_answer(self, pattern: bytes) -> None:
        """Once: a client's piece that holds ``pattern`` reaches the server, whose answer is swallowed; then reset."""
        self._pattern = pattern

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for link in self._links for task in link.tasks]
        for link in list(self._links):
            _end(link)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for left in rest:
            left.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _set(self, fault: Fault) -> None:
        self.fault = fault
        self._changed.set()
        self._changed = asyncio.Event()
        for link in list(self._links):
            if fault.mode == RESET:
                _reset(link.client)
                _end(link)
            elif fault.mode == HALF_OPEN:
                link.deaf = True
                if link.server is not None:
                    link.server.close()
            elif link.deaf:
                _reset(link.client)  # as a packet would be answered by a host that knows nothing of it
                _end(link)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = Link(writer)
        self._links.add(link)
        try:
            await self._serve(link, reader)
        finally:
            self._links.discard(link)
            _end(link)

    async def _serve(self, link: Link, reader: asyncio.StreamReader) -> None:
        if self.fault.mode == RESET:
            _reset(link.client)
            return
        await self._passable()
        if self.fault.mode == HALF_OPEN:
            link.deaf = True
            await _swallow(reader)
            return
        try:
            answers, link.server = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(link.client)  # nobody listens there
            return
        pumps = (self._pump(link, reader, link.server), self._pump(link, answers, link.client))
        link.tasks = [asyncio.ensure_future(pump) for pump in pumps]
        await asyncio.wait(link.tasks, return_when=asyncio.FIRST_COMPLETED)
        if link.unanswered:
            await link.tasks[1]  # it swallows the answer: the server has done it, and said so
            _reset(link.client)
            self.answers_lost += 1
        for task in link.tasks:
            task.cancel()
        await asyncio.gather(*link.tasks, return_exceptions=True)
        if link.deaf:
            await _swallow(reader)

    async def _pump(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until it ends."""
        under_way: Pieces = asyncio.Queue(PIECES)
        reading = asyncio.ensure_future(self._read(reader, under_way))
        try:
            with contextlib.suppress(OSError):
                while (item := await under_way.get()) is not None:
                    await self._hold(*item)
                    if link.deaf or link.unanswered:
                        return
                    is_last = self._is_last(link, writer, item[1])
                    writer.write(item[1])
                    await writer.drain()
                    if is_last:
                        return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _is_last(self, link: Link, writer: asyncio.StreamWriter, piece: bytes) -> bool:
        """Whether the answer to this piece is the one to be lost."""
        if writer is not link.server or not self._pattern or self._pattern not in piece:
            return False
        self._pattern, link.unanswered = b"", True
        return True

    async def _read(self, reader: asyncio.StreamReader, under_way: Pieces) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(READ_BYTES):
                await under_way.put((self._loop.time(), piece))
        await under_way.put(None)

    async def _hold(self, came: float, piece: bytes) -> None:
        """Keep a piece as long as the fault wants; a delay is one of each piece, not of one after the other."""
        await self._passable()
        if self.fault.mode == DELAY:
            await asyncio.sleep(max(0.0, came + self.fault.seconds - self._loop.time()))
        elif self.fault.mode == RATE:
            await asyncio.sleep(len(piece) / self.fault.bytes_per_second)

    async def _passable(self) -> None:
        """Wait while nothing goes through."""
        while self.fault.mode == BLACKHOLE:
            await self._changed.wait()


async def _swallow(reader: asyncio.StreamReader) -> None:
    """Take what comes until the client ends or is ended."""
    with contextlib.suppress(OSError, RuntimeError):
        while await reader.read(READ_BYTES):
            pass


def _reset(writer: asyncio.StreamWriter) -> None:
    """End with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _end(link: Link) -> None:
    for writer in (link.client, link.server):
        if writer is not None:
            writer.close()
