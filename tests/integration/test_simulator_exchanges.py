"""Three exchanges in one simulator on one port, each followed by a client in its own protocol."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from simulator.runner import Pace
from simulator.server import Server
from tests.simulator_client import SEEDED, Reader, serving

ALL = ("binance", "kraken", "okx")
PAIRS = ["BTC/USDT", "ETH/USDT"]
INSTRUMENTS = ["BTC-USDT", "ETH-USDT"]
PATHS = {"binance": "/stream", "kraken": "/v2", "okx": "/ws/v5/public"}
REQUESTS: dict[str, list[dict[str, Any]]] = {
    "binance": [{"method": "SUBSCRIBE", "params": SEEDED, "id": 1}],
    "kraken": [
        {"method": "subscribe", "params": {"channel": "book", "symbol": PAIRS, "depth": 1000}},
        {"method": "subscribe", "params": {"channel": "trade", "symbol": PAIRS, "snapshot": False}},
    ],
    "okx": [
        {
            "op": "subscribe",
            "args": [
                {"channel": channel, "instId": i} for channel in ("books", "trades") for i in INSTRUMENTS
            ],
        }
    ],
}
ACKS = {"binance": 1, "kraken": 4, "okx": 4}


def what(name: str, message: dict[str, Any]) -> str:
    """`ack`, `other`, or what it is of which symbol: `snapshot BTC`, `depth BTC`, `trade BTC`."""
    if name == "binance":
        if "stream" not in message:
            return "ack"
        data = message["data"]
        return f"{'depth' if data['e'] == 'depthUpdate' else data['e']} {data['s'][:3]}"
    if name == "kraken":
        if "method" in message:
            return "ack" if message["success"] else "refused"
        if message["channel"] not in ("book", "trade"):
            return "other"
        is_snapshot, is_book = message["type"] == "snapshot", message["channel"] == "book"
        kind = "snapshot" if is_snapshot else "depth" if is_book else "trade"
        return f"{kind} {message['data'][0]['symbol'][:3]}"
    if "event" in message:
        return {"subscribe": "ack", "error": "refused"}.get(message["event"], "other")
    kind = {"snapshot": "snapshot", "update": "depth"}.get(message.get("action"), "trade")
    return f"{kind} {message['arg']['instId'][:3]}"


class Follower:
    """A client of one exchange that keeps what each message was, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kinds: list[str] = []
        self.socket: ClientConnection

    @asynccontextmanager
    async def following(self, server: Server) -> AsyncIterator["Follower"]:
        url = f"ws://127.0.0.1:{server.port}/{self.name}{PATHS[self.name]}"
        async with connect(url, max_queue=None, max_size=None, ping_interval=None) as self.socket:
            for request in REQUESTS[self.name]:
                await self.socket.send(json.dumps(request))
            while self.kinds.count("ack") < ACKS[self.name]:
                await asyncio.wait_for(self._next(), 60)
            task = asyncio.create_task(self._read())
            yield self
            await self.socket.close()
            await task

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._next()

    async def _next(self) -> None:
        self.kinds.append(what(self.name, json.loads(await self.socket.recv())))

    async def until_all(self, count: int) -> None:
        """Until so many frames of each kind and symbol have come."""
        wanted = [f"{kind} {symbol}" for kind in ("depth", "trade") for symbol in ("BTC", "ETH")]
        async with asyncio.timeout(60):
            while any(self.frames()[kind] < count for kind in wanted):
                await asyncio.sleep(0.02)

    def frames(self) -> Counter[str]:
        return Counter(kind for kind in self.kinds if kind.startswith(("depth", "trade")))


@asynccontextmanager
async def followed(server: Server) -> AsyncIterator[list[Follower]]:
    """All three, each subscribed to books and trades of both symbols."""
    binance, kraken, okx = map(Follower, ALL)
    async with binance.following(server), kraken.following(server), okx.following(server):
        yield [binance, kraken, okx]


async def ledgers(reader: Reader) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = (await reader.get("/_sim/ledger"))["exchanges"]
    return found


