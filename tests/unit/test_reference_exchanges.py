"""The reference with three exchanges at once: books added up, candles, and gaps, by hand."""

from decimal import Decimal

import pytest

from tests.reference.by_hand import Log, at_us, settings
from tests.reference.by_hand_pushed import KrakenLog, OkxLog
from tests.reference.exchange import pair_of
from tests.reference.exchanges import EXCHANGES
from tests.reference.run import compute

THREE = ("binance", "kraken", "okx")
CHOSEN = settings(exchanges=THREE, heatmap_depth=3)
KRAKEN_DIGITS = "1024" + "992" + "983"


def logs() -> tuple[Log, KrakenLog, OkxLog]:
    """Three books proven before the tick of 0.5: all tick from 0 on."""
    made = (Log(), KrakenLog(), OkxLog())
    for log in made:
        log.marks(-0.5, 0)
        log.event(0.1, "connected")
    binance, kraken, okx = made
    binance.snapshot(0.2, 10, [["98", "1"], ["88", "2"]], [["101", "1"], ["112", "2"]])
    kraken.book(0.2, "snapshot", [("99", "2"), ("98", "3")], [("102", "4")], KRAKEN_DIGITS)
    okx.books(0.2, "snapshot", [("97", "1")], [("103", "1"), ("125", "5")], last=10, previous=-1)
    return made


def mark_all(made: tuple[Log, ...], *seconds: float) -> None:
    for log in made:
        log.marks(*seconds)


def computed(made: tuple[Log, ...], chosen=CHOSEN) -> dict[str, list[dict]]:
    return compute([record for log in made for record in log.records()], chosen)


def merged(levels: list[dict]) -> list[tuple[int, int, int]]:
    return [(int(level["price"]), int(level["size"]), level["exchange_count"]) for level in levels]


def cells(heatmap: dict) -> list[tuple]:
    return [
        (int(c["price"]), c["side"], int(c["volume"]), str(c["intensity"]), c["exchange_count"])
        for c in heatmap["data"]
    ]


@pytest.mark.parametrize(
    ("exchange", "expected"), [("binance", "BTCUSDT"), ("kraken", "BTC/USDT"), ("okx", "BTC-USDT")]
)
def test_each_exchange_has_its_own_name_of_a_symbol(exchange, expected):
    assert EXCHANGES[exchange].exchange_symbol("BTCUSDT") == expected
    assert settings().symbols_by_exchange_symbol(exchange) == {expected: "BTCUSDT"}
    named = settings(exchange_symbols={(exchange, "BTCUSDT"): "XBT"})
    assert named.symbols_by_exchange_symbol(exchange) == {"XBT": "BTCUSDT"}


def test_a_pair_is_cut_before_its_quote():
    found = [pair_of(symbol) for symbol in ("BTCUSDT", "BTCUSD", "ETHBTC", "USDTUSD", "USDCUSDT")]
    assert found == [("BTC", "USDT"), ("BTC", "USD"), ("ETH", "BTC"), ("USDT", "USD"), ("USDC", "USDT")]
    with pytest.raises(ValueError, match="no known quote"):
        pair_of("BTCXXX")


def test_three_books_add_up_as_computed_by_hand():
    made = logs()
    mark_all(made, 0.5)
    results = computed(made)
    at_start, heatmap = results["heatmap"]
    assert (at_start["data"], [entry["reason"] for entry in at_start["missing"]]) == (
        [],
        ["never_connected"] * 3,
    )
    assert cells(heatmap) == [
        (90, "bid", 7, "1.00000000", 3),  # 98: 1, 99 and 98: 2 + 3, 97: 1
        (80, "bid", 2, "0.28571429", 1),
        (100, "ask", 6, "0.85714286", 3),
        (110, "ask", 2, "0.28571429", 1),
        (120, "ask", 5, "0.71428571", 1),
    ]
    assert (heatmap["covered_low"], heatmap["covered_high"]) == (Decimal(70), Decimal(130))
    assert [entry["exchange"] for entry in heatmap["exchanges"]] == list(THREE)
    assert heatmap["missing"] == []
    book = results["consolidated"][1]
    assert merged(book["bids"]) == [(99, 2, 1), (98, 4, 2), (97, 1, 1), (88, 2, 1)]
    assert merged(book["asks"]) == [(101, 1, 1), (102, 4, 1), (103, 1, 1), (112, 2, 1), (125, 5, 1)]
    assert (book["mid_price"], book["spread"]) == (Decimal(100), Decimal(2))
    assert book["top"] == Decimal("0.33333333")  # (2 - 1) / 3
    assert book["depth5"] == book["depth20"] == book["bucketed"] == Decimal("-0.18181818")  # (9 - 13) / 22
    assert (book["exchanges"], book["missing"]) == (list(THREE), [])


