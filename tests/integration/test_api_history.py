"""Rows over the REST API against rows that plain SQL put there: values, ranges, what is missing, wrong requests."""

import csv
import io
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from tests.api_data import START, api, insert, moment, prepare, stamp, ticks
from tests.integration.sink_helpers import settings

TRADE = {
    "symbol": "BTCUSDT", "exchange": "binance", "timestamp": moment(10), "received_at": moment(10.25),
    "price": Decimal("61837.63"), "size": Decimal("0.00012345"), "side": "buy", "trade_id": "7", "position": "1:0",
}  # fmt: skip
CANDLE = {
    "symbol": "BTCUSDT", "timestamp": moment(60), "timeframe": "1m", "open_price": 1, "high_price": 4,
    "low_price": "0.5", "close_price": 2, "volume": "1234567890123456789012.12345678", "trade_count": 3,
    "received_at": moment(122), "position": "5:0", "revision": 1, "complete": True,
}  # fmt: skip
DAY = {"from": moment(0), "to": moment(86_400)}


@pytest.fixture
def cfg(database, redis_server, topic_prefix):
    cfg = settings(database, redis_server, prefix=topic_prefix, EXCHANGES="binance,kraken")
    prepare(cfg)
    return cfg


async def get(client, path, status=200, accept=None, **query):
    query = {name.strip("_"): value for name, value in query.items()}
    answer = await client.get(path, params=query, headers={} if accept is None else {"Accept": accept})
    assert answer.status_code == status, answer.text
    return answer if accept else answer.json()


async def test_a_trade_is_told_with_its_exact_numbers(cfg, database):
    insert(database.dsn, "trade_events", TRADE)
    ticks(database.dsn, 0, 21)
    async with api(cfg) as client:
        got = await get(client, "/v1/trades", symbol="btcusdt", from_=moment(0), to=moment(20))
        assert got == {
            "data": [{
                "symbol": "BTCUSDT", "exchange": "binance", "timestamp": "2026-01-01T00:00:10.000000Z",
                "received_at": "2026-01-01T00:00:10.250000Z", "price": "61837.63000000", "size": "0.00012345",
                "side": "buy", "trade_id": "7",
            }],
            "page": {"next_cursor": None, "has_more": False},
            "meta": {"complete": True, "gaps": [], "more_gaps": False, "from": stamp(0), "to": stamp(20)},
        }  # fmt: skip
        floats = await get(
            client, "/v1/trades", symbol="BTCUSDT", from_=moment(0), to=moment(20), numbers="float"
        )
        assert (floats["data"][0]["price"], floats["data"][0]["size"]) == (61837.63, 0.00012345)
        # from belongs to the range, to does not; milliseconds are times, too.
        at = 1_767_225_610_000
        assert len((await get(client, "/v1/trades", symbol="BTCUSDT", from_=at, to=at + 1))["data"]) == 1
        assert (await get(client, "/v1/trades", symbol="BTCUSDT", from_=at - 1, to=at))["data"] == []
        of_other = await get(
            client, "/v1/trades", symbol="BTCUSDT", exchange="kraken", from_=moment(0), to=moment(20)
        )
        assert of_other["data"] == []


