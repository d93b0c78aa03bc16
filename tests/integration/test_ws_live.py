"""The WebSocket API live, on real Kafka, Redis and `python -m api`: snapshot, updates, gaps, numbers, freshness."""

import asyncio
import json

import pytest
import redis

from COBY.jsonform import plain
from COBY.records import Status
from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics
from sinks.redis import RedisSink
from sinks.schema import migrate
from tests.api_server import api_server
from tests.conftest import delete_topics
from tests.integration.sink_helpers import START_US, Feeder, candle, gap, running, settings, trade, until
from tests.integration.ws_world import heatmap
from tests.ws_client import client

PREFIX = "twslive"


@pytest.fixture(scope="module")
def world(kafka, timescale, redis_session, tmp_path_factory):
    """Topics, tables, an API process: (feeder, api)."""
    with timescale.database() as database:
        cfg = settings(kafka, database, redis_session, prefix=PREFIX, WS_CONNECTIONS="20")
        apply_topics(cfg)
        with connect(cfg) as conn:
            migrate(conn)
        env = {
            **kafka.env,
            **database.env,
            **redis_session.env,
            "TOPIC_PREFIX": PREFIX,
            "WS_CONNECTIONS": "20",
        }
        with api_server(env, tmp_path_factory.mktemp("api")) as api:
            yield Feeder(cfg), api
    delete_topics(kafka.bootstrap_servers, PREFIX)


async def caught_up(api, name, field, value):
    """What was sent has been read: a partition that was being read already may bring it after a snapshot."""
    async with client(api.ws_url) as one:
        await one.subscribe(name)

        def has_it(message):
            data = message.get("data", [])
            return any(record.get(field) == value for record in (data if isinstance(data, list) else [data]))

        await one.until(has_it)


async def test_a_snapshot_comes_first_then_updates_and_gaps_in_their_order(world):
    feeder, api = world
    feeder.trades(0, 5)
    await caught_up(api, "trade:BTCUSDT", "trade_id", "4")
    async with client(api.ws_url) as one:
        begun = await one.subscribe("trade:BTCUSDT", "gap:BTCUSDT")
        assert [sub["subscription"] for sub in begun["subscriptions"]] == ["trade:BTCUSDT", "gap:BTCUSDT"]
        (snapshot,) = await one.of("trade:BTCUSDT", 1)
        assert snapshot["type"] == "snapshot"
        assert snapshot["complete"] is True
        assert [record["trade_id"] for record in snapshot["data"]] == ["4"]
        await one.of("gap:BTCUSDT", 1)
        feeder.trades(5, 8)
        feeder.send(gap(), "8:0")
        feeder.flush()
        await one.of("trade:BTCUSDT", 5)
        await one.of("gap:BTCUSDT", 2)
        updates = one.data("trade:BTCUSDT")
        assert [record["trade_id"] for record in updates] == ["5", "6", "7"]
        # What was sent, by the schema's own JSON form, and where it stands.
        assert {name: updates[0][name] for name in plain(trade(5))} == plain(trade(5))
        assert updates[0]["source"] == "raw.binance.v1/0"
        assert updates[0]["position"] == "5:0"
        assert updates[0]["topic"] == f"{PREFIX}.trade.v1"
        assert one.data("trade:BTCUSDT", "gap") == one.data("gap:BTCUSDT", "gap")
        assert one.data("gap:BTCUSDT", "gap")[0]["reason"] == "sequence_gap"


async def test_a_record_that_comes_again_is_left_out_wherever_reading_began(world):
    feeder, api = world
    eth = {"symbol": "ETHUSDT", "exchange": "binance"}
    for number in range(3):
        feeder.send(trade(number, **eth), f"{number}:0", source="raw.binance.v1/1")
    feeder.flush()
    await caught_up(api, "trade:ETHUSDT", "trade_id", "2")
    async with client(api.ws_url) as one:
        await one.subscribe("trade:ETHUSDT")
        await one.of("trade:ETHUSDT", 1)
        # As after a crash: the same once more, then what is new.
        for number in (1, 2, 3):
            feeder.send(trade(number, **eth), f"{number}:0", source="raw.binance.v1/1")
        feeder.flush()
        await one.of("trade:ETHUSDT", 2)
        assert [record["trade_id"] for record in one.data("trade:ETHUSDT")] == ["3"]