def test_a_book_that_goes_blind_leaves_the_sum_at_the_next_tick():
    made = logs()
    mark_all(made, 0.5)
    made[1].book(0.6, "update", [("99", "9")], [], "wrong")
    mark_all(made, 1.0)
    made[2].books(1.1, "update", [("97", "9")], [], last=20, previous=19)
    mark_all(made, 1.5)
    results = computed(made)
    two, one = results["heatmap"][2:]
    assert [(entry["exchange"], entry["reason"]) for entry in one["missing"]] == [
        ("kraken", "checksum"),
        ("okx", "sequence_gap"),
    ]
    assert cells(two) == [
        (90, "bid", 2, "0.40000000", 2),
        (80, "bid", 2, "0.40000000", 1),
        (100, "ask", 2, "0.40000000", 2),
        (110, "ask", 2, "0.40000000", 1),
        (120, "ask", 5, "1.00000000", 1),
    ]
    assert cells(one) == [
        (90, "bid", 1, "0.50000000", 1),
        (80, "bid", 2, "1.00000000", 1),
        (100, "ask", 1, "0.50000000", 1),
        (110, "ask", 2, "1.00000000", 1),
    ]
    books = results["consolidated"]
    assert [book["exchanges"] for book in books[1:]] == [list(THREE), ["binance", "okx"], ["binance"]]
    assert books[2]["bucketed"] == Decimal("-0.38461538")  # (4 - 9) / 13
    assert (books[2]["top"], books[3]["top"]) == (Decimal(0), Decimal(0))
    assert (books[2]["depth5"], books[3]["depth5"]) == (Decimal("-0.38461538"), Decimal(0))


def test_the_window_of_one_exchange_limits_what_is_known_of_all():
    binance, kraken, okx = made = logs()
    binance.snapshot(0.3, 20, [["9999", "1"], ["9550", "3"]], [["10001", "1"]])
    kraken.book(0.3, "snapshot", [], [], "")
    okx.books(0.3, "snapshot", [(str(9999 - n), "1") for n in range(400)], [], last=20, previous=-1)
    mark_all(made, 0.5)
    results = computed(made, settings(exchanges=THREE, heatmap_depth=50))
    found = results["heatmap"][1]
    # Fifty buckets down from 9990 end at 9500; the window ends at 9600, and only an edge there is left.
    assert (found["covered_low"], found["covered_high"]) == (Decimal(9600), Decimal(10500))
    assert [entry["covered_low"] for entry in found["exchanges"]] == [None, None, Decimal(9600)]
    bids = {int(cell["price"]): (int(cell["volume"]), cell["exchange_count"]) for cell in found["data"]}
    assert (bids[9990], bids[9980], bids[9600]) == ((11, 2), (10, 1), (10, 1))
    assert bids[9550] == (3, 1)  # outside what all know: what one of them knows


