"""/v1/flow against sums by hand of trades that plain SQL put there."""

from decimal import Decimal

import pytest

from tests.api_data import api, insert, moment, prepare, stamp, ticks
from tests.integration.sink_helpers import settings

TRADE = {
    "symbol": "BTCUSDT", "exchange": "binance", "received_at": moment(10.25), "side": "buy", "position": "1:0",
}  # fmt: skip


@pytest.fixture
def cfg(database, redis_server, topic_prefix):
    cfg = settings(database, redis_server, prefix=topic_prefix, EXCHANGES="binance,kraken")
    prepare(cfg)
    return cfg


def trades(database, *rows):
    """(seconds, side, price, size, exchange)."""
    insert(
        database.dsn,
        "trade_events",
        *(
            TRADE
            | {"timestamp": moment(at), "side": side, "price": Decimal(price), "size": Decimal(size)}
            | {"exchange": exchange, "trade_id": str(number)}
            for number, (at, side, price, size, exchange) in enumerate(rows)
        ),
    )


async def test_what_takers_bought_and_sold_is_added_up_exactly(cfg, database):
    trades(
        database,
        (10, "buy", "100", "0.1", "binance"),
        (20, "sell", "102", "0.2", "kraken"),
        (59.999, "buy", "104", "0.1", "kraken"),
        (130, "sell", "99.5", "3", "binance"),
    )
    ticks(database.dsn, 0, 181)
    async with api(cfg) as client:
        asked = {"symbol": "BTCUSDT", "from": moment(0), "to": moment(180)}
        got = (await client.get("/v1/flow", params=asked)).json()
        # (100 × 0.1 + 102 × 0.2 + 104 × 0.1) ÷ 0.4 = 102
        assert got["data"] == [
            {
                "symbol": "BTCUSDT", "timestamp": stamp(0), "buy_volume": "0.20000000", "sell_volume": "0.20000000",
                "trade_count": 3, "vwap": "102.00000000",
            },
            {
                "symbol": "BTCUSDT", "timestamp": stamp(120), "buy_volume": "0.00000000", "sell_volume": "3.00000000",
                "trade_count": 1, "vwap": "99.50000000",
            },
        ]  # fmt: skip
        assert got["page"] == {"next_cursor": None, "has_more": False}
        assert got["meta"]["complete"] is True
        some = (await client.get("/v1/flow", params=asked | {"exchange": "kraken"})).json()["data"]
        assert [(row["trade_count"], row["buy_volume"]) for row in some] == [(2, "0.10000000")]


async def test_rows_at_the_ends_hold_what_of_their_time_is_in_the_range(cfg, database):
    trades(database, *((at, "buy", "1", "1", "binance") for at in (29, 30, 89, 90)))
    async with api(cfg) as client:
        asked = {"symbol": "BTCUSDT", "from": moment(30), "to": moment(90)}
        rows = (await client.get("/v1/flow", params=asked)).json()["data"]
    assert [(row["timestamp"], row["trade_count"]) for row in rows] == [(stamp(0), 1), (stamp(60), 1)]


async def test_pages_are_the_whole_range_each_row_once(cfg, database):
    trades(database, *((at, "buy", "1", "1", "binance") for at in range(0, 100, 7)))
    async with api(cfg) as client:
        asked = {"symbol": "BTCUSDT", "from": moment(0), "to": moment(100), "resolution": "10s"}
        whole = (await client.get("/v1/flow", params=asked)).json()["data"]
        found, cursor = [], None
        while True:
            paged = asked | {"limit": 3} | ({} if cursor is None else {"cursor": cursor})
            page = (await client.get("/v1/flow", params=paged)).json()
            found += page["data"]
            cursor = page["page"]["next_cursor"]
            if not page["page"]["has_more"]:
                break
    assert found == whole
    assert sum(row["trade_count"] for row in found) == 15


@pytest.mark.parametrize(
    ("query", "status", "code", "where"),
    [
        ({"resolution": "1500ms"}, 422, "api.invalid", "query.resolution"),
        ({"resolution": "2d"}, 422, "api.resolution", "query.resolution"),
        ({"from": moment(0), "to": moment(6 * 3600 + 1)}, 422, "api.range_too_long", "query.from"),
        ({"exchange": "nowhere"}, 404, "config.unknown_exchange", "query.exchange"),
        ({"symbol": "NOPE"}, 404, "config.unknown_symbol", "query.symbol"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_place(cfg, query, status, code, where):
    async with api(cfg) as client:
        answer = await client.get("/v1/flow", params={"symbol": "BTCUSDT"} | query)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["where"]) == (status, code, where)
