"""Clients as they should not be: unknown, oversize, flooding, half-open, binary, of wrong encoding, without a right."""

import asyncio
import json
import os
import re
import socket
import time
from base64 import b64encode

import psutil
import pytest
import redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from COBY.codec import encode
from COBY.records import Cell
from tests.integration.sink_helpers import START_US, Feeder, candle, gap
from tests.integration.ws_world import heatmap, logged_errors, world
from tests.ws_client import WsClient, client

PREFIX = "twsbad"


@pytest.fixture(scope="module")
def there(kafka, timescale, redis_session, tmp_path_factory):
    """(cfg, an API process open to this machine)."""
    folder = tmp_path_factory.mktemp("api")
    more = {"WS_CONNECTIONS": "8"}
    with world(kafka, timescale, redis_session, folder, PREFIX, **more) as (cfg, started), started() as api:
        yield cfg, api
        # Whatever came, none of it was a bug of ours.
        assert logged_errors(api) == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("nonsense", "ws.json"),
        ("[" * 60_000, "ws.json"),
        (b"\x00\x01", "ws.binary"),
        ('{"op": "dance", "id": 1}', "ws.unknown_op"),
        ('{"op": "ping", "id": {}}', "ws.invalid"),
        ('{"op": "replay", "id": 1, "session": "nothing"}', "replay.unknown_session"),
        ('{"op": "auth", "id": 1, "key": "x"}', "ws.authenticated"),
        ('{"op": "ping", "id": "' + "x" * 65_536 + '"}', "ws.too_large"),
        ('{"op": "subscribe", "channels": [{"name": "trade"}], "cursors": {"x": "y"}}', "ws.invalid"),
    ],
)  # fmt: skip
async def test_a_wrong_message_is_an_error_and_the_connection_goes_on(there, sent, code):
    _, api = there
    async with client(api.ws_url) as one:
        await one.socket.send(sent)
        error = await one.until(lambda message: message["type"] == "error")
        assert error["code"] == code
        assert (await one.answer("pong", op="ping"))["type"] == "pong"


async def read_into(socket_, texts):
    """All that comes, until it ends."""
    async with asyncio.timeout(120):
        while True:
            texts.append(await socket_.recv())


async def say_on(one, texts):
    """Send all of it, then listen until the end."""
    for text in texts:
        await one.socket.send(text)
    await one.until(lambda message: False)


async def test_a_message_too_large_to_hold_ends_the_connection(there):
    _, api = there
    async with client(api.ws_url) as one:
        with pytest.raises(ConnectionClosed):
            await say_on(one, ["x" * 2_000_000])
        assert one.socket.close_code == 1009