async def test_candles_quality_gaps_and_continuity_are_told_as_they_are_stored(cfg, database):
    insert(database.dsn, "ohlcv_data", CANDLE, CANDLE | {"timeframe": "5m", "timestamp": moment(0)})
    insert(database.dsn, "quality", {
        "symbol": "BTCUSDT", "exchange": "kraken", "timestamp": moment(60), "score": "0.99", "coverage": 1,
        "accepted": "0.99", "events": 99, "rejected": 1, "duplicates": 0, "anomalies": 0, "gaps": 0, "crossed_ticks": 0,
        "received_at": moment(60), "position": "1:1", "clock_skew_us": -5,
    })  # fmt: skip
    insert(database.dsn, "continuity", {
        "symbol": "BTCUSDT", "exchange": "kraken", "start_time": moment(-500), "end_time": moment(5),
        "rule": "sequence", "sequenced": 7, "checked": 0, "snapshots": 1, "conn": "c1", "connections": 1,
        "reason": "stale", "received_at": moment(5), "position": "1:1",
    })  # fmt: skip
    async with api(cfg) as client:
        candles = await get(client, "/v1/ohlcv", symbol="BTCUSDT", from_=moment(0), to=moment(120))
        assert candles["data"] == [{
            "symbol": "BTCUSDT", "timestamp": stamp(60), "timeframe": "1m", "open": "1.00000000", "high": "4.00000000",
            "low": "0.50000000", "close": "2.00000000", "volume": "1234567890123456789012.12345678", "trade_count": 3,
            "revision": 1, "complete": True, "received_at": stamp(122),
        }]  # fmt: skip
        assert candles["meta"]["complete"], (
            "the first minute has no candle, and its five minutes were complete"
        )
        quality = await get(
            client, "/v1/quality", symbol="BTCUSDT", exchange="kraken", from_=moment(0), to=moment(61)
        )
        assert quality["data"][0] == {
            "symbol": "BTCUSDT", "exchange": "kraken", "timestamp": stamp(60), "score": "0.99000000",
            "coverage": "1.00000000", "accepted": "0.99000000", "events": 99, "rejected": 1, "duplicates": 0,
            "anomalies": 0, "gaps": 0, "crossed_ticks": 0, "blind_us": 0, "crossed_us": 0, "checksum_failures": 0,
            "skewed": 0, "clamped": 0, "clock_skew_us": -5,
        }  # fmt: skip
        proof = {"symbol": "BTCUSDT", "from_": moment(0), "to": moment(60)}
        assert (await get(client, "/v1/continuity", **proof))["data"] == [{
            "symbol": "BTCUSDT", "exchange": "kraken", "timestamp": stamp(5), "start_time": stamp(-500),
            "end_time": stamp(5), "rule": "sequence", "sequenced": 7, "checked": 0, "snapshots": 1, "conn": "c1",
            "connections": 1, "reason": "stale",
        }]  # fmt: skip
        assert (await get(client, "/v1/continuity", **proof | {"from_": moment(6)}))["data"] == []


async def test_a_gap_is_shown_wherever_its_time_is_asked_for(cfg, database):
    hole = {
        "symbol": "BTCUSDT", "exchange": "kraken", "from_time": moment(-86_400 * 20), "until_time": moment(30),
        "reason": "stale", "conn": "c1", "detail": "it is", "received_at": moment(30), "position": "1:0",
    }  # fmt: skip
    still = hole | {"from_time": moment(40), "until_time": None, "reason": "checksum"}
    lost = hole | {
        "symbol": "*",
        "exchange": "coby.trade.v1/3",
        "from_time": moment(50),
        "until_time": moment(51),
        "reason": "retention",
    }
    insert(database.dsn, "gaps", hole, still, lost, hole | {"exchange": "binance", "until_time": moment(-1)})
    insert(database.dsn, "trade_events", TRADE)
    ticks(database.dsn, 0, 61)
    told = {
        "symbol": "BTCUSDT",
        "exchange": "kraken",
        "from": stamp(-86_400 * 20),
        "to": stamp(30),
        "reason": "stale",
    }
    asked = {"symbol": "BTCUSDT", "from_": moment(5), "to": moment(20)}
    async with api(cfg) as client:
        trades = await get(client, "/v1/trades", **asked)
        assert (trades["meta"]["complete"], trades["meta"]["gaps"]) == (False, [told])
        assert (await get(client, "/v1/trades", **asked, exchange="binance"))["meta"]["complete"]
        gaps = await get(client, "/v1/gaps", **asked)
        assert [(row["exchange"], row["reason"], row["until_time"]) for row in gaps["data"]] == [
            ("kraken", "stale", stamp(30))
        ]
        whole = await get(client, "/v1/gaps", **asked | {"to": moment(60)})
        assert [(row["symbol"], row["until_time"]) for row in whole["data"]] == [
            ("BTCUSDT", stamp(30)), ("BTCUSDT", None), ("*", stamp(51)),
        ]  # fmt: skip
        late = await get(client, "/v1/gaps", from_=moment(3_600), to=moment(7_200), exchange="kraken")
        assert [row["reason"] for row in late["data"]] == ["checksum"], "it is still open"
        assert late["meta"]["complete"] is False


