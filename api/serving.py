"""How uvicorn serves our requests: its own protocol, with an end for clients that do not send or take their part.

A body that does not come is the guard's (limits.BODY_SECONDS). Before the head is whole no guard knows of the request,
and once an answer is handed over no route does: uvicorn would keep either for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""From connecting, or from the first byte of a further request, until its head is whole."""
STALL_SECONDS = 60.0
"""A client that takes nothing of its answer for so long is cut off; a slow one is not."""
UNREAD_BYTES = 256 * 2**20
"""What all clients together have not taken yet: with more, the one whose answer comes to it is cut off."""


class Http(H11Protocol):
    """For uvicorn.Config, as ``http``."""

    _late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _is_upgraded = False

    def connection_made(self, transport: Any) -> None:
        """The first request may begin."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """A part of a request, or of several."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        self._late = _cancelled(self._late)
        self._stalled = _cancelled(self._stalled)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """The head is whole, and the connection another protocol's."""
        self._is_upgraded = True
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """More waits than the kernel takes."""
        super().pause_writing()
        connections = [one for one in self.connections if isinstance(one, Http)]
        if sum(one.transport.get_write_buffer_size() for one in connections) > UNREAD_BYTES:
            self.transport.abort()
        elif self._stalled is None:
            self._look_later()

    def resume_writing(self) -> None:
        """Nearly all is taken."""
        self._stalled = _cancelled(self._stalled)
        super().resume_writing()

    def _watch(self) -> None:
        if self._is_upgraded or (self.cycle is not None and not self.cycle.response_complete):
            self._late = _cancelled(self._late)
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _look_later(self) -> None:
        before = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() < before:
                self._look_later()
            else:
                self.transport.abort()

        self._stalled = self.loop.call_later(STALL_SECONDS, look)


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """No timer, once this one will do nothing."""
    if timer is not None:
        timer.cancel()
    return None
