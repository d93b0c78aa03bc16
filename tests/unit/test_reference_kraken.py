"""The reference's Kraken v2: checksums that Kraken published and sent, and small books by hand."""

import gzip
import json
from collections import Counter
from decimal import Decimal

import pytest

from tests.reference import kraken
from tests.reference.by_hand import START_US, at_us, settings
from tests.reference.by_hand_pushed import KrakenLog
from tests.reference.recording import raw_records
from tests.reference.run import compute

RECORDING = "kraken/derived_v2_book1000.jsonl.gz"
PAIRS = (
    "ADA/BTC",
    "BTC/CHF",
    "ETH/CHF",
    "GRT/ETH",
    "KSM/BTC",
    "OCEAN/BTC",
    "OMG/USD",
    "SC/EUR",
    "WAVES/EUR",
    "XMR/USD",
)
ONE = settings(exchanges=("kraken",), heatmap_depth=3)
# Price with one decimal, size with two: asks, then bids.
DIGITS = "101525" + "980150" + "975200"
BIDS, ASKS = [("97.5", "2"), ("98.0", "1.50")], [("101.5", "0.25")]


def levels(*pairs: tuple[str, str]) -> list[dict]:
    return [{"price": Decimal(price), "size": Decimal(size)} for price, size in pairs]


def reasons(log: KrakenLog, **more: object) -> list[str | None]:
    ticks = compute(log.records(), settings(exchanges=("kraken",), **more))["book"]
    return [tick["reason"] for tick in ticks]


def live_log() -> KrakenLog:
    """Proven before the tick of 0.5."""
    log = KrakenLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.book(0.2, "snapshot", BIDS, ASKS, DIGITS)
    return log


def rows(path) -> list[dict]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def frames_of(path, pair: str) -> list[kraken.Message]:
    """The book messages of one pair."""
    found = []
    for row in rows(path):
        found += kraken.read({"kind": "ws", "value": row["frame"].encode()}, {pair: "X"})
    return found


def reasons_after(messages: list, *before: object) -> list[str | None]:
    book = kraken.Book()
    found = []
    for message in [*before, *messages]:
        book.take(message)
        found.append(book.reason)
    return found[len(before) :]


def test_the_published_vector_gives_its_checksum(frames_dir):
    (vector,) = [row for row in rows(frames_dir / "checksum_vectors.jsonl") if row["exchange"] == "kraken"]
    bids, asks = (
        [(Decimal(p), Decimal(s)) for p, s in side]
        for side in (vector["book"]["bids"], vector["book"]["asks"])
    )
    assert kraken.checksum(bids, asks, 5, 8) == vector["expected"]["crc32_unsigned"] == 974947235


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("0.05000", 5, "5000"),
        ("63298", 1, "632980"),
        ("5.1e-05", 8, "5100"),
        ("1.500", 1, "15"),
        ("0.04995", 4, "4995"),  # the fifth digit is no zero: without it, this would be another number
        ("10", 0, "10"),
    ],
)
def test_digits_are_those_of_the_number_at_the_pairs_precision(text, decimals, expected):
    assert kraken.digits(Decimal(text), decimals) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([], [None, None]),  # the most decimals seen are the pair's: 1 and 8
        ([kraken.Precision("X", 1, 8)], [None, None]),
        ([kraken.Precision("X", 2, 8)], ["checksum", "checksum"]),
        ([kraken.Precision("X", 1, 9)], ["checksum", "checksum"]),
    ],
)
def test_the_capture_of_2026_verifies_at_the_pairs_precision_only(frames_dir, before, expected):
    messages = frames_of(frames_dir / "kraken/ccxt_ws_v2_book.jsonl", "BTC/USD")
    assert [message.checksum for message in messages] == [1490766955, 1153589921]
    assert reasons_after(messages, *before) == expected


def test_every_checksum_of_the_recording_holds(frames_dir):
    checked = 0
    for pair in PAIRS:
        messages = frames_of(frames_dir / RECORDING, pair)
        assert set(reasons_after(messages)) == {None}
        checked += len(messages)
    assert checked == 1064