async def test_ticks_that_lack_an_exchange_or_are_lacking_are_gaps(cfg, database):
    ticks(database.dsn, 5, 10)
    ticks(database.dsn, 10, 15, kraken="never_connected", binance="not_listed")
    ticks(database.dsn, 20, 31)
    insert(database.dsn, "trade_events", TRADE)
    async with api(cfg) as client:
        got = await get(client, "/v1/trades", symbol="BTCUSDT", from_=moment(0), to=moment(40))
        holes = [(hole["exchange"], hole["from"], hole["to"], hole["reason"]) for hole in got["meta"]["gaps"]]
        # A tick tells of the second before it.
        assert holes == [
            ("*", stamp(0), stamp(4), "not_stored"),
            ("kraken", stamp(9), stamp(14), "never_connected"),
            ("*", stamp(14), stamp(19), "not_stored"),
            ("*", stamp(30), stamp(40), "not_stored"),
        ]  # fmt: skip
        unknown = await get(client, "/v1/trades", symbol="ETHUSDT", from_=moment(0), to=moment(9))
        assert (unknown["data"], unknown["meta"]["complete"]) == ([], False), "nothing stored is not no trade"


async def test_what_retention_took_is_told(cfg, database):
    insert(database.dsn, "trade_events", TRADE)
    ticks(database.dsn, -20, 61)
    async with api(cfg) as client:
        got = await get(client, "/v1/trades", symbol="BTCUSDT", from_=moment(-10), to=moment(60))
    # The oldest chunk of trade_events is that of the day.
    assert got["meta"]["gaps"] == [
        {"symbol": "BTCUSDT", "exchange": "*", "from": stamp(-10), "to": stamp(0), "reason": "not_kept"}
    ]


async def test_absent_and_incomplete_candles_are_told(cfg, database):
    rows = [CANDLE | {"timestamp": moment(60 * minute), "complete": minute != 3} for minute in (0, 1, 3, 6)]
    insert(database.dsn, "ohlcv_data", *rows, CANDLE | {"timestamp": moment(300), "timeframe": "5m"})
    async with api(cfg) as client:
        got = await get(client, "/v1/ohlcv", symbol="BTCUSDT", from_=moment(0), to=moment(720))
    holes = [(hole["from"], hole["to"], hole["reason"]) for hole in got["meta"]["gaps"]]
    assert holes == [
        (stamp(120), stamp(180), "no_candle"),
        (stamp(180), stamp(240), "incomplete"),
        (stamp(240), stamp(300), "no_candle"),
        (stamp(600), stamp(720), "no_candle"),
    ]


async def test_pages_of_candles_lack_nothing_between_them(cfg, database):
    insert(database.dsn, "ohlcv_data", *(CANDLE | {"timestamp": moment(60 * minute)} for minute in range(5)))
    asked, holes = {"symbol": "BTCUSDT", "from_": moment(0), "to": moment(360), "limit": 2}, []
    async with api(cfg) as client:
        for _ in range(3):
            got = await get(client, "/v1/ohlcv", **asked)
            holes.append([(hole["from"], hole["reason"]) for hole in got["meta"]["gaps"]])
            asked["cursor"] = got["page"]["next_cursor"]
    assert holes == [[], [], [(stamp(300), "no_candle")]]


