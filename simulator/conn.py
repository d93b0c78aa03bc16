"""One client's WebSocket: everything for it goes through one ordered queue."""

import asyncio
import struct

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from simulator.ledger import ConnectionLog
from simulator.mischief import Pipe
from simulator.venue import Peer

TEXT_FRAME, BINARY_FRAME = 0x81, 0x82  # final fragment, opcode text or binary (RFC 6455, 5.2)


def packed(message: str | bytes) -> bytes:
    """A message as a server's WebSocket frame: text or binary, unmasked, uncompressed (RFC 6455, 5.2)."""
    if isinstance(message, str):
        return framed(message.encode(), is_text=True)
    return framed(message, is_text=False)


def framed(payload: bytes, *, is_text: bool) -> bytes:
    """Bytes under an opcode, also such as are no text."""
    head = TEXT_FRAME if is_text else BINARY_FRAME
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", head, 126, size) + payload
    return struct.pack("!BBQ", head, 127, size) + payload


class Conn:
    """`put` keeps order, `flush` writes all that waits at once; a frame for many clients is packed once."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        writer: AbstractStreamWriter,
        peer: Peer,
        log: ConnectionLog,
    ) -> None:
        self.socket, self.peer, self.log = socket, peer, log
        # What the hub has seen of the peer's streams.
        self.followed: dict[str, None] = {}
        self.reason = "client"
        self.pipe = Pipe()
        # Who is closing it: that task must not be cancelled when the connection ends.
        self.closer: asyncio.Task[object] | None = None
        self._transport, self._writer = transport, writer
        self._queue: list[bytes] = []

    def put(self, message: bytes) -> bool:
        """Queue a packed message; False when the client has gone and nothing is sent any more."""
        if self.socket.closed or self._transport.is_closing():
            return False
        self._queue.append(message)
        return True

    def flush(self, unsent_bytes_max: int) -> None:
        """Write what waits; a client who has left more than that unread is cut off."""
        queue, self._queue = self._queue, []
        if not queue or self.socket.closed or self._transport.is_closing():
            return
        self._transport.write(b"".join(queue))
        if self._transport.get_write_buffer_size() > unsent_bytes_max:
            self.reason = "slow"
            self._transport.abort()

    async def drain(self) -> None:
        """Wait until the client has read enough; one that has gone is not waited for."""
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    def abort(self, reason: str) -> None:
        """Cut it off without a word."""
        self.reason = reason
        self._transport.abort()

    async def close(self, reason: str, code: int, message: str) -> None:
        """Close from our side, unless somebody does already; `reason` is what the ledger will say."""
        if self.closer is None:
            self.closer, self.reason = asyncio.current_task(), reason
            await self.socket.close(code=code, message=message.encode(), drain=False)
