"""The reference's OKX: checksums that OKX sent, and small books by hand."""

import json
from collections import Counter
from decimal import Decimal

import pytest

from tests.reference import okx
from tests.reference.by_hand import START_US, at_us, settings
from tests.reference.by_hand_pushed import OkxLog, signed_crc32
from tests.reference.recording import raw_records
from tests.reference.run import compute

RECORDING = "okx/cryptofeed_ws_1_0.jsonl"
CONTRACTS = ("BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT")
ONE = settings(exchanges=("okx",), heatmap_depth=3)
BIDS, ASKS = [("98", "1.5"), ("97.50", "2")], [("101.5", "0.25")]
TEXT = "98:1.5:101.5:0.25:97.50:2"


def levels(*pairs: tuple[str, str]) -> list[dict]:
    return [{"price": Decimal(price), "size": Decimal(size)} for price, size in pairs]


def shown(log: OkxLog, **more: object) -> list[tuple[str | None, int | None]]:
    """(reason, sequence_id) of each tick."""
    ticks = compute(log.records(), settings(exchanges=("okx",), **more))["book"]
    return [(tick["reason"], tick["sequence_id"]) for tick in ticks]


def live_log() -> OkxLog:
    """Proven at 10 before the tick of 0.5."""
    log = OkxLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.books(0.2, "snapshot", BIDS, ASKS, last=10, previous=-1, checksum=0)
    return log


