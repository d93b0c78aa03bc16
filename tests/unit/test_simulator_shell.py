"""What the simulator's server does for any exchange, seen with one invented here: order, timer, closes, refusals."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulator import session
from simulator.exchanges.binance_wire import BinanceWire
from simulator.front import Front
from simulator.hub import Hub, Quiet
from simulator.ledger import Ledger
from simulator.limits import Limits
from simulator.mischief import Mischief
from simulator.session import Pings
from simulator.venue import Answer, Close, Peer, Reply, Venue
from simulator.wire import Frame


class ToyPeer(Peer):
    """`sub X` is acknowledged and followed by a snapshot; `big N` is answered with N letters; `bye` with a close."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def opened(self, now_us: int) -> list[Reply]:
        return ["hello"] if self.path == "/polite" else []

    def received(self, text: str, now_us: int) -> list[Reply]:
        word, _, rest = text.partition(" ")
        if word == "sub":
            self.streams[rest] = None
            return [f"ack {rest}", f"snapshot {rest}"]
        if word == "big":
            return ["x" * int(rest)]
        if word == "binary":
            return [b"\xff" * int(rest), "and text"]
        return ["last", Close(4000, "asked", "bye"), "never"]

    def timer(self, now_us: int) -> list[Reply]:
        return {"/beat": ["beat"], "/idle": [Close(4001, "idle", "idle")]}.get(self.path, [])

    def render(self, frame: Frame) -> str | bytes:
        if self.path == "/packed":
            return frame.as_text.encode()
        return f"{frame.as_text} wrapped" if self.path == "/wrapped" else frame.text


class Toy(Venue):
    name = "toy"
    LIMITS = Limits()

    @staticmethod
    def wire():
        raise NotImplementedError("nothing here writes frames")

    def connect(self, path: str, query: Mapping[str, str], now_us: int) -> Peer | Answer:
        return Answer(403, "no") if path == "/closed" else ToyPeer(path)

    def rest(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        if path != "/v1/book":
            return Answer(404, "nothing here")
        return Answer(200, f'{{"of":"{query["of"]}"}}', {"X-Weight": "7"}, symbol=query["of"])


class Told(Toy):
    """It tells by POST where to connect."""

    def post(self, path: str, query: Mapping[str, str], now_us: int) -> Answer:
        return Answer(200, f"{self.base_url}{path}?{query['of']}", content_type="text/plain")


class Stand:
    """The toy exchange, served; what a runner would do the tests do themselves."""

    def __init__(self, port: int, hub: Hub) -> None:
        self.port, self.hub = port, hub

    def at(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}/toy{path}"

    async def send(self, stream: str, text: str) -> None:
        self.hub.send(Frame("AB", "trade", stream, text))
        await self.hub.flush()


@asynccontextmanager
async def stand(kind: type[Venue] = Toy) -> AsyncIterator[Stand]:
    hub = Hub(Ledger(("AB",), 10), Limits(), frozenset({"a", "b"}), Quiet(), live=True)
    app = web.Application()
    app.add_routes(Front(kind(None, Limits()), hub, Mischief(BinanceWire())).routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Stand(runner.addresses[0][1], hub)
    finally:
        await hub.close_all("shutdown")
        await runner.cleanup()


async def heard(socket: ClientConnection) -> str:
    return str(await asyncio.wait_for(socket.recv(), 60))


async def all_heard(socket: ClientConnection) -> list[str]:
    """Everything until the connection is closed."""
    texts = []
    with suppress(ConnectionClosed):
        while True:
            texts.append(await heard(socket))
    return texts


async def test_replies_come_together_and_the_frames_of_a_subscription_after_them() -> None:
    async with stand() as toy, connect(toy.at("/"), max_queue=None) as socket:
        await socket.send("sub a")
        assert [await heard(socket), await heard(socket)] == ["ack a", "snapshot a"]
        await socket.send("sub b")
        number = 0
        while toy.hub.ledger.replies < 4:  # frames flow while the request is under way
            number += 1
            await toy.send("a", f"a{number}")
            await toy.send("b", f"b{number}")
            await asyncio.sleep(0)
        for _ in range(3):
            number += 1
            await toy.send("a", f"a{number}")
            await toy.send("b", f"b{number}")
        await socket.send("bye")
        texts = await all_heard(socket)
    assert texts.pop() == "last"
    place = texts.index("ack b")
    assert texts[place + 1] == "snapshot b"
    assert [text for text in texts if text[0] == "a" and text != "ack b"] == [
        f"a{one}" for one in range(1, number + 1)
    ]
    told = [text for text in texts if text[0] == "b"]
    assert told == [f"b{one}" for one in range(number + 1 - len(told), number + 1)]
    assert len(told) >= 3
    assert texts.index(told[0]) > place + 1


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536, 300_000])
async def test_messages_of_any_length_arrive_whole(size: int) -> None:
    async with stand() as toy, connect(toy.at("/"), max_size=None) as socket:
        await socket.send(f"big {size}")
        assert await heard(socket) == "x" * size


