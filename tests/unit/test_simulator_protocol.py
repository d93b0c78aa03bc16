"""Binance's requests, replies and limits over real sockets on localhost, with a client that is not ours."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulator.runner import Pace
from simulator.server import Server
from tests.simulator_client import serving

PATIENCE_SECONDS = 60
STREAMS = ["btcusdt@depth@100ms", "btcusdt@trade"]


def at(server: Server, path: str) -> str:
    return f"ws://127.0.0.1:{server.port}/binance{path}"


async def ask(socket: ClientConnection, request: str | dict[str, Any]) -> dict[str, Any]:
    """Send a request and return its reply: the next message that is no market data."""
    await socket.send(request if isinstance(request, str) else json.dumps(request))
    while True:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS))
        if "stream" not in message and "e" not in message:
            return message


async def until_closed(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    with suppress(ConnectionClosed):
        while True:
            yield await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)


SUBSCRIBE = {"method": "SUBSCRIBE", "params": STREAMS, "id": 1}
VARIANTS = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


@pytest.mark.parametrize(
    ("request_text", "reply"),
    [
        (SUBSCRIBE, {"result": None, "id": 1}),
        ({**SUBSCRIBE, "id": "abc-1"}, {"result": None, "id": "abc-1"}),
        ({**SUBSCRIBE, "id": None}, {"result": None, "id": None}),
        ({"method": "UNSUBSCRIBE", "params": ["never@trade"], "id": 312}, {"result": None, "id": 312}),
        ({"method": "LIST_SUBSCRIPTIONS", "id": 3}, {"result": [], "id": 3}),
        ({"method": "GET_PROPERTY", "params": ["combined"], "id": 2}, {"result": True, "id": 2}),
        ({"method": "SET_PROPERTY", "params": ["combined", False], "id": 5}, {"result": None, "id": 5}),
        (
            {"method": "SET_PROPERTY", "params": ["combined", 1], "id": 5},
            {"error": {"code": 1, "msg": "Invalid value type: expected Boolean"}, "id": 5},
        ),
        (
            {"method": "GET_PROPERTY", "params": ["other"], "id": 5},
            {"error": {"code": 0, "msg": "Unknown property"}, "id": 5},
        ),
        (
            {"method": "GET_PROPERTY", "params": [7], "id": 5},
            {"error": {"code": 2, "msg": "Invalid request: property name must be a string"}, "id": 5},
        ),
        (
            {"method": "SUBSCRIBE", "params": ["not a stream"], "id": 7},
            {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 7},
        ),
        (
            {"method": "LIST_SUBSCRIPTIONS", "params": ["btcusdt@trade"], "id": 7},
            {"error": {"code": 2, "msg": "Invalid request: too many parameters"}, "id": 7},
        ),
        (
            {"method": "SUBSCRIBE", "params": STREAMS, "id": 1.5},
            {"error": {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}},
        ),
        (
            {"method": "SUBSCRIBE", "params": STREAMS},
            {"error": {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}},
        ),
        (
            '{"params":["btcusdt@trade"],"id":1}',
            {"error": {"code": 2, "msg": "Invalid request: missing field `method` at line 1 column 35"}},
        ),
        (
            '{"method":"SUBSCRYBE","params":[],"id":1}',
            {
                "error": {
                    "code": 2,
                    "msg": "Invalid request: unknown variant `SUBSCRYBE`, expected one of "
                    f"{VARIANTS} at line 1 column 21",
                }
            },
        ),
        ("hello", {"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}}),
    ],
)
async def test_every_request_gets_its_reply(
    request_text: str | dict[str, Any], reply: dict[str, Any]
) -> None:
    async with serving() as (server, _), connect(at(server, "/stream")) as socket:
        assert await ask(socket, request_text) == reply


async def test_subscriptions_are_listed_and_end_with_unsubscribe() -> None:
    async with serving() as (server, _), connect(at(server, "/stream?streams=ethusdt@trade")) as socket:
        await ask(socket, SUBSCRIBE)
        listed = await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert sorted(listed["result"]) == sorted([*STREAMS, "ethusdt@trade"])
        await ask(socket, {"method": "UNSUBSCRIBE", "params": [*STREAMS, "ethusdt@trade"], "id": 3})
        assert (await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": 4}))["result"] == []
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)


@pytest.mark.parametrize(
    ("path", "is_wrapped"),
    [
        ("/stream?streams=btcusdt@trade", True),
        ("/ws/btcusdt@trade", False),
        ("/ws", False),
        ("/stream", True),
    ],
)
async def test_stream_wraps_and_ws_does_not(path: str, is_wrapped: bool) -> None:
    async with serving() as (server, _), connect(at(server, path)) as socket:
        if "btcusdt" not in path:
            await ask(socket, {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
        message = json.loads(await socket.recv())
        assert ("stream" in message) == is_wrapped
        data = message["data"] if is_wrapped else message
        assert set(data) == {"e", "E", "s", "t", "p", "q", "T", "m", "M"}
        assert (data["e"], data["s"]) == ("trade", "BTCUSDT")
        if is_wrapped:
            assert message["stream"] == "btcusdt@trade"


async def test_times_come_in_microseconds_when_asked_for() -> None:
    path = "/stream?streams=btcusdt@trade&timeUnit=MICROSECOND"
    pace = Pace(settle_seconds=0.0, base_ms=1_700_000_000_000)
    async with serving(pace=pace) as (server, _), connect(at(server, path)) as socket:
        data = json.loads(await socket.recv())["data"]
    assert data["T"] == 1_700_000_000_000_000


@pytest.mark.parametrize("path", ["/ws/not%20a%20stream", "/stream?streams=x", "/ws?timeUnit=YEAR"])
async def test_a_wrong_address_is_refused(path: str) -> None:
    async with serving() as (server, _):
        with pytest.raises(InvalidStatus, match="400"):
            await connect(at(server, path))


async def test_the_sixth_message_within_a_second_closes_the_connection() -> None:
    async with serving() as (server, _), connect(at(server, "/ws")) as socket:
        began = time.monotonic()
        # Six at a time, again if the machine stood still in between: the sixth came in another second then.
        with suppress(ConnectionClosed):
            for number in range(6 * PATIENCE_SECONDS):
                await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
                await asyncio.sleep(0.0 if number % 6 < 5 else 0.1)
        replies = [message async for message in until_closed(socket)]
        assert len(replies) <= 5 * (1 + int(time.monotonic() - began))
        assert socket.close_code == 1008


async def test_five_messages_a_second_are_fine() -> None:
    async with serving() as (server, _), connect(at(server, "/ws")) as socket:
        for number in range(5):
            assert (await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": number}))["id"] == number
        await asyncio.sleep(1.05)
        assert (await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": 9}))["id"] == 9


async def test_1024_streams_are_the_most() -> None:
    names = [f"sym{number}@trade" for number in range(1025)]
    async with serving() as (server, _), connect(at(server, "/ws")) as socket:
        refused = await ask(socket, {"method": "SUBSCRIBE", "params": names, "id": 1})
        assert refused == {"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 1}
        assert (await ask(socket, {"method": "SUBSCRIBE", "params": names[:1024], "id": 2}))["result"] is None
        refused = await ask(socket, {"method": "SUBSCRIBE", "params": names[1024:], "id": 3})
        assert refused["error"]["code"] == 4


async def test_too_many_connection_attempts_are_refused() -> None:
    async with serving(limits={"connects_max": 2}) as (server, _):
        for _ in range(2):
            await (await connect(at(server, "/ws"))).close()
        with pytest.raises(InvalidStatus, match="429"):
            await connect(at(server, "/ws"))


async def test_who_answers_no_ping_is_closed() -> None:
    limits = {"ping_seconds": 0.1, "pong_seconds": 0.3}
    async with (
        serving(limits=limits) as (server, _),
        aiohttp.ClientSession() as session,
        session.ws_connect(at(server, "/ws"), autoping=False) as socket,
    ):
        ping = await socket.receive(PATIENCE_SECONDS)
        assert ping.type is aiohttp.WSMsgType.PING
        assert ping.data.isdigit()
        while (await socket.receive(PATIENCE_SECONDS)).type is aiohttp.WSMsgType.PING:
            pass
        assert socket.close_code == 1008


async def test_an_unsolicited_pong_does_not_count() -> None:
    limits = {"ping_seconds": 0.1, "pong_seconds": 0.4, "messages_per_second": 0}
    async with (
        serving(limits=limits) as (server, _),
        aiohttp.ClientSession() as session,
        session.ws_connect(at(server, "/ws"), autoping=False) as socket,
    ):
        while (await socket.receive(PATIENCE_SECONDS)).type is aiohttp.WSMsgType.PING:
            with suppress(ConnectionError):  # closed in the meantime, which is read next
                await socket.pong(b"other")
        assert socket.close_code == 1008


async def test_who_answers_pings_stays_connected() -> None:
    # Longer than this process may stand still: who answers a ping and who judges it are both in it.
    limits = {"ping_seconds": 0.3, "pong_seconds": 5.0}
    async with (
        serving(limits=limits) as (server, _),
        connect(at(server, "/ws"), ping_interval=None) as socket,
    ):
        await asyncio.sleep(6)
        assert (await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["id"] == 1


async def test_a_stream_that_carries_nothing_is_accepted_and_noted() -> None:
    async with serving() as (server, reader), connect(at(server, "/ws")) as socket:
        request = {"method": "SUBSCRIBE", "params": ["BTCUSDT@trade"], "id": 1}
        assert await ask(socket, request) == {"result": None, "id": 1}
        events = (await reader.ledger())["events"]
    assert [(event["event"], event["stream"]) for event in events] == [("silent_stream", "BTCUSDT@trade")]
