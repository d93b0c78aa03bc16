"""The reference: candles and sums over exchanges, by hand."""

from decimal import Decimal

from tests.reference.by_hand import Log, at_us, settings
from tests.reference.candles import candles
from tests.reference.merged import closed_ticks, consolidated, heatmap
from tests.reference.run import compute


def trade(
    second: float, price: str, size: str, exchange: str = "binance", offset: int = 0, index: int = 0
) -> dict:
    place = {"candle_time": at_us(second), "exchange": exchange, "offset": offset, "index": index}
    return place | {"price": Decimal(price), "size": Decimal(size)}


def ticks(until: float, brought: dict[float, list[dict]], blind: tuple[float, ...] = ()) -> list[tuple]:
    """Ticks 0, 0.5 … until; `brought`: trades by tick, `blind`: ticks at which not every exchange was live."""
    seconds = [number / 2 for number in range(int(until * 2) + 1)]
    return [(at_us(second), second not in blind, brought.get(second, [])) for second in seconds]


def of(timeframe: str, rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["timeframe"] == timeframe]


def test_a_second_is_emitted_two_seconds_after_its_end():
    brought = {
        1.0: [trade(0.9, "10", "1", offset=5)],
        1.5: [trade(0.2, "12", "2", offset=9)],
        3.0: [trade(0.5, "9", "4")],
    }
    (candle,) = of("1s", candles("BTCUSDT", ticks(10, brought), 500_000))
    assert candle == {
        "symbol": "BTCUSDT",
        "timestamp": at_us(0),
        "timeframe": "1s",
        "open": Decimal(12),
        "high": Decimal(12),
        "low": Decimal(9),
        "close": Decimal(10),
        "volume": Decimal(7),
        "trade_count": 3,
        "revision": 0,
        "complete": True,
        "received_at": at_us(3),
    }


def test_later_trades_bring_a_revision_until_two_minutes_after_the_end():
    brought = {
        0.5: [trade(0.1, "10", "1")],
        5.0: [trade(0.2, "11", "1")],
        121.0: [trade(0.3, "12", "1")],
        121.5: [trade(0.4, "13", "1")],  # the second ended more than two minutes ago: counts to [120, 121)
    }
    rows = candles("BTCUSDT", ticks(190, brought), 500_000)
    seconds = [
        (row["timestamp"], row["revision"], row["received_at"], row["volume"]) for row in of("1s", rows)
    ]
    assert seconds == [
        (at_us(0), 0, at_us(3), Decimal(1)),
        (at_us(0), 1, at_us(5), Decimal(2)),
        (at_us(0), 2, at_us(121), Decimal(3)),
        (at_us(120), 0, at_us(123), Decimal(1)),
    ]
    minutes = [(row["timestamp"], row["revision"], row["volume"]) for row in of("1m", rows)]
    assert minutes == [(at_us(0), 0, Decimal(2)), (at_us(0), 1, Decimal(3)), (at_us(120), 0, Decimal(1))]


def test_open_and_close_go_by_candle_time_then_exchange_then_offset_then_index():
    same_time = [
        trade(0.5, "1", "1", "kraken", offset=1),
        trade(0.5, "2", "1", "binance", offset=7, index=1),
        trade(0.5, "3", "1", "binance", offset=7, index=0),
        trade(0.5, "4", "1", "binance", offset=8),
    ]
    (candle,) = of("1s", candles("BTCUSDT", ticks(5, {1.0: same_time}), 500_000))
    assert (candle["open"], candle["close"]) == (Decimal(3), Decimal(1))


def test_a_candle_is_complete_only_if_all_were_live_at_each_of_its_ticks():
    brought = {1.5: [trade(second + 0.1, "10", "1") for second in (0, 1)]}
    rows = of("1s", candles("BTCUSDT", ticks(5, brought, blind=(1.5,)), 500_000))
    assert [row["complete"] for row in rows] == [True, False]
    rows = of("1s", candles("BTCUSDT", ticks(5, brought)[1:], 500_000))
    assert [row["complete"] for row in rows] == [False, True]  # the tick at 0 never came


def test_every_timeframe_starts_at_a_multiple_of_itself():
    day = 86_400
    start = at_us(0) // (day * 1_000_000) * (day * 1_000_000)
    brought = [(at_us(0.5), True, [trade(0.1, "10", "1")]), (start + (day + 2) * 1_000_000, True, [])]
    rows = candles("BTCUSDT", brought, 500_000)
    assert [row["timeframe"] for row in rows] == ["1s", "1m", "5m", "15m", "1h", "4h", "1d"]
    # 2023-11-14 22:14:00 UTC
    minutes_before = [0, 0, 4, 14, 14, 134, 22 * 60 + 14]
    assert [row["timestamp"] for row in rows] == [at_us(-60 * minutes) for minutes in minutes_before]


