"""One WebSocket from handshake to close: texts in, limits, pings, timer. The exchange says what texts mean."""

import asyncio
import sys
import time
from collections import deque
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web

from simulator.conn import Conn
from simulator.hub import Hub, now_ms, now_us
from simulator.limits import Limits, Window
from simulator.venue import Peer

CLOSE_SECONDS = 2.0
TIMER_SECONDS = 1.0
MESSAGE_BYTES_MAX = 1 << 20


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
        if not self._limits.ping_seconds:
            return
        next_ping = time.monotonic() + self._limits.ping_seconds
        while True:
            await asyncio.sleep(max(0.0, min(next_ping, self._deadline()) - time.monotonic()))
            if conn.pipe.is_dead:
                await asyncio.sleep(TIMER_SECONDS)  # neither its pings nor the answers would arrive
                continue
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
    """Runs the connections of one exchange."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def serve(self, request: web.Request, peer: Peer) -> web.WebSocketResponse:
        """Runs until the connection is closed by either side."""
        # Uncompressed as on the real exchange; pings and pongs are ours, because they are part of the limits.
        # No limit of the writer's: a ping to a client who does not read must not wait for him.
        socket = web.WebSocketResponse(
            autoping=False,
            compress=False,
            timeout=CLOSE_SECONDS,
            max_msg_size=MESSAGE_BYTES_MAX,
            writer_limit=sys.maxsize,
        )
        await socket.prepare(request)
        conn = self._hub.open(request, socket, peer)
        pings = Pings(self._hub.limits)
        try:
            await self._hub.answer(conn, peer.opened(now_us()))
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(pings.run(conn)), group.create_task(self._tick(conn))]
                await self._receive(conn, pings)
                for task in beside:
                    if task is not conn.closer:
                        task.cancel()
        finally:
            self._hub.close(conn)
        return socket

    async def _tick(self, conn: Conn) -> None:
        while conn.closer is None:
            await asyncio.sleep(TIMER_SECONDS)
            await self._hub.answer(conn, conn.peer.timer(now_us()))

    async def _receive(self, conn: Conn, pings: Pings) -> None:
        messages = Window(self._hub.limits.messages_per_second, 1.0)
        async for message in conn.socket:
            kept = messages.add(time.monotonic())
            self._hub.ledger.limit("messages", messages.peak, kept=kept)
            kept = (message.type is not WSMsgType.TEXT or self._hub.may_say()) and kept
            if not kept:
                await conn.close("rate_limit", WSCloseCode.POLICY_VIOLATION, "Too many requests")
                return
            if message.type is WSMsgType.PONG:
                pings.pong(bytes(message.data))
            elif conn.pipe.is_dead:
                continue
            elif message.type is WSMsgType.PING:
                if not conn.pipe.pongs(now_us()):
                    continue
                with suppress(ConnectionError):
                    await conn.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                replies = conn.peer.received(message.data, now_us())
                heard = conn.pipe.answers(message.data, now_us())
                await self._hub.answer(conn, replies if heard else [])
        if conn.reason == "client" and conn.socket.close_code in (None, WSCloseCode.ABNORMAL_CLOSURE):
            conn.reason = "reset"
