"""One WebSocket from handshake to close: requests in, limits, pings. The exchange says what requests mean."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import WSCloseCode, WSMsgType, web

from simulator.hub import Conn, Hub, Limits, Render, now_ms

OnText = Callable[[Conn, str], Awaitable[None]]
CLOSE_SECONDS = 2.0
MESSAGE_BYTES_MAX = 1 << 20
WRITE_LIMIT = 1 << 16


class Pings:
    """The server's pings and what came back: a pong counts only with the payload of an open ping."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: deque[tuple[float, bytes]] = deque()

    def pong(self, payload: bytes) -> None:
        if any(sent == payload for _, sent in self._open):
            while self._open.popleft()[1] != payload:
                pass

    async def run(self, conn: Conn) -> None:
        """Ping until the connection ends; close it when a ping stays unanswered too long."""
        next_ping = time.monotonic() + self._limits.ping_seconds
        while True:
            await asyncio.sleep(max(0.0, min(next_ping, self._deadline()) - time.monotonic()))
            if time.monotonic() >= self._deadline():
                await conn.close("pong_timeout", WSCloseCode.POLICY_VIOLATION, "Pong timeout")
                return
            if time.monotonic() >= next_ping:
                next_ping += self._limits.ping_seconds
                payload = str(now_ms()).encode()
                self._open.append((time.monotonic(), payload))
                try:
                    await conn.socket.ping(payload)
                except ConnectionError:
                    return

    def _deadline(self) -> float:
        return self._open[0][0] + self._limits.pong_seconds if self._open else float("inf")


class Session:
    """`live`: the market does not wait for a slow client, who is cut off at last; a recording waits."""

    def __init__(self, hub: Hub, *, live: bool) -> None:
        self._hub = hub
        self._write_limit = sys.maxsize if live else WRITE_LIMIT

    async def serve(
        self, request: web.Request, endpoint: str, render: Render, streams: Iterable[str], on_text: OnText
    ) -> web.WebSocketResponse:
        """Runs until the connection is closed by either side."""
        # Uncompressed as on the real exchange; pings and pongs are ours, because they are part of the limits.
        socket = web.WebSocketResponse(
            autoping=False,
            compress=False,
            timeout=CLOSE_SECONDS,
            max_msg_size=MESSAGE_BYTES_MAX,
            writer_limit=self._write_limit,
        )
        await socket.prepare(request)
        conn = self._hub.open(socket, endpoint, render)
        conn.transport = request.transport
        pings = Pings(self._hub.limits)
        try:
            self._hub.subscribe(conn, streams)
            async with asyncio.TaskGroup() as group:
                pinging = group.create_task(pings.run(conn))
                await self._receive(conn, pings, on_text)
                if conn.reason != "pong_timeout":  # then it is just closing the socket
                    pinging.cancel()
        finally:
            self._hub.close(conn)
        return socket

    async def _receive(self, conn: Conn, pings: Pings, on_text: OnText) -> None:
        times: deque[float] = deque()
        async for message in conn.socket:
            if self._too_many(times):
                await conn.close("rate_limit", WSCloseCode.POLICY_VIOLATION, "Too many requests")
                return
            if message.type is WSMsgType.PONG:
                pings.pong(bytes(message.data))
            elif message.type is WSMsgType.PING:
                await conn.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                await on_text(conn, message.data)
        if conn.reason == "client" and conn.socket.close_code in (None, WSCloseCode.ABNORMAL_CLOSURE):
            conn.reason = "reset"

    def _too_many(self, times: deque[float]) -> bool:
        """More than the allowed messages within one second, this one included."""
        limit, now = self._hub.limits.messages_per_second, time.monotonic()
        times.append(now)
        while times[0] <= now - 1.0:
            times.popleft()
        return bool(limit) and len(times) > limit