def test_a_trade_far_from_stream_time_counts_at_stream_time():
    log = Log()
    log.marks(0)
    log.trade(0.25, 1, "10", "1", happened=60.25)
    log.trade(0.25, 2, "11", "2", happened=60.251)
    log.marks(0.5)
    (tick,) = compute(log.records(), settings())["book"]
    assert [(bar["timestamp"], bar["volume"], bar["open_time"]) for bar in tick["bars"]] == [
        (at_us(0), Decimal(2), at_us(0.25)),
        (at_us(60), Decimal(1), at_us(60.25)),
    ]


def book(exchange: str, bids: list, asks: list, low: str | None = None, high: str | None = None) -> dict:
    """A live record with buckets of 10: each level is a bucket of its own here."""
    sides = [[{"price": Decimal(p), "size": Decimal(s)} for p, s in side] for side in (bids, asks)]
    buckets = [[{"price": x["price"] // 10 * 10, "volume": x["size"]} for x in side] for side in sides]
    return {
        "exchange": exchange,
        "live": True,
        "bids": sides[0],
        "asks": sides[1],
        "bid_buckets": buckets[0],
        "ask_buckets": buckets[1],
        "covered_low": None if low is None else Decimal(low),
        "covered_high": None if high is None else Decimal(high),
    }


def two_books() -> dict[str, dict]:
    return {
        "kraken": book(
            "kraken", [("95", "1"), ("85", "2"), ("65", "8")], [("101", "4"), ("125", "1")], low="72"
        ),
        "binance": book(
            "binance", [("105", "3"), ("95", "1")], [("111", "1"), ("125", "3")], high="129.99999999"
        ),
        "okx": {"exchange": "okx", "live": False, "reason": "stale"},
    }


THREE = settings(exchanges=("kraken", "binance", "okx", "bybit"), heatmap_depth=4)


def test_a_heatmap_adds_up_its_exchanges_from_the_best_price_of_all():
    found = heatmap("BTCUSDT", at_us(1), two_books(), THREE)
    cells = [
        (int(c["price"]), c["side"], int(c["volume"]), str(c["intensity"]), c["exchange_count"])
        for c in found["data"]
    ]
    assert cells == [
        (100, "bid", 3, "0.75000000", 1),
        (90, "bid", 2, "0.50000000", 2),
        (80, "bid", 2, "0.50000000", 1),  # 65 lies below the four buckets from 100 down
        (100, "ask", 4, "1.00000000", 1),
        (110, "ask", 1, "0.25000000", 1),
        (120, "ask", 4, "1.00000000", 2),
    ]
    # Buckets 70 to 139 by depth; kraken knows from 72, so from the edge 80; binance up to 130.
    assert (found["covered_low"], found["covered_high"]) == (Decimal(80), Decimal(130))
    assert [entry["exchange"] for entry in found["exchanges"]] == ["binance", "kraken"]
    assert found["missing"] == [
        {"exchange": "bybit", "reason": "no_tick"},
        {"exchange": "okx", "reason": "stale"},
    ]


def test_a_consolidated_book_adds_up_its_exchanges_by_price():
    books = two_books()
    found = consolidated("BTCUSDT", at_us(1), books, heatmap("BTCUSDT", at_us(1), books, THREE), THREE)
    assert [(int(x["price"]), int(x["size"]), x["exchange_count"]) for x in found["bids"]] == [
        (105, 3, 1),
        (95, 2, 2),
        (85, 2, 1),
        (65, 8, 1),
    ]
    assert [(int(x["price"]), int(x["size"]), x["exchange_count"]) for x in found["asks"]] == [
        (101, 4, 1),
        (111, 1, 1),
        (125, 4, 2),
    ]
    assert (found["mid_price"], found["spread"]) == (Decimal(103), Decimal(-4))  # they cross each other
    assert found["top"] == Decimal("-0.14285714")  # (3 - 4) / 7
    assert found["depth5"] == Decimal("0.25")  # (15 - 9) / 24
    assert found["bucketed"] == Decimal("-0.125")  # (7 - 9) / 16


def test_a_heatmap_of_nobody_is_empty_and_says_why():
    nobody = {"okx": two_books()["okx"]}
    found = heatmap("BTCUSDT", at_us(1), nobody, settings(exchanges=("okx",)))
    assert (found["data"], found["covered_low"], found["covered_high"]) == ([], None, None)
    merged = consolidated("BTCUSDT", at_us(1), nobody, found, settings(exchanges=("okx",)))
    assert [merged[name] for name in ("mid_price", "spread", "top", "depth5", "depth20", "bucketed")] == [
        None
    ] * 6


def test_a_tick_closes_when_every_exchange_has_come_so_far():
    records = [{"exchange": "a", "timestamp": time} for time in (1, 2, 3)]
    records += [{"exchange": "b", "timestamp": time} for time in (1, 4)]
    assert closed_ticks(records, ("a", "b")) == [1, 2, 3]
    assert closed_ticks(records, ("a", "b", "c")) == []
