"""Page by page while others write: each row once, those behind the place where the walk stands in no page."""

import asyncio
import threading

import psycopg
import pytest

from COBY.utils.timing import parse_time
from tests.api_data import SECOND_US, START_US, api, insert, moment, prepare, ticks
from tests.integration.sink_helpers import settings

PAGE = 7
ROWS = 120
TIES = 5
"""Rows of one moment; no divisor of PAGE."""
LATE = moment(1_000)


def trade(number, moment_number, tag):
    return {"symbol": "BTCUSDT", "exchange": ("binance", "kraken")[number % 2], "timestamp": moment(moment_number),
            "price": 1, "size": 1, "side": "buy", "trade_id": tag}  # fmt: skip


def gap(number, moment_number, tag):
    return {"symbol": "BTCUSDT", "exchange": ("binance", "kraken")[number % 2], "from_time": moment(moment_number),
            "until_time": None if number % 3 else LATE, "reason": tag, "detail": ""}  # fmt: skip


def interval(number, moment_number, tag):
    return {"symbol": "BTCUSDT", "exchange": tag, "start_time": moment(moment_number), "end_time": LATE, "conn": "c",
            "rule": "sequence", "sequenced": 1, "checked": 0, "snapshots": 1, "connections": 1}  # fmt: skip


def minute(number, moment_number, tag):
    return {"symbol": "BTCUSDT", "exchange": tag, "timestamp": moment(moment_number), "score": 1, "coverage": 1,
            "accepted": 1, "events": 1, "rejected": 0, "duplicates": 0, "anomalies": 0, "gaps": 0,
            "crossed_ticks": 0}  # fmt: skip


def candle(number, moment_number, tag):
    return {"symbol": "BTCUSDT", "timestamp": moment(number), "timeframe": "1s", "open_price": 1, "high_price": 1,
            "low_price": 1, "close_price": 1, "volume": 1, "trade_count": 1, "revision": 0,
            "complete": True}  # fmt: skip


def book(number, moment_number, tag):
    return {"symbol": "BTCUSDT", "exchange": "binance", "timestamp": moment(number), "bids": [["1", "1"]],
            "asks": [["2", "1"]], "mid_price": "1.5", "spread": 1, "bid_volume": 1, "ask_volume": 1}  # fmt: skip


# path -> (table, a row, what tells rows apart, whether several may be of one moment)
WALKS = {
    "trades": ("trade_events", trade, ("timestamp", "exchange", "trade_id"), True),
    "gaps": ("gaps", gap, ("from_time", "exchange", "reason"), True),
    "continuity": ("continuity", interval, ("start_time", "exchange"), True),
    "quality": ("quality", minute, ("timestamp", "exchange"), True),
    "ohlcv": ("ohlcv_data", candle, ("timestamp",), False),
    "metrics/binance/BTCUSDT": ("order_book_snapshots", book, ("timestamp",), False),
}


@pytest.fixture
def cfg(database, redis_server, topic_prefix):
    cfg = settings(database, redis_server, prefix=topic_prefix, EXCHANGES="binance,kraken", API_RATE="10000")
    prepare(cfg)
    return cfg


async def walk(client, path, between=lambda rows: None, **query):
    """Every row of every page; ``between`` is called with the rows so far before each further page."""
    found, cursor = [], {}
    query = {"limit": PAGE} | query | ({} if "BTCUSDT" in path else {"symbol": "BTCUSDT"})
    while True:
        answer = await client.get(f"/v1/{path}", params=query | cursor)
        assert answer.status_code == 200, answer.text
        got = answer.json()
        assert len(got["data"]) <= query["limit"]
        assert got["page"]["has_more"] == (got["page"]["next_cursor"] is not None)
        found += got["data"]
        if not got["page"]["has_more"]:
            return found
        cursor = {"cursor": got["page"]["next_cursor"]}
        between(found)


