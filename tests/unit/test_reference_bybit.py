"""The reference's Bybit: small books by hand, and the recorded frames of spot."""

import json
from decimal import Decimal

import pytest

from tests.reference import bybit
from tests.reference.by_hand import Log, at_us, settings
from tests.reference.exchange import NotListed, Trade
from tests.reference.run import compute

ONE = settings(exchanges=("bybit",), heatmap_depth=3)
BIDS, ASKS = [["98", "1.5"], ["97.50", "2"]], [["101.5", "0.25"]]
NAMES = {"BTCUSDT": "BTCUSDT"}


class BybitLog(Log):
    """Bybit's frames in a raw partition."""

    exchange = "bybit"

    def book(self, second: float, kind: str, number: int, bids: list, asks: list, depth: int = 1000) -> None:
        """A snapshot or delta of a topic."""
        data = {"s": self.symbol, "b": bids, "a": asks, "u": number, "seq": 5}
        topic = f"orderbook.{depth}.{self.symbol}"
        self.write(second, "ws", {"topic": topic, "ts": 1, "type": kind, "data": data, "cts": 1})

    def deal(self, second: float, trade_id: str, side: str, price: str, size: str) -> None:
        """A trade at the time it was received."""
        time_ms = at_us(second) // 1000
        entry = {"i": trade_id, "T": time_ms, "p": price, "v": size, "S": side, "s": self.symbol, "BT": False}
        self.write(second, "ws", {"topic": f"publicTrade.{self.symbol}", "type": "snapshot", "data": [entry]})


def live_log() -> BybitLog:
    """Proven at 10 before the tick of 0.5."""
    log = BybitLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.book(0.2, "snapshot", 10, BIDS, ASKS)
    return log


def shown(log: BybitLog) -> list[tuple[str | None, int | None]]:
    """(reason, sequence_id) of each tick."""
    return [(tick["reason"], tick["sequence_id"]) for tick in compute(log.records(), ONE)["book"]]


def test_a_small_book_is_stated_as_computed_by_hand():
    log = live_log()
    log.book(0.3, "delta", 11, [["97.5", "0"]], [["111", "4"]])
    log.deal(0.4, "2290000000000000001", "Sell", "98", "0.5")
    log.marks(0.5)
    results = compute(log.records(), ONE)
    (tick,), (trade,) = results["book"], results["trade"]
    assert (tick["live"], tick["sequence_id"], tick["mid_price"]) == (True, 11, Decimal("99.75"))
    assert tick["bids"] == [{"price": Decimal(98), "size": Decimal("1.5")}]
    assert [(level["price"], level["size"]) for level in tick["asks"]] == [
        (Decimal("101.5"), Decimal("0.25")),
        (Decimal(111), Decimal(4)),
    ]
    assert (trade["side"], trade["trade_id"], trade["timestamp"]) == (
        "sell",
        "2290000000000000001",
        at_us(0.4),
    )


@pytest.mark.parametrize("number", [9, 10, 12])
def test_a_number_that_is_not_the_next_blinds_until_the_next_snapshot(number):
    log = live_log()
    log.marks(0.5)
    log.book(0.6, "delta", number, [["98", "2"]], [])
    log.book(0.7, "delta", 11, [["98", "2"]], [])
    log.marks(1.0)
    log.book(1.1, "snapshot", 4, [["95", "1"]], [])
    log.book(1.2, "delta", 5, [["94", "1"]], [])
    log.marks(1.5)
    assert shown(log) == [(None, 10), ("sequence_gap", None), (None, 5)]


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_number_one_overwrites_the_book(kind):
    log = live_log()
    log.book(0.3, kind, 1, [["90", "1"]], [["91", "1"]])
    log.book(0.4, "delta", 2, [], [["92", "1"]])
    log.marks(0.5)
    (tick,) = compute(log.records(), ONE)["book"]
    assert (tick["sequence_id"], tick["mid_price"]) == (2, Decimal("90.5"))


def test_nothing_counts_before_the_first_snapshot_nor_of_another_depth():
    log = BybitLog()
    log.marks(0)
    log.book(0.1, "delta", 9, [["90", "7"]], [])
    log.book(0.2, "snapshot", 9, [["90", "7"]], [], depth=50)
    log.marks(0.5)
    assert shown(log) == [("never_connected", None)]


@pytest.mark.parametrize(
    ("message", "expected"),
    [("Invalid symbol :[orderbook.1000.BTCUSDT]", [NotListed("BTCUSDT")]),
     ("Invalid topic: publicTrade.BTCUSDT", [NotListed("BTCUSDT")]), ("Invalid topic: publicTrade.BTCUSDC", []),
     ("error:already subscribed,topic:orderbook.1000.BTCUSDT", [])],
)  # fmt: skip
def test_a_refusal_that_names_a_topic_is_of_its_symbol(message, expected):
    frame = {"success": False, "ret_msg": message, "conn_id": "c", "op": "subscribe"}
    assert bybit.read({"kind": "ws", "value": json.dumps(frame).encode()}, NAMES) == expected


def test_what_can_not_be_read_or_is_something_else_changes_nothing():
    log = live_log()
    whole = {"topic": "orderbook.1000.BTCUSDT", "ts": 1, "type": "delta"}
    data = {"s": "BTCUSDT", "b": [["97", "1"]], "a": [], "u": 11}
    for value in (b"", b"[]", b"\xff", {"op": "pong"}, {"success": True, "op": "subscribe"}, {"topic": "x"},
                  whole | {"type": "update", "data": data}, whole | {"data": data | {"s": "ETHUSDT"}},
                  whole | {"data": data | {"u": "11"}}, whole | {"data": data | {"b": [[97, 1]]}},
                  whole | {"data": data | {"b": [["97", "1", "2"]]}}):  # fmt: skip
        log.write(0.3, "ws", value)
    log.deal(0.4, "1", "Unknown", "1", "1")
    log.deal(0.4, "1", "Buy", "0", "1")
    log.marks(0.5)
    results = compute(log.records(), ONE)
    assert (results["trade"], shown(log)) == ([], [(None, 10)])


def test_the_recorded_trade_and_books_of_spot(frames_dir):
    lines = (frames_dir / "bybit" / "gocryptotrader_frames.jsonl").read_text().splitlines()
    frames = [json.loads(line)["frame"] for line in lines]
    (trade,) = bybit.read({"kind": "ws", "value": frames[4].encode()}, NAMES)
    assert trade == Trade(
        "BTCUSDT", "2200000000067341890", Decimal("3.6279"), Decimal("1.3637"), "sell", 1_690_720_953_111_000
    )
    book, widest = bybit.Book(), [frame.replace("orderbook.50.", "orderbook.1000.") for frame in frames[2:4]]
    for frame in widest:
        (message,) = bybit.read({"kind": "ws", "value": frame.encode()}, NAMES)
        book.take(message)
        assert book.reason is None
    assert book.last == json.loads(frames[3])["data"]["u"]
    assert book.bids[Decimal("75848.62")] == Decimal("0.014895")
    assert Decimal("75837.13") not in book.bids
