"""A connection of several sockets, and what it asks before: on real sockets, without Kafka."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from COBY.exchanges.base import Acknowledged, Ask, Connect, Send, Slot
from COBY.utils.exceptions import ExchangeError
from COBY.utils.timing import WallClock
from producers import rest as rest_module
from producers.connection import Connection, Wiring
from producers.rest import Rest
from producers.watch import Looking

SLOT = Slot("two-0", "two", {"BTCUSDT": "BTCUSDT"})
WAIT_SECONDS = 60.0


class Exchange:
    """Its bullet gives a token, which both its sockets want; what they hear is kept by path."""

    def __init__(self) -> None:
        self.port = 0
        self.bullets: list[str] = []
        self.statuses: list[int] = []
        self.answer = b'{"token":"secret-1"}'
        self.heard: dict[str, list[str]] = {"/feed": [], "/ws": []}
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.tokens: list[str] = []
        self.changed = asyncio.Event()

    async def bullet(self, request: web.Request) -> web.Response:
        self.bullets.append(request.method)
        return web.Response(body=self.answer, status=self.statuses.pop(0) if self.statuses else 200)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.tokens.append(request.query.get("token", ""))
        self.sockets[request.path] = socket
        async for message in socket:
            self.heard[request.path].append(message.data)
            self.changed.set()
        return socket

    async def until_heard(self, path: str, count: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.heard[path]) < count:
                self.changed.clear()
                await self.changed.wait()


class TwoSession:
    """`echo X` is answered on the socket it came on; `other X` on the other one."""

    def __init__(self, base: str, method: str | None) -> None:
        self.base, self.method = base, method

    def connect(self, answer: bytes | None = None) -> Connect | Ask:
        if answer is None and self.method is not None:
            return Ask(f"http://{self.base}/bullet", self.method)
        token = "" if answer is None else f"?token={_token(answer)}"
        return Connect(f"ws://{self.base}/feed{token}", (f"ws://{self.base}/ws{token}",))

    def opened(self, now: float):
        return [Send("books"), Send("trades", socket=1)]

    def received(self, frame: bytes, now: float):
        word, _, rest = frame.decode(errors="replace").partition(" ")
        if word == "echo":
            return [Send(rest)]
        if word == "other":
            return [Send(rest, socket=int(rest[-1]))]
        return [Acknowledged(("BTCUSDT",), ("book",))] if word == "ok" else []

    def timer(self, now: float):
        return []

    def heard(self, frame: bytes):
        return None

    def again(self, symbol: str, channel: str, now: float):
        raise AssertionError("no channel is ever heard, so none is silent")

    def resync(self, symbol: str, reason: str, now: float, age_seconds: float = 0.0):
        return [Send("again")]


def _token(answer: bytes) -> str:
    found = json.loads(answer)
    if "token" not in found:
        raise ValueError(f"no token in {answer!r}")
    return found["token"]


@asynccontextmanager
async def exchange() -> AsyncIterator[Exchange]:
    one = Exchange()
    app = web.Application()
    app.router.add_route("*", "/bullet", one.bullet)
    for path in one.heard:
        app.router.add_get(path, one.socket)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.port = runner.addresses[0][1]
    try:
        yield one
    finally:
        for socket in one.sockets.values():
            await socket.close()
        await runner.cleanup()


@asynccontextmanager
async def connection(one: Exchange, method: str | None = "POST", port: int = 0) -> AsyncIterator[tuple]:
    """A connection not opened yet, and the records that it makes."""
    records = []
    async with aiohttp.ClientSession() as http:
        rest = Rest(http, lambda: 0.0)
        wiring = Wiring(Looking(WallClock()), rest, records.append, lambda: None, lambda: 0.0)
        session = TwoSession(f"127.0.0.1:{port or one.port}", method)
        yield Connection("conn", SLOT, session, wiring), records


@asynccontextmanager
async def running(one: Exchange, method: str | None = "POST") -> AsyncIterator[tuple]:
    async with connection(one, method) as (made, records):
        await made.open()
        reader = asyncio.create_task(made.run())
        await made.start()
        await one.until_heard("/feed", 1)
        await one.until_heard("/ws", 1)
        yield made, records, reader
        await made.close("test")
        await reader


def events(records) -> list[dict]:
    found = [json.loads(record.value) for record in records if record.kind == "event"]
    return [event for event in found if event["event"] != "alive"]


async def until(holds) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():
            await asyncio.sleep(0.005)


async def test_the_answer_opens_every_socket_and_its_token_is_not_published():
    async with exchange() as one, running(one) as (made, records, _reader):
        assert one.bullets == ["POST"]
        assert one.tokens == ["secret-1", "secret-1"]
        assert one.heard == {"/feed": ["books"], "/ws": ["trades"]}
    assert events(records)[0] == {
        "event": "connected",
        "exchange": "two",
        "slot": "two-0",
        "symbols": ["BTCUSDT"],
        "url": f"ws://127.0.0.1:{one.port}/feed",
    }
    assert made.url == f"ws://127.0.0.1:{one.port}/feed"
    assert not [record for record in records if b"secret" in (record.value or b"") + str(record.url).encode()]


async def test_frames_of_all_sockets_are_one_sequence_and_answers_go_back_where_they_came_from():
    async with exchange() as one, running(one) as (made, records, _reader):
        await one.sockets["/ws"].send_str("echo to-ws")
        await one.until_heard("/ws", 2)
        await one.sockets["/feed"].send_bytes(b"echo to-feed")
        await one.until_heard("/feed", 2)
        await one.sockets["/feed"].send_str("other ws-1")
        await one.until_heard("/ws", 3)
        await one.sockets["/ws"].send_str("other feed-0")
        await one.until_heard("/feed", 3)
        await made.resync("BTCUSDT", "checksum")
        await one.until_heard("/feed", 4)
        await one.sockets["/ws"].send_str("ok")
        await until(lambda: made.acknowledged)
    assert one.heard == {
        "/feed": ["books", "to-feed", "feed-0", "again"],
        "/ws": ["trades", "to-ws", "ws-1"],
    }
    sent = [record.value for record in records if record.kind == "ws"]
    assert sent == [b"echo to-ws", b"echo to-feed", b"other ws-1", b"other feed-0", b"ok"]
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert {record.conn for record in records} == {"conn"}


@pytest.mark.parametrize("path", ["/feed", "/ws"])
async def test_the_end_of_any_socket_is_the_end_of_the_connection(path):
    async with exchange() as one, running(one) as (_made, records, reader):
        await one.sockets[path].close(code=4321, message=b"enough")
        assert "4321" in await asyncio.wait_for(reader, WAIT_SECONDS)
        await until(lambda: all(socket.closed for socket in one.sockets.values()))
    (last,) = [event for event in events(records) if event["event"] == "disconnected"]
    assert "enough" in last["reason"]
    assert json.loads(records[-1].value) == last


async def test_an_unusable_answer_fails_the_attempt_and_says_why():
    async with exchange() as one, connection(one) as (made, records):
        one.answer = b'{"code":"400"}'
        with pytest.raises(ExchangeError, match="no token") as failed:
            await made.open()
        assert failed.value.code == "exchange.unusable_answer"
        assert (one.sockets, records) == ({}, [])


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_exchange_is_asked_once_an_attempt(status):
    async with exchange() as one, connection(one, "GET") as (made, _records):
        one.statuses = [status]
        with pytest.raises(ExchangeError) as failed:
            await made.open()
        assert failed.value.code == "exchange.unreachable"
        assert one.bullets == ["GET"]


async def test_an_answer_that_does_not_come_fails_the_attempt(monkeypatch):
    monkeypatch.setattr(rest_module, "ASK_SECONDS", 0.05)
    async with aiohttp.ClientSession() as http:
        rest = Rest(http, lambda: 0.0, lambda: 0.0)
        rest._not_before = 3600.0  # a 429 of another connection
        with pytest.raises(ExchangeError, match=r"no answer within 0\.05 s"):
            await rest.ask("http://127.0.0.1:1/bullet", seconds=rest_module.ASK_SECONDS)


async def test_a_socket_that_cannot_be_opened_closes_those_that_are():
    async with exchange() as one, connection(one, None) as (made, records):
        first = made._session.connect()
        made._session.connect = lambda answer=None: Connect(first.url, (f"ws://127.0.0.1:{one.port}/none",))
        with pytest.raises(ExchangeError, match="404") as failed:
            await made.open()
        assert failed.value.code == "exchange.unreachable"
        await until(lambda: one.sockets["/feed"].closed)
        assert records == []


async def test_without_a_question_the_url_is_published_whole():
    async with exchange() as one, connection(one, None) as (made, records):
        query = f"ws://127.0.0.1:{one.port}/feed?timeUnit=MICROSECOND"
        made._session.connect = lambda answer=None: Connect(query)
        await made.open()
        await made._sockets.close()
        assert events(records)[0]["url"] == query
