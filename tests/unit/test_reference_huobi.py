"""The reference's HTX: small books and trades by hand, and the trades that HTX sent."""

import base64
import gzip
import json
from decimal import Decimal

import pytest

from tests.reference import huobi
from tests.reference.by_hand import START_US, Log, at_us, settings
from tests.reference.run import compute

RECORDING = "huobi/cryptofeed_ws_44_0.jsonl.gz"
ONE = settings(exchanges=("huobi",), heatmap_depth=3)
BIDS, ASKS = [[98, 1.5], [97.5, 2.0]], [[101.5, 0.25]]


class HuobiLog(Log):
    """HTX: gzip, each message on its own."""

    exchange = "huobi"

    def say(self, second, message):
        text = message if isinstance(message, str) else json.dumps(message)
        self.write(second, "ws", gzip.compress(text.encode()))

    def update(self, second, previous, last, bids=(), asks=()):
        tick = {"seqNum": last, "prevSeqNum": previous, "bids": list(bids), "asks": list(asks)}
        self.say(second, {"ch": "market.btcusdt.mbp.400", "ts": 1, "tick": tick})

    def snapshot(self, second, last, bids=BIDS, asks=ASKS):  # type: ignore[override]
        data = {"seqNum": last, "bids": bids, "asks": asks}
        self.say(second, {"id": "3", "status": "ok", "ts": 1, "rep": "market.btcusdt.mbp.400", "data": data})

    def confirm(self, second):
        self.say(
            second,
            {"id": "2", "status": "ok", "subbed": "market.btcusdt.trade.detail", "ts": at_us(second) // 1000},
        )

    def deals(self, second, *deals):
        """(tradeId, price, happened) each, in the order sent."""
        data = [{"id": 10**26 + number, "ts": at_us(happened) // 1000, "tradeId": number, "amount": 0.5,
                 "price": price, "direction": "sell"} for number, price, happened in deals]  # fmt: skip
        self.say(
            second, {"ch": "market.btcusdt.trade.detail", "ts": 1, "tick": {"id": 1, "ts": 1, "data": data}}
        )


def levels(*pairs):
    return [{"price": Decimal(price), "size": Decimal(size)} for price, size in pairs]


def shown(log):
    """(reason, sequence_id) of each tick."""
    return [(tick["reason"], tick["sequence_id"]) for tick in compute(log.records(), ONE)["book"]]


def live_log():
    """Proven at 10 before the tick of 0.5."""
    log = HuobiLog()
    log.marks(0)
    log.event(0.1, "connected")
    log.update(0.15, 9, 10)
    log.snapshot(0.2, 10)
    return log


def test_a_small_book_is_stated_as_computed_by_hand():
    log = live_log()
    log.say(0.3, '{"ch":"market.btcusdt.mbp.400","ts":1,"tick":{"seqNum":15,"prevSeqNum":10,"bids":[[97.50,0.0],'
                 '[9.7E1,5.33E-4]],"asks":[[111,4]]}}')  # fmt: skip
    log.marks(0.5)
    (tick,) = compute(log.records(), ONE)["book"]
    assert (tick["timestamp"], tick["live"], tick["sequence_id"]) == (START_US + 500_000, True, 15)
    assert tick["bids"] == levels(("98", "1.5"), ("97", "0.000533"))
    assert tick["asks"] == levels(("101.5", "0.25"), ("111", "4"))
    assert (tick["mid_price"], tick["spread"]) == (Decimal("99.75"), Decimal("3.5"))


def test_the_snapshot_joins_the_updates_that_came_before_it():
    log = HuobiLog()
    log.marks(0)
    log.update(0.1, 5, 10, [[90, 7]])
    log.update(0.2, 10, 20, [[98, 3]])
    log.snapshot(0.3, 10)
    log.marks(0.5)
    log.update(0.6, 20, 30, [[97.5, 0]])
    log.marks(1.0)
    ticks = compute(log.records(), ONE)["book"]
    assert [tick["sequence_id"] for tick in ticks] == [20, 30]
    assert [tick["bids"] for tick in ticks] == [levels(("98", "3"), ("97.5", "2")), levels(("98", "3"))]


@pytest.mark.parametrize(("last", "expected"), [(4, None), (7, None), (5, 20), (20, 20), (25, None)])
def test_a_snapshot_that_is_older_or_between_or_newer_does_not_join(last, expected):
    log = HuobiLog()
    log.marks(0)
    log.update(0.1, 5, 10)
    log.update(0.2, 10, 20)
    log.snapshot(0.3, last)
    log.marks(0.5)
    assert shown(log) == [("never_connected" if expected is None else None, expected)]


def test_without_updates_a_snapshot_waits_for_one_or_for_the_same_once_more():
    log = HuobiLog()
    log.marks(0)
    log.snapshot(0.1, 10)
    log.marks(0.5)
    log.snapshot(0.6, 10)
    log.marks(1.0)
    log.conn = "b"
    log.event(1.1, "connected")
    log.snapshot(1.2, 20, [[90, 1]])
    log.update(1.3, 20, 21)
    log.marks(1.5)
    assert shown(log) == [("never_connected", None), (None, 10), (None, 21)]


def test_a_newer_snapshot_waits_for_the_stream():
    log = HuobiLog()
    log.marks(0)
    log.update(0.1, 5, 10, [[1, 1]])
    log.snapshot(0.2, 30)
    log.update(0.3, 10, 20, [[2, 1]])
    log.marks(0.5)
    log.update(0.6, 20, 30, [[3, 1]])
    log.marks(1.0)
    log.update(1.1, 30, 31, [[97.5, 0]])
    log.marks(1.5)
    assert shown(log) == [("never_connected", None), (None, 30), (None, 31)]
    assert compute(log.records(), ONE)["book"][-1]["bids"] == levels(("98", "1.5"))


@pytest.mark.parametrize("previous", [9, 11, 17])
def test_a_broken_link_blinds_the_book_until_a_snapshot_joins(previous):
    log = live_log()
    log.update(0.6, previous, 20)
    log.marks(1.0)
    log.update(1.1, 20, 25)
    log.snapshot(1.2, 4)
    log.marks(1.5)
    log.snapshot(1.6, 20)
    log.marks(2.0)
    assert shown(log) == [(None, 10), ("sequence_gap", None), ("sequence_gap", None), (None, 25)]


def test_a_snapshot_while_live_says_nothing():
    log = live_log()
    log.snapshot(0.3, 10, [[1, 1]], [[2, 1]])
    log.marks(0.5)
    assert compute(log.records(), ONE)["book"][0]["bids"] == levels(("98", "1.5"), ("97.5", "2"))


def test_the_window_is_four_hundred_levels():
    log = HuobiLog()
    log.marks(0)
    log.update(0.1, 0, 1)
    log.snapshot(0.1, 1, [[number, 1] for number in range(1, 401)], [[1000, 1]])
    log.update(0.2, 1, 2, [[401, 1], [402, 1]])
    log.marks(0.5)
    (tick,) = compute(log.records(), settings(exchanges=("huobi",), heatmap_depth=100))["book"]
    assert (tick["covered_low"], tick["covered_high"]) == (Decimal(3), None)


def test_the_trade_that_is_sent_on_subscribing_counts_only_behind_a_live_one():
    log = HuobiLog()
    log.confirm(1.0)
    log.deals(1.1, (5, 100, 0.2))
    log.deals(1.2, (7, 102, 1.15), (6, 101, 1.15))
    log.conn = "b"
    log.confirm(2.0)
    log.deals(2.1, (8, 103, 1.9))
    log.deals(2.2, (8, 103, 1.9), (9, 104, 1.95))
    trades = compute(log.records(), ONE)["trade"]
    assert [(trade["trade_id"], trade["price"]) for trade in trades] == [
        ("6", 101), ("7", 102), ("8", 103), ("9", 104),
    ]  # fmt: skip


def test_the_recorded_trades_are_told_with_their_trade_ids_oldest_first(frames_dir):
    rows = [json.loads(line) for line in gzip.decompress((frames_dir / RECORDING).read_bytes()).splitlines()]
    found, told = [], []
    for row in rows:
        if row["dir"] == "in" and row["channel"] == "trade.detail":
            data = json.loads(row["decoded"], parse_float=Decimal)
            name = data["ch"].split(".")[1]
            record = {"kind": "ws", "value": base64.b64decode(row["frame"])}
            found += huobi.read(record, {name: "X"})[:-1]
            told += [
                (str(one["tradeId"]), one["price"], one["amount"]) for one in reversed(data["tick"]["data"])
            ]
    assert [(trade.trade_id, trade.price, trade.size) for trade in found] == told
    assert len(told) > 28


def test_what_can_not_be_read_or_is_something_else_changes_nothing():
    log = live_log()
    tick = {"seqNum": 11, "prevSeqNum": 10, "bids": [[97, 1]]}
    for message in (
        {"ping": 1}, {}, {"ch": "market.btcusdt.mbp.150", "tick": tick}, {"ch": "market.btcusdt.mbp.400"},
        {"ch": "market.dogeusdt.mbp.400", "tick": tick},
        {"ch": "market.btcusdt.mbp.400", "tick": tick | {"seqNum": "11"}},
        {"ch": "market.btcusdt.mbp.400", "tick": tick | {"bids": [["97", 1]]}}, "[]", "{", "NaN",
        {"rep": "market.btcusdt.mbp.400", "status": "ok", "data": None}, {"subbed": "market.btcusdt.mbp.400", "ts": 1},
    ):  # fmt: skip
        log.say(0.3, message)
    log.write(0.3, "ws", b"\x1f\x8b broken")
    log.write(0.3, "ws", gzip.compress(b"{}")[:-3])
    log.deals(0.4, (1, 0, 0.4))
    log.marks(0.5)
    results = compute(log.records(), ONE)
    assert results["trade"] == []
    assert [(tick["sequence_id"], tick["bids"]) for tick in results["book"]] == [
        (10, levels(("98", "1.5"), ("97.5", "2")))
    ]