def test_an_update_of_the_recording_that_is_lost_is_found_out(frames_dir):
    messages = frames_of(frames_dir / RECORDING, "XMR/USD")
    found = [reasons_after(messages[:lost] + messages[lost + 1 :])[-1] for lost in range(1, len(messages))]
    # The rest never comes near the best ten, which is all that the checksum is made of.
    assert Counter(found)["checksum"] > len(found) / 2
    assert reasons_after(messages[1:])[-1] == "never_connected"


def test_the_recording_gives_books_at_every_tick_from_the_snapshots_on(frames_dir):
    names = {pair.replace("/", ""): pair for pair in PAIRS}
    chosen = settings(
        exchanges=("kraken",), symbols=tuple(names), bucket_sizes=dict.fromkeys(names, Decimal("0.01"))
    )
    results = compute(raw_records(frames_dir / RECORDING, "kraken", marks_after=3), chosen)
    halves = [
        (int(row["received_at"] * 2), '"type":"snapshot"' in row["frame"])
        for row in rows(frames_dir / RECORDING)
    ]
    first, last = halves[0][0], halves[-1][0]
    blind = sum(half - first for half, is_snapshot in halves if is_snapshot)
    found = Counter(tick["reason"] for tick in results["book"])
    assert found == {"never_connected": blind, None: len(PAIRS) * (last + 3 - first) - blind}
    assert {tick["sequence_id"] for tick in results["book"]} == {None}
    assert results["gap"] == []


def test_a_small_book_is_stated_as_computed_by_hand():
    log = live_log()
    log.marks(0.5)
    (tick,) = compute(log.records(), ONE)["book"]
    assert tick == {
        "symbol": "BTCUSDT",
        "exchange": "kraken",
        "timestamp": START_US + 500_000,
        "live": True,
        "reason": None,
        "conn": "a",
        "sequence_id": None,
        "bids": levels(("98", "1.5"), ("97.5", "2")),
        "asks": levels(("101.5", "0.25")),
        "bucket_size": Decimal(10),
        "bid_buckets": [{"price": Decimal(90), "volume": Decimal("3.5")}],
        "ask_buckets": [{"price": Decimal(100), "volume": Decimal("0.25")}],
        "covered_low": None,
        "covered_high": None,
        "mid_price": Decimal("99.75"),
        "spread": Decimal("3.5"),
        "bid_volume": Decimal("3.5"),
        "ask_volume": Decimal("0.25"),
        "imbalance": Decimal("0.86666667"),  # 3.25 / 3.75
        "quality": Decimal("0.05"),  # one of 20 levels
        "bars": [],
    }


def test_the_precision_is_the_most_decimals_seen_until_an_instrument_says_it():
    log = live_log()
    log.book(0.3, "update", [("96", "0.125")], [], "101525098015009752000960125")
    log.marks(0.5)
    log.instrument(0.6, 2, 4)
    log.book(0.7, "update", [], [("101.5", "0")], "98001500097502000096001250")
    log.marks(1.0)
    log.instrument(1.1, 1, 3)  # changed by the exchange
    log.book(1.2, "update", [("96", "0")], [], "98015009752000")
    log.marks(1.5)
    log.book(1.6, "update", [], [("103", "5e-3")], "10305098015009752000")  # 3 decimals: no
    log.marks(2.0)
    assert reasons(log) == [None, None, None, "checksum"]


def test_a_number_in_exponent_notation_has_its_decimals():
    log = live_log()
    log.book(0.3, "update", [], [("103", "5e-3")], "10152501030598015009752000")
    log.marks(0.5)
    assert reasons(log) == [None]


def test_a_wrong_checksum_blinds_the_book_until_the_next_snapshot():
    log = live_log()
    log.marks(0.5)
    log.book(0.6, "update", [("98", "3")], [], "wrong")
    log.marks(1.0)
    log.book(1.1, "update", [("98", "1.5")], [], DIGITS)  # right again, and of no use
    log.marks(1.5)
    log.book(1.6, "snapshot", BIDS, ASKS, "wrong")
    log.marks(2.0)
    log.book(2.1, "snapshot", BIDS[:1], ASKS, "101525975200")
    log.marks(2.5)
    ticks = compute(log.records(), ONE)["book"]
    assert [tick["reason"] for tick in ticks] == [None, "checksum", "checksum", "checksum", None]
    assert ticks[-1]["bids"] == levels(("97.5", "2"))