async def test_heartbeats_tell_silence_from_staleness(world):
    feeder, api = world
    feeder.send(heatmap(0), "0:0", source="aggregate/BTCUSDT")
    feeder.flush()
    async with client(api.ws_url) as one:
        await one.subscribe("heatmap:BTCUSDT")

        def is_current(message):
            return message["type"] == "heartbeat" and any(
                (channel["channel"], channel["behind_records"]) == ("heatmap", 0)
                for channel in message["channels"]
            )

        first = await one.until(is_current)
        later = await one.until(
            lambda m: is_current(m) and m["channels"][0]["current_at"] > first["channels"][0]["current_at"]
        )
        # Nothing has come, and it is known that there was nothing.
        assert later["channels"][0]["newest"] == first["channels"][0]["newest"]


async def test_what_the_hub_has_not_read_is_in_the_snapshot_from_redis(world, kafka, redis_session):
    feeder, api = world
    candles = [candle(timestamp=START_US - 86_400_000_000, timeframe="1d"), candle()]
    for number, one in enumerate(candles):
        feeder.send(one, f"{number}:0", source="aggregate/BTCUSDT")
    feeder.flush()
    cfg = feeder.cfg
    with running(RedisSink, cfg) as sink, redis.Redis(redis_session.host, redis_session.port) as store:
        keys = [f"{PREFIX}:latest:ohlcv:BTCUSDT:{name}" for name in ("1d", "1s")]
        until(lambda: store.exists(*keys) == 2, run=sink)
        async with client(api.ws_url) as one:
            await one.subscribe("ohlcv:BTCUSDT")
            (snapshot,) = await one.of("ohlcv:BTCUSDT", 1)
            texts = map(store.get, keys)
            assert sorted(snapshot["data"], key=lambda r: r["timeframe"]) == [json.loads(t) for t in texts]


async def test_status_needs_no_symbol_and_can_be_narrowed(world):
    feeder, api = world
    for name in ("binance", "kraken"):
        status = Status(name, f"{name}-0", "c1", "connected", START_US, None, 0, "closed", None, START_US)
        feeder.send(status, "0:0", headers=[])
    feeder.flush()
    await caught_up(api, "status", "slot", "kraken-0")
    async with client(api.ws_url) as one:
        channels = [{"name": "status", "exchanges": ["kraken"]}]
        await one.answer("subscribed", op="subscribe", channels=channels)
        (snapshot,) = await one.of("status", 1)
        assert [record["slot"] for record in snapshot["data"]] == ["kraken-0"]


async def test_list_ping_and_unsubscribe(world):
    _, api = world
    async with client(api.ws_url) as one:
        await one.subscribe("trade", "status")
        there = await one.answer("subscriptions", op="list")
        assert [sub["subscription"] for sub in there["subscriptions"]] == [
            "trade:BTCUSDT",
            "trade:ETHUSDT",
            "status",
        ]
        assert (await one.answer("pong", op="ping"))["time"].endswith("Z")
        gone = await one.answer("unsubscribed", op="unsubscribe", channels=[{"name": "trade"}])
        assert gone["subscriptions"] == ["trade:BTCUSDT", "trade:ETHUSDT"]
        there = await one.answer("subscriptions", op="list")
        assert [sub["subscription"] for sub in there["subscriptions"]] == ["status"]


async def test_the_same_on_the_port_of_rest(world):
    _, api = world
    async with client(api.url.replace("http", "ws")) as one:
        assert (await one.answer("pong", op="ping"))["type"] == "pong"


async def test_the_server_says_that_it_stops(world, kafka, timescale, redis_session, tmp_path):
    with timescale.database() as database:
        with connect(settings(database, prefix=PREFIX)) as conn:
            migrate(conn)
        env = {**kafka.env, **database.env, **redis_session.env, "TOPIC_PREFIX": PREFIX}
        with api_server(env, tmp_path) as api:
            async with client(api.ws_url) as one:
                await one.subscribe("trade:BTCUSDT")
                await one.of("trade:BTCUSDT", 1)
                api.process.terminate()
                end = await one.until(lambda message: message["type"] == "end")
                assert end["reason"] == "server_stopping"
                await asyncio.wait_for(one.socket.wait_closed(), 60)
                assert one.socket.close_code == 1001
            await asyncio.to_thread(api.process.wait, 60)
        assert api.process.returncode == 0
        errors = [line for line in api.log() if line["level"] in ("error", "critical")]
        assert errors == []
