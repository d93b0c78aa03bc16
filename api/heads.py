"""How uvicorn serves our requests: its own protocol, with an end for clients that never finish the head of one.

A body that does not come is the guard's (limits.BODY_SECONDS); before the head is whole no guard knows of the request,
and uvicorn would wait for ever, a descriptor for each.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""From connecting, or from the first byte of a further request, until its head is whole."""


class Http(H11Protocol):
    """For uvicorn.Config, as ``http``."""

    _late: asyncio.TimerHandle | None = None
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
        self._cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """The head is whole, and the connection another protocol's."""
        self._is_upgraded = True
        super().handle_websocket_upgrade(event)

    def _watch(self) -> None:
        if self._is_upgraded or (self.cycle is not None and not self.cycle.response_complete):
            self._cancel()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _cancel(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