def handshake(api):
    """A raw socket that has shaken hands: for what no library sends."""
    raw = socket.create_connection(("127.0.0.1", api.ws_port), 10)
    key = b64encode(os.urandom(16)).decode()
    raw.sendall(
        f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{api.ws_port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert raw.recv(4096).startswith(b"HTTP/1.1 101")
    return raw


def frame(opcode, payload):
    """One masked frame of fewer than 126 bytes (RFC 6455, 5.2), masked with zeros."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


def closed_with(raw, seconds=120.0):
    """The close code that comes, within so many seconds."""
    raw.settimeout(seconds)
    seen = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = seen.rfind(b"\x88")
        if found >= 0 and len(seen) >= found + 4:
            return int.from_bytes(seen[found + 2 : found + 4], "big")
        try:
            more = raw.recv(65_536)
        except ConnectionResetError:
            return None
        if not more:
            return None
        seen = seen[-200:] + more
    raise AssertionError("it was not closed")


async def test_text_that_is_no_utf8_ends_the_connection(there):
    """RFC 6455, 8.1: it must."""
    _, api = there
    with await asyncio.to_thread(handshake, api) as raw:
        raw.sendall(frame(1, b"\xff\xfe\xfd"))
        assert await asyncio.to_thread(closed_with, raw) == 1007


async def test_a_flood_is_refused_and_then_cut_off(there):
    _, api = there
    async with client(api.ws_url) as one:
        for number in range(100):
            await one.socket.send(json.dumps({"op": "ping", "id": number}))
        answers = []
        while len(answers) < 100:
            message = await one.next()
            if message["type"] in ("pong", "error"):
                answers.append(message)
        assert [answer["id"] for answer in answers] == list(range(100))
        assert {answer.get("code") for answer in answers} == {None, "ws.too_many_operations"}
        assert 20 <= sum(answer["type"] == "pong" for answer in answers) < 100
        # Slower again, it is served again.
        await asyncio.sleep(1.1)
        assert (await one.answer("pong", op="ping"))["type"] == "pong"
        with pytest.raises(ConnectionClosed):
            await say_on(one, [json.dumps({"op": "ping", "id": number}) for number in range(5_000)])
        assert one.socket.close_code == 1008


async def connections(api, count):
    """Wait until the API has so many."""
    while f"coby_ws_connections {count}.0\n" not in (await asyncio.to_thread(api.get, "/metrics")).text:
        await asyncio.sleep(0.1)


@pytest.mark.long
async def test_a_client_that_is_gone_without_a_word_is_found(there):
    """It shook hands and never reads nor answers: no pong within twenty seconds."""
    _, api = there
    with await asyncio.to_thread(handshake, api) as raw:
        await connections(api, 1)  # those of other tests have gone
        began = time.monotonic()
        await connections(api, 0)
        assert time.monotonic() > began + 5
        raw.close()


async def test_more_connections_than_one_may_have_are_refused(there):
    _, api = there
    await connections(api, 0)
    opened = [await connect(f"{api.ws_url}/v1/ws", proxy=None) for _ in range(8)]
    try:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{api.ws_url}/v1/ws", proxy=None)
        assert refused.value.response.status_code == 429
        assert json.loads(refused.value.response.body)["code"] == "ws.too_many_connections"
    finally:
        for one in opened:
            await one.close()
    await connections(api, 0)
    async with client(api.ws_url):
        pass  # there is room again


async def test_a_foreign_origin_and_a_wrong_key_are_refused_before_anything_is_said(there):
    _, api = there
    for headers, status, code in (
        ({"Origin": "https://elsewhere.example"}, 403, "api.origin"),
        ({"Authorization": "Bearer coby_wrong"}, 401, "api.key_wrong"),
        ({"X-API-Key": "wrong"}, 401, "api.key_wrong"),
    ):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{api.ws_url}/v1/ws", proxy=None, additional_headers=headers)
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body)["code"] == code


async def read_once_cut(api, stuck):
    """What a client that reads again gets: what was on its way, then why nothing more comes."""
    while (
        'coby_ws_cut_total{code="slow_consumer"} 1.0'
        not in (await asyncio.to_thread(api.get, "/metrics")).text
    ):
        await asyncio.sleep(0.2)
    texts = []
    with pytest.raises(ConnectionClosed):
        await read_into(stuck, texts)
    return texts


async def test_a_client_that_never_reads_is_cut_off_and_costs_no_memory(there):
    """Gaps are never left out, so too many of them end the connection; its neighbour gets them all."""
    cfg, api = there
    feeder = Feeder(cfg)
    process = psutil.Process(api.process.pid)
    async with (
        connect(f"{api.ws_url}/v1/ws", proxy=None, max_queue=1) as stuck,
        client(api.ws_url) as quick,
    ):
        await stuck.send('{"op": "subscribe", "channels": [{"name": "gap", "symbols": ["BTCUSDT"]}]}')
        await quick.subscribe("gap:BTCUSDT")
        await quick.of("gap:BTCUSDT", 1)
        before = process.memory_info().rss
        cut = asyncio.create_task(read_once_cut(api, stuck))
        for first in range(0, 6_000, 500):  # as fast as the quick one follows
            for number in range(first, first + 500):
                feeder.send(gap(detail="x" * 4_000), f"{number}:0")
            feeder.flush()
            got = await quick.of("gap:BTCUSDT", first + 501)
        last = json.loads((await cut)[-1])
        assert [message["data"]["position"] for message in got[1:]] == [f"{n}:0" for n in range(6_000)]
        assert (last["type"], last["code"]) == ("error", "slow_consumer")
        assert stuck.close_code == 1008
        assert process.memory_info().rss < before + 64 * 2**20


async def conflated(api):
    """Records that gave way to newer ones so far."""
    metrics = (await asyncio.to_thread(api.get, "/metrics")).text
    return float(re.search(r"^coby_ws_conflated_total (\S+)", metrics, re.MULTILINE)[1])


async def test_a_slow_client_gets_the_newest_states_and_is_told_how_many_it_missed(there):
    cfg, api = there
    feeder = Feeder(cfg)
    cells = [Cell(10**9 * n, 10**8, 10**7, "bid", 1) for n in range(1, 200)]
    process = psutil.Process(api.process.pid)
    async with connect(f"{api.ws_url}/v1/ws", proxy=None, max_queue=1) as socket_:
        one = WsClient(socket_)
        await one.subscribe("heatmap:BTCUSDT")
        await one.of("heatmap:BTCUSDT", 1)
        before, left_out = process.memory_info().rss, await conflated(api)
        for number in range(1_500):
            feeder.send(heatmap(number, data=cells), f"{number}:0", source="aggregate/BTCUSDT")
        feeder.flush()
        await asyncio.sleep(6)  # longer than an event might wait
        while await conflated(api) < left_out + 500:  # what the kernels hold is less than the rest
            await asyncio.sleep(0.2)
        found = await one.until(
            lambda message: (
                message.get("subscription") == "heatmap:BTCUSDT" and message["data"]["position"] == "1499:0"
            )
        )
        assert found["conflated"] > 100
        updates = [message for message in one.messages if message["type"] == "update"]
        assert len(updates) + sum(message["conflated"] for message in updates) == 1_500
        assert process.memory_info().rss < before + 64 * 2**20


async def test_without_redis_the_snapshot_says_what_it_may_lack(there, redis_session):
    """A flushed Redis is an empty one: what was before the hub's time is unknown, and said so."""
    cfg, api = there
    feeder = Feeder(cfg)
    for number in range(30):
        record = candle(symbol="ETHUSDT", timestamp=START_US + number * 60_000_000, timeframe="1m")
        own = [("source", b"aggregate/ETHUSDT"), ("position", b"%d:0" % number), ("settings", b"s")]
        time_ms = record.timestamp // 1000
        topic = f"{PREFIX}.ohlcv.v1"
        feeder._producer.produce(topic, encode(record), b"ETHUSDT", own, timestamp_ms=time_ms)
    feeder.flush()
    with redis.Redis(redis_session.host, redis_session.port) as store:
        store.flushall()
    async with client(api.ws_url) as one:
        await one.subscribe("ohlcv:ETHUSDT")
        (snapshot,) = await one.of("ohlcv:ETHUSDT", 1)
        assert snapshot["complete"] is False
        assert [record["position"] for record in snapshot["data"]] == ["29:0"]
