"""How uvicorn serves our WebSockets: its own protocol, with an end for clients that are gone without a word."""

from __future__ import annotations

import socket
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ABORT = "abort"
"""Key in a scope's state: ends the connection at once, whatever still waits to be sent."""
SEND_BUFFER_BYTES = 256 * 1024
"""The kernel's share of what waits for a client. Left to itself it grows to megabytes for each that reads slowly, and
nobody would notice for minutes that one does."""
CAP_BYTES = 256 * 1024
"""A message of up to this size is answered with `ws.too_large`; a larger one is never held, and ends the connection."""
PING_SECONDS = 10.0
PONG_SECONDS = 10.0

OPTIONS: dict[str, Any] = {
    "ws_max_size": CAP_BYTES,
    "ws_ping_interval": PING_SECONDS,
    "ws_ping_timeout": PONG_SECONDS,
    # Each message would be compressed for each client anew: 500 of them would cost more than all else together.
    "ws_per_message_deflate": False,
}
"""For uvicorn.Config, with ``ws=Protocol``."""


class Protocol(WebSocketsSansIOProtocol):
    """uvicorn's, but a client that does not answer is cut off: what waits for it is never sent, and must not wait."""

    def connection_made(self, transport: Any) -> None:
        """Bound what the kernel holds for it."""
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().connection_made(transport)

    def handle_connect(self, event: Any) -> None:
        """Let the application cut the connection off."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["state"][ABORT] = self._abort

    async def send(self, message: Any) -> None:
        """A refusal is a whole handshake: the base class would log that there was none."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        """Text that is no UTF-8 ends the connection (RFC 6455, 8.1); the base class would log an error of ours."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def keepalive_timeout(self) -> None:
        """No pong: the base class would close in order, which waits until everything is sent."""
        super().keepalive_timeout()
        self.transport.abort()

    def _abort(self) -> None:
        if not self.disconnected:
            self.transport.abort()