def test_nothing_counts_before_the_first_snapshot_and_a_snapshot_replaces_all():
    log = KrakenLog()
    log.marks(0)
    log.book(0.1, "update", [("90.0", "7.00")], [], "900700")
    log.marks(0.5)
    log.book(0.6, "snapshot", BIDS, ASKS, DIGITS)
    log.book(0.7, "snapshot", [("95.0", "1.00")], [], "950100")  # sent again on a live subscription
    log.marks(1.0)
    ticks = compute(log.records(), ONE)["book"]
    assert [tick["reason"] for tick in ticks] == ["never_connected", None]
    assert (ticks[1]["bids"], ticks[1]["asks"]) == (levels(("95", "1")), [])


def test_a_side_is_cut_to_a_thousand_levels_and_known_only_so_far_once_it_was_full():
    bids = [(str(9000 - number), "1") for number in range(1000)]
    best = "".join(f"{9000 - number}1" for number in range(9))
    log = KrakenLog()
    log.marks(0)
    log.book(0.1, "snapshot", bids, [("9500", "1")], "95001" + best + "89911")
    log.marks(0.5)
    log.book(0.6, "update", [("9001", "1")], [], "95001" + "90011" + best)
    log.marks(1.0)
    log.book(1.1, "update", [("9001", "0")], [], "95001" + best + "89911")
    log.marks(1.5)
    ticks = compute(log.records(), settings(exchanges=("kraken",), heatmap_depth=200))["book"]
    assert [tick["covered_low"] for tick in ticks] == [Decimal(8001), Decimal(8002), Decimal(8002)]
    assert [tick["covered_high"] for tick in ticks] == [None, None, None]
    volumes = [{bucket["price"]: bucket["volume"] for bucket in tick["bid_buckets"]} for tick in ticks]
    assert [min(found) for found in volumes] == [8010, 8010, 8010]  # [8000, 8010) is known in part only
    assert volumes[2][Decimal(8990)] == 10


def test_asks_are_cut_as_bids_are():
    asks = [(str(2000 + number), "1") for number in range(1000)]
    best = "".join(f"{2000 + number}1" for number in range(9))
    log = KrakenLog()
    log.marks(0)
    log.book(0.1, "snapshot", [], asks, best + "20091")
    log.book(0.2, "update", [], [("1999", "1")], "19991" + best)
    log.marks(0.5)
    (tick,) = compute(log.records(), settings(exchanges=("kraken",), heatmap_depth=200))["book"]
    assert (tick["covered_low"], tick["covered_high"]) == (None, Decimal(2998))
    assert tick["ask_buckets"][-1] == {"price": Decimal(2980), "volume": Decimal(10)}


@pytest.mark.parametrize("bid", ["101.5", "102.0"])
def test_a_book_found_crossed_at_a_tick_waits_for_a_snapshot(bid):
    digits = bid.replace(".", "") + "100"
    log = live_log()
    log.book(0.3, "update", [(bid, "1.00")], [], "101525" + digits + "980150975200")
    log.marks(0.5)
    log.book(0.6, "update", [(bid, "0")], [], DIGITS)
    log.marks(1.0)
    log.book(1.1, "snapshot", BIDS, ASKS, DIGITS)
    log.marks(1.5)
    assert reasons(log) == ["crossed", "crossed", None]


def test_a_lost_producer_comes_back_with_an_update_whose_checksum_holds():
    log = live_log()
    log.marks(0.5, 1.0, 1.5, 2.0, 2.5)
    log.write(2.6, "ws", {"channel": "heartbeat"})
    log.marks(3.0)
    log.book(3.1, "update", [], [], DIGITS)
    log.marks(3.5)
    assert reasons(log) == [None] * 4 + ["producer_lost"] * 2 + [None]


