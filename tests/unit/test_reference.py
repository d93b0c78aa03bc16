"""The reference against arithmetic by hand, and against what a recording says of itself."""

import ast
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from tests.reference import binance_book
from tests.reference.by_hand import START_US, Log, at_us, settings
from tests.reference.recording import raw_records
from tests.reference.run import compute
from tests.reference.settings import murmur2
from tests.reference.stream_time import StreamTime

FOLDER = Path(__file__).resolve().parents[1] / "reference"
REPOSITORY = FOLDER.parents[1]
OURS = {"COBY", "producers", "streams", "sinks", "replay", "api", "simulator", "schemas", "deploy"}
RECORDING = "binance/hftbacktest_btcusdt_651s.jsonl.gz"


def levels(*pairs: tuple[str, str]) -> list[dict]:
    return [{"price": Decimal(price), "size": Decimal(size)} for price, size in pairs]


def buckets(*pairs: tuple[str, str]) -> list[dict]:
    return [{"price": Decimal(price), "volume": Decimal(volume)} for price, volume in pairs]


def imported_modules(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative import"
            found.add(node.module)
    return found


def test_the_reference_imports_only_itself_fastavro_and_the_standard_library():
    files = sorted(FOLDER.glob("*.py"))
    assert len(files) > 10
    for file in files:
        for module in imported_modules(file):
            top = module.split(".")[0]
            allowed = (
                module.startswith("tests.reference") or top == "fastavro" or top in sys.stdlib_module_names
            )
            assert allowed, f"{file.name} imports {module}"


def test_importing_the_reference_loads_nothing_of_ours():
    names = ", ".join(f"tests.reference.{file.stem}" for file in FOLDER.glob("[a-z]*.py"))
    code = f"import sys, {names}; print(sorted({{name.split('.')[0] for name in sys.modules}} & {OURS!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        # Apache Kafka, UtilsTest.testMurmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_values_of_kafkas_own_test(key, expected):
    assert murmur2(key) == expected % 2**32


def test_stream_time_follows_the_marks():
    time = StreamTime(500_000)
    seconds = 1_000_000_000
    assert time.advance(int(10.2 * seconds), is_mark=False) == []
    assert time.advance(int(11.7 * seconds), is_mark=False) == []
    assert time.now_ns == int(10.2 * seconds)  # until the first mark: the first record's time
    assert time.advance(int(9.0 * seconds), is_mark=True) == []
    assert time.now_ns == 9 * seconds  # set, even backwards
    assert time.advance(int(9.6 * seconds), is_mark=False) == [9_500_000]
    assert time.advance(50 * seconds, is_mark=False) == [10_000_000]  # mark + 1 s at most
    assert time.now_ns == 10 * seconds
    assert time.advance(int(9.9 * seconds), is_mark=False) == []  # never back
    assert time.advance(12 * seconds, is_mark=True) == [10_500_000, 11_000_000, 11_500_000, 12_000_000]
    assert time.advance(int(14.5 * seconds), is_mark=True) == [14_500_000]  # a jump of more than 2 s


def test_a_small_book_is_stated_as_computed_by_hand():
    log = Log()
    log.marks(0)
    log.event(0.1, "connected")
    log.depth(0.1, 90, 100, [["101", "7"]], [])  # older than the snapshot: dropped
    log.snapshot(
        0.2, 100, [["99.5", "1"], ["90", "2"], ["89.99", "4"]], [["100.5", "1.5"], ["119.99", "0.5"]]
    )
    log.depth(0.3, 99, 102, [["99.5", "0"], ["98", "3"]], [["110", "1"], ["250", "9"]])
    log.marks(0.5)
    log.depth(0.5, 103, 103, [["98", "0"]], [])  # after the record of 0.5 was due
    (tick,) = compute(log.records(), settings(heatmap_depth=3))["book"]
    assert tick == {
        "symbol": "BTCUSDT",
        "exchange": "binance",
        "timestamp": START_US + 500_000,
        "live": True,
        "reason": None,
        "conn": "a",
        "sequence_id": 102,
        "bids": levels(("98", "3"), ("90", "2"), ("89.99", "4")),
        "asks": levels(("100.5", "1.5"), ("110", "1"), ("119.99", "0.5"), ("250", "9")),
        "bucket_size": Decimal(10),
        "bid_buckets": buckets(("90", "5"), ("80", "4")),  # 3 + 2 in [90, 100)
        "ask_buckets": buckets(
            ("100", "1.5"), ("110", "1.5")
        ),  # [120, 130) is empty, 250 beyond three buckets
        "covered_low": None,
        "covered_high": None,
        "mid_price": Decimal("99.25"),
        "spread": Decimal("2.5"),
        "bid_volume": Decimal(9),
        "ask_volume": Decimal(12),
        "imbalance": Decimal("-0.14285714"),  # -3 / 21
        "quality": Decimal("0.15"),  # three of 20 levels
        "bars": [],
    }


def test_heatmap_and_consolidated_book_of_one_exchange_are_as_computed_by_hand():
    log = Log()
    log.marks(0)
    bids, asks = (
        [["98", "3"], ["90", "2"], ["89.99", "4"]],
        [["100.5", "1.5"], ["110", "1"], ["119.99", "0.5"]],
    )
    log.snapshot(0.2, 100, bids, asks)
    log.marks(0.5)
    results = compute(log.records(), settings(heatmap_depth=3))
    (heatmap,), (consolidated,) = results["heatmap"], results["consolidated"]
    cells = [
        (str(cell["price"]), cell["side"], cell["volume"], cell["intensity"]) for cell in heatmap["data"]
    ]
    assert cells == [
        ("90", "bid", Decimal(5), Decimal(1)),
        ("80", "bid", Decimal(4), Decimal("0.8")),
        ("100", "ask", Decimal("1.5"), Decimal("0.3")),
        ("110", "ask", Decimal("1.5"), Decimal("0.3")),
    ]
    assert {cell["exchange_count"] for cell in heatmap["data"]} == {1}
    assert (heatmap["covered_low"], heatmap["covered_high"]) == (
        Decimal(70),
        Decimal(130),
    )  # three buckets a side
    assert heatmap["exchanges"] == [{"exchange": "binance", "covered_low": None, "covered_high": None}]
    assert heatmap["missing"] == []
    assert consolidated["top"] == Decimal("0.33333333")  # 1.5 / 4.5
    assert consolidated["depth5"] == consolidated["depth20"] == Decimal("0.5")  # 6 / 12
    assert consolidated["bucketed"] == Decimal("0.5")  # (9 - 3) / 12
    assert (consolidated["mid_price"], consolidated["spread"]) == (Decimal("99.25"), Decimal("2.5"))


def test_a_limited_snapshot_states_only_buckets_wholly_inside_it():
    log = Log()
    log.marks(0)
    bids, asks = [["98", "1"], ["88", "1"], ["75", "1"]], [["101", "1"], ["112", "1"], ["129.99999999", "1"]]
    log.snapshot(0.1, 1, bids, asks, limit=3)
    log.marks(0.5)
    log.depth(0.6, 2, 2, [["70", "5"]], [["129.99999999", "0"], ["131", "2"]])
    log.marks(1.0)
    results = compute(log.records(), settings(heatmap_depth=5))
    for tick in results["book"]:
        assert (tick["covered_low"], tick["covered_high"]) == (Decimal(75), Decimal("129.99999999"))
        assert tick["bid_buckets"] == buckets(("90", "1"), ("80", "1"))  # [70, 80) is known only from 75 on
    assert results["book"][0]["ask_buckets"] == buckets(("100", "1"), ("110", "1"), ("120", "1"))
    assert results["book"][1]["ask_buckets"] == buckets(
        ("100", "1"), ("110", "1")
    )  # [130, 140) is not covered
    heatmap = results["heatmap"][1]
    assert (heatmap["covered_low"], heatmap["covered_high"]) == (Decimal(80), Decimal(130))


def test_a_thousand_levels_are_a_limit_where_no_address_says_what_was_asked_for():
    log = Log()
    log.marks(0)
    log.snapshot(0.1, 1, [[str(9000 - n), "1"] for n in range(1000)], [["9001", "1"]], limit=None)
    log.marks(0.5)
    (tick,) = compute(log.records(), settings())["book"]
    assert (tick["covered_low"], tick["covered_high"]) == (Decimal(8001), None)
    assert len(tick["bids"]) == 50
    assert tick["bid_volume"] == 50
    assert (
        sum(bucket["volume"] for bucket in tick["bid_buckets"]) == 491
    )  # 9000, then 49 buckets of ten levels


def test_sizes_and_prices_are_rounded_half_even_to_the_eighth_decimal_once():
    log = Log()
    log.marks(0)
    log.snapshot(0.1, 1, [["98.000000005", "1.000000015"]], [["101.000000015", "2.0000000051"]])
    log.marks(0.5)
    (tick,) = compute(log.records(), settings())["book"]
    assert tick["bids"] == levels(("98.00000000", "1.00000002"))
    assert tick["asks"] == levels(("101.00000002", "2.00000001"))
    assert tick["mid_price"] == Decimal("99.50000001")


def test_the_recording_agrees_with_its_own_book_tickers(frames_dir):
    found = binance_book.check(frames_dir / RECORDING)
    assert (found.depth_events, found.common, found.different) == (6495, 1072, [])
    assert (found.gaps, found.crossed) == (0, 0)
    assert (found.trades, found.distinct_trades) == (19904, 19904)


@pytest.mark.long
def test_the_whole_recording_adds_up(frames_dir):
    records = raw_records(frames_dir / RECORDING, "binance", marks_after=12)
    for record in records:
        record["symbol"] = "BTCUSDT" if record["kind"] == "http" else None
    results = compute(records, settings())
    assert len(results["trade"]) == len({trade["trade_id"] for trade in results["trade"]}) == 19904
    end_us = results["trade"][-1]["received_at"]
    reasons = Counter(tick["reason"] for tick in results["book"] if tick["timestamp"] < end_us)
    assert reasons == {None: reasons[None], "never_connected": 1}
    messages = [row["message"] for row in binance_book.rows(frames_dir / RECORDING)]
    tickers = {message["u"]: message for message in messages if "B" in message}
    met = [tick for tick in results["book"] if tick["sequence_id"] in tickers]
    assert len(met) > 100
    for tick in met:
        if not tick["bids"] or not tick["asks"]:
            continue  # the price has left the range that the one snapshot of the recording covered
        best = tuple(tick[side][0][name] for side in ("bids", "asks") for name in ("price", "size"))
        assert best == binance_book.told(tickers[tick["sequence_id"]])
    volume = sum(trade["size"] for trade in results["trade"])
    newest = {candle["timestamp"]: candle for candle in results["ohlcv"] if candle["timeframe"] == "1s"}
    assert sum(candle["volume"] for candle in newest.values()) == volume
    assert sum(candle["trade_count"] for candle in newest.values()) == 19904
    for heatmap in results["heatmap"]:
        assert max((cell["intensity"] for cell in heatmap["data"]), default=1) == 1


def test_a_second_exchange_that_never_ticks_keeps_every_tick_open():
    log = Log()
    log.marks(0, 0.5, 1.0)
    results = compute(log.records(), settings(exchanges=("binance", "kraken")))
    assert len(results["book"]) == 2
    assert results["heatmap"] == results["consolidated"] == []
    assert at_us(0.5) == results["book"][0]["timestamp"]