def test_candles_are_over_all_three_and_open_and_close_by_time_then_name():
    binance, kraken, okx = made = logs()
    okx.deal(0.25, "1", "buy", "103", "2")
    kraken.deals(0.26, "update", (1, "sell", "101", "0.5"))  # at 0.25 by its own time
    binance.trade(0.27, 1, "100", "1", happened=0.25)
    binance.trade(0.28, 2, "99", "1", happened=0.125)
    mark_all(made, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    (candle,) = [row for row in computed(made)["ohlcv"] if row["timeframe"] == "1s"]
    assert [candle[name] for name in ("open", "high", "low", "close")] == [99, 103, 99, 103]
    assert (candle["volume"], candle["trade_count"], candle["received_at"]) == (Decimal("4.5"), 4, at_us(3))
    assert candle["complete"] is True


def test_a_candle_with_one_exchange_blind_at_one_tick_is_not_complete():
    made = logs()
    made[0].trade(0.25, 1, "100", "1")
    made[2].books(0.3, "update", [], [], last=20, previous=19)
    mark_all(made, 0.5)
    made[2].books(0.6, "snapshot", [], [], last=20, previous=-1)
    mark_all(made, 1.0, 1.5, 2.0, 2.5, 3.0)
    (candle,) = [row for row in computed(made)["ohlcv"] if row["timeframe"] == "1s"]
    assert candle["complete"] is False


def test_a_tick_waits_for_the_slowest_exchange_and_order_between_topics_decides_nothing():
    made = logs()
    mark_all(made, 0.5)
    mark_all(made[:2], 1.0, 1.5)
    forwards, backwards = computed(made), computed(made[::-1])
    assert [found["timestamp"] for found in forwards["heatmap"]] == [at_us(0), at_us(0.5)]
    assert len(forwards["book"]) == 4 + 4 + 2
    for name in ("heatmap", "consolidated", "ohlcv"):
        assert forwards[name] == backwards[name]


def gaps(log: Log, **more: object) -> list[tuple]:
    """(reason, conn, written at, from, until) in seconds after START."""
    chosen = settings(exchanges=(log.exchange,), **more)
    found = []
    for row in compute(log.records(), chosen)["gap"]:
        times = [row[name] for name in ("timestamp", "from_time", "until_time")]
        seconds = [None if time is None else (time - at_us(0)) / 1_000_000 for time in times]
        found.append((row["reason"], row["conn"], *seconds))
    return found


def test_a_hole_is_written_when_it_is_found_and_again_when_it_is_closed():
    log = logs()[1]
    log.marks(0.5)
    log.book(0.6, "update", [("99", "9")], [], "wrong")
    log.marks(1.0)
    log.event(1.1, "disconnected")  # the hole keeps its first reason
    log.conn = "b"
    log.book(1.2, "snapshot", [("99", "2"), ("98", "3")], [("102", "4")], KRAKEN_DIGITS)
    log.marks(1.5)
    assert gaps(log) == [("checksum", "a", 0.6, 0.6, None), ("checksum", "a", 1.2, 0.6, 1.2)]


def test_a_book_never_proven_has_no_hole():
    log = OkxLog()
    log.marks(0)
    log.books(0.1, "update", [("97", "1")], [], last=2, previous=1)
    log.event(0.2, "disconnected")
    log.marks(0.5)
    assert gaps(log) == []


def test_a_symbol_has_no_hole_while_another_connection_is_proven():
    log = logs()[2]
    log.conn = "b"
    log.event(0.3, "connected")
    log.books(0.3, "snapshot", [("97", "1")], [], last=10, previous=-1)
    log.books(0.4, "update", [], [], last=12, previous=11)
    log.marks(0.5)
    log.conn = "a"
    log.event(0.6, "disconnected")
    log.marks(1.0)
    assert gaps(log) == [("disconnected", "a", 0.6, 0.6, None)]


def test_a_lost_producer_and_a_crossed_book_are_found_at_ticks():
    log = logs()[2]
    log.marks(0.5)
    log.books(0.6, "update", [("97", "2")], [], last=11, previous=10)
    log.marks(1.0, 1.5, 2.0, 2.5, 3.0)
    log.books(3.1, "update", [("104", "1")], [], last=12, previous=11)
    log.marks(3.5)
    assert gaps(log) == [
        ("producer_lost", "a", 3.0, 3.0, None),
        ("producer_lost", "a", 3.1, 3.0, 3.1),
        ("crossed", "a", 3.5, 3.5, None),
    ]
    assert gaps(log, not_listed=frozenset({("okx", "BTCUSDT")})) == []


def test_a_hole_found_at_a_tick_begins_there_whatever_record_made_it_due():
    log = logs()[2]
    log.books(0.3, "update", [("104", "1")], [], last=11, previous=10)
    log.event(0.55, "alive")
    assert gaps(log) == [("crossed", "a", 0.5, 0.5, None)]


def test_a_silence_may_be_noticed_and_ended_by_one_record():
    log = logs()[2]
    log.marks(0.5, 1.0, 1.5, 2.0)
    log.books(2.3, "update", [], [], last=10, previous=10)
    log.marks(2.5)
    assert gaps(log) == [("producer_lost", "a", 2.3, 2.3, None), ("producer_lost", "a", 2.3, 2.3, 2.3)]


def test_a_proven_connection_gives_way_to_newer_ones_only_when_it_is_silent():
    log = logs()[2]
    for conn in "bcde":
        log.conn = conn
        log.event(0.3, "connected")
    assert gaps(log) == [], "of b, c and d one goes, which have proven nothing"
    log.marks(0.5, 1.0, 1.5, 2.0)
    log.conn = "e"
    log.event(2.1, "alive")
    log.conn = "f"
    log.event(2.2, "connected")
    (gap,) = gaps(log)
    assert gap[:2] == ("producer_lost", "a")


def test_ticks_left_out_are_a_hole_at_once_closed():
    log = logs()[0]
    log.marks(0.5, 2.5, 5.0)
    log.event(5.1, "alive")
    found = gaps(log)
    # 2 s at once are not too many; after 2.5 s only the newest tick is emitted, and it finds the producer lost.
    assert found == [
        ("producer_lost", "a", 2.5, 2.5, None),
        ("time_jump", None, 5.0, 2.5, 5.0),
    ]