def test_heartbeats_keep_a_quiet_book_from_being_stale():
    log = live_log()
    for second in (1, 2, 3):
        log.marks(second - 0.5)
        log.write(second - 0.4, "ws", {"channel": "heartbeat"})
        log.marks(second)
    assert reasons(log, silence_seconds={"kraken": 1.5}) == [None] * 6


def test_a_pair_that_is_not_supported_is_not_listed():
    log = KrakenLog()
    log.marks(0)
    refused = {"method": "subscribe", "req_id": 1, "success": False}
    log.write(0.1, "ws", refused | {"error": "Subscription depth not supported"})
    log.write(0.1, "ws", refused | {"error": "Currency pair not supported ETH/USDT"})
    log.marks(0.5)
    log.write(0.6, "ws", refused | {"error": "Currency pair not supported BTC/USDT"})
    log.marks(1.0)
    assert reasons(log) == ["never_connected", "not_listed"]


def test_history_counts_only_behind_the_first_live_trade():
    log = KrakenLog()
    log.marks(0)
    log.deals(0.1, "snapshot", (5, "buy", "100.0", "1.0"), (6, "buy", "100.0", "1.0"))
    log.deals(0.3, "update", (7, "sell", "100.5", "0.25"), (8, "buy", "100.6", "5e-05"))
    log.conn = "b"
    log.deals(
        0.4, "snapshot", (6, "buy", "100.0", "1.0"), (7, "sell", "100.5", "0.25"), (9, "buy", "101", "2")
    )
    trades = compute(log.records(), ONE)["trade"]
    assert [trade["trade_id"] for trade in trades] == ["7", "8", "6", "9"]
    assert [trade["side"] for trade in trades] == ["sell", "buy", "buy", "buy"]
    assert [trade["size"] for trade in trades] == [Decimal(x) for x in ("0.25", "0.00005", "1", "2")]
    assert {trade["timestamp"] for trade in trades} == {at_us(0.25)}
    assert {trade["time_replaced"] for trade in trades} == {False}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14T22:14:00.000001Z", 1),
        ("2023-11-14T22:14:01Z", 1_000_000),
        ("2023-11-14T23:14:00.5+01:00", 500_000),
    ],
)
def test_times_are_read_to_the_microsecond(text, expected):
    assert kraken.time_us(text) == START_US + expected


def test_what_can_not_be_read_changes_nothing():
    log = live_log()
    head = b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USDT","checksum":1,"asks":[],"bids":[{"price":'
    for value in (
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"channel":"book","type":"other","data":[]}',
        b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USDT","bids":[],"asks":[]}]}',
        b'{"channel":"instrument","type":"update","data":{"pairs":[{"symbol":"BTC/USDT","price_precision":-1}]}}',
        head + b'97,"qty":-1}]}]}',
        head + b'NaN,"qty":1}]}]}',
        head + b'1e400,"qty":1}]}]}',
        head + b'1e99999999999999999999,"qty":1}]}]}',
        head + b'"97","qty":1}]}]}',
        head + b'true,"qty":1}]}]}',
    ):
        log.write(0.3, "ws", value)
    log.deals(0.4, "update", (1, "buy", "0", "1"))
    log.deals(0.4, "update", (2, "none", "1", "1"))
    log.marks(0.5)
    results = compute(log.records(), ONE)
    assert results["trade"] == []
    assert [tick["live"] for tick in results["book"]] == [True]
    assert results["book"][0]["bids"] == levels(("98", "1.5"), ("97.5", "2"))


def test_an_unknown_symbol_of_a_frame_leaves_the_others():
    log = KrakenLog()
    entry = '{"symbol":"%s","side":"buy","price":1,"qty":2,"trade_id":%d,"timestamp":"2023-11-14T22:14:00Z"}'
    entries = ",".join(entry % named for named in (("DOGE/USDT", 1), ("BTC/USDT", 2)))
    log.write(0.1, "ws", f'{{"channel":"trade","type":"update","data":[{entries}]}}'.encode())
    assert [trade["trade_id"] for trade in compute(log.records(), ONE)["trade"]] == ["2"]