async def test_what_an_exchange_says_first_comes_first() -> None:
    async with stand() as toy, connect(toy.at("/polite")) as socket:
        await socket.send("sub a")
        assert await heard(socket) == "hello"
        assert await heard(socket) == "ack a"


async def test_a_close_comes_after_what_was_said_before_it_and_ends_all() -> None:
    async with stand() as toy, connect(toy.at("/")) as socket:
        await socket.send("bye")
        assert await all_heard(socket) == ["last"]
        assert (socket.close_code, socket.close_reason) == (4000, "bye")
        await socket.wait_closed()
        while toy.hub.ledger.closed.total() < 1:
            await asyncio.sleep(0)
        assert toy.hub.ledger.closed == {"asked": 1}


async def test_the_timer_speaks_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TIMER_SECONDS", 0.02)
    async with stand() as toy, connect(toy.at("/beat")) as beating, connect(toy.at("/idle")) as idle:
        assert [await heard(beating), await heard(beating)] == ["beat", "beat"]
        assert await all_heard(idle) == []
        assert (idle.close_code, idle.close_reason) == (4001, "idle")
        assert await heard(beating) == "beat"
        while not toy.hub.ledger.closed:
            await asyncio.sleep(0.01)
        assert toy.hub.ledger.closed == {"idle": 1}


async def test_every_listener_gets_a_frame_as_he_wants_it_and_each_copy_counts() -> None:
    async with stand() as toy:
        sockets = [await connect(toy.at(path)) for path in ("/", "/wrapped", "/")]
        for socket in sockets:
            await socket.send("sub a")
            assert [await heard(socket), await heard(socket)] == ["ack a", "snapshot a"]
        await toy.send("a", "frame")
        assert [await heard(socket) for socket in sockets] == ["frame", "frame wrapped", "frame"]
        assert toy.hub.ledger.of("AB").frames == {"trade": 3}
        for socket in sockets:
            await socket.close()


async def test_a_refused_handshake_and_rest_are_answered_as_the_venue_says() -> None:
    async with stand() as toy, aiohttp.ClientSession() as http:
        with pytest.raises(InvalidStatus, match="403"):
            await connect(toy.at("/closed"))
        url = f"http://127.0.0.1:{toy.port}/toy"
        async with http.get(f"{url}/v1/book?of=AB") as answer:
            assert (answer.status, await answer.json()) == (200, {"of": "AB"})
            assert answer.headers["X-Weight"] == "7"
        for path in ("", "/", "/v1", "/v1/book/more"):
            async with http.get(url + path) as answer:
                assert (answer.status, await answer.text()) == (404, "nothing here")
        assert toy.hub.ledger.rest_answers == {"book 200": 1}
        assert toy.hub.ledger.of("AB").rest_answers == 1


@pytest.mark.parametrize("size", [0, 125, 126, 65_536])
async def test_binary_messages_arrive_as_such_in_order_with_text(size: int) -> None:
    async with stand() as toy, connect(toy.at("/"), max_size=None) as socket:
        await socket.send(f"binary {size}")
        assert [await socket.recv(), await socket.recv()] == [b"\xff" * size, "and text"]


async def test_the_same_letters_as_text_and_as_bytes_are_two_messages() -> None:
    async with stand() as toy:
        sockets = [await connect(toy.at(path)) for path in ("/", "/packed")]
        for socket in sockets:
            await socket.send("sub a")
            assert [await heard(socket), await heard(socket)] == ["ack a", "snapshot a"]
        await toy.send("a", "frame")
        assert [await socket.recv() for socket in sockets] == ["frame", b"frame"]
        for socket in sockets:
            await socket.close()


async def test_a_post_is_answered_and_says_where_its_client_reached_us() -> None:
    async with stand(Told) as toy, aiohttp.ClientSession() as http:
        for host in ("127.0.0.1", "localhost"):
            async with http.post(f"http://{host}:{toy.port}/toy/bullet?of=AB") as answer:
                assert await answer.text() == f"ws://{host}:{toy.port}/toy/bullet?of=AB".replace("of=", "")
        assert toy.hub.ledger.rest_answers == {"bullet 200": 2}


async def test_an_exchange_that_takes_no_post_says_so() -> None:
    async with (
        stand() as toy,
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{toy.port}/toy/v1/book?of=AB") as answer,
    ):
        assert answer.status == 404
        assert toy.hub.ledger.rest_answers == {}


async def test_an_exchange_without_pings_sends_none() -> None:
    async with asyncio.timeout(60):
        await Pings(Limits()).run(None)


def test_limits_change_only_where_the_exchange_has_them() -> None:
    own = Limits(connects_max=3, connects_window_seconds=1.0)
    changed = own.changed({"connects_max": 9, "ping_seconds": 5.0, "messages_per_second": 7})
    assert (changed.connects_max, changed.connects_window_seconds) == (9, 1.0)
    assert (changed.ping_seconds, changed.messages_per_second) == (0.0, 0)
