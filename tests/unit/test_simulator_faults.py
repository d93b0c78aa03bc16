"""Pause, stop and the faults on demand, seen from a client."""

import asyncio
import json
import socket as sockets
from itertools import pairwise
from typing import Any

import pytest

from tests.simulator_client import SEEDED, serving
from tests.waiting import until


async def test_it_pauses_resumes_and_stops_while_connections_stay() -> None:
    async with serving(rate=200) as (_, reader), reader.listening(SEEDED) as socket:
        await until(lambda: len(reader.texts) >= 40)
        await reader.post("/_sim/pause")
        before = (await reader.state("paused"))["frames_sent"]
        await asyncio.sleep(0.4)
        assert (await reader.ledger())["frames_sent"] == before
        await reader.post("/_sim/resume")
        await until(lambda: len(reader.texts) >= before + 40)
        # It goes on where it was and does not catch up what the pause left out: its clock has jumped over it.
        times = [json.loads(text)["data"]["E"] for text in reader.texts]
        apart = [later - earlier for earlier, later in pairwise(times)]
        assert apart[before - 1] >= 400
        assert max(apart[: before - 1] + apart[before:]) < 400
        await reader.post("/_sim/stop")
        after = (await reader.state("stopped"))["frames_sent"]
        await asyncio.sleep(0.2)
        assert len(reader.texts) == after
        assert (await socket.ping()) is not None


async def test_a_dropped_depth_frame_is_a_gap() -> None:
    depth = "ethusdt@depth@100ms"
    async with serving(rate=200) as (_, reader), reader.listening(SEEDED):
        await reader.heard(depth, 3)
        await reader.post("/_sim/fault", {"kind": "drop_frames", "count": 1, "symbol": "ETHUSDT"})
        while not (await reader.ledger())["symbols"]["ETHUSDT"]["frames_dropped"]:
            await asyncio.sleep(0.02)
        await reader.heard(depth, len(reader.data(depth)) + 3)
        await reader.post("/_sim/stop")
        ledger = await reader.state("stopped")
        breaks = {}
        for symbol in ("BTCUSDT", "ETHUSDT"):
            depths = reader.data(f"{symbol.lower()}@depth@100ms")
            breaks[symbol] = sum(b["U"] != a["u"] + 1 for a, b in pairwise(depths))
        assert breaks == {"BTCUSDT": 0, "ETHUSDT": 1}
        assert ledger["symbols"]["ETHUSDT"]["frames_dropped"] == 1
        assert ledger["frames_sent"] == len(reader.texts)


async def test_a_disconnect_closes_every_socket_and_the_market_goes_on() -> None:
    async with serving(rate=200) as (_, reader):
        async with reader.listening(SEEDED) as socket:
            await reader.heard("btcusdt@depth@100ms", 2)
            assert (await reader.post("/_sim/fault", {"kind": "disconnect"}))["closed"] == 1
            await socket.wait_closed()
            assert socket.close_code == 1001
        last = reader.data("btcusdt@depth@100ms")[-1]["u"]
        while (await reader.get("/_sim/book?symbol=BTCUSDT"))["sequence"] <= last:
            await asyncio.sleep(0.02)
        reader.texts.clear()
        async with reader.listening(SEEDED):
            await reader.heard("btcusdt@depth@100ms", 1)
        assert reader.data("btcusdt@depth@100ms")[0]["U"] > last + 1
        while (connections := (await reader.ledger())["connections"])["open"]:
            await asyncio.sleep(0.02)
        assert connections["closed"] == {"fault": 1, "client": 1}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "earthquake"}, "simulator.fault_unknown"),
        ({"kind": "drop_frames", "count": 0}, "simulator.fault_invalid"),
        ({"kind": "drop_frames", "symbol": "NOSUCH"}, "simulator.symbol_unknown"),
        ({"kind": "disconnect", "exchange": "nosuch"}, "simulator.exchange_unknown"),
        ({"count": 1}, "simulator.fault_invalid"),
    ],
)
async def test_a_wrong_fault_is_answered_with_its_code(body: dict[str, Any], code: str) -> None:
    async with serving() as (_, reader), reader.http.post(f"{reader.base}/_sim/fault", json=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] == code


async def test_a_client_that_does_not_read_is_cut_off_and_delays_nobody() -> None:
    limits = {"unsent_bytes_max": 100_000}
    # More than the system itself keeps for a socket (4 MB), at some 160 bytes a frame.
    async with serving(rate=10_000, limits=limits) as (server, reader), reader.listening(SEEDED):
        with sockets.create_connection(("127.0.0.1", server.port)) as deaf:
            deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            query = "/binance/stream?streams=" + "/".join(SEEDED)
            key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            deaf.sendall(f"GET {query} HTTP/1.1\r\nHost: x\r\n{upgrade}{key}\r\n".encode())
            while not (closed := (await reader.ledger())["connections"]["closed"]):
                await asyncio.sleep(0.1)
        assert closed == {"slow": 1}
        await reader.post("/_sim/stop")
        while (ledger := await reader.ledger())["state"] != "stopped":
            await asyncio.sleep(0.05)
        trades = ledger["symbols"]["BTCUSDT"]["trades"]
        await reader.heard("btcusdt@trade", trades)
        assert len(reader.data("btcusdt@trade")) == trades