async def test_each_client_gets_what_its_ledger_says_and_the_rate_is_shared() -> None:
    # Longer than the machine may stand still between two subscriptions.
    pace = Pace(settle_seconds=4)
    clients = binance, kraken, okx = [Follower(name) for name in ALL]
    async with (
        serving(exchanges=ALL, rate=301, seconds=3, pace=pace) as (server, reader),
        binance.following(server),
    ):
        await asyncio.sleep(0.3)
        others_ms = time.time() * 1_000
        async with kraken.following(server), okx.following(server):
            await each_got_what_its_ledger_says(reader, clients, others_ms + 4_000)


async def each_got_what_its_ledger_says(reader: Reader, clients: list[Follower], settled_ms: float) -> None:
    """All of the test above; no market may begin before all clients have been quiet for the time to settle."""
    async with asyncio.timeout(60):
        while {log["state"] for log in (await ledgers(reader)).values()} != {"ended"}:
            await asyncio.sleep(0.05)
        logs = await ledgers(reader)
        for client in clients:
            while client.frames().total() < logs[client.name]["frames_sent"]:
                await asyncio.sleep(0.02)
    mids = []
    for client in clients:
        log, frames = logs[client.name], client.frames()
        assert "refused" not in client.kinds
        for symbol in ("BTC", "ETH"):
            own = log["symbols"][f"{symbol}USDT"]
            assert frames[f"depth {symbol}"] == own["frames"]["depth"] >= 25
            assert frames[f"trade {symbol}"] == own["frames"]["trade"] == own["trades"]
            assert own["last_update_id"] > own["first_update_id"] > 0
        book = await reader.get(f"/_sim/book?exchange={client.name}&symbol=BTCUSDT")
        mids.append((Decimal(book["bids"][0][0]) + Decimal(book["asks"][0][0])) / 2)
    assert [logs[name]["frames_sent"] for name in ALL] == [300, 300, 303]
    assert max(mids) / min(mids) < Decimal("1.005")
    assert len(set(mids)) > 1
    started = [log["events"][0] for log in logs.values()]
    assert [event["event"] for event in started] == ["running"] * 3
    assert min(event["at_ms"] for event in started) > settled_ms - 100  # two clocks were asked


async def test_a_snapshot_comes_before_any_change_also_amid_a_running_market() -> None:
    async with serving(exchanges=ALL, rate=3000, limits={"connects_max": 0}) as (server, _), followed(server):
        for _ in range(3):
            async with (
                Follower("kraken").following(server) as kraken,
                Follower("okx").following(server) as okx,
            ):
                await kraken.until_all(2)
                await okx.until_all(2)
            for client in (kraken, okx):
                for symbol in ("BTC", "ETH"):
                    kinds = [
                        kind for kind in client.kinds if kind in (f"snapshot {symbol}", f"depth {symbol}")
                    ]
                    assert kinds.count(f"snapshot {symbol}") == 1
                    assert kinds[0] == f"snapshot {symbol}"
                    assert len(kinds) > 1


async def test_a_fault_of_one_exchange_leaves_the_others_alone() -> None:
    async with (
        serving(exchanges=ALL, rate=300) as (server, reader),
        followed(server) as (binance, kraken, okx),
    ):
        for client in (binance, kraken, okx):
            await client.until_all(1)
        told = await reader.post("/_sim/fault", {"kind": "disconnect", "exchange": "kraken"})
        assert (told["exchange"], told["closed"]) == ("kraken", 1)
        await kraken.socket.wait_closed()
        before = okx.frames().total()
        await reader.post("/_sim/pause?exchange=binance")
        async with asyncio.timeout(60):
            while okx.frames().total() < before + 50:
                await asyncio.sleep(0.02)
            while (logs := await ledgers(reader))["kraken"]["connections"]["open"] or (
                logs["binance"]["state"] != "paused"
            ):
                await asyncio.sleep(0.02)
        assert {name: log["state"] for name, log in logs.items()} == {
            "binance": "paused",
            "kraken": "running",
            "okx": "running",
        }
        assert logs["kraken"]["connections"]["closed"] == {"fault": 1}
        assert logs["binance"]["connections"]["open"] == logs["okx"]["connections"]["open"] == 1
        async with reader.http.get(f"{reader.base}/metrics") as answer:
            metrics = await answer.text()
        assert 'simulator_connections{exchange="kraken"} 0.0' in metrics
        assert 'simulator_connections{exchange="okx"} 1.0' in metrics
