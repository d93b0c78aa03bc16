"""What /v1/pipeline tells, against what was written into the topics and stores while it looked on."""

import time

import pytest

from COBY.codec import encode
from COBY.records import TradeEvent
from COBY.runtime.kafka import make_producer
from COBY.topics import topic_name
from tests.integration.ws_world import heatmap, logged_errors, world
from tests.servers import eventually

PREFIX = "tapipipeline"
SECOND_NS = 10**9


@pytest.fixture(scope="module")
def there(kafka, timescale, redis_session, tmp_path_factory):
    """(cfg, api, produce)."""
    folder = tmp_path_factory.mktemp("api")
    with world(kafka, timescale, redis_session, folder, PREFIX, EXCHANGES="binance,kraken") as (cfg, start):
        producer = make_producer(cfg, pytest.fail)

        def put(name, value, headers=(), part=None, **more):
            producer.produce(topic_name(PREFIX, name, part), value, b"BTCUSDT", list(headers), **more)
            assert producer.flush(10) == 0

        with start() as api:
            yield cfg, api, put
            assert logged_errors(api) == []


def seen(api):
    return api.get("/v1/pipeline").json()["data"]


def looking(api):
    """Asked until the onlooker reads: it begins with the first question."""
    return eventually(lambda: seen(api)["dead_letters"]["count"] is not None, 30)


def frame(put, exchange, kind):
    received = time.time_ns()
    headers = [("received_ns", str(received)), ("conn", "c"), ("seq", "1"), ("kind", kind)]
    put("raw", b"{}", headers, part=exchange, timestamp_ms=received // 10**6)


def trade_of(age_seconds):
    received = time.time_ns() // 1_000
    return TradeEvent(
        "BTCUSDT", "binance", received - round(age_seconds * 1e6), received, 100, 1, "buy", "7", False, False
    )


def test_frames_are_counted_and_marks_are_none(there):
    _, api, put = there
    assert looking(api)

    def counted():
        for exchange, kind in (
            ("binance", "ws"),
            ("binance", "http"),
            ("kraken", "mark"),
            ("kraken", "event"),
        ):
            frame(put, exchange, kind)
        rates = {one["exchange"]: one["frames_per_second"] for one in seen(api)["exchanges"]}
        return rates["binance"] and rates

    assert eventually(counted, 30)["kraken"] == 0


def test_a_hop_takes_as_long_as_the_record_says(there):
    _, api, put = there
    assert looking(api)

    def receive():
        put("trade", encode(trade_of(1.5)), [("source", "s"), ("position", "1:0")])
        rows = {(one["hop"], one["exchange"]): one for one in seen(api)["hops"]}
        return rows.get(("receive", "binance"))

    assert eventually(receive, 30)
    row = receive()
    assert (row["median_ms"], row["max_ms"]) == (1500.0, 1500.0)


def test_dead_letters_are_told_with_their_reason_as_text(there):
    _, api, put = there
    before = None if not looking(api) else seen(api)["dead_letters"]["count"]
    bad = "<img src=x onerror=alert(1)>"
    put("dlq", b"\x00", [("stage", "normalize"), ("code", "codec.format"), ("detail", bad)])
    told = eventually(
        lambda: (letters := seen(api)["dead_letters"])["count"] == before + 1 and letters["newest"], 30
    )
    assert {key: told[0][key] for key in ("stage", "code", "detail", "topic")} == {
        "stage": "normalize", "code": "codec.format", "detail": bad, "topic": None,
    }  # fmt: skip


def test_a_store_without_anything_has_no_age(there):
    cfg, api, _ = there
    stores = seen(api)["stores"]
    assert {(one["store"], one["symbol"]) for one in stores} == {
        (store, symbol) for store in ("redis", "timescale") for symbol in cfg.symbols
    }
    assert {one["age_ms"] for one in stores} == {None}


def test_heatmaps_are_seen_by_their_tick(there):
    _, api, put = there
    assert looking(api)

    def aggregate():
        now_ms = time.time_ns() // 10**6
        put(
            "heatmap", encode(heatmap(0)), [("source", "s"), ("position", "1:0")], timestamp_ms=now_ms - 2_000
        )
        return {one["hop"]: one for one in seen(api)["hops"]}.get("aggregate")

    row = eventually(aggregate, 30)
    assert row["median_ms"] >= 2_000
