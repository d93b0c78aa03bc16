"""Every query of the API on tables of many chunks: chunks outside its range are not touched, those inside by index."""

import ast
from pathlib import Path

import psycopg
import pytest

from api.history import candles, flow, heatmap, holes
from api.history.tables import CANDLES, CONTINUITY, GAPS, QUALITY, RESOURCES
from api.pages import Cursor
from api.times import Span
from COBY.config import load_config
from tests.api_data import SECOND_US, START, START_US, prepare

DAYS = 140
DAY_US = 86_400 * SECOND_US
AT = 100  # the day that is asked for
SPAN = Span(START_US + AT * DAY_US + 3_600 * SECOND_US, START_US + AT * DAY_US + 7_200 * SECOND_US)
GRID = holes.around(SPAN, SECOND_US)
BOTH = {"symbol": "BTCUSDT", "exchange": "binance"}
HERE = {"symbol": "BTCUSDT", "exchange": None}
KEYS = {
    "trades": ("BTCUSDT", "binance", "7"), "ohlcv": (), "gaps": ("BTCUSDT", "binance", "stale"),
    "continuity": ("BTCUSDT", "binance"), "quality": ("BTCUSDT", "binance"), "metrics": ("BTCUSDT", "binance"),
}  # fmt: skip
FILL = {
    # table -> rows a day, columns, values by moment t, number n and symbol s
    "trade_events": (500, "symbol, exchange, timestamp, price, size, side, trade_id",
                     "s, 'binance', t, 1, 1, 'buy', n::text"),
    "order_book_snapshots": (300, "symbol, exchange, timestamp, bids, asks, mid_price, spread",
                             "s, 'binance', t, '[[\"1\",\"1\"]]', '[[\"2\",\"1\"]]', 1, 1"),
    "heatmap_data": (500, "symbol, timestamp, bucket_size, price_bucket, volume, side, exchange_count",
                     "s, t, 10, n, 1, 'bid', 1"),
    "heatmap_ticks": (300, "symbol, timestamp, bucket_size, exchanges, missing",
                      "s, t, 10, '[]', '{\"kraken\":\"stale\"}'"),
    "ohlcv_data": (300, "symbol, timestamp, timeframe, open_price, high_price, low_price, close_price, volume,"
                   " trade_count, revision, complete",
                   "s, t, (ARRAY['1m','5m','1h'])[1 + n %% 3], 1, 1, 1, 1, 1, 1, 0, true"),
    "gaps": (100, "symbol, exchange, from_time, until_time, reason, detail",
             "s, 'binance', t, t + interval '1 minute', 'stale', ''"),
    "continuity": (100, "symbol, exchange, start_time, end_time, rule, sequenced, checked, snapshots, conn,"
                   " connections",
                   "s, 'binance', t, t + interval '1 minute', 'sequence', 1, 1, 1, 'c', 1"),
    "quality": (300, "symbol, exchange, timestamp, score, coverage, accepted, events, rejected, duplicates, anomalies,"
                " gaps, crossed_ticks", "s, 'binance', t, 1, 1, 1, 1, 0, 0, 0, 0, 0"),
}  # fmt: skip


def queries():
    """Name -> (query, the days it may touch at most: first, last)."""
    one_day = (AT, AT)
    found = {}
    for resource in RESOURCES:
        names = {"symbol": "BTCUSDT", "timeframe": "1m"} if resource is CANDLES else BOTH
        for label, who in (
            ("", names),
            *([(" of all", {})] if resource in (GAPS, CONTINUITY, QUALITY) else []),
        ):
            page = resource.page(who, Cursor(SPAN, ()), SPAN.since_us, 1_001)
            key = (SPAN.since_us + 60 * SECOND_US, *KEYS[resource.name])
            found[f"page: {resource.name}{label}"] = page, one_day
            found[f"page: {resource.name}{label}, further"] = (
                resource.page(who, Cursor(SPAN, key), 0, 1_001),
                one_day,
            )
            if resource.until is not None:
                found[f"floor: {resource.name}{label}"] = resource.floor(who, SPAN), (0, AT)
    found["kept"] = holes.kept("trade_events", SPAN), None
    found["bounds"] = holes.bounds("BTCUSDT", GRID), one_day
    found["runs"] = holes.runs("BTCUSDT", None, GRID), one_day
    found["gaps"] = holes.gaps("BTCUSDT", None, SPAN, SPAN.since_us), one_day
    found["ticks"] = heatmap.ticks("BTCUSDT", SPAN), one_day
    found["newest"] = heatmap.newest("BTCUSDT", SPAN), one_day
    found["flow"] = flow.flow("BTCUSDT", None, SPAN, 60 * SECOND_US), one_day
    found["cells"] = heatmap.cells("BTCUSDT", SPAN, 60 * SECOND_US, heatmap.Prices()), one_day
    found["whole"] = candles.whole(candles.Asked("BTCUSDT", "1m", SPAN)), one_day
    return found


