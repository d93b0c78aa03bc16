"""What is now, over REST, from a real Redis: books, status, ages; and what is told when there is nothing."""

import json
import time

import pytest
import redis

from COBY.records import BookTick, Bucket, Consolidated, Level, MergedLevel, Missing, Status
from COBY.runtime.redis import built_key, latest_key
from COBY.utils.timing import to_us, utc_now
from COBY.values import key_parts, value_of
from sinks.redis import RedisSink
from tests.api_data import SECOND_US, api
from tests.api_data import prepare as prepare_tables
from tests.integration.sink_helpers import Feeder, prepare, running, settings, until

UNIT = 100_000_000


@pytest.fixture
def cfg(database, redis_server, topic_prefix):
    cfg = settings(database, redis_server, prefix=topic_prefix, EXCHANGES="binance,kraken")
    prepare_tables(cfg)
    return cfg


def now_us():
    return to_us(utc_now())


def book(live=True, age_seconds=0.0, exchange="binance", reason="stale", levels=3):
    sides = (
        [Level((100 - n) * UNIT, (n + 1) * UNIT) for n in range(levels)],
        [Level((101 + n) * UNIT, UNIT // 2) for n in range(levels)],
    )
    figures = (100 * UNIT + UNIT // 2, UNIT, 6 * UNIT, UNIT + UNIT // 2, 60_000_000) if live else (None,) * 5
    return BookTick(
        "BTCUSDT", exchange, now_us() - round(age_seconds * SECOND_US), live, None if live else reason,
        "c1" if live else None, 7 if live else None, *(sides if live else ([], [])), 10 * UNIT,
        [Bucket(90 * UNIT, UNIT)] if live else [], [], None, None, *figures, 15_000_000 if live else 0, [],
    )  # fmt: skip


def status(slot="binance-0", age_seconds=0.0, state="subscribed", frame_age=0.25, error=None):
    now = now_us()
    observed = now - round(age_seconds * SECOND_US)
    last = None if frame_age is None else now - round(frame_age * SECOND_US)
    return Status(slot.split("-")[0], slot, "c1", state, now - SECOND_US, last, 2, "closed", error, observed)


def put(cfg, *records, names=None):
    with redis.Redis(cfg.redis_host, cfg.redis_port) as client:
        client.hset(built_key(cfg.topic_prefix), "x", "1")
        for record in records:
            channel = {BookTick: "book", Consolidated: "consolidated", Status: "status"}[type(record)]
            value = value_of(record, "s", (1, 0), f"{cfg.topic_prefix}.{channel}.v1", 0, 5)
            client.set(latest_key(cfg.topic_prefix, channel, *key_parts(record)), json.dumps(value))


async def get(client, path, status=200):
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_book_is_told_with_its_age_and_as_many_levels_as_asked_for(cfg):
    put(cfg, book())
    async with api(cfg) as client:
        got = await get(client, "/v1/book/Binance/btcusdt?depth=2")
        floats = await get(client, "/v1/book/binance/BTCUSDT?depth=1&numbers=float")
    (record,) = got["data"]
    assert record["bids"] == [
        {"price": "100.00000000", "size": "1.00000000"},
        {"price": "99.00000000", "size": "2.00000000"},
    ]
    assert (record["sequence_id"], record["topic"], record["offset"]) == (7, f"{cfg.topic_prefix}.book.v1", 5)
    assert got["meta"]["complete"]
    assert not got["meta"]["stale"]
    assert 0 <= got["meta"]["age_ms"] < 5_000
    assert floats["data"][0]["asks"] == [{"price": 101.0, "size": 0.5}]
    assert (floats["data"][0]["mid_price"], floats["data"][0]["sequence_id"]) == (100.5, 7)
    assert floats["data"][0]["bid_buckets"] == [{"price": 90.0, "volume": 1.0}]


async def test_an_old_book_is_told_as_old(cfg):
    put(cfg, book(age_seconds=60))
    async with api(cfg) as client:
        got = await get(client, "/v1/book/binance/BTCUSDT")
    assert (got["meta"]["complete"], got["meta"]["stale"]) == (False, True)
    assert 60_000 <= got["meta"]["age_ms"] < 70_000


async def test_a_blind_book_has_no_levels_and_says_why(cfg):
    put(cfg, book(live=False))
    async with api(cfg) as client:
        got = await get(client, "/v1/book/binance/BTCUSDT?numbers=float")
        figures = await get(client, "/v1/metrics/binance/BTCUSDT")
    (record,) = got["data"]
    assert (record["live"], record["reason"]) == (False, "stale")
    assert record["bids"] is record["asks"] is record["bid_buckets"] is record["mid_price"] is None
    assert [(gap["exchange"], gap["reason"]) for gap in got["meta"]["gaps"]] == [("binance", "stale")]
    shown = figures["data"][0]
    assert {value for name, value in shown.items() if name not in ("symbol", "exchange", "timestamp")} == {
        None
    }
    assert [gap["reason"] for gap in figures["meta"]["gaps"]] == ["stale"]


async def test_the_newest_figures_are_those_of_the_record(cfg):
    put(cfg, book())
    async with api(cfg) as client:
        (shown,) = (await get(client, "/v1/metrics/binance/BTCUSDT"))["data"]
    # 1 against 0.5, 6 against 1.5; imbalance and quality are the record's own.
    assert (shown["top"], shown["depth5"], shown["depth20"]) == ("0.33333333", "0.60000000", "0.60000000")
    assert (shown["mid_price"], shown["imbalance"], shown["quality"]) == (
        "100.50000000",
        "0.60000000",
        "0.15000000",
    )


async def test_all_books_as_one_say_who_is_missing(cfg):
    levels = [MergedLevel((100 - n) * UNIT, UNIT, 2) for n in range(5)]
    one = Consolidated(
        "BTCUSDT", now_us(), levels, [], None, None, UNIT, UNIT, UNIT, UNIT, ["binance"],
        [Missing("kraken", "checksum"), Missing("okx", "not_listed")],
    )  # fmt: skip
    put(cfg, one)
    async with api(cfg) as client:
        got = await get(client, "/v1/book/BTCUSDT?depth=2")
        put(cfg, Consolidated("BTCUSDT", now_us(), [], [], *[None] * 6, [], [Missing("binance", "stale")]))
        none = await get(client, "/v1/book/BTCUSDT")
    assert [level["price"] for level in got["data"][0]["bids"]] == ["100.00000000", "99.00000000"]
    assert got["data"][0]["asks"] == [], "known to be empty"
    assert [(gap["exchange"], gap["reason"]) for gap in got["meta"]["gaps"]] == [("kraken", "checksum")]
    assert none["data"][0]["bids"] is none["data"][0]["asks"] is None, "not known at all"
    assert not none["meta"]["complete"]


@pytest.mark.parametrize(
    "path", ["book/binance/BTCUSDT", "book/BTCUSDT", "heatmap?symbol=BTCUSDT", "metrics/kraken/BTCUSDT"]
)
async def test_nothing_in_redis_is_no_empty_book(cfg, path):
    async with api(cfg) as client:
        empty = await client.get(f"/v1/{path}")
        put(cfg)
        there = await client.get(f"/v1/{path}")
    assert (empty.status_code, empty.json()["code"]) == (503, "redis.not_built")
    assert (there.status_code, there.json()["code"]) == (503, "redis.no_value")
    assert int(there.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("path", "code", "known"),
    [
        ("book/nope/BTCUSDT", "config.unknown_exchange", "binance, kraken"),
        ("book/binance/NOPE", "config.unknown_symbol", "BTCUSDT, ETHUSDT"),
        ("book/NOPE", "config.unknown_symbol", "BTCUSDT, ETHUSDT"),
        ("metrics/nope/BTCUSDT", "config.unknown_exchange", "binance, kraken"),
        ("heatmap?symbol=%00", "config.unknown_symbol", "BTCUSDT, ETHUSDT"),
    ],
)
async def test_what_there_is_not_is_404_with_what_there_is(cfg, path, code, known):
    async with api(cfg) as client:
        problem = await get(client, f"/v1/{path}", 404)
    assert (problem["code"], problem["allowed"]) == (code, known)


async def test_exchanges_and_symbols_are_those_of_the_settings(database, redis_server, topic_prefix):
    cfg = settings(
        database, redis_server, prefix=topic_prefix, EXCHANGES="binance,kraken", SYMBOLS="BTCUSDT,ETHUSDT",
        KRAKEN_SYMBOL_ETHUSDT="-",
    )  # fmt: skip
    prepare_tables(cfg)
    async with api(cfg) as client:
        exchanges = await get(client, "/v1/exchanges")
        symbols = await get(client, "/v1/symbols")
    assert exchanges["data"] == [
        {
            "exchange": "binance",
            "symbols": {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"},
            "slots": ["binance-0"],
        },
        {"exchange": "kraken", "symbols": {"BTCUSDT": "BTC/USDT", "ETHUSDT": None}, "slots": ["kraken-0"]},
    ]
    pace = {"heatmap_depth": 50, "tick_ms": 500, "store_interval_ms": 1_000}
    assert symbols["data"] == [
        {"symbol": "BTCUSDT", "bucket_size": "10.00", "exchanges": ["binance", "kraken"], **pace},
        {"symbol": "ETHUSDT", "bucket_size": "1.00", "exchanges": ["binance"], **pace},
    ]


async def test_status_tells_connection_frames_and_books(cfg):
    put(cfg, status(frame_age=1.5), status("kraken-0", age_seconds=6), book(), book(False, exchange="kraken"))
    async with api(cfg) as client:
        got = await get(client, "/v1/status")
    binance, kraken = got["data"]
    assert (binance["exchange"], binance["slot"], binance["state"], binance["reason"]) == (
        "binance", "binance-0", "subscribed", None,
    )  # fmt: skip
    assert 1_500 <= binance["last_frame_age_ms"] < 3_000
    assert binance["told"]["reconnects"] == 2
    assert [(one["symbol"], one["state"], one["reason"]) for one in binance["books"]] == [
        ("BTCUSDT", "live", None),
        ("ETHUSDT", "unknown", "no_book"),
    ]
    assert (kraken["state"], kraken["reason"], kraken["told"]["state"]) == (
        "unknown",
        "too_old",
        "subscribed",
    )
    assert kraken["observed_age_ms"] >= 6_000
    assert (kraken["books"][0]["state"], kraken["books"][0]["reason"]) == ("blind", "stale")
    assert not got["meta"]["complete"]
    assert {(gap["exchange"], gap["symbol"], gap["reason"]) for gap in got["meta"]["gaps"]} == {
        ("binance", "ETHUSDT", "no_book"), ("kraken", "BTCUSDT", "stale"), ("kraken", "ETHUSDT", "no_book"),
    }  # fmt: skip


async def test_status_of_several_collectors_and_of_none(cfg):
    put(cfg, status("binance-0@a"), status("binance-0@b", error="refused", state="disconnected"),
        status("binance-0@gone", age_seconds=900), book(age_seconds=6))  # fmt: skip
    async with api(cfg) as client:
        got = await get(client, "/v1/status")
    assert [(one["slot"], one["state"], one["reason"]) for one in got["data"]] == [
        ("binance-0@a", "subscribed", None),
        ("binance-0@b", "disconnected", "refused"),
        ("kraken-0", "unknown", "no_status"),
    ]
    assert (got["data"][0]["books"][0]["state"], got["data"][0]["books"][0]["reason"]) == (
        "unknown",
        "too_old",
    )


async def test_what_the_sink_wrote_is_what_is_told(kafka, database, redis_server, topic_prefix):
    cfg = settings(kafka, database, redis_server, prefix=topic_prefix, EXCHANGES="binance,kraken")
    prepare(cfg)
    feeder, one = Feeder(cfg), book()
    async with api(cfg) as client:
        with running(RedisSink, cfg) as run:
            feeder.send(one, "1:0")
            feeder.flush()
            with redis.Redis(cfg.redis_host, cfg.redis_port) as there:
                until(
                    lambda: there.exists(latest_key(cfg.topic_prefix, "book", "BTCUSDT", "binance")), run=run
                )
        began = time.monotonic()
        got = await get(client, "/v1/book/binance/BTCUSDT")
        assert time.monotonic() - began < 1
    (record,) = got["data"]
    assert (record["position"], record["source"]) == ("1:0", "raw.binance.v1/0")
    assert record["bids"][2] == {"price": "98.00000000", "size": "3.00000000"}


async def test_redis_that_is_away_is_told_and_history_goes_on(cfg, redis_session):
    if redis_session.server is None:
        pytest.skip("a container's Redis can't be stopped here")
    async with api(cfg) as client:
        redis_session.server.pause()
        try:
            problem = await get(client, "/v1/book/BTCUSDT", 503)
            await get(client, "/v1/symbols")
            await get(client, "/v1/trades?symbol=BTCUSDT")
        finally:
            redis_session.server.resume()
    assert problem["code"] == "redis.unreachable"
