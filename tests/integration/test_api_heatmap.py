"""Heatmaps and figures of books over REST: rows of the sink's own making, expected values by hand."""

import csv
import io
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from COBY.records import BookTick, Cell, Heatmap, Included, Level, Missing
from COBY.runtime.database import connect
from sinks.rows import rows_of
from sinks.writer import write_rows
from tests.api_data import SECOND_US, START_US, api, moment, prepare, stamp, ticks
from tests.integration.sink_helpers import settings

UNIT = 100_000_000
TEN = 10 * UNIT


@pytest.fixture
def cfg(database, redis_server, topic_prefix):
    cfg = settings(database, redis_server, prefix=topic_prefix, EXCHANGES="binance,kraken")
    prepare(cfg)
    return cfg


def heatmap(second, cells, covered=(80, 120), missing=(), exchanges=("binance", "kraken"), size=10):
    """``cells``: (price, volume, side)."""
    largest = max((volume for _, volume, _ in cells), default=1)
    return Heatmap(
        "BTCUSDT",
        START_US + second * SECOND_US,
        size * UNIT,
        [
            Cell(price * UNIT, volume * UNIT, volume * UNIT // largest, side, 2)
            for price, volume, side in cells
        ],
        *(None if edge is None else edge * UNIT for edge in covered),
        [Included(name, None, covered[1] and covered[1] * UNIT) for name in exchanges],
        [Missing(*one) for one in missing],
    )


def store(cfg, *records):
    with connect(cfg) as conn, conn.transaction(), conn.cursor() as cursor:
        for number, record in enumerate(records):
            for row in rows_of(record, f"{number}:0", SECOND_US):
                write_rows(cursor, row.table, [row.values])


async def get(client, **query):
    query = {"symbol": "BTCUSDT", "from": moment(0), "to": moment(4)} | query
    answer = await client.get("/v1/heatmap", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def cell(price, volume, intensity, side):
    return {"price": price, "volume": volume, "intensity": intensity, "side": side, "exchange_count": 2}


def cells(column):
    return [(one["side"], one["price"][:3], one["volume"], one["intensity"]) for one in column["data"]]


FOUR = (
    heatmap(0, [(90, 4, "bid"), (80, 1, "bid"), (100, 2, "ask")]),
    heatmap(1, [(90, 3, "bid"), (110, 9, "ask")], covered=(90, 115)),
    heatmap(2, [], covered=(None, None), exchanges=(), missing=(("binance", "stale"), ("kraken", "stale"))),
    heatmap(3, [(90, 3, "bid")], exchanges=("binance",), missing=(("kraken", "not_listed"),)),
)


async def test_each_stored_tick_is_a_column(cfg):
    store(cfg, *FOUR)
    async with api(cfg) as client:
        got = await get(client)
    first, second, third, fourth = got["data"]
    assert first == {
        "symbol": "BTCUSDT", "timestamp": stamp(0), "bucket_size": "10.00000000",
        "data": [
            cell("90.00000000", "4.00000000", "1.00000000", "bid"),
            cell("80.00000000", "1.00000000", "0.25000000", "bid"),
            cell("100.00000000", "2.00000000", "0.50000000", "ask"),
        ],
        "covered_low": "80.00000000", "covered_high": "120.00000000",
        "exchanges": [
            {"exchange": "binance", "covered_low": None, "covered_high": "120.00000000"},
            {"exchange": "kraken", "covered_low": None, "covered_high": "120.00000000"},
        ],
        "missing": [], "ticks": 1, "complete": True,
    }  # fmt: skip
    assert (third["data"], third["exchanges"], third["complete"]) == ([], [], False), (
        "known to be unknown, not empty"
    )
    assert third["missing"] == [
        {"exchange": "binance", "reason": "stale"},
        {"exchange": "kraken", "reason": "stale"},
    ]
    assert fourth["complete"], "an exchange that does not list the symbol lacks nothing"
    gaps = [(gap["exchange"], gap["from"], gap["to"], gap["reason"]) for gap in got["meta"]["gaps"]]
    assert gaps == [
        ("binance", stamp(2), stamp(3), "stale"),
        ("kraken", stamp(2), stamp(3), "stale"),
    ]
    assert second["covered_low"] == "90.00000000"


async def test_a_column_of_several_ticks_keeps_walls_and_says_what_it_lacks(cfg):
    store(cfg, *FOUR)
    async with api(cfg) as client:
        got = await get(client, resolution="2s")
    first, second = got["data"]
    # Largest of each cell: 90 bid 4, 80 bid 1, 100 ask 2, 110 ask 9; shares of 9, half-even at the eighth decimal.
    assert cells(first) == [
        ("bid", "90.", "4.00000000", "0.44444444"),
        ("bid", "80.", "1.00000000", "0.11111111"),
        ("ask", "100", "2.00000000", "0.22222222"),
        ("ask", "110", "9.00000000", "1.00000000"),
    ]
    assert (first["covered_low"], first["covered_high"]) == ("90.00000000", "115.00000000"), "at both ticks"
    assert (first["ticks"], first["complete"], second["ticks"], second["complete"]) == (2, True, 2, False)
    assert second["missing"] == [
        {"exchange": "binance", "reason": "stale"},
        {"exchange": "kraken", "reason": "not_listed"},
    ]
    assert second["exchanges"] == []


async def test_ticks_that_were_not_stored_are_told_and_no_column_is_made_up(cfg):
    store(cfg, FOUR[0], heatmap(3, [(90, 3, "bid")]))
    async with api(cfg) as client:
        got = await get(client, to=moment(6))
        two = await get(client, to=moment(6), resolution="2s")
    assert [column["timestamp"] for column in got["data"]] == [stamp(0), stamp(3)]
    holes = [(gap["exchange"], gap["from"], gap["to"], gap["reason"]) for gap in got["meta"]["gaps"]]
    assert holes == [("*", stamp(1), stamp(3), "not_stored"), ("*", stamp(4), stamp(6), "not_stored")]
    assert [(one["timestamp"], one["ticks"], one["complete"]) for one in two["data"]] == [
        (stamp(0), 1, False),
        (stamp(2), 1, False),
    ]


async def test_ticks_whose_cells_retention_took_are_no_empty_columns(cfg, database):
    """Cells are dropped by the day, ticks by the week; a chunk may be made, and so dropped, out of order."""
    day = 86_400
    store(cfg, *(heatmap(second, [(90, 4, "bid")]) for second in (0, day - 1, day, day + 1, 2 * day)))
    store(cfg, heatmap(day - 2, [], covered=(None, None), exchanges=(), missing=(("binance", "stale"),)))
    dropped = (
        "SELECT drop_chunks('heatmap_data', older_than => %s::timestamptz, newer_than => %s::timestamptz)"
    )
    with connect(cfg) as conn:
        assert len(conn.execute(dropped, [moment(day), moment(0)]).fetchall()) == 1
    async with api(cfg) as client:
        got = await get(client, **{"from": moment(day - 2), "to": moment(day + 2)})
        two = await get(client, **{"from": moment(day - 3), "to": moment(day + 3)}, resolution="3s")
        old = await get(client, **{"from": moment(0), "to": moment(1)})
    assert [(one["timestamp"], len(one["data"])) for one in got["data"]] == [
        (stamp(day - 2), 0), (stamp(day), 1), (stamp(day + 1), 1),
    ]  # fmt: skip
    holes = [(gap["exchange"], gap["from"], gap["to"], gap["reason"]) for gap in got["meta"]["gaps"]]
    assert holes == [("*", stamp(day - 2), stamp(day), "not_kept")]
    assert [(one["timestamp"], one["ticks"], one["complete"]) for one in two["data"]] == [
        (stamp(day - 3), 1, False),
        (stamp(day), 2, False),
    ]
    assert (old["data"], old["meta"]["gaps"][0]["reason"]) == ([], "not_kept")


async def test_prices_choose_cells_and_change_no_intensity(cfg):
    store(cfg, *FOUR)
    async with api(cfg) as client:
        got = await get(client, price_from="90", price_to="110", resolution="2s")
        none = await get(client, price_from="900", to=moment(1))
    assert cells(got["data"][0]) == [
        ("bid", "90.", "4.00000000", "0.44444444"),
        ("ask", "100", "2.00000000", "0.22222222"),
    ]
    assert [column["data"] for column in none["data"]] == [[]]


async def test_columns_come_page_by_page_and_begin_on_their_grid(cfg):
    store(cfg, *(heatmap(second, [(90, second + 1, "bid")]) for second in range(20)))
    found, cursor = [], {}
    async with api(cfg) as client:
        while cursor is not None:
            # Columns of 3 s that begin in [1 s, 19 s): 3, 6 … 18, the last of which has two ticks.
            got = await get(
                client, **{"from": moment(1), "to": moment(19)}, resolution="3s", limit=2, **cursor
            )
            found += got["data"]
            assert got["page"]["has_more"] == (len(found) < 6)
            cursor = {"cursor": got["page"]["next_cursor"]} if got["page"]["has_more"] else None
    assert [(one["timestamp"], one["data"][0]["volume"], one["ticks"]) for one in found] == [
        (stamp(3), "6.00000000", 3), (stamp(6), "9.00000000", 3), (stamp(9), "12.00000000", 3),
        (stamp(12), "15.00000000", 3), (stamp(15), "18.00000000", 3), (stamp(18), "20.00000000", 2),
    ]  # fmt: skip


async def test_another_bucket_size_is_another_column(cfg):
    store(cfg, heatmap(0, [(90, 4, "bid")]), heatmap(0, [(95, 7, "bid")], size=5))
    async with api(cfg) as client:
        got = await get(client, to=moment(1))
    assert [(one["bucket_size"], one["data"][0]["volume"]) for one in got["data"]] == [
        ("5.00000000", "7.00000000"),
        ("10.00000000", "4.00000000"),
    ]


@pytest.mark.parametrize("floats", [False, True])
async def test_arrow_and_csv_have_the_lists_too(cfg, floats):
    store(cfg, *FOUR)
    query = {
        "symbol": "BTCUSDT",
        "from": moment(0),
        "to": moment(4),
        "numbers": "float" if floats else "exact",
    }
    async with api(cfg) as client:
        plain = await get(client, **query)
        accept = {"Accept": "application/vnd.apache.arrow.stream"}
        arrow = await client.get("/v1/heatmap", params=query, headers=accept)
        text = await client.get("/v1/heatmap", params=query, headers={"Accept": "text/csv"})
    rows = pa.ipc.open_stream(io.BytesIO(arrow.content)).read_all().to_pylist()

    def same(value):
        if isinstance(value, list):
            return [same(one) for one in value]
        if isinstance(value, dict):
            return {name: same(one) for name, one in value.items()}
        if isinstance(value, Decimal):
            return f"{value:.8f}"
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if hasattr(value, "strftime") else value

    assert same(rows) == plain["data"]
    assert isinstance(rows[0]["data"][0]["volume"], float if floats else Decimal)
    read = list(csv.DictReader(io.StringIO(text.text, newline="")))
    assert [json.loads(row["data"]) for row in read] == [column["data"] for column in plain["data"]]


def book(second, bids, asks, spread):
    """Sizes by level, from 100 down and 101 up."""
    sides = (
        [Level((100 - n) * UNIT, size) for n, size in enumerate(bids)],
        [Level((101 + n) * UNIT, size) for n, size in enumerate(asks)],
    )
    return BookTick(
        "BTCUSDT", "binance", START_US + second * SECOND_US, True, None, "c", 1, *sides, TEN, [], [], None, None,
        100 * UNIT + UNIT // 2, spread, sum(bids), sum(asks), 0, 0, [],
    )  # fmt: skip


async def test_figures_of_a_range_are_those_of_the_stored_levels(cfg, database):
    store(cfg, book(0, [3 * UNIT] * 4 + [UNIT] * 26, [UNIT] * 30, UNIT), book(1, [UNIT], [], None))
    ticks(database.dsn, 0, 3)
    async with api(cfg) as client:
        got = (await client.get(f"/v1/metrics/binance/BTCUSDT?from={moment(0)}&to={moment(2)}")).json()
    # By hand: 38 and 30 in all; the best 1: 3 and 1; 5: 13 and 5; 20: 28 and 20.
    assert got["data"][0] == {
        "symbol": "BTCUSDT", "exchange": "binance", "timestamp": stamp(0), "mid_price": "100.50000000",
        "spread": "1.00000000", "bid_volume": "38.00000000", "ask_volume": "30.00000000", "imbalance": "0.11764706",
        "quality": "1.00000000", "top": "0.50000000", "depth5": "0.44444444", "depth20": "0.16666667",
    }  # fmt: skip
    assert got["data"][1]["imbalance"] == got["data"][1]["top"] == "1.00000000"
    assert got["data"][1]["quality"] == "0.00000000"
    assert got["meta"]["complete"]