QUERIES = queries()


@pytest.fixture(scope="module")
def filled(timescale):
    with timescale.database() as database:
        prepare(load_config(database.env | {"LOG_FILE": "-"}))
        with psycopg.connect(database.dsn, autocommit=True) as conn:
            for table, (a_day, columns, values) in FILL.items():
                step = 86_400 / a_day
                conn.execute(
                    f"INSERT INTO {table} ({columns}) SELECT {values} FROM"
                    f" (SELECT n, %s::timestamptz + n * interval '{step} seconds' AS t"
                    f" FROM generate_series(0, {a_day * DAYS - 1}) AS n) AS moments,"
                    " (VALUES ('BTCUSDT'), ('ETHUSDT')) AS symbols(s)",
                    [START],
                )
            conn.execute("ANALYZE")
            yield conn


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def explained(conn, query):
    text, values = query
    ((found,),) = conn.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", values, prepare=False).fetchall()
    return list(nodes(found[0]["Plan"]))


def chunks(conn):
    """Chunk -> (table, first day, last day that it holds)."""
    rows = conn.execute(
        "SELECT chunk_name, hypertable_name, range_start - %s, range_end - %s FROM timescaledb_information.chunks",
        [START, START],
    )
    return {
        name: (table, first.days, (last.total_seconds() - 1) // 86_400) for name, table, first, last in rows
    }


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_touches_the_chunks_of_its_range_and_those_by_index(filled, name):
    query, days = QUERIES[name]
    found, there = explained(filled, query), chunks(filled)
    scans = [node for node in found if node.get("Relation Name") in there]
    touched = {node["Relation Name"] for node in scans if node["Actual Loops"]}
    if name.startswith(
        "floor"
    ):  # of the chunk that holds the range's beginning a large part is read, however
        scans = [
            node
            for node in scans
            if not there[node["Relation Name"]][1] <= AT <= there[node["Relation Name"]][2]
        ]
    assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
    if days is None:
        assert touched == set()
        return
    (table,) = {there[chunk][0] for chunk in touched}
    own = {chunk: span for chunk, span in there.items() if span[0] == table}
    inside = {chunk for chunk, (_, first, last) in own.items() if first <= days[1] and last >= days[0]}
    assert len(own) >= 20, "a table of many chunks"
    assert touched <= inside
    assert len(inside) < len(own)


@pytest.mark.parametrize("name", [name for name in QUERIES if name.startswith("floor")])
def test_what_reaches_into_a_range_is_found_without_reading_what_ended_before(filled, name):
    """Rows that began before and ended before the range: 10,000 of each symbol."""
    there = chunks(filled)
    read = [
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in explained(filled, QUERIES[name][0])
        if node.get("Relation Name") in there and there[node["Relation Name"]][2] < AT
    ]
    assert len(read) >= 14
    assert sum(read) < 20


def test_no_query_is_left_out():
    """Whatever makes a Query is in the table above, and nothing else in the data routes talks to the database."""
    folder = Path(heatmap.__file__).parent
    makers, asking = set(), set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.FunctionDef)
                and node.returns is not None
                and ast.unparse(node.returns) == "Query"
            ):
                makers.add(node.name)
            if isinstance(node, ast.Attribute) and node.attr in (
                "execute",
                "executemany",
                "copy",
                "cursor_factory",
            ):
                asking.add(path.name)
    assert makers == {name.split(":")[0] for name in QUERIES}
    assert asking == {"reading.py"}
    others = [path for path in folder.parent.rglob("*.py") if ".execute(" in path.read_text()]
    assert {path.name for path in others} - {"reading.py"} <= {"keys.py", "keys_cli.py", "readiness.py"}, (
        "keys of the API, health"
    )