@pytest.mark.parametrize("floats", [False, True])
async def test_arrow_and_csv_say_what_json_says(cfg, database, floats):
    insert(
        database.dsn,
        "trade_events",
        TRADE,
        TRADE | {"trade_id": 'quoted "x", and\nmore', "received_at": None},
    )
    asked = {
        "symbol": "BTCUSDT",
        "from_": moment(0),
        "to": moment(20),
        "numbers": "float" if floats else "exact",
    }
    async with api(cfg) as client:
        plain = await get(client, "/v1/trades", **asked)
        arrow = await get(client, "/v1/trades", accept="application/vnd.apache.arrow.stream", **asked)
        text = await get(client, "/v1/trades", accept="text/csv, application/json;q=0.5", **asked)
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert arrow.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert table.schema.field("price").type == (pa.float64() if floats else pa.decimal128(20, 8))
    assert table.schema.field("timestamp").type == pa.timestamp("us", "UTC")
    rows = table.to_pylist()
    assert [(row["price"], row["size"]) for row in rows] == [
        (61837.63, 0.00012345) if floats else (Decimal("61837.63000000"), Decimal("0.00012345"))
    ] * 2
    assert [row["trade_id"] for row in rows] == [row["trade_id"] for row in plain["data"]]
    assert [row["timestamp"].strftime("%Y-%m-%dT%H:%M:%S.%fZ") for row in rows] == [stamp(10)] * 2
    said = {key.decode(): json.loads(value) for key, value in table.schema.metadata.items()}
    assert said == {"page": plain["page"], "meta": plain["meta"]}
    read = list(csv.DictReader(io.StringIO(text.text, newline="")))
    assert read == [
        {name: "" if one is None else str(one) for name, one in row.items()} for row in plain["data"]
    ]
    assert text.headers["COBY-Complete"] == "false"
    assert text.headers["content-type"] == "text/csv; charset=utf-8"


WRONG = [
    ("/v1/trades", {"symbol": "NOPE"}, 404, "config.unknown_symbol", "BTCUSDT, ETHUSDT"),
    ("/v1/trades", {"symbol": "BTCUSDT", "exchange": "nope"}, 404, "config.unknown_exchange", "binance, kraken"),
    ("/v1/trades", {}, 422, "api.invalid", None),
    ("/v1/trades", {"from": "2026-01-01T00:00:00"}, 422, "time.naive", "offset"),
    ("/v1/trades", {"from": "0000-01-01T00:00:00Z"}, 422, "time.invalid", "RFC 3339"),
    ("/v1/trades", {"from": "inf"}, 422, "time.invalid", "RFC 3339"),
    ("/v1/trades", {"to": str(10**20)}, 422, "time.invalid", "RFC 3339"),
    ("/v1/trades", {"from": "2026-01-01T00:00:00 01:00"}, 422, "time.invalid", "%2B"),
    ("/v1/trades", {"from": moment(1), "to": moment(1)}, 422, "api.range_empty", "from before to"),
    ("/v1/trades", {"limit": "0"}, 422, "api.invalid", None),
    ("/v1/trades", {"limit": "10001"}, 422, "api.invalid", None),
    ("/v1/trades", {"numbers": "text"}, 422, "api.invalid", None),
    ("/v1/trades", {"cursor": "AAAA"}, 422, "api.cursor", "next_cursor"),
    ("/v1/ohlcv", {"timeframe": "2m"}, 422, "api.invalid", None),
    ("/v1/heatmap", {"from": moment(0), "resolution": "1500ms"}, 422, "api.resolution", "1 seconds"),
    ("/v1/heatmap", {"from": moment(0.1), "to": moment(0.2)}, 422, "api.range_empty", "1 seconds"),
    ("/v1/heatmap", {"price_from": "2", "price_to": "2"}, 422, "api.range_empty", "price_from"),
    ("/v1/heatmap", {"price_from": "1e3"}, 422, "api.invalid", None),
]  # fmt: skip


@pytest.mark.parametrize(("path", "query", "status", "code", "allowed"), WRONG)
async def test_what_is_wrong_is_told_with_what_is_allowed(cfg, path, query, status, code, allowed):
    if code != "api.invalid" or query:
        query = {"symbol": "BTCUSDT"} | query
    async with api(cfg) as client:
        answer = await client.get(path, params=query)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert problem["where"] is not None
    assert allowed is None or allowed in problem["allowed"]


async def test_no_form_that_is_wanted_is_406(cfg):
    async with api(cfg) as client:
        answer = await client.get("/v1/trades?symbol=BTCUSDT", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (406, "api.not_acceptable")


def test_the_start_is_a_second_of_the_grid():
    assert START.isoformat() == "2026-01-01T00:00:00+00:00"