@pytest.mark.parametrize("path", WALKS)
async def test_a_walk_returns_each_row_once_while_others_write(cfg, database, path):
    table, row, names, has_ties = WALKS[path]

    def key(one):
        return parse_time(one[names[0]]), *(one[name] for name in names[1:])

    ties = TIES if has_ties else 1
    # Even numbers of places: the odd ones are for what is written meanwhile.
    insert(database.dsn, table, *(row(2 * n, 2 * (n // ties), f"m{2 * n:04}") for n in range(ROWS)))
    ahead, behind = [], []

    def write(rows):
        """Beside the walk's place, at the same moment if there can be ties: just behind it, just ahead, and far off."""
        step = len(ahead) + len(behind)
        at = round((parse_time(rows[-1][names[0]]) - START_US) / SECOND_US)
        if has_ties:
            tags = [f"{place}{step:04}{exchange}" for place in "az" for exchange in "bk"]
            new = [row(number, at, tag) for number, tag in enumerate(tags)]
            new += [row(0, 0, f"a{step:04}"), row(0, 2 * ROWS + step, f"m{step:04}")]
        else:
            new = [row(at - 1, 0, ""), row(at + 1, 0, ""), row(2 * ROWS + 1 + step, 0, "")]
        for one in new:
            (ahead if key(one) > key(rows[-1]) else behind).append(one)
        insert(database.dsn, table, *new)

    calls = []

    def sometimes(rows):
        calls.append(len(rows))
        if len(calls) <= 5:
            write(rows)

    query = {"from": moment(0), "to": LATE} | ({"timeframe": "1s"} if path == "ohlcv" else {})
    async with api(cfg) as client:
        found = [key(one) for one in await walk(client, path, sometimes, **query)]
    assert ahead
    assert behind
    there = [row(2 * n, 2 * (n // ties), f"m{2 * n:04}") for n in range(ROWS)]
    assert found == sorted(map(key, there + ahead)), "each once, in order, and none of those behind"


async def test_a_walk_beside_a_writer_that_never_rests(cfg, database):
    """200 rows are there; a thread writes on at all places. Those 200 come once each, and nothing comes twice."""
    insert(database.dsn, "trade_events", *(trade(2 * n, n // 4, f"m{n:04}") for n in range(200)))
    stop = threading.Event()

    def write():
        with psycopg.connect(database.dsn, autocommit=True) as conn:
            number = 0
            while not stop.is_set():
                number += 1
                conn.execute(
                    "INSERT INTO trade_events (symbol, exchange, timestamp, price, size, side, trade_id)"
                    " VALUES ('BTCUSDT', 'binance', %s, 1, 1, 'buy', %s)",
                    [moment(number * 7 % 60), f"{'amz'[number % 3]}x{number:06}"],
                )
                stop.wait(0.01)  # a walk passes what is written ahead of it: it has to be the quicker one

    thread = threading.Thread(target=write)
    thread.start()
    try:
        async with api(cfg) as client:
            async with asyncio.timeout(200):
                found = await walk(client, "trades", limit=20, **{"from": moment(0), "to": moment(70)})
    finally:
        stop.set()
        thread.join()
    keys = [(one["timestamp"], one["exchange"], one["trade_id"]) for one in found]
    assert keys == sorted(set(keys))
    assert sum("x" not in one["trade_id"] for one in found) == 200
    assert any("x" in one["trade_id"] for one in found)


async def test_the_end_of_a_walk_stays_where_it_was(cfg, database):
    """Without `to` a range ends when it was asked for: rows of later are in no page of it."""
    write = (
        "INSERT INTO trade_events (symbol, exchange, timestamp, price, size, side, trade_id)"
        " SELECT 'BTCUSDT', 'binance', clock_timestamp(), 1, 1, 'buy', %s || n::text FROM generate_series(1, 20) AS n"
    )
    with psycopg.connect(database.dsn, autocommit=True) as conn:
        conn.execute(write, ["before"])
        async with api(cfg) as client:
            found = await walk(client, "trades", lambda rows: conn.execute(write, [f"later{len(rows)}-"]))
    assert [one["trade_id"][:6] for one in found] == ["before"] * 20


async def test_what_reaches_into_the_range_begins_the_walk(cfg, database):
    old = [gap(1, -86_400 * 30 - n, f"old{n}") for n in range(20)]
    ended = [gap(1, -86_400 * 30 - n, f"ended{n}") | {"until_time": moment(-1)} for n in range(20)]
    insert(database.dsn, "gaps", *old, *ended, *(gap(1, n, f"new{n}") for n in range(20)))
    async with api(cfg) as client:
        found = await walk(client, "gaps", **{"from": moment(0), "to": moment(100)})
    assert [one["reason"] for one in found] == [f"old{n}" for n in reversed(range(20))] + [
        f"new{n}" for n in range(20)
    ]


async def test_a_cursor_of_another_query_is_refused_and_a_changed_one_too(cfg, database):
    insert(database.dsn, "trade_events", *(trade(0, n, str(n)) for n in range(10)))
    ticks(database.dsn, 0, 10)
    query = {"symbol": "BTCUSDT", "from": moment(0), "to": moment(10), "limit": 3}
    async with api(cfg) as client:
        cursor = (await client.get("/v1/trades", params=query)).json()["page"]["next_cursor"]
        more = await client.get(
            "/v1/trades", params=query | {"cursor": cursor, "limit": 5, "numbers": "float"}
        )
        assert [row["trade_id"] for row in more.json()["data"]] == ["3", "4", "5", "6", "7"]
        for changed in ({"symbol": "ETHUSDT"}, {"exchange": "binance"}, {"to": moment(11)}):
            refused = await client.get("/v1/trades", params=query | {"cursor": cursor} | changed)
            assert (refused.status_code, refused.json()["code"]) == (422, "api.cursor_other")
        refused = await client.get("/v1/gaps", params=query | {"cursor": cursor})
        assert refused.json()["code"] in ("api.cursor_other", "api.cursor")
        flipped = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]
        refused = await client.get("/v1/trades", params=query | {"cursor": flipped})
        assert (refused.status_code, refused.json()["code"]) == (422, "api.cursor")
