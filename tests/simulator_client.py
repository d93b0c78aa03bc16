"""A client of the simulator that shares nothing with it: keeps every frame, rebuilds books in Decimal."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from simulator.options import Options
from simulator.runner import Pace
from simulator.server import Server
from tests.waiting import until

SEEDED = ["btcusdt@depth@100ms", "btcusdt@trade", "ethusdt@depth@100ms", "ethusdt@trade"]


class Reader:
    """A client that keeps every frame, and can rebuild the book as the exchange's documentation says."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.base, self.http = f"http://127.0.0.1:{server.port}", http
        self.texts: list[str] = []

    @asynccontextmanager
    async def listening(self, streams: list[str]) -> AsyncIterator[ClientConnection]:
        url = f"{self.base.replace('http', 'ws')}/binance/stream"
        async with connect(url, max_queue=None, ping_interval=None) as socket:
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1}))
            assert json.loads(await socket.recv()) == {"result": None, "id": 1}
            task = asyncio.create_task(self._read(socket))
            yield socket
            await socket.close()
            await task

    async def _read(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                self.texts.append(str(await socket.recv()))

    async def get(self, path: str) -> Any:
        async with self.http.get(f"{self.base}{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        async with self.http.post(f"{self.base}{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def ledger(self) -> dict[str, Any]:
        whole: dict[str, Any] = (await self.get("/_sim/ledger"))["exchanges"]["binance"]
        return whole

    async def heard(self, stream: str, count: int) -> None:
        """Wait until so many frames of that stream have come."""
        await until(lambda: len(self.data(stream)) >= count)

    async def state(self, *wanted: str, seconds: float = 60) -> dict[str, Any]:
        """The ledger once the market is in one of the states and all it sent has arrived here."""
        deadline = time.monotonic() + seconds
        while (ledger := await self.ledger())["state"] not in wanted or len(self.texts) < ledger[
            "frames_sent"
        ]:
            assert time.monotonic() < deadline, ledger["state"]
            await asyncio.sleep(0.05)
        return ledger

    def data(self, stream: str) -> list[dict[str, Any]]:
        start = f'{{"stream":"{stream}"'
        return [json.loads(text)["data"] for text in self.texts if text.startswith(start)]


class Rebuilt:
    """A book in Decimal; `covers` is the price range that the snapshot told."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.sequence: int = body["lastUpdateId"]
        self.bids = {Decimal(price): Decimal(size) for price, size in body["bids"]}
        self.asks = {Decimal(price): Decimal(size) for price, size in body["asks"]}
        self.covers = min(self.bids), max(self.asks)
        self.joined = False

    def apply(self, data: dict[str, Any]) -> None:
        if data["u"] <= self.sequence:
            return
        assert data["U"] == self.sequence + 1 or (not self.joined and data["U"] <= self.sequence + 1)
        self.joined = True
        for side, changes in ((self.bids, data["b"]), (self.asks, data["a"])):
            for price, size in changes:
                side[Decimal(price)] = Decimal(size)
                if not Decimal(size):
                    del side[Decimal(price)]
        self.sequence = data["u"]

    def within(
        self, covers: tuple[Decimal, Decimal]
    ) -> tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]:
        low, high = covers
        bids = {price: size for price, size in self.bids.items() if price >= low}
        return bids, {price: size for price, size in self.asks.items() if price <= high}


def shown(book: dict[str, Any]) -> Rebuilt:
    return Rebuilt({"lastUpdateId": book["sequence"], "bids": book["bids"], "asks": book["asks"]})


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[Server, Reader]]:
    settings = {"pace": Pace(settle_seconds=0.05), **options}
    async with Server(Options(**settings)) as server, aiohttp.ClientSession() as http:
        yield server, Reader(server, http)