def rows(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def frames_of(path, contract: str) -> list:
    """The book messages and trades of one contract."""
    found = []
    for row in rows(path):
        if row["dir"] == "in":
            found += okx.read({"kind": "ws", "value": row["frame"].encode()}, {contract: "X"})
    return found


def books_of(path, contract: str) -> list[okx.Message]:
    return [item for item in frames_of(path, contract) if isinstance(item, okx.Message)]


def reasons_after(messages: list[okx.Message]) -> list[str | None]:
    book = okx.Book()
    found = []
    for message in messages:
        book.take(message)
        found.append(book.reason)
    return found


def test_the_published_vector_gives_its_checksum(frames_dir):
    (vector,) = [row for row in rows(frames_dir / "checksum_vectors.jsonl") if row["exchange"] == "okx"]
    bids, asks = (
        [(Decimal(p), Decimal(s)) for p, s in side]
        for side in (vector["book"]["bids"], vector["book"]["asks"])
    )
    assert okx.checksum(bids, asks) == vector["expected"]["crc32_signed"] == 831078360


def test_every_checksum_of_the_recording_holds(frames_dir):
    messages = {contract: books_of(frames_dir / RECORDING, contract) for contract in CONTRACTS}
    assert sum(len(found) for found in messages.values()) == 82
    assert sum(message.checksum < 0 for found in messages.values() for message in found) > 20
    for found in messages.values():
        assert None not in {message.checksum for message in found}
        assert {message.previous for message in found} == {None}  # frames of 2022
        assert set(reasons_after(found)) == {None}


def test_an_update_of_the_recording_that_is_lost_is_found_out(frames_dir):
    messages = books_of(frames_dir / RECORDING, "BTC-USDT")
    found = [
        reasons_after(messages[:lost] + messages[lost + 1 :])[-1] for lost in range(1, len(messages) - 1)
    ]
    assert Counter(found)["checksum"] > len(found) / 2


def test_the_recording_holds_the_window_by_itself(frames_dir):
    """Levels that leave it are deleted by the exchange: nobody has to truncate."""
    book = okx.Book()
    for message in books_of(frames_dir / RECORDING, "BTC-USDT"):
        book.take(message)
        assert (len(book.bids), len(book.asks)) == (400, 400)
        assert (book.covered_low, book.covered_high) == (min(book.bids), max(book.asks))


def test_the_recording_gives_trades_and_books_at_every_tick(frames_dir):
    names = {contract.replace("-", ""): contract for contract in CONTRACTS}
    chosen = settings(
        exchanges=("okx",),
        symbols=tuple(names),
        bucket_sizes=dict.fromkeys(names, Decimal("0.01")),
        exchange_symbols={("okx", symbol): name for symbol, name in names.items()},
    )
    results = compute(raw_records(frames_dir / RECORDING, "okx", marks_after=3), chosen)
    assert len(results["book"]) > 25
    assert {(tick["reason"], tick["sequence_id"]) for tick in results["book"]} == {(None, None)}
    told = {}
    for row in rows(frames_dir / RECORDING):
        if row["channel"] == "trades" and "data" in row["frame"]:
            for deal in json.loads(row["frame"])["data"]:
                told[deal["instId"].replace("-", ""), deal["tradeId"]] = deal
    assert len(told) == len(results["trade"]) == 23
    for trade in results["trade"]:
        deal = told[trade["symbol"], trade["trade_id"]]
        assert [trade["side"], trade["timestamp"]] == [deal["side"], int(deal["ts"]) * 1000]
        assert [trade["price"], trade["size"]] == [Decimal(deal["px"]), Decimal(deal["sz"])]


def test_a_small_book_is_stated_as_computed_by_hand():
    log = live_log()
    log.books(0.3, "update", [("97.5", "0")], [("111", "4")], last=15, previous=10, checksum=0)
    log.deal(0.4, "77", "sell", "98", "0.5")
    log.marks(0.5)
    results = compute(log.records(), ONE)
    assert results["book"] == [
        {
            "symbol": "BTCUSDT",
            "exchange": "okx",
            "timestamp": START_US + 500_000,
            "live": True,
            "reason": None,
            "conn": "a",
            "sequence_id": 15,
            "bids": levels(("98", "1.5")),
            "asks": levels(("101.5", "0.25"), ("111", "4")),
            "bucket_size": Decimal(10),
            "bid_buckets": [{"price": Decimal(90), "volume": Decimal("1.5")}],
            "ask_buckets": [
                {"price": Decimal(100), "volume": Decimal("0.25")},
                {"price": Decimal(110), "volume": Decimal(4)},
            ],
            "covered_low": None,
            "covered_high": None,
            "mid_price": Decimal("99.75"),
            "spread": Decimal("3.5"),
            "bid_volume": Decimal("1.5"),
            "ask_volume": Decimal("4.25"),
            "imbalance": Decimal("-0.47826087"),  # -2.75 / 5.75
            "quality": Decimal("0.05"),
            "bars": results["book"][0]["bars"],
        }
    ]
    ((bar,), (trade,)) = results["book"][0]["bars"], results["trade"]
    assert (bar["open"], bar["volume"], bar["open_time"]) == (Decimal(98), Decimal("0.5"), at_us(0.4))
    assert (trade["side"], trade["trade_id"], trade["timestamp"]) == ("sell", "77", at_us(0.4))


def test_only_the_link_counts_numbers_may_repeat_and_go_down():
    log = live_log()
    log.books(0.3, "update", [], [], last=10, previous=10, checksum=0)  # idle keep-alive
    log.marks(0.5)
    log.books(0.6, "update", [("98", "2")], [], last=17, previous=10)
    log.books(0.7, "update", [("98", "3")], [], last=3, previous=17)  # maintenance
    log.marks(1.0)
    log.books(1.1, "update", [("98", "4")], [], last=5, previous=3)
    log.marks(1.5)
    assert shown(log) == [(None, 10), (None, 3), (None, 5)]


@pytest.mark.parametrize("previous", [9, 11, 17])
def test_a_broken_link_blinds_the_book_until_the_next_snapshot(previous):
    log = live_log()
    log.books(0.6, "update", [("98", "2")], [], last=20, previous=previous)
    log.marks(1.0)
    log.books(1.1, "update", [("98", "2")], [], last=20, previous=10)  # the one that was expected, too late
    log.marks(1.5)
    log.books(1.6, "snapshot", [("95", "1")], [], last=4, previous=-1)
    log.books(1.7, "update", [("94", "1")], [], last=6, previous=4)
    log.marks(2.0)
    assert shown(log) == [(None, 10), ("sequence_gap", None), ("sequence_gap", None), (None, 6)]
    assert compute(log.records(), ONE)["book"][-1]["bids"] == levels(("95", "1"), ("94", "1"))


def test_nothing_counts_before_the_first_snapshot():
    log = OkxLog()
    log.marks(0)
    log.books(0.1, "update", [("90", "7")], [], last=10, previous=-1)
    log.marks(0.5)
    log.books(0.6, "snapshot", BIDS, ASKS, last=10, previous=-1)
    log.marks(1.0)
    assert shown(log) == [("never_connected", None), (None, 10)]
    assert compute(log.records(), ONE)["book"][-1]["bids"] == levels(*BIDS)


def test_an_update_that_names_no_predecessor_is_held_to_the_checksum_alone():
    log = live_log()
    log.books(0.3, "update", [("98", "2")], [], checksum=signed_crc32("98:2:101.5:0.25:97.50:2"))
    log.marks(0.5)
    log.books(0.6, "update", [("98", "3")], [], checksum=signed_crc32(TEXT))
    log.marks(1.0)
    assert shown(log) == [(None, None), ("checksum", None)]


def test_a_checksum_that_is_there_and_not_zero_must_hold_over_the_texts_as_sent():
    log = OkxLog()
    log.marks(0)
    log.books(0.1, "snapshot", BIDS, ASKS, last=10, previous=-1, checksum=signed_crc32(TEXT))
    log.marks(0.5)
    text = "98.0:1.50:101.5:0.25:97.50:2"  # the newest texts of the price and of its size
    log.books(0.6, "update", [("98.0", "1.50")], [], last=11, previous=10, checksum=signed_crc32(text))
    log.marks(1.0)
    log.books(1.1, "update", [("98.0", "1.5")], [], last=12, previous=11, checksum=signed_crc32(text))
    log.marks(1.5)
    log.books(1.6, "update", [("98", "1.5")], [], last=13, previous=12, checksum=signed_crc32(TEXT))
    log.marks(2.0)
    log.books(2.1, "snapshot", BIDS, ASKS, last=10, previous=-1, checksum=1)
    log.marks(2.5)
    assert shown(log) == [(None, 10), (None, 11), ("checksum", None), ("checksum", None), ("checksum", None)]


def test_a_checksum_is_of_twenty_five_levels_a_side():
    bids = [(str(100 - number), "1") for number in range(26)]
    asks = [("101", "1")]
    text = "100:1:101:1:" + ":".join(f"{100 - number}:1" for number in range(1, 25))
    log = OkxLog()
    log.marks(0)
    log.books(0.1, "snapshot", bids, asks, checksum=signed_crc32(text))
    log.marks(0.5)
    assert shown(log) == [(None, None)]


def test_a_side_of_four_hundred_levels_is_known_down_to_its_worst_level_of_the_tick():
    asks = [(str(9001 + number), "1") for number in range(400)]
    log = OkxLog()
    log.marks(0)
    log.books(0.1, "snapshot", [("9000", "1")], asks, last=1, previous=-1)
    log.marks(0.5)
    log.books(0.6, "update", [], [("9001", "0"), ("9411", "1")], last=2, previous=1)
    log.marks(1.0)
    log.books(1.1, "update", [], [("9002", "0")], last=3, previous=2)
    log.marks(1.5)
    ticks = compute(log.records(), settings(exchanges=("okx",), heatmap_depth=100))["book"]
    assert [tick["covered_high"] for tick in ticks] == [Decimal(9400), Decimal(9411), Decimal(9411)]
    assert [tick["covered_low"] for tick in ticks] == [None, None, None]
    highest = [tick["ask_buckets"][-1]["price"] for tick in ticks]
    assert highest == [
        9390,
        9400,
        9400,
    ]  # [9410, 9420) is known up to 9411: what came for 9002 is not told yet


def test_a_lost_producer_comes_back_with_an_update_that_continues():
    log = live_log()
    log.marks(0.5, 1.0, 1.5, 2.0, 2.5)
    log.write(2.6, "ws", b"pong")
    log.marks(3.0)
    log.books(3.1, "update", [], [], last=10, previous=10)
    log.marks(3.5)
    assert [reason for reason, _ in shown(log)] == [None] * 4 + ["producer_lost"] * 2 + [None]


def test_a_wrong_instrument_is_not_listed():
    log = OkxLog()
    log.marks(0)
    text = "Wrong URL or channel:books,instId:%s doesn't exist."
    log.write(0.1, "ws", {"event": "error", "code": "60012", "msg": text % "BTC-USDT"})
    log.write(0.2, "ws", {"event": "error", "code": "60018", "msg": text % "BTC-USDT-SWAP"})
    log.marks(0.5)
    log.write(0.6, "ws", {"event": "error", "code": "60018", "msg": text % "BTC-USDT"})
    log.marks(1.0)
    assert [reason for reason, _ in shown(log)] == ["never_connected", "not_listed"]


def test_a_trade_counts_once_also_over_connections():
    log = OkxLog()
    log.deal(0.1, "5", "buy", "100", "1")
    log.conn = "b"
    log.deal(0.2, "5", "buy", "100", "1")
    log.deal(0.3, "9", "sell", "100", "1")
    assert [trade["trade_id"] for trade in compute(log.records(), ONE)["trade"]] == ["5", "9"]


def test_what_can_not_be_read_or_is_something_else_changes_nothing():
    log = live_log()
    arg = {"channel": "books", "instId": "BTC-USDT"}
    level = [["97", "1", "0", "1"]]
    for value in (
        b"pong",
        b"",
        b"[]",
        b"\xff",
        {"event": "subscribe", "arg": arg, "connId": "x"},
        {"event": "notice", "code": "64008", "msg": "soon"},
        {"arg": arg, "data": [{"bids": level, "asks": [], "seqId": 11, "prevSeqId": 10}]},  # no action
        {"arg": arg, "action": "update", "data": [{"bids": level, "seqId": 11, "prevSeqId": 10}]},
        {
            "arg": arg,
            "action": "update",
            "data": [{"bids": level, "asks": [], "seqId": "11", "prevSeqId": 10}],
        },
        {
            "arg": arg,
            "action": "update",
            "data": [{"bids": [[97, 1]], "asks": [], "seqId": 11, "prevSeqId": 10}],
        },
        {
            "arg": arg | {"channel": "books5"},
            "data": [{"bids": level, "asks": [], "seqId": 11, "prevSeqId": 10}],
        },
        {
            "arg": arg | {"channel": "books50-l2-tbt"},
            "action": "update",
            "data": [{"bids": level, "asks": [], "seqId": 11, "prevSeqId": 10}],
        },
        {"arg": arg | {"channel": "tickers"}, "data": [{"last": "97"}]},
    ):
        log.write(0.3, "ws", value)
    log.deal(0.4, "1", "buy", "0", "1")
    log.deal(0.4, "", "buy", "1", "1")
    log.marks(0.5)
    results = compute(log.records(), ONE)
    assert results["trade"] == []
    assert [(tick["sequence_id"], tick["bids"]) for tick in results["book"]] == [(10, levels(*BIDS))]
