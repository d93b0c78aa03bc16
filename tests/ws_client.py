"""A WebSocket client for the tests of the API: it checks every message's number, and keeps what came."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect

WAIT_SECONDS = 120.0
"""For what has to come: a bound against hanging, and no measure of anything."""


class WsClient:
    """One connection. ``messages``: all so far; ``cursors``: the newest of each subscription."""

    def __init__(self, socket, cursors=(), seqs=()):
        self.socket = socket
        self.messages = []
        self.cursors = dict(cursors)
        self.seqs = defaultdict(int, dict(seqs))
        self._number = 0
        self._asked = {}

    async def send(self, **message):
        """One operation; its id."""
        self._number += 1
        await self.socket.send(json.dumps({"id": self._number, **message}))
        return self._number

    async def next(self, seconds=WAIT_SECONDS):
        """The next message. Each subscription's numbers rise by one, those of the connection too."""
        async with asyncio.timeout(seconds):  # wait_for of Python 3.11 can swallow an outer timeout
            text = await self.socket.recv()
        message = json.loads(text)
        name = message.get("subscription") if "cursor" in message else None
        self.seqs[name] += 1
        assert message["seq"] == self.seqs[name], message
        if "cursor" in message:
            self.cursors[name] = message["cursor"]
        self.messages.append(message)
        await self._ask_again(message)
        return message

    async def _ask_again(self, message):
        """As any client does when Kafka was too slow for the API: on a busy machine it may be."""
        name = message.get("subscription")
        if message["type"] == "error" and message["code"].startswith("kafka.") and name in self._asked:
            await self.send(op="subscribe", **self._asked[name])

    async def until(self, holds, seconds=WAIT_SECONDS):
        """The first message from now on for which it holds."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self.next(seconds)
                if holds(message):
                    return message

    async def answer(self, kind, **message):
        """Send an operation and return its answer, which must be of that type."""
        name = await self.send(**message)
        answer = await self.until(lambda one: one.get("id") == name)
        assert answer["type"] == kind, answer
        return answer

    async def subscribe(self, *channels, **more):
        """Subscribe to channels as `name` or `name:SYMBOL`."""
        asked = [
            {"name": name.split(":")[0], **({"symbols": [name.split(":")[1]]} if ":" in name else {})}
            for name in channels
        ]
        for name, one in zip(channels, asked, strict=True):
            cursors = {key: text for key, text in more.get("cursors", {}).items() if key == name}
            self._asked[name] = {"channels": [one], "cursors": cursors}
        return await self.answer("subscribed", op="subscribe", channels=asked, **more)

    async def of(self, name, count, seconds=WAIT_SECONDS):
        """Read until so many messages of a subscription are there; these. One that is refused fails at once."""

        def found():
            return [one for one in self.messages if one.get("subscription") == name and "cursor" in one]

        async with asyncio.timeout(seconds):
            while len(found()) < count:
                message = await self.next(seconds)
                is_refusal = message["type"] == "error" and message["subscription"] == name
                assert not is_refusal or message["code"].startswith(("ws.missed", "kafka.")), message
        return found()[:count]

    def data(self, name, *kinds):
        """Records of a subscription's messages of these types (`update` if none), in order."""
        return [
            one["data"]
            for one in self.messages
            if one.get("subscription") == name and one["type"] in (kinds or ("update",))
        ]


@asynccontextmanager
async def client(url, *, cursors=(), seqs=(), **more):
    """A client of the API at `ws://host:port`; `welcome` has come."""
    # One that a test does not read for a while is no slow client, and a busy server is not dead.
    patient = {"max_queue": None, "ping_interval": None}
    async with connect(f"{url}/v1/ws", proxy=None, **patient | more) as socket:
        found = WsClient(socket, cursors, seqs)
        welcome = await found.next()
        assert welcome["type"] == "welcome"
        yield found
